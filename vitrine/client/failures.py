"""Failed calls as the errors of `vitrine.runtime.errors`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import grpc

from vitrine.runtime import errors
from vitrine.runtime.errors import VitrineError
from vitrine.runtime.tls import handshake_failure

_RETRY_AFTER_S: Final = 0.1
# As `ResourceExhausted` says it; it says so again here.
_RETRY_WORDS: Final = "; retry after "


class RemoteError(VitrineError):
    """A status with no kind of its own here, such as INTERNAL; the message holds the id that is in the log."""


_KINDS: Final[dict[str, type[VitrineError]]] = {
    "NOT_FOUND": errors.NotFound,
    "UNAUTHENTICATED": errors.Unauthenticated,
    "PERMISSION_DENIED": errors.PermissionDenied,
    "FAILED_PRECONDITION": errors.FailedPrecondition,
    "DEADLINE_EXCEEDED": errors.DeadlineExceeded,
    "UNAVAILABLE": errors.Unavailable,
    # Nobody here has cancelled it: it reached a server that was about to stop.
    "CANCELLED": errors.Unavailable,
    "DATA_LOSS": errors.DataLoss,
}


def typed_error(error: grpc.RpcError) -> VitrineError:
    """A failed call as one of the errors of `vitrine.runtime.errors`."""
    return error_of(error.code().name, error.details() or "", _retry_after_s(error))


def error_of(code: str, details: str, retry_after_s: float = _RETRY_AFTER_S) -> VitrineError:
    """The error that a status `code` and its words stand for."""
    if code == "INVALID_ARGUMENT":
        field, _, reason = details.partition(": ")
        return errors.InvalidArgument(field, reason)
    if code == "RESOURCE_EXHAUSTED":
        return errors.ResourceExhausted(details.partition(_RETRY_WORDS)[0], retry_after_s)
    if code == "UNAVAILABLE" and (words := handshake_failure(details)):
        return errors.HandshakeFailed(words)
    kind = _KINDS.get(code)
    return kind(details) if kind else RemoteError(f"{code}: {details}")


@contextmanager
def typed_errors() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise typed_error(error) from error


def _retry_after_s(error: grpc.RpcError) -> float:
    metadata: Any = error.trailing_metadata() or ()
    return float(dict(metadata).get("retry-after-ms", _RETRY_AFTER_S * 1000)) / 1000
