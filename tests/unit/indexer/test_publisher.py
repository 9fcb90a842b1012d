"""The owner of a partition between commits and rolls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.indexer.compact import Run, chosen_run
from services.indexer.publish import MAX_FRESH_SHARDS, Publisher
from tests.builders import product, quarters
from vitrine.index.manifest import ManifestLog, ShardEntry
from vitrine.index.settings import IndexSettings
from vitrine.index.shelf import Shelf
from vitrine.index.store import Store

DIM = 8


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    store = Store.open(str(tmp_path / "store"))
    index = IndexSettings("default", DIM, "model", partitions=1)
    log, shelf = ManifestLog(store, "default", 0), Shelf(store, "default", 0, tmp_path / "cache")
    return Publisher.claim(index, log, shelf, "log")


def _commit(publisher: Publisher, number: int) -> None:
    vectors = quarters(np.random.default_rng(number), 1, DIM)
    publisher.commit([product(f"p{number}", vectors, offset=number)], number + 1, index_time_us=number)


def test_a_partition_never_has_more_than_sixteen_fresh_shards(publisher: Publisher) -> None:
    for number in range(3 * MAX_FRESH_SHARDS):
        _commit(publisher, number)
        assert len(publisher.manifest.shards) <= MAX_FRESH_SHARDS

    assert sum(entry.rows for entry in publisher.manifest.shards) == 3 * MAX_FRESH_SHARDS
    assert publisher.manifest.next_offset == 3 * MAX_FRESH_SHARDS


def test_a_run_that_a_commit_has_merged_since_is_not_rolled(publisher: Publisher) -> None:
    _commit(publisher, 0)
    run = Run(publisher.manifest.shards)
    for number in range(1, MAX_FRESH_SHARDS + 1):
        _commit(publisher, number)
    before = publisher.manifest

    assert publisher.roll(run) == 0

    assert publisher.manifest == before


def _entries(*sizes: tuple[str, int]) -> list[ShardEntry]:
    return [
        ShardEntry(str(number), "fresh" if kind == "fresh" else "rolled", rows, 0, 0, "")
        for number, (kind, rows) in enumerate(sizes)
    ]


def test_fresh_shards_are_left_alone_until_they_are_due() -> None:
    assert chosen_run(_entries(("rolled", 1000), ("fresh", 10)), roll_fresh=False) is None


def test_a_roll_takes_older_shards_along_that_are_not_much_bigger() -> None:
    shards = _entries(("rolled", 10_000), ("rolled", 250), ("fresh", 60), ("fresh", 40))

    run = chosen_run(shards, roll_fresh=True)

    assert run == Run(tuple(shards[1:]))


def test_rolled_shards_of_like_size_are_merged_without_fresh_ones() -> None:
    shards = _entries(("rolled", 900), ("rolled", 500), ("fresh", 1))

    assert chosen_run(shards, roll_fresh=False) == Run(tuple(shards[:2]))
