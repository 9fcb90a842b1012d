"""An S3 server of this machine: moto's, a process that speaks the protocol over HTTP."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from vitrine.runtime.ports import free_port

HOST: Final = "127.0.0.1"

_START_TIMEOUT_S: Final = 30.0


@contextmanager
def s3_server() -> Iterator[int]:
    """The port it listens on. It checks no signatures, keeps objects in memory, and is gone at the end."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", HOST, "-p", str(port)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet) as server:
        try:
            _wait_until_it_listens(port)
            yield port
        finally:
            server.kill()


def make_bucket(port: int, name: str) -> None:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("PUT", f"/{name}")
        assert connection.getresponse().status == 200
    finally:
        connection.close()


def environment(port: int) -> dict[str, str]:
    """What a user sets to reach an S3 store that is not Amazon's."""
    return {
        "AWS_ENDPOINT_URL": f"http://{HOST}:{port}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
    }


def _wait_until_it_listens(port: int) -> None:
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline_s, "the S3 server does not listen"
            time.sleep(0.05)
        else:
            return
