"""The client before a gateway that refuses for a moment: its shopper sees a slower answer, and no error."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import grpc
import numpy as np
import pytest

from services.gateway.admission import Admission
from services.gateway.callers import Callers
from services.gateway.gate import Gate
from tests.unit.gateway.running import Running, StubSearcher, running
from vitrine.client import AsyncVisualSearchClient
from vitrine.runtime.context import Context
from vitrine.runtime.errors import ResourceExhausted, Unavailable
from vitrine.v1 import searcher_pb2 as pb

VECTOR = np.array([1, 2, 3, 4], np.float32)
PRODUCTS = {"shoe1": np.array([1, 0, 0, 0], np.float32)}
PER_S = 10.0


class Stumbling(StubSearcher):
    """Fails the first call."""

    async def Search(self, request: pb.SearcherSearchRequest, context: Context) -> pb.SearcherSearchResponse:  # noqa: N802
        if not self.searches:
            self.searches.append(request)
            await context.abort(grpc.StatusCode.UNAVAILABLE, "stumbled")
        return await super().Search(request, context)


def gated(folder: Path, limits: Mapping[str, float]) -> AbstractAsyncContextManager[Running]:
    return running(folder, [[StubSearcher([0, 1], dict(PRODUCTS))]], gates=[Gate(Callers(limits), Admission())])


async def test_a_caller_over_its_limit_comes_back_when_it_was_told_to(tmp_path: Path) -> None:
    async with (
        gated(tmp_path, {"web": PER_S}) as gateway,
        AsyncVisualSearchClient(gateway.address, caller="web") as client,
    ):
        began_s = time.monotonic()
        answers = [await client.search(vector=VECTOR) for _ in range(15)]
    assert [len(answer.hits) for answer in answers] == [1] * 15
    assert time.monotonic() - began_s >= 4 / PER_S, "ten at once, and the others at the pace that it may ask at"


async def test_who_tries_once_is_told_when_to_come_back(tmp_path: Path) -> None:
    async with (
        gated(tmp_path, {"web": 1}) as gateway,
        AsyncVisualSearchClient(gateway.address, caller="web", max_tries=1) as client,
    ):
        await client.search(vector=VECTOR)
        with pytest.raises(ResourceExhausted, match="web may ask for 1 searches a second") as refusal:
            await client.search(vector=VECTOR)
    assert 0 < refusal.value.retry_after_s <= 1


async def test_a_searcher_that_stumbles_costs_time_and_no_answer(tmp_path: Path) -> None:
    searcher = Stumbling([0, 1], dict(PRODUCTS))
    async with running(tmp_path, [[searcher]]) as gateway:
        async with AsyncVisualSearchClient(gateway.address, max_tries=1) as client:
            with pytest.raises(Unavailable):
                await client.search(vector=VECTOR)
        searcher.searches.clear()
        async with AsyncVisualSearchClient(gateway.address) as client:
            assert (await client.search(vector=VECTOR, require_complete=True)).coverage.complete
