"""The one tree of errors that Vitrine raises, and the one table that maps it to gRPC status codes.

    VitrineError
    ├── InvalidArgument(field, reason)     the caller's request is wrong; names the field
    │   └── BadImage                       bytes that are not an acceptable picture
    ├── NotFound
    │   ├── UnknownProduct(product_id)
    │   └── UnknownIndex(index)
    ├── Unauthenticated                    no token, or one that is not known
    ├── PermissionDenied                   a token without the role that the call needs
    ├── FailedPrecondition
    │   └── ModelMismatch                  embedder and index use different models
    ├── ResourceExhausted(retry_after_s)   a bounded queue is full
    ├── DeadlineExceeded
    ├── Unavailable                        a part of the system cannot answer now
    │   ├── StoreUnavailable
    │   └── HandshakeFailed                one side does not trust the other's certificate
    ├── DataLoss
    │   ├── CorruptShard                   a file's checksum or shape is wrong: it is never opened
    │   └── CorruptManifest
    ├── Fenced                             another owner has taken the partition
    ├── StreamGap                          the log no longer holds what the index needs next
    └── ConfigError(field, reason)         a program cannot start: one line, exit code 2

Codes are named as strings so that the core library does not depend on grpc; `vitrine.runtime.interceptors`
turns the name into a status at the RPC edge.
"""

from __future__ import annotations


class VitrineError(Exception):
    """Root of every error Vitrine raises on purpose."""


class InvalidArgument(VitrineError):
    """A request field is wrong. `field` is the proto's dotted name."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class BadImage(InvalidArgument):
    """Bytes that are not an acceptable picture."""

    def __init__(self, reason: str, field: str = "image") -> None:
        super().__init__(field, reason)


class NotFound(VitrineError):
    """Something named in the request does not exist."""


class UnknownProduct(NotFound):
    def __init__(self, product_id: str) -> None:
        super().__init__(f"product_id: no product {product_id!r} in the index")
        self.product_id = product_id


class UnknownIndex(NotFound):
    def __init__(self, index: str) -> None:
        super().__init__(f"index: no index {index!r}")
        self.index = index


class Unauthenticated(VitrineError):
    """The call brings no bearer token, or one that is not known."""


class PermissionDenied(VitrineError):
    """The caller's token has no role that may call this; names the one it needs."""


class FailedPrecondition(VitrineError):
    """The system's state forbids the call until somebody changes it."""


class ModelMismatch(FailedPrecondition):
    def __init__(self, embedder_model_id: str, index_model_id: str) -> None:
        super().__init__(
            f"model_id: the embedder runs {embedder_model_id[:12]} but the index was made with {index_model_id[:12]}"
        )


class ResourceExhausted(VitrineError):
    """A bounded queue is full. `retry_after_s` is a hint in seconds."""

    def __init__(self, what: str, retry_after_s: float) -> None:
        super().__init__(f"{what}; retry after {retry_after_s:.2f} s")
        self.retry_after_s = retry_after_s


class DeadlineExceeded(VitrineError):
    """The caller's deadline passed before the answer was ready."""


class Unavailable(VitrineError):
    """A part of the system cannot answer now; the same call may succeed later."""


class StoreUnavailable(Unavailable):
    """The object store refused or failed an operation."""


class HandshakeFailed(Unavailable):
    """No TLS connection: one side does not trust the other's certificate, or speaks no TLS."""


class DataLoss(VitrineError):
    """Stored bytes are not what was written."""


class CorruptShard(DataLoss):
    """A shard file's checksum, size or shape is wrong. The shard is never opened."""


class CorruptManifest(DataLoss):
    """A manifest's own checksum is wrong. It is skipped with an alert."""


class Fenced(VitrineError):
    """Another writer owns the partition now; this one must stop writing."""


class StreamGap(VitrineError):
    """The log no longer holds what the index needs next. Nothing is skipped silently.

    `partition` None: all of them. `lasting`: the log may look whole again later, and is not.
    """

    def __init__(self, reason: str, partition: int | None = None, lasting: bool = False) -> None:
        super().__init__(reason)
        self.partition = partition
        self.lasting = lasting


class ConfigError(VitrineError):
    """A program cannot start with these settings. Commands print it as one line and exit with code 2."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


STATUS_BY_ERROR: dict[type[VitrineError], str] = {
    InvalidArgument: "INVALID_ARGUMENT",
    NotFound: "NOT_FOUND",
    Unauthenticated: "UNAUTHENTICATED",
    PermissionDenied: "PERMISSION_DENIED",
    FailedPrecondition: "FAILED_PRECONDITION",
    ResourceExhausted: "RESOURCE_EXHAUSTED",
    DeadlineExceeded: "DEADLINE_EXCEEDED",
    Unavailable: "UNAVAILABLE",
    DataLoss: "DATA_LOSS",
    Fenced: "ABORTED",
    StreamGap: "FAILED_PRECONDITION",
    ConfigError: "FAILED_PRECONDITION",
}
"""Status code name per branch of the tree; a subclass takes its nearest ancestor's."""


def status_name(error: VitrineError) -> str:
    """The gRPC status code name for `error`; INTERNAL where the table has no ancestor of it."""
    for kind in type(error).__mro__:
        if kind in STATUS_BY_ERROR:
            return STATUS_BY_ERROR[kind]
    return "INTERNAL"
