"""A proxy before an S3 server that does to chosen requests what networks and stores do."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Literal, NamedTuple

from tests.s3.server import HOST

Fault = Literal["answer lost", "500 after", "500 before", "503 before", "409 before", "refused", "hangs", "cut short"]

_HOP_BY_HOP: Final = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class _Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class _Plan:
    fault: Fault
    method: str
    key: str
    times: int


@dataclass
class FaultProxy:
    """Faults are played on the next requests that match; `away` refuses all. `forwarded`: what the store has seen."""

    upstream_port: int
    away: bool = False
    delay_s: float = 0.0
    forwarded: list[str] = field(default_factory=list)
    refused: int = 0
    _plans: list[_Plan] = field(default_factory=list)
    _open: set[socket.socket] = field(default_factory=set)
    _closing: threading.Event = field(default_factory=threading.Event)

    def play(self, fault: Fault, method: str, key: str = "", times: int = 1) -> None:
        """On the next `times` requests of that method whose path contains `key`."""
        self._plans.append(_Plan(fault, method, key, times))

    @contextmanager
    def listening(self) -> Iterator[int]:
        """The port it listens on."""
        server = ThreadingHTTPServer((HOST, 0), _handler_of(self))
        server.daemon_threads = False  # joined at the end, so that no socket is left to the garbage collector
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            self._closing.set()
            server.shutdown()
            thread.join()
            for connection in list(self._open):
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            server.server_close()

    def answer(self, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> _Answer | None:
        """None: the connection is dropped without an answer."""
        fault = self._fault(method, path)
        if self.away or fault == "refused":
            self.refused += 1
            return None
        if fault == "hangs":
            self._closing.wait(60)
            return None
        if fault in ("500 before", "503 before", "409 before"):
            return _refusal(int(fault[:3]))
        if self.delay_s:
            time.sleep(self.delay_s)
        answer = self._forward(method, path, headers, body)
        if fault == "answer lost":
            return None
        if fault == "500 after":
            return _refusal(500)
        return answer._replace(body=answer.body[: len(answer.body) // 2]) if fault == "cut short" else answer

    def _fault(self, method: str, path: str) -> Fault | None:
        for plan in self._plans:
            if plan.times and plan.method == method and plan.key in path:
                plan.times -= 1
                return plan.fault
        return None

    def _forward(self, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> _Answer:
        self.forwarded.append(f"{method} {path}")
        connection = http.client.HTTPConnection(HOST, self.upstream_port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return _Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()


def _refusal(status: int) -> _Answer:
    code = {409: "ConditionalRequestConflict", 500: "InternalError", 503: "SlowDown"}[status]
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>so it was told</Message></Error>".encode()
    return _Answer(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))], body)


def _handler_of(proxy: FaultProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            proxy._open.add(self.connection)

        def finish(self) -> None:
            proxy._open.discard(self.connection)
            with suppress(OSError):
                super().finish()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
            """Tests say what they saw."""

        def _relay(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = proxy.answer(self.command, self.path, list(self.headers.items()), body)
            if answer is None:
                self.close_connection = True
                return
            length = dict(answer.headers).get("Content-Length", str(len(answer.body)))
            self.send_response_only(answer.status)
            for name, value in answer.headers:
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", length)
            self.end_headers()
            with suppress(OSError):  # the client no longer waits
                self.wfile.write(answer.body)
            if self.command != "HEAD" and len(answer.body) < int(length):
                self.close_connection = True

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _relay  # noqa: N815

    return Handler
