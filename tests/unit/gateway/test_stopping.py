"""A searcher or an embedder that stops just when it is asked: another answers, and nobody notices."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from tests.unit.gateway.running import PARTITIONS, Running, StubSearcher, running
from vitrine.v1 import gateway_pb2 as pb
from vitrine.vectors import to_wire, unit

TIMEOUT_S = 10.0
QUERY = to_wire(np.array([1, 2, 3, 4], np.float32))
PICTURE = json.dumps([1, 2, 3, 4]).encode()

# What arrives before a server stops and is not begun by then ends in the second.
stopping = pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED], ids=str)


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Running]:
    vectors = unit(np.random.default_rng(6).normal(size=(20, 4)).astype("f4"))
    catalogue = {f"shoe{number}": vector for number, vector in enumerate(vectors)}
    replicas = [StubSearcher(range(PARTITIONS), catalogue) for _ in range(2)]
    async with running(tmp_path, [replicas], hedge_share=0.0) as gateway:
        yield gateway


@stopping
@pytest.mark.parametrize("recall_target", [None, 0.9], ids=["plain", "alone"])
async def test_no_answer_lacks_what_a_searcher_that_stops_was_asked(
    two: Running, code: grpc.StatusCode, recall_target: float | None
) -> None:
    stops, stays = two.searchers
    stops.failing = code
    request = pb.SearchRequest(vector=QUERY, recall_target=recall_target)
    for _ in range(4):
        answer = await two.stub.Search(request, timeout=TIMEOUT_S)
        assert answer.coverage.partitions_answered == PARTITIONS
    assert len(stops.searches) == 1, "once is enough to know"
    assert len(stays.searches) == 4


@stopping
async def test_a_picture_is_sent_to_another_embedder_than_one_that_stops(two: Running, code: grpc.StatusCode) -> None:
    two.embedder.failing.append(code)
    assert (await two.stub.Search(pb.SearchRequest(image=PICTURE), timeout=TIMEOUT_S)).results
    assert two.embedder.calls == [1, 1]


async def test_embedders_that_are_all_away_are_said_to_be(two: Running) -> None:
    two.embedder.failing += [grpc.StatusCode.UNAVAILABLE] * 2
    with pytest.raises(grpc.aio.AioRpcError, match="the embedder is away"):
        await two.stub.Search(pb.SearchRequest(image=PICTURE), timeout=TIMEOUT_S)
