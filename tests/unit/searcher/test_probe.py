"""Recall is measured on sampled real queries, and only on them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from services.searcher.probe import RecallProbe, recall_of
from services.searcher.query import Asked
from services.searcher.shard_set import ShardSet
from services.searcher.threads import SearchThreads
from tests.unit.searcher.shop import DIM, Shop, following, metric, until, version_of
from vitrine.index.store import Store
from vitrine.shards import search
from vitrine.shards.masks import Masks
from vitrine.shards.metric import metric_of
from vitrine.shards.query import Answer, Query
from vitrine.vectors import Vectors, unit

PROBED = "vitrine_searcher_probed_recall_ratio"


@asynccontextmanager
async def probing(searcher: ShardSet, interval_s: float) -> AsyncIterator[RecallProbe]:
    await until(lambda: version_of(searcher))
    probe = RecallProbe(searcher, SearchThreads(1), Masks(), interval_s)
    task = asyncio.create_task(probe.follow())
    try:
        yield probe
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path, Store.open(str(tmp_path / "store")))
    shop.publish(shop.shard(*[f"shoe {number}" for number in range(40)]))
    return shop


def queries(count: int) -> list[Asked]:
    vectors = unit(np.random.default_rng(count).standard_normal((count, DIM)).astype(np.float32))
    return [Asked(Query(vector, 3)) for vector in vectors]


@pytest.mark.parametrize(
    ("answered", "best", "recall"),
    [
        ([0.9, 0.8, 0.7], [0.9, 0.8, 0.7], 1.0),
        ([0.9, 0.7, 0.6], [0.9, 0.8, 0.7], 2 / 3),
        ([0.9, 0.8, 0.6995], [0.9, 0.8, 0.7], 1.0),
        ([0.7, 0.7, 0.7], [0.7, 0.7], 1.0),
        ([], [0.7], 0.0),
        ([], [], 1.0),
    ],
)
def test_a_hit_counts_if_it_is_as_good_as_the_last_of_the_true_best(
    answered: list[float], best: list[float], recall: float
) -> None:
    assert recall_of(answered, best, metric_of("angular")) == recall


async def test_real_queries_are_probed(shop: Shop) -> None:
    async with following(shop.searcher()) as searcher, probing(searcher, 0.01) as probe:
        assert probe.probed(0) == (0.0, 0)
        probe.offer(queries(5))
        await until(lambda: probe.probed(0).queries == 1)

        assert probe.probed(0).recall == metric(PROBED, partition="0") == 1


async def test_one_query_an_interval_is_probed_and_none_if_nobody_asks(shop: Shop) -> None:
    async with following(shop.searcher()) as searcher, probing(searcher, 0.05) as probe:
        probe.offer(queries(64))
        await until(lambda: probe.probed(0).queries)
        await asyncio.sleep(0.2)

        assert probe.probed(0).queries == 1


async def test_what_a_search_misses_is_seen(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = search.answers

    def half(*asked: object) -> list[Answer]:
        [found] = answers(*asked)  # type: ignore[arg-type]
        return [Answer(found.found[::2], found.recall, found.plans)]

    monkeypatch.setattr(search, "answers", half)
    async with following(shop.searcher()) as searcher, probing(searcher, 0.01) as probe:
        probe.offer(queries(1))
        await until(lambda: probe.probed(0).queries)

        assert probe.probed(0).recall == 0.5


async def test_no_vector_is_kept_once_it_is_probed(shop: Shop) -> None:
    async with following(shop.searcher()) as searcher, probing(searcher, 0.01) as probe:
        offered = queries(20)
        kept_by_us = {id(asked.query.vector) for asked in offered}
        probe.offer(offered)
        assert _vectors_of(probe) & kept_by_us
        await until(lambda: probe.probed(0).queries)

        assert not _vectors_of(probe) & kept_by_us


async def test_an_interval_of_zero_turns_it_off(shop: Shop) -> None:
    async with following(shop.searcher()) as searcher, probing(searcher, 0) as probe:
        probe.offer(queries(5))
        await asyncio.sleep(0.1)

        assert probe.probed(0).queries == 0
        assert not _vectors_of(probe)


async def test_every_query_of_an_interval_is_as_likely_to_be_probed() -> None:
    chosen: list[Vectors] = []
    asked = queries(4)
    for _ in range(800):
        probe = RecallProbe(None, None, None, 1.0)  # type: ignore[arg-type]
        probe.offer(asked[:3])
        probe.offer(asked[3:])
        chosen += [vector for vector in probe.__dict__.values() if isinstance(vector, np.ndarray)]

    counts = [sum(vector is query.query.vector for vector in chosen) for query in asked]
    assert sum(counts) == 800
    assert min(counts) > 130


def _vectors_of(probe: RecallProbe) -> set[int]:
    return {id(held) for held in gc.get_referents(probe.__dict__) if isinstance(held, np.ndarray)}
