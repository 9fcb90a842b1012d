"""FindDuplicates between its callers and searchers that are held back, broken, or full of the same picture."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from math import cos, radians, sin
from pathlib import Path

import grpc
import grpc.aio
import numpy as np
import pytest

from services.gateway import duplicates
from tests.unit.gateway.running import PARTITIONS, Running, StubSearcher, running
from vitrine.stream.partitioning import partition_of
from vitrine.v1 import gateway_pb2 as pb
from vitrine.v1.catalogue_pb2 import LogPosition
from vitrine.v1.filter_pb2 import Condition, Filter
from vitrine.vectors import Vectors, unit

TIMEOUT_S = 10.0


def at(degrees: float, side: int = 2) -> Vectors:
    """A direction so far from the first axis, towards another one."""
    vector = np.zeros(4, np.float32)
    vector[0], vector[side - 1] = cos(radians(degrees)), sin(radians(degrees))
    return vector


# 0.97 is an angle of 14 degrees.
CHAIN = {"a": at(0), "b": at(10), "c": at(20), "d": at(30)}
PAIR = {"y": at(90, 3), "x": at(88, 3)}
LONELY = {"lonely": at(90, 4)}
PRODUCTS = CHAIN | PAIR | LONELY


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_PAUSES_S", (0.1,))


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Running]:
    """One searcher serves everything."""
    async with running(tmp_path, [[StubSearcher([0, 1], dict(PRODUCTS))]]) as gateway:
        yield gateway


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Running]:
    """A searcher for each of the two partitions."""
    shares = [
        {name: vector for name, vector in PRODUCTS.items() if partition_of(name, PARTITIONS) == partition}
        for partition in range(PARTITIONS)
    ]
    async with running(tmp_path, [[StubSearcher([place], share)] for place, share in enumerate(shares)]) as gateway:
        yield gateway


async def test_groups_are_told_the_largest_first_and_how_complete_they_are(two: Running) -> None:
    groups, last = await _found(two)

    assert _names(groups) == ["abcd", "xy"]
    assert [member.image_id for group in groups for member in group.members] == ["0"] * 6
    assert [round(member.score, 4) for member in groups[1].members] == [round(cos(radians(2)), 4)] * 2
    assert last.products_compared == last.products_total == len(PRODUCTS)
    assert (last.coverage.partitions_total, last.coverage.partitions_answered) == (2, 2)
    assert last.coverage.rows_searched == len(PRODUCTS)
    assert last.query_id
    assert last.model_id


async def test_the_least_score_says_what_is_joined(alone: Running) -> None:
    assert _names((await _found(alone, min_score=0.99))[0]) == ["xy"]
    assert _names((await _found(alone, min_score=0.9999))[0]) == []


async def test_more_neighbours_than_are_asked_for_at_first_are_all_joined(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    # Two crowds, each closer together than to the other one, and one product that is near to both.
    left = at(0) + 0.002 * rng.normal(size=(30, 4))
    right = at(20) + 0.002 * rng.normal(size=(30, 4))
    vectors = unit(np.concatenate([left, right, at(10)[None, :]]).astype(np.float32))
    crowd = {f"{number:02}": vector for number, vector in enumerate(vectors)}
    async with running(tmp_path, [[StubSearcher([0, 1], crowd)]]) as gateway:
        groups, _ = await _found(gateway)

    assert [len(group.members) for group in groups] == [61]


async def test_a_picture_that_many_share_asks_for_them_all_once(tmp_path: Path) -> None:
    many = {f"{number:03}": at(0) for number in range(300)}
    searcher = StubSearcher([0, 1], many)
    async with running(tmp_path, [[searcher]]) as gateway:
        groups, _ = await _found(gateway)

    assert [len(group.members) for group in groups] == [300]
    assert sum(query.k > 16 for request in searcher.searches for query in request.queries) == 1


async def test_one_call_runs_at_a_time(alone: Running) -> None:
    alone.searchers[0].free.clear()
    first = asyncio.ensure_future(_found(alone))
    while not alone.searchers[0].searches:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _found(alone)
    alone.searchers[0].free.set()

    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert _names((await first)[0]) == ["abcd", "xy"]
    assert _names((await _found(alone))[0]) == ["abcd", "xy"]


async def test_a_caller_who_goes_makes_room(alone: Running) -> None:
    alone.searchers[0].free.clear()
    call = alone.stub.FindDuplicates(pb.FindDuplicatesRequest(), timeout=TIMEOUT_S)
    await call.read()
    call.cancel()
    alone.searchers[0].free.set()

    async with asyncio.timeout(5):
        while await _status(alone) is grpc.StatusCode.RESOURCE_EXHAUSTED:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert await _status(alone) is grpc.StatusCode.OK


async def test_progress_is_told_while_searchers_are_slow(alone: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "PROGRESS_S", 0.01)
    alone.searchers[0].free.clear()
    arriving = aiter(alone.stub.FindDuplicates(pb.FindDuplicatesRequest(), timeout=TIMEOUT_S))
    said = [await anext(arriving) for _ in range(3)]
    alone.searchers[0].free.set()
    said += [message async for message in arriving]

    compared = [message.products_compared for message in said if not message.groups]
    assert compared[0] == 0
    assert compared == sorted(compared)
    assert compared[-1] == len(PRODUCTS)


async def test_a_searcher_that_is_away_is_said_and_the_rest_is_compared(two: Running) -> None:
    two.searchers[1].failing = grpc.StatusCode.UNAVAILABLE
    groups, last = await _found(two)

    here = {name for name in PRODUCTS if partition_of(name, PARTITIONS) == 0}
    assert {member.product_id for group in groups for member in group.members} <= here
    assert last.products_compared == len(here)
    assert last.coverage.partitions_answered == 1
    assert [failure.partition for failure in last.coverage.failures] == [1]


async def test_a_searcher_that_is_lost_on_the_way_is_said(two: Running) -> None:
    two.searchers[0].breaks_after = 1
    _, last = await _found(two)

    assert [failure.partition for failure in last.coverage.failures] == [0]
    assert last.coverage.partitions_answered == 1


async def test_a_partial_answer_that_is_not_wanted_ends_the_call_at_once(two: Running) -> None:
    two.searchers[1].failing = grpc.StatusCode.UNAVAILABLE
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _found(two, require_complete=True)

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert str(caught.value.details()).startswith("require_complete: partition 1: ")
    assert two.searchers[0].scans == 0


async def test_nobody_to_ask_is_an_error(two: Running) -> None:
    for searcher in two.searchers:
        searcher.failing = grpc.StatusCode.UNAVAILABLE
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _found(two)

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_searcher_that_is_busy_for_a_moment_is_asked_again(two: Running) -> None:
    two.searchers[1].failing = grpc.StatusCode.RESOURCE_EXHAUSTED
    call = asyncio.ensure_future(_found(two))
    while not two.searchers[1].searches:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    two.searchers[1].failing = None

    groups, last = await call
    assert _names(groups) == ["abcd", "xy"]
    assert last.coverage.partitions_answered == 2


async def test_a_product_that_is_withdrawn_meanwhile_is_not_told(alone: Running) -> None:
    alone.searchers[0].withdrawn = {"x", "d"}
    groups, _ = await _found(alone)

    assert _names(groups) == ["abc"]


async def test_time_that_is_too_short_is_said(alone: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_PAUSES_S", (9.0,))
    monkeypatch.setattr(duplicates, "MAX_S", 0.3)
    alone.searchers[0].free.clear()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _found(alone)

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert str(caught.value.details()).startswith("there was time for 0 of ")


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("min_score", pb.FindDuplicatesRequest(min_score=0.49)),
        ("min_score", pb.FindDuplicatesRequest(min_score=1.01)),
        ("min_score", pb.FindDuplicatesRequest(min_score=float("nan"))),
        ("at_least[0].partition", pb.FindDuplicatesRequest(at_least=[LogPosition(partition=2)])),
        ("filter.none_of[0].test", pb.FindDuplicatesRequest(filter=Filter(none_of=[Condition(field="category")]))),
        (
            "filter.none_of[0].field",
            pb.FindDuplicatesRequest(filter=Filter(none_of=[Condition(field="attributes.prise", bool=True)])),
        ),
    ],
)
async def test_a_wrong_field_is_refused_by_name(alone: Running, field: str, wrong: pb.FindDuplicatesRequest) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        _ = [message async for message in alone.stub.FindDuplicates(wrong, timeout=TIMEOUT_S)]

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(caught.value.details()).startswith(f"{field}: ")
    assert alone.searchers[0].scans == 0


async def _status(gateway: Running) -> grpc.StatusCode:
    try:
        await _found(gateway)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def _found(
    gateway: Running, timeout_s: float = TIMEOUT_S, **fields: object
) -> tuple[list[pb.DuplicateGroup], pb.FindDuplicatesResponse]:
    """All groups, and the last message."""
    request = pb.FindDuplicatesRequest(**{"min_score": 0.97, **fields})  # type: ignore[arg-type]
    *parts, last = [message async for message in gateway.stub.FindDuplicates(request, timeout=timeout_s)]
    assert not any(part.HasField("coverage") for part in parts)
    assert not last.groups
    return [group for part in parts for group in part.groups], last


def _names(groups: Sequence[pb.DuplicateGroup]) -> list[str]:
    return ["".join(member.product_id for member in group.members) for group in groups]
