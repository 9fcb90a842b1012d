"""How many TLS connections brought a call, by the peers of the calls."""

from __future__ import annotations

import itertools
from typing import Any, Final

import pytest
from prometheus_client import REGISTRY

from vitrine.runtime import connections
from vitrine.runtime.connections import Connections

_names: Final = itertools.count()


class Call:
    def __init__(self, peer: str) -> None:
        self._peer = peer

    def peer(self) -> str:
        return self._peer


def counted(monkeypatch: pytest.MonkeyPatch, calls: list[tuple[float, str]], max_age_s: float = 20.0) -> float:
    """Connections counted for calls at some time from some peer."""
    service = f"connections_test{next(_names)}"
    of_server = Connections(service, max_age_s)
    for now_s, peer in calls:
        monkeypatch.setattr(connections, "monotonic", lambda now_s=now_s: now_s)
        call: Any = Call(peer)
        of_server.called(call)
    return REGISTRY.get_sample_value(f"vitrine_{service}_tls_connections_total") or 0.0


def test_each_connection_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert counted(monkeypatch, [(0, "a"), (1, "b"), (2, "a"), (19, "a")]) == 2


def test_a_port_that_comes_round_again_is_another_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    assert counted(monkeypatch, [(0, "a"), (20, "a"), (30, "a"), (31, "a")]) == 2
