"""Rolls that fail are counted, and tried again at longer and longer intervals."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from services.indexer import publish, upkeep
from services.indexer.compact import merge_rolled
from services.indexer.settings import IndexerSettings
from services.indexer.upkeep import Upkeep
from tests.faults.one_partition import OnePartition
from tests.unit.indexer.running import Log, deletes, next_offsets, running, shown, state, until


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "build_rolled", merge_rolled)
    monkeypatch.setattr(upkeep, "_CHECK_S", 0.01)
    monkeypatch.setattr(upkeep, "_FIRST_REST_S", 0.1)


@contextmanager
def missing_shard(part: OnePartition) -> Iterator[None]:
    """The newest manifest names a shard that is not there."""
    folder = part.store.local_path(f"default/p00000/shards/{part.log.latest()[0].shards[0].shard_id}")
    assert folder is not None
    kept = folder.with_suffix(".kept")
    folder.rename(kept)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        kept.rename(folder)


async def test_a_roll_that_fails_is_tried_less_and_less_often_and_done_in_the_end(
    log: Log, parts: list[OnePartition]
) -> None:
    settings = IndexerSettings(
        port=1, http_port=2, store="store", embedder="127.0.0.1:1", roll_idle_rows=1, roll_idle_s=0.01, roll_age_s=0.01
    )
    before = shown("failed_rolls_total", 0) or 0.0
    async with running(log, parts) as pipeline:
        await until(lambda: state(pipeline, 0) == "running")
        log.append(deletes(0, 3))
        await until(lambda: next_offsets(parts) == [3, 0])
        with missing_shard(parts[0]):
            rolling = asyncio.create_task(Upkeep(lambda: list(pipeline.partitions.values()), settings).roll_when_due())
            await asyncio.sleep(1.2)
            # At once, then after 0.1, 0.2, 0.4 and 0.8 s.
            assert 2 <= (shown("failed_rolls_total", 0) or 0.0) - before <= 5
            assert state(pipeline, 0) == "running"

        await until(lambda: parts[0].log.latest()[0].shards == ())  # nothing older is left that the deletes could hide
        rolling.cancel()
