"""The HTTP side of every server: /metrics for Prometheus, /livez and /readyz for probes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from vitrine.runtime.errors import ConfigError


class HttpEndpoints:
    """Serves in threads of its own, so that it answers while the event loop is busy. `draining`: readyz says no.

    `metrics`: what /metrics says; this process's own, unless told otherwise.
    """

    def __init__(
        self,
        host: str,
        port: int,
        not_ready: Callable[[], str | None],
        metrics: Callable[[], bytes] = generate_latest,
    ) -> None:
        self.draining = False
        self._metrics = metrics
        endpoints = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, kind, body = endpoints._answer(self.path, not_ready)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
                """Probes every few seconds are not worth a line."""

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise ConfigError("http_port", f"{host}:{port} cannot be listened on; is it taken?") from error
        self._server.daemon_threads = True

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, name="http", daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, path: str, not_ready: Callable[[], str | None]) -> tuple[int, str, bytes]:
        match path.split("?")[0]:
            case "/metrics":
                return 200, CONTENT_TYPE_LATEST, self._metrics()
            case "/livez":
                return 200, "text/plain", b"alive\n"
            case "/readyz":
                reason = "draining" if self.draining else not_ready()
                return (
                    (200, "text/plain", b"ready\n") if reason is None else (503, "text/plain", f"{reason}\n".encode())
                )
            case _:
                return 404, "text/plain", b"try /metrics, /livez or /readyz\n"
