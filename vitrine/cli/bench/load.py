"""A lean load generator: requests encoded beforehand, answers not decoded, so that the client's own cost is small."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import grpc.aio
import numpy as np
import numpy.typing as npt

from vitrine.runtime.channels import internal_channel

SEARCH_METHOD = "/vitrine.v1.VisualSearch/Search"
EMBED_METHOD = "/vitrine.v1.Embedder/Embed"


@dataclass(frozen=True)
class Load:
    """What one load saw. `seconds`: of the whole load; `times_ms`: of each call, shape (calls,)."""

    calls: int
    seconds: float
    times_ms: npt.NDArray[np.float64]

    @property
    def per_s(self) -> float:
        return self.calls / self.seconds

    def percentile_ms(self, percent: float) -> float:
        return round(float(np.percentile(self.times_ms, percent)), 3)


def run_load(address: str, method: str, requests: Sequence[bytes], in_flight: int, calls: int) -> Load:
    """`calls` calls, `in_flight` at a time, going round `requests`. An error ends the load: it must not look fast."""
    return asyncio.run(_load(address, method, requests, in_flight, calls))


async def _load(address: str, method: str, requests: Sequence[bytes], in_flight: int, calls: int) -> Load:
    async with internal_channel(address) as channel:
        call = channel.unary_unary(method, request_serializer=_as_is, response_deserializer=_as_is)
        await asyncio.gather(*(call(request) for request in requests[:in_flight]))
        numbers, ring = iter(range(calls)), itertools.cycle(requests)
        times_ms: list[float] = []
        started = time.perf_counter()
        await asyncio.gather(*(_worker(call, numbers, ring, times_ms) for _ in range(in_flight)))
        return Load(calls, time.perf_counter() - started, np.array(times_ms))


async def _worker(
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes],
    numbers: Iterator[int],
    ring: itertools.cycle[bytes],
    times_ms: list[float],
) -> None:
    for _ in numbers:
        began = time.perf_counter()
        await call(next(ring), timeout=30.0)
        times_ms.append((time.perf_counter() - began) * 1000)


def _as_is(data: bytes) -> bytes:
    return data
