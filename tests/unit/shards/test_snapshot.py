"""What one partition answers from, at this moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.builders import NOW, found, fresh, product, rolled, scattered, searched, singles, snapshot
from vitrine.shards.masks import Masks
from vitrine.shards.query import Query
from vitrine.shards.records import Tombstone
from vitrine.shards.search import answers
from vitrine.shards.snapshot import NEVER_US, Snapshot

VECTORS = scattered(np.random.default_rng(0), 20)
ONE = VECTORS[:1]
EXPIRY = NOW + 10


@pytest.mark.parametrize(("now_us", "there"), [(EXPIRY - 1, True), (EXPIRY, False), (EXPIRY + 1, False)])
class TestExpiry:
    def test_a_product_is_answered_until_the_moment_it_expires(self, tmp_path: Path, now_us: int, there: bool) -> None:
        view = snapshot(fresh(tmp_path, [product("p", ONE, expires_at_us=EXPIRY)]), now_us=now_us)

        assert (found(view, ONE[0], 1) == ["p"]) is there
        assert (view.product("p") is not None) is there

    def test_a_snapshot_that_grows_older_agrees(self, tmp_path: Path, now_us: int, there: bool) -> None:
        view = snapshot(fresh(tmp_path, [product("p", ONE, expires_at_us=EXPIRY)]))

        assert (found(view.at(now_us), ONE[0], 1) == ["p"]) is there

    def test_a_snapshot_made_from_an_earlier_one_agrees(self, tmp_path: Path, now_us: int, there: bool) -> None:
        shard = fresh(tmp_path, [product("p", ONE, expires_at_us=EXPIRY)])
        earlier = snapshot(shard)

        view = Snapshot.of([shard], 8, now_us, earlier)

        assert (view.product("p") is not None) is there


def test_an_expired_product_still_hides_its_older_version(tmp_path: Path) -> None:
    older, newer = fresh(tmp_path, [product("p", ONE)]), fresh(tmp_path, [product("p", ONE, 1, expires_at_us=NOW)])

    assert found(snapshot(older, newer), ONE[0], 9) == []


def test_rows_are_counted_by_category_the_largest_first(tmp_path: Path) -> None:
    first = [product(f"p{number}", VECTORS[:2], category=category) for number, category in enumerate("abbcc")]
    later = [product(f"q{number}", ONE, category=category) for number, category in enumerate(["c", "", "d"])]
    view = snapshot(rolled(tmp_path, first), fresh(tmp_path, later), fresh(tmp_path, [], [Tombstone("p1", 9)]))

    assert view.rows_by_category == [("c", 5), ("b", 4), ("a", 2), ("", 1), ("d", 1)]


def test_a_snapshot_is_not_changed_by_time(tmp_path: Path) -> None:
    view = snapshot(fresh(tmp_path, [product("p", ONE, expires_at_us=EXPIRY)]))

    view.at(EXPIRY)

    assert found(view, ONE[0], 9) == ["p"]


def test_a_snapshot_is_the_same_until_something_expires(tmp_path: Path) -> None:
    view = snapshot(fresh(tmp_path, [product("p", ONE, expires_at_us=EXPIRY)]))

    assert view.at(EXPIRY - 1) is view


def test_where_nothing_expires_it_never_changes(tmp_path: Path) -> None:
    view = snapshot(fresh(tmp_path, singles(VECTORS)))

    assert (view.next_expiry_us, view.at(NEVER_US - 1)) == (NEVER_US, view)


def test_the_newest_version_is_answered(tmp_path: Path) -> None:
    shards = [fresh(tmp_path, [product("p", VECTORS[n : n + 1], n, category=f"c{n}")]) for n in range(3)]

    view = snapshot(*shards)

    assert [hit.category for hit in searched(view, ONE, 9)[0]] == ["c2"]


def test_a_version_with_fewer_images_leaves_none_of_the_old_behind(tmp_path: Path) -> None:
    older, newer = fresh(tmp_path, [product("p", VECTORS[:5])]), fresh(tmp_path, [product("p", VECTORS[7:8], 1)])

    assert snapshot(older, newer).rows_live == 1


def test_a_snapshot_made_from_an_earlier_one_answers_from_the_new_shards(tmp_path: Path) -> None:
    older, newer = (fresh(tmp_path, [product("p", ONE, n, category=f"c{n}")]) for n in (1, 2))

    view = Snapshot.of([older, newer], 8, NOW, snapshot(older))

    assert [hit.category for hit in searched(view, ONE, 9)[0]] == ["c2"]


def test_a_product_that_was_deleted_can_come_back(tmp_path: Path) -> None:
    shards = [
        fresh(tmp_path, [product("p", ONE, 1)]),
        fresh(tmp_path, [], [Tombstone("p", 2)]),
        fresh(tmp_path, [product("p", VECTORS[1:2], 3)]),
    ]

    version = snapshot(*shards).product("p")

    assert version is not None
    assert version.log_offset == 3


def test_fresh_and_rolled_rows_are_ranked_together(tmp_path: Path) -> None:
    shards = rolled(tmp_path, singles(VECTORS[:10], "r")), fresh(tmp_path, singles(VECTORS[10:], "f"))
    scores = {f"{'r' if n < 10 else 'f'}{n % 10}": float(VECTORS[n] @ VECTORS[3]) for n in range(20)}

    assert found(snapshot(*shards), VECTORS[3], 20) == sorted(scores, key=lambda name: -scores[name])


def test_without_shards_nothing_is_found() -> None:
    view = Snapshot.of([], 8, NOW)

    assert (searched(view, ONE, 5), view.product("p"), view.rows_live) == ([[]], None, 0)


def test_answers_of_several_partitions_are_merged_by_rank(tmp_path: Path) -> None:
    views = [snapshot(fresh(tmp_path, singles(VECTORS[n : n + 5], f"{n}-"))) for n in (0, 5, 10)]
    together = snapshot(*(entry.shard for view in views for entry in view.shards))

    [answer] = answers(views, [Query(ONE[0], 4)], Masks())

    assert [entry.hit() for entry in answer.found] == searched(together, ONE, 4)[0]


def test_scores_beyond_one_are_ties_and_ordered_by_id(tmp_path: Path) -> None:
    # Vectors a little too long, as rounding makes them; the longest has the last id.
    lengths = np.array([1.001, 1.002, 1.003], np.float32)
    view = snapshot(fresh(tmp_path, singles(lengths[:, None] * ONE)))

    assert found(view, ONE[0], 2) == ["p0", "p1"]
