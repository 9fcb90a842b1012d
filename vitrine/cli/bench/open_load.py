"""An open loop: requests come when they come, whether the ones before have been answered or not."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import grpc.aio
import numpy as np

from vitrine.runtime.channels import internal_channel


class Outcome(NamedTuple):
    """One call. `at_s`: when it was sent, from the start. `code`: OK, or of its error. `answer`: if they are kept."""

    at_s: float
    ms: float
    code: str
    answer: bytes


@dataclass(frozen=True)
class OpenLoad:
    """`behind_ms`: shape (calls,), how much later than it should each call was sent. That is the generator's fault."""

    seconds: float
    outcomes: Sequence[Outcome]
    behind_ms: Sequence[float]

    def since(self, at_s: float) -> OpenLoad:
        """Without the calls of the first `at_s` seconds."""
        kept = [number for number, outcome in enumerate(self.outcomes) if outcome.at_s >= at_s]
        return OpenLoad(
            self.seconds - at_s,
            [self.outcomes[number] for number in kept],
            [self.behind_ms[number] for number in kept],
        )

    @property
    def answered(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.code == "OK"]

    @property
    def codes(self) -> dict[str, int]:
        """How often calls failed, by status."""
        codes = sorted(outcome.code for outcome in self.outcomes if outcome.code != "OK")
        return {code: len(list(same)) for code, same in itertools.groupby(codes)}

    def percentile_ms(self, percent: float) -> float:
        """Of the calls that were answered."""
        return round(float(np.percentile([outcome.ms for outcome in self.answered], percent)), 3)


def run_open_load(
    address: str,
    method: str,
    requests: Sequence[bytes],
    per_s: float,
    seconds: float,
    *,
    timeout_s: float = 5.0,
    keep: bool = False,
) -> OpenLoad:
    """Calls at random times (a Poisson process, seeded), going round `requests`. `keep`: their answers, too."""
    random = np.random.default_rng(5)
    gaps_s = random.exponential(1 / per_s, int(per_s * seconds))
    return asyncio.run(_run(address, method, requests, np.cumsum(gaps_s).tolist(), timeout_s, keep))


async def _run(
    address: str, method: str, requests: Sequence[bytes], times_s: Sequence[float], timeout_s: float, keep: bool
) -> OpenLoad:
    async with internal_channel(address) as channel:
        call = channel.unary_unary(method, request_serializer=_as_is, response_deserializer=_as_is)
        await channel.channel_ready()
        started_s = time.perf_counter()

        async def one(request: bytes) -> Outcome:
            began_s, code, answer = time.perf_counter(), "OK", b""
            try:
                answer = await call(request, timeout=timeout_s)
            except grpc.aio.AioRpcError as error:
                code = str(error.code().name)
            ms = (time.perf_counter() - began_s) * 1000
            return Outcome(began_s - started_s, ms, code, answer if keep else b"")

        ring, sent, behind_ms = itertools.cycle(requests), [], []
        for at_s in times_s:
            left_s = at_s - (time.perf_counter() - started_s)
            # Those that are due together are sent together; the loop has its turn all the same.
            await asyncio.sleep(max(0.0, left_s))
            behind_ms.append(max(0.0, time.perf_counter() - started_s - at_s) * 1000)
            sent.append(asyncio.create_task(one(next(ring))))
        outcomes = await asyncio.gather(*sent)
        return OpenLoad(times_s[-1], outcomes, behind_ms)


def _as_is(data: bytes) -> bytes:
    return data
