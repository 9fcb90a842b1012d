"""A roll takes its time. What was committed meanwhile is newer than what it brings, whenever it ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.indexer import publish
from services.indexer.compact import Run, build_rolled, merge_rolled
from services.indexer.publish import MAX_FRESH_SHARDS, Publisher
from tests.faults.one_partition import OnePartition, answered, commit, compact, roll, version
from vitrine.runtime.errors import Fenced, Unavailable
from vitrine.shards.records import LiveVersion, Tombstone

PRODUCTS = 200


@pytest.fixture
def partition(tmp_path: Path) -> OnePartition:
    return OnePartition(tmp_path)


@pytest.fixture
def owner(partition: OnePartition) -> Publisher:
    """200 products, a hundred a shard, each with a price."""
    owner = partition.claim()
    for begin in range(0, PRODUCTS, 100):
        numbers = range(begin, begin + 100)
        prices = [LiveVersion(f"p{number}", number, {"price": 1.0}) for number in numbers]
        commit(owner, *(version(f"p{number}", number) for number in numbers), live=prices)
    return owner


@contextmanager
def late_roll(owner: Publisher, monkeypatch: pytest.MonkeyPatch) -> Iterator[Future[int]]:
    """A roll of everything that has been built, by a process of its own, when the block begins, and ends after it."""
    built, go_on = threading.Event(), threading.Event()

    def build(*arguments: object) -> Path:
        folder = build_rolled(*arguments)  # type: ignore[arg-type]
        built.set()
        assert go_on.wait(60)
        return folder

    monkeypatch.setattr(publish, "build_rolled", build)
    with ThreadPoolExecutor(1) as thread:
        rolling = thread.submit(roll, owner)
        try:
            assert built.wait(60)
            yield rolling
        finally:
            go_on.set()
    monkeypatch.setattr(publish, "build_rolled", merge_rolled)


def test_a_roll_that_ends_after_newer_commits_hides_none_of_them(
    partition: OnePartition, owner: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {f"p{number}": number for number in range(PRODUCTS)}
    with late_roll(owner, monkeypatch) as rolling:
        for offset in range(PRODUCTS, PRODUCTS + 60, 3):
            commit(
                owner, version(f"p{offset % 50}", offset), live=[LiveVersion("p7", offset, {"price": float(offset)})]
            )
            commit(owner, Tombstone(f"p{100 + offset % 50}", offset + 1), version(f"new{offset}", offset + 2))
            expected |= {f"p{offset % 50}": offset, f"new{offset}": offset + 2}
            del expected[f"p{100 + offset % 50}"]
            assert answered(partition.view()) == expected
    assert rolling.result() > 0

    assert owner.manifest.shards[0].kind == "rolled"
    assert answered(partition.view()) == expected
    compact(owner)
    assert answered(partition.view()) == expected
    assert partition.view().live_attributes("p7") == {"price": 257.0}
    assert partition.view().live_attributes("p8") == {"price": 1.0}


def test_commits_go_on_while_a_roll_is_built_and_never_merge_what_it_takes(
    owner: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = owner.manifest.shards
    with late_roll(owner, monkeypatch) as rolling:
        for offset in range(PRODUCTS, PRODUCTS + 2 * MAX_FRESH_SHARDS):
            commit(owner, version("busy", offset))
        assert not rolling.done()
        assert owner.manifest.shards[: len(taken)] == taken
        assert len(owner.manifest.shards) <= len(taken) + MAX_FRESH_SHARDS


def test_a_roll_whose_shards_a_rollback_took_away_is_thrown_away(
    partition: OnePartition, owner: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_shard_only = owner.manifest.version - 1
    with late_roll(owner, monkeypatch) as rolling:
        owner.roll_back(first_shard_only)
        before = owner.manifest
    assert rolling.result() == 0

    assert owner.manifest == before
    assert answered(partition.view()) == {f"p{number}": number for number in range(100)}


def test_a_roll_that_ends_after_another_owner_has_claimed_is_not_published(
    partition: OnePartition, owner: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    with late_roll(owner, monkeypatch) as rolling:
        second = partition.claim()
        commit(second, Tombstone("p0", PRODUCTS))
    # Either way: it may find that the new owner has cleared away what was not stored yet.
    with pytest.raises((Fenced, Unavailable)):
        rolling.result()
    with pytest.raises(Fenced):
        commit(owner)

    assert partition.log.latest()[0] == second.manifest
    assert answered(partition.view()) == {f"p{number}": number for number in range(1, PRODUCTS)}


def test_of_two_runs_chosen_at_once_the_later_finds_its_shards_gone(owner: Publisher) -> None:
    run = Run(owner.manifest.shards)
    assert owner.roll(run) > 0
    before = owner.manifest

    assert owner.roll(run) == 0

    assert owner.manifest == before
