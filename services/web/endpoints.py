"""The table of JSON endpoints: routes and the document at /openapi.json are both made from it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from services.web import problems
from services.web.answers import Problem, as_json
from vitrine.runtime.errors import VitrineError
from vitrine.runtime.logs import logger
from vitrine.runtime.metrics import CallMetrics

Handler = Callable[[Request], Awaitable[Any]]

# Nobody is there any more to read it; nginx calls it so.
_GONE: Final = 499


@dataclass(frozen=True)
class Parameter:
    """Of the path, or of the query string."""

    name: str
    place: str
    kind: str
    description: str


@dataclass(frozen=True)
class Endpoint:
    """One address. Its handler returns a value of `answers`, or a Response of its own, or raises VitrineError.

    asks     the JSON body's type; `form`: it may come with pictures
    answers  the type of what is answered; None: see `says`
    errors   statuses it may end with
    """

    name: str
    method: str
    path: str
    handler: Handler
    summary: str
    answers: type[Any] | None
    asks: type[Any] | None = None
    form: bool = False
    parameters: Sequence[Parameter] = ()
    errors: Sequence[int] = ()
    example: Any = None
    says: str = ""

    def route(self, metrics: CallMetrics) -> Route:
        return Route(self.path, _answering(self, metrics), methods=[self.method], name=self.name)


def _answering(endpoint: Endpoint, metrics: CallMetrics) -> Callable[[Request], Awaitable[Response]]:
    """Timing, counting, and errors turned into answers. An unknown failure is INTERNAL, with an id of the log."""

    async def answer(request: Request) -> Response:
        started, response = time.perf_counter(), Response(status_code=_GONE)
        metrics.in_flight.inc()
        try:
            found = await endpoint.handler(request)
            response = found if isinstance(found, Response) else Response(as_json(found), media_type="application/json")
        except VitrineError as error:
            response = problems.response_of(error)
        except ClientDisconnect:
            pass
        except Exception as error:  # noqa: BLE001  (told to the caller and the log)
            error_id = uuid.uuid4().hex[:12]
            logger().error("request failed", endpoint=endpoint.name, error_id=error_id, exc_info=error)
            response = problems.said(500, Problem("INTERNAL", "", f"internal error {error_id}"))
        finally:
            metrics.in_flight.dec()
            metrics.observe(endpoint.name, str(response.status_code), time.perf_counter() - started)
        return response

    return answer
