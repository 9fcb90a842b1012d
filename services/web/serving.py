"""The lifecycle of a server that speaks HTTP only; in what it promises the same as `vitrine.runtime.server`.

Stop order: /readyz says no, then requests under way finish (at most `drain_s`), then background work ends.
"""

from __future__ import annotations

import asyncio
import math
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from services.web.settings import WebSettings
from vitrine.runtime import logs
from vitrine.runtime.errors import ConfigError
from vitrine.runtime.http import HttpEndpoints
from vitrine.runtime.metrics import expose_certificates
from vitrine.runtime.server import EXIT_FAILED, stop_with_parent
from vitrine.runtime.tls import certificates_in, page_context

# Connections that wait to be accepted.
_BACKLOG: Final = 512


@dataclass(frozen=True)
class Site:
    """What is served. `watch`: a coroutine that runs as long as the server."""

    app: ASGIApp
    not_ready: Callable[[], str | None]
    watch: Callable[[], Awaitable[None]]


async def serve(settings: WebSettings, build: Callable[[], Site]) -> int:
    """Until SIGTERM or SIGINT. Returns the process's exit code. Raises ConfigError for a port that is taken."""
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    site = build()
    listener = _listening(settings.host, settings.port)
    endpoints = HttpEndpoints(settings.host, settings.http_port, site.not_ready)
    endpoints.start()
    page = _Page(_config(site.app, settings))
    logs.logger().info("listening", address=f"{settings.host}:{settings.port}", http_port=settings.http_port)
    serving = asyncio.create_task(page.serve(sockets=[listener]))
    watching = asyncio.ensure_future(site.watch())
    orphan = asyncio.create_task(stop_with_parent(settings.parent_pid, stop))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({serving, watching, stopped}, return_when=asyncio.FIRST_COMPLETED)
        failed = not stopped.done()
    finally:
        endpoints.draining = True
        page.should_exit = True
        await serving
        for task in (watching, orphan, stopped):
            task.cancel()
        ended = await asyncio.gather(watching, orphan, stopped, return_exceptions=True)
        endpoints.stop()
    if failed:
        logs.logger().error("background work ended", reason=repr(ended[0]))
    logs.logger().info("stopped")
    return EXIT_FAILED if failed else 0


class _Page(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are ours: uvicorn's own handlers would end the process by them."""
        yield


def _config(app: ASGIApp, settings: WebSettings) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=math.ceil(settings.drain_s),
        backlog=_BACKLOG,
    )
    config.load()
    if settings.tls:
        # Not by uvicorn's own settings: it would keep the certificate that it began with.
        config.ssl = page_context(settings.tls, settings.tls_client_certificates)
        expose_certificates("web", certificates_in(settings.tls))
    return config


def _listening(host: str, port: int) -> socket.socket:
    """Raises ConfigError if it is taken."""
    try:
        return socket.create_server((host, port), family=_family(host), backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError("port", f"{host}:{port} cannot be listened on ({error.strerror})") from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
