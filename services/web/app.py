"""Addresses: the pages, their files, and the JSON behind them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from services.web import openapi, problems
from services.web.answers import Problem
from services.web.endpoints import Endpoint
from services.web.headers import SecurityHeaders
from vitrine.runtime.metrics import CallMetrics

STATIC: Final = Path(__file__).with_name("static")

_CODES: Final = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}


def application(endpoints: Sequence[Endpoint], metrics: CallMetrics, ops: bool) -> Starlette:
    """`ops`: with the page for those who look after the shop."""
    described = json.dumps(openapi.document(endpoints, version("vitrine")), ensure_ascii=False).encode()

    async def describe(request: Request) -> Response:
        return Response(described, media_type="application/json")

    pages = {"/": "index.html", "/docs": "docs.html", **({"/ops": "ops.html"} if ops else {})}
    routes: list[BaseRoute] = [
        *(endpoint.route(metrics) for endpoint in endpoints),
        *(Route(path, _page(name), methods=["GET"]) for path, name in pages.items()),
        Route("/openapi.json", describe, methods=["GET"]),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    return Starlette(
        routes=routes, middleware=[Middleware(SecurityHeaders)], exception_handlers={HTTPException: _not_answered}
    )


def _page(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def page(request: Request) -> Response:
        return FileResponse(STATIC / name, media_type="text/html")

    return page


async def _not_answered(request: Request, error: Exception) -> Response:
    """No such address, or not by that method."""
    assert isinstance(error, HTTPException)
    problem = Problem(_CODES.get(error.status_code, "INVALID_ARGUMENT"), "path", error.detail)
    return problems.said(error.status_code, problem, dict(error.headers or {}))
