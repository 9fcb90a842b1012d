"""What went wrong, as HTTP: `{"error": {"code", "field", "message"}}` with a fitting status."""

from __future__ import annotations

import math
import re
from typing import Final

from starlette.responses import Response

from services.web.answers import Problem, ProblemAnswer, as_json
from vitrine.runtime.errors import (
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    VitrineError,
    status_name,
)

_STATUS: Final = {
    "INVALID_ARGUMENT": 400,
    # The page's own token is meant: whoever looks at it has none, and can do nothing about it.
    "UNAUTHENTICATED": 503,
    "PERMISSION_DENIED": 503,
    "NOT_FOUND": 404,
    "FAILED_PRECONDITION": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
# A field's dotted name before the words, as services say it: "history[3].weight: is 0".
_NAMED: Final = re.compile(r"([a-z_]\w*(?:\[\d+\]|\.\w+)*): ")
_RETRY_AFTER_S: Final = 1


class HttpError(VitrineError):
    """What only the way here can be wrong with. `status`: of HTTP."""

    def __init__(self, status: int, code: str, field: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.field = field


def too_large(field: str, most_bytes: int) -> HttpError:
    return HttpError(413, "TOO_LARGE", field, f"has more than {most_bytes / (1 << 20):g} MiB")


def too_slow(after_s: float) -> HttpError:
    return HttpError(408, "TOO_SLOW", "body", f"did not arrive within {after_s:g} s")


def wrong_type(message: str) -> HttpError:
    return HttpError(415, "UNSUPPORTED_MEDIA_TYPE", "content-type", message)


def problem_of(error: VitrineError) -> tuple[int, Problem]:
    """The status, and what is said."""
    if isinstance(error, HttpError):
        return error.status, Problem(error.code, error.field, str(error))
    code = status_name(error)
    if isinstance(error, InvalidArgument):
        return _STATUS[code], Problem(code, error.field, error.reason)
    named = _NAMED.match(str(error))
    field = named[1] if named else ""
    return _STATUS.get(code, 500), Problem(code, field, str(error)[named.end() if named else 0 :])


def response_of(error: VitrineError) -> Response:
    status, problem = problem_of(error)
    headers = {}
    if status in (429, 503) and not isinstance(error, Unauthenticated | PermissionDenied):
        wait_s = error.retry_after_s if isinstance(error, ResourceExhausted) else _RETRY_AFTER_S
        headers["Retry-After"] = str(max(1, math.ceil(wait_s)))
    return said(status, problem, headers)


def said(status: int, problem: Problem, headers: dict[str, str] | None = None) -> Response:
    return Response(as_json(ProblemAnswer(problem)), status, headers, media_type="application/json")
