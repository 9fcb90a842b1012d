"""A shop's host of pictures, that can be out of order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from typing import Final

from tests.integration.shop import HOST

# What hosts do when they are out of order, one after the other.
OUTAGES: Final = ("503", "429", "hangs", "breaks off", "closes")
HANGS_S: Final = 1.5


@dataclass
class ImageHost:
    """Answers GET /NAME with `pictures[NAME]`, an int there with that status, and a name it does not have with 404."""

    pictures: Mapping[str, bytes | int]
    port: int = 0
    out_of_order: bool = False
    refused: int = 0
    _ways: Iterator[str] = field(default_factory=lambda: cycle(OUTAGES))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def origin(self) -> str:
        return f"http://{HOST}:{self.port}"

    def uri(self, name: str) -> str:
        return f"{self.origin}/{name}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        if not self.out_of_order:
            self._serve(handler, self.pictures.get(handler.path.removeprefix("/"), 404))
            return
        with self._lock:
            self.refused += 1
            way = next(self._ways)
        if way == "hangs":
            time.sleep(HANGS_S)
        elif way == "breaks off":
            handler.send_response(200)
            handler.send_header("Content-Length", "100000")
            handler.end_headers()
            handler.wfile.write(bytes(1_000))
        elif way != "closes":
            handler.send_error(int(way))

    def _serve(self, handler: BaseHTTPRequestHandler, found: bytes | int) -> None:
        if isinstance(found, int):
            handler.send_error(found)
            return
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(found)))
        handler.end_headers()
        handler.wfile.write(found)


@contextmanager
def image_host(pictures: Mapping[str, bytes | int]) -> Iterator[ImageHost]:
    host = ImageHost(pictures)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(ConnectionError):  # who asked has heard enough
                host.answer(self)

        def log_message(self, *_: object) -> None:
            """Nothing to say."""

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        server.daemon_threads = True
        host.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield host
        finally:
            server.shutdown()
            thread.join()
