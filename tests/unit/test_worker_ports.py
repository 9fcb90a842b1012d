"""Workers need a row of ports each: what cannot be is said at the start, before any process is."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from vitrine.runtime import workers
from vitrine.runtime.errors import ConfigError
from vitrine.runtime.settings import GrpcSettings


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def run(port: int, http_port: int) -> int:
    # A module that does not exist: no worker may be reached.
    return workers.run("test", GrpcSettings(port=port, http_port=http_port), 3, "no.module", {})


def test_a_taken_grpc_port_of_any_worker_is_refused(taken: int) -> None:
    with pytest.raises(ConfigError, match=rf"^port: 127\.0\.0\.1:{taken} cannot be listened on"):
        run(taken - 2, taken - 100)


def test_a_taken_http_port_of_any_worker_is_refused(taken: int) -> None:
    with pytest.raises(ConfigError, match=rf"^http_port: 127\.0\.0\.1:{taken} cannot be listened on"):
        run(taken - 100, taken - 3)


def test_ports_wanted_twice_are_refused() -> None:
    with pytest.raises(ConfigError, match="http_port: 20003 is wanted twice"):
        run(20_003, 20_001)


def test_ports_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ConfigError, match="port: 65536 would be worker 2"):
        run(65_534, 20_000)
