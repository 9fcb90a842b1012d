"""Loads and answers through a gateway and one searcher: time, CPU time of each, and what was found."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from vitrine.cli.bench.load import SEARCH_METHOD, Load, run_load
from vitrine.cli.bench.process_cost import cpu_seconds
from vitrine.cli.stack import Stack
from vitrine.client import VisualSearchClient
from vitrine.filters import Filter
from vitrine.filters_codec import filter_message
from vitrine.runtime.errors import Unavailable
from vitrine.v1 import gateway_pb2
from vitrine.vectors import Vectors, to_wire

K: Final = 10
ROUNDS: Final = 3
_SERVICES: Final = ("searcher", "gateway")
_ANSWERING_S: Final = 30.0

Figures = dict[str, float | None]


def requests_of(queries: Vectors, k: int = K, wanted: Filter | None = None) -> list[bytes]:
    """An encoded SearchRequest for each of `queries`, float32, shape (q, dim)."""
    message = None if wanted is None else filter_message(wanted)
    return [
        gateway_pb2.SearchRequest(vector=to_wire(query), page_size=k, filter=message).SerializeToString()
        for query in queries
    ]


def loaded(stack: Stack, requests: Sequence[bytes], in_flight: int, calls: int, method: str = SEARCH_METHOD) -> Figures:
    """Medians of a few rounds: p50_ms, p99_ms, qps, and CPU time of searcher and gateway, ms a query."""
    return medians([_round(stack, method, requests, in_flight, calls) for _ in range(ROUNDS)])


def medians(rounds: Sequence[Figures]) -> Figures:
    """Figure by figure; None where any round has none."""
    found: Figures = {}
    for name in rounds[0]:
        values = [figures[name] for figures in rounds]
        known = [value for value in values if value is not None]
        found[name] = round(float(np.median(known)), 3) if len(known) == len(values) else None
    return found


def answers(address: str, queries: Vectors, k: int = K, wanted: Filter | None = None) -> list[list[str]]:
    """The products answered to each of `queries`, best first."""
    with VisualSearchClient(address) as client:
        return [
            [hit.product_id for hit in client.search(vector=query, k=k, filter=wanted, require_complete=True).hits]
            for query in queries
        ]


def wait_answering(stack: Stack, request: bytes) -> None:
    """A gateway takes a moment to see that its searcher is back. Raises Unavailable if it does not."""
    deadline_s = time.monotonic() + _ANSWERING_S
    while True:
        try:
            run_load(stack.gateway, SEARCH_METHOD, [request], 1, 1)
        except Exception as error:
            if time.monotonic() > deadline_s:
                raise Unavailable("the gateway does not reach its searcher") from error
            time.sleep(0.1)
        else:
            return


def figures_of(load: Load) -> Figures:
    return {"p50_ms": load.percentile_ms(50), "p99_ms": load.percentile_ms(99), "qps": round(load.per_s, 1)}


def _round(stack: Stack, method: str, requests: Sequence[bytes], in_flight: int, calls: int) -> Figures:
    before = [cpu_seconds([stack.pid(name)]) for name in _SERVICES]
    load = run_load(stack.gateway, method, requests, in_flight, calls)
    after = [cpu_seconds([stack.pid(name)]) for name in _SERVICES]
    spent: dict[str, Any] = {
        f"{name}_cpu_ms": None if then is None or now is None else (now - then) / calls * 1000
        for name, then, now in zip(_SERVICES, before, after, strict=True)
    }
    return figures_of(load) | spent
