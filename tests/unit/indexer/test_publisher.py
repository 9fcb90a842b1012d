"""The owner of a partition between commits and rolls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.indexer import publish
from services.indexer.build import newest, whole
from services.indexer.compact import LIVE_WEIGHT, RollRules, Run, chosen_run, merge_rolled
from services.indexer.publish import MAX_FRESH_SHARDS, Commit, Publisher
from tests.faults.one_partition import OnePartition, answered, commit, compact, roll, version
from vitrine.index.manifest import ShardEntry
from vitrine.runtime.errors import InvalidArgument, NotFound, StoreUnavailable
from vitrine.shards.records import Change, LiveVersion, Tombstone

RULES = RollRules(rows=100, idle_rows=10, idle_s=5.0, age_s=600.0, survey_interval_s=1e9)


@pytest.fixture
def partition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OnePartition:
    monkeypatch.setattr(publish, "build_rolled", merge_rolled)
    return OnePartition(tmp_path)


@pytest.fixture
def publisher(partition: OnePartition) -> Publisher:
    return partition.claim()


def price(product_id: str, offset: int, amount: float) -> LiveVersion:
    return LiveVersion(product_id, offset, {"price": amount})


class TestCommits:
    def test_shards_and_the_offsets_of_both_streams_are_published_together(self, publisher: Publisher) -> None:
        publisher.commit(Commit([version("p", 6)], [price("p", 40, 1.0)], 7, 41, 10, 20, (3, 4)))

        manifest = publisher.manifest
        assert (manifest.next_offset, manifest.next_live_offset) == (7, 41)
        assert (manifest.index_time_us, manifest.synced_us, manifest.sampled_append_us) == (10, 20, (3, 4))
        assert [(entry.rows, entry.live_rows) for entry in manifest.shards] == [(1, 1)]

    def test_a_commit_without_changes_moves_the_offsets_and_writes_no_shard(self, publisher: Publisher) -> None:
        publisher.commit(Commit(next_offset=7, next_live_offset=3))

        assert (publisher.manifest.next_offset, publisher.manifest.next_live_offset) == (7, 3)
        assert publisher.manifest.shards == ()

    def test_live_updates_alone_write_no_row_and_no_vector(self, partition: OnePartition, publisher: Publisher) -> None:
        commit(publisher, version("p", 0))

        commit(publisher, live=[price("p", 0, 9.5), price("not known yet", 1, 1.0)])

        assert [(entry.rows, entry.live_rows) for entry in publisher.manifest.shards] == [(1, 0), (0, 2)]
        assert partition.view().live_attributes("p") == {"price": 9.5}

    def test_the_offsets_of_one_stream_do_not_make_events_of_the_other_late(
        self, partition: OnePartition, publisher: Publisher
    ) -> None:
        commit(publisher, version("p", 1_000), live=[price("p", 5, 1.0)])

        assert commit(publisher, live=[price("p", 6, 2.0)]) == 0

        assert partition.view().live_attributes("p") == {"price": 2.0}

    def test_an_older_price_that_is_published_again_comes_too_late(
        self, partition: OnePartition, publisher: Publisher
    ) -> None:
        commit(publisher, live=[price("p", 0, 1.0), price("p", 1, 2.0)])

        assert commit(publisher, live=[price("p", 0, 1.0)]) == 1

        assert partition.view().live_attributes("p") == {"price": 2.0}

    def test_a_commit_that_failed_is_tried_again_with_the_same_effect(
        self, partition: OnePartition, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(folder: Path, keep: bool) -> ShardEntry:
            raise StoreUnavailable("store: refused")

        with monkeypatch.context() as store:
            store.setattr(publisher._shelf, "put", refuse)
            with pytest.raises(StoreUnavailable):
                commit(publisher, version("p", 0))
        assert publisher.manifest.next_offset == 0
        assert list(publisher._shelf.scratch.iterdir()) == []

        commit(publisher, version("p", 0))

        assert answered(partition.view()) == {"p": 0}

    def test_what_is_known_comes_with_its_vectors(self, publisher: Publisher) -> None:
        first, second = version("p", 0), version("gone", 1)
        commit(publisher, first, second)
        commit(publisher, Tombstone("gone", 2))

        known = publisher.known(["p", "gone", "new"])

        assert list(known) == ["p"]
        np.testing.assert_array_equal(known["p"].images[0].vector, first.images[0].vector)

    def test_of_several_changes_of_a_product_the_one_that_stands_last_in_the_log_counts(self) -> None:
        changes: list[Change] = [version("p", 3), version("q", 5), Tombstone("p", 4), version("p", 2)]

        assert newest(changes) == [Tombstone("p", 4), changes[1]]


class TestScratch:
    def test_nothing_is_left_of_a_folder_that_could_not_be_written(self, tmp_path: Path) -> None:
        def fill_the_disk(folder: Path) -> Path:
            (folder / "shard").mkdir(parents=True)
            (folder / "shard" / "rows").write_bytes(b"half of ")
            raise OSError(28, "No space left on device")

        with pytest.raises(StoreUnavailable, match="No space left on device"):
            whole(fill_the_disk, tmp_path)

        assert list(tmp_path.iterdir()) == []

    def test_a_shard_whose_scratch_another_owner_has_cleared_is_a_failure_of_the_store(
        self, partition: OnePartition, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def build_and_lose(*arguments: object) -> Path:
            built = merge_rolled(*arguments)  # type: ignore[arg-type]
            partition.shelf.clear_scratch()
            return built

        commit(publisher, version("p", 0))
        monkeypatch.setattr(publish, "build_rolled", build_and_lose)

        with pytest.raises(StoreUnavailable, match="gone before it was stored"):
            roll(publisher)


class TestRollbacks:
    def test_an_older_manifest_is_current_again_and_the_partition_pauses(
        self, partition: OnePartition, publisher: Publisher
    ) -> None:
        commit(publisher, version("p", 0))
        good = publisher.manifest
        commit(publisher, version("p", 1), Tombstone("q", 2))

        publisher.roll_back(good.version)

        manifest = publisher.manifest
        assert (manifest.shards, manifest.next_offset) == (good.shards, good.next_offset)
        assert manifest.paused == f"rolled back to manifest {good.version}"
        assert answered(partition.view()) == {"p": 0}

    def test_a_pause_outlasts_the_owner(self, partition: OnePartition, publisher: Publisher) -> None:
        commit(publisher, version("p", 0))
        publisher.roll_back(publisher.manifest.version)

        assert partition.claim().manifest.paused

    def test_resuming_reads_again_what_was_rolled_back(self, publisher: Publisher) -> None:
        publisher.roll_back(publisher.manifest.version)

        publisher.resume()

        assert (publisher.manifest.paused, publisher.manifest.next_offset) == ("", 0)

    def test_resuming_further_on_skips_and_says_where_it_may(self, publisher: Publisher) -> None:
        commit(publisher, version("p", 9))
        publisher.roll_back(publisher.manifest.version)

        with pytest.raises(InvalidArgument, match="skip_to: 5 lies before 10"):
            publisher.resume(skip_to=5)
        publisher.resume(skip_to=20, skip_live_to=4)

        assert (publisher.manifest.next_offset, publisher.manifest.next_live_offset) == (20, 4)

    def test_a_manifest_that_is_not_there_is_named(self, publisher: Publisher) -> None:
        with pytest.raises(NotFound, match="version: there is no manifest 77"):
            publisher.roll_back(77)


class TestShards:
    def test_a_partition_never_has_more_than_sixteen_fresh_shards(
        self, partition: OnePartition, publisher: Publisher
    ) -> None:
        for number in range(3 * MAX_FRESH_SHARDS):
            commit(publisher, version(f"p{number}", number))
            assert len(publisher.manifest.shards) <= MAX_FRESH_SHARDS

        assert answered(partition.view()) == {f"p{number}": number for number in range(3 * MAX_FRESH_SHARDS)}

    def test_a_run_that_a_commit_has_merged_since_is_not_rolled(self, publisher: Publisher) -> None:
        commit(publisher, version("p", 0))
        run = Run(publisher.manifest.shards)
        for number in range(1, MAX_FRESH_SHARDS + 1):
            commit(publisher, version("p", number))
        before = publisher.manifest

        assert publisher.roll(run) == 0

        assert publisher.manifest == before

    def test_nothing_is_left_where_everything_was_deleted(self, publisher: Publisher) -> None:
        commit(publisher, version("p", 0))
        commit(publisher, Tombstone("p", 1))

        compact(publisher)

        assert publisher.manifest.shards == ()
        assert publisher.everything() is None

    def test_a_shard_that_is_mostly_dead_is_rewritten(self, publisher: Publisher) -> None:
        commit(publisher, *(version(f"p{number}", number) for number in range(10)))
        roll(publisher)
        commit(publisher, *(Tombstone(f"p{number}", 10 + number) for number in range(4)))

        due = publisher.run_due(RULES, roll_now=False, survey_now=True)

        assert due == Run(publisher.manifest.shards[:1])
        publisher.roll(due)
        assert publisher.manifest.shards[0].rows == 6

    def test_a_shard_of_which_little_is_dead_is_left_alone(self, publisher: Publisher) -> None:
        commit(publisher, *(version(f"p{number}", number) for number in range(10)))
        roll(publisher)
        commit(publisher, *(Tombstone(f"p{number}", 10 + number) for number in range(3)))

        assert publisher.run_due(RULES, roll_now=False, survey_now=True) is None


def _entries(*sizes: tuple[str, int] | tuple[str, int, int]) -> list[ShardEntry]:
    """(kind, rows, live rows)"""
    return [
        ShardEntry(str(number), "fresh" if kind == "fresh" else "rolled", rows, 0, 0, "", *live_rows)
        for number, (kind, rows, *live_rows) in enumerate(sizes)
    ]


class TestChoice:
    def test_fresh_shards_are_left_alone_until_they_are_due(self) -> None:
        assert chosen_run(_entries(("rolled", 1000), ("fresh", 10)), roll_fresh=False) is None

    def test_a_roll_takes_older_shards_along_that_are_not_much_bigger(self) -> None:
        shards = _entries(("rolled", 10_000), ("rolled", 250), ("fresh", 60), ("fresh", 40))

        run = chosen_run(shards, roll_fresh=True)

        assert run == Run(tuple(shards[1:]))

    def test_rolled_shards_of_like_size_are_merged_without_fresh_ones(self) -> None:
        shards = _entries(("rolled", 900), ("rolled", 500), ("fresh", 1))

        assert chosen_run(shards, roll_fresh=False) == Run(tuple(shards[:2]))

    def test_live_rows_alone_never_have_vectors_written_again(self) -> None:
        shards = _entries(("rolled", 1000), ("fresh", 0, 500_000))

        assert chosen_run(shards, roll_fresh=True) == Run(tuple(shards[1:]))

    @pytest.mark.parametrize(
        ("rows", "live_rows", "idle_s", "age_s", "due"),
        [
            (100, 0, 0.0, 0.0, True),
            (99, 0, 0.0, 0.0, False),
            (0, int(100 / LIVE_WEIGHT), 0.0, 0.0, True),
            (0, int(100 / LIVE_WEIGHT) - 1, 0.0, 0.0, False),
            (10, 0, 5.0, 0.0, True),
            (9, 0, 5.0, 0.0, False),
            (10, 0, 4.9, 0.0, False),
            (1, 0, 0.0, 600.0, True),
        ],
    )
    def test_fresh_shards_are_due_by_rows_by_idleness_or_by_age(
        self, rows: int, live_rows: int, idle_s: float, age_s: float, due: bool
    ) -> None:
        assert RULES.due(_entries(("fresh", rows, live_rows)), idle_s, age_s) is due
