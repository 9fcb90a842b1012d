"""Shards written long ago open forever, and answer as they did (see freeze.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.builders import NOW, searched, snapshot
from tests.unit.shards.freeze import catalogue, described, live
from vitrine.shards.build import TreeSettings, write_rolled
from vitrine.shards.lookup import newest_live
from vitrine.shards.merge import merged_table
from vitrine.shards.shard import Shard
from vitrine.shards.snapshot import Snapshot
from vitrine.vectors import Vectors

# Folders in age order.
SHARDS = {
    "frozen_v1": ("rolled", "fresh"),
    "frozen_v2": ("rolled", "fresh", "live"),
    "frozen_v3": ("rolled", "fresh", "live"),
}


@pytest.fixture(scope="module", params=SHARDS)
def frozen(request: pytest.FixtureRequest) -> Path:
    return Path(__file__).with_name(request.param)


@pytest.fixture(scope="module")
def expected(frozen: Path) -> dict[str, Any]:
    contents: dict[str, Any] = json.loads((frozen / "expected.json").read_bytes())
    return contents


@pytest.fixture(scope="module")
def queries(expected: dict[str, Any]) -> Vectors:
    return np.array(expected["queries"], np.float32)


@pytest.fixture(scope="module")
def view(frozen: Path) -> Snapshot:
    return snapshot(*(Shard.open(frozen / name) for name in SHARDS[frozen.name]))


@pytest.fixture(scope="module")
def with_live() -> Snapshot:
    """The oldest shards that have live rows: version 1 knew none."""
    return snapshot(*(Shard.open(Path(__file__).with_name("frozen_v2") / name) for name in SHARDS["frozen_v2"]))


def test_it_answers_as_it_did(view: Snapshot, expected: dict[str, Any], queries: Vectors) -> None:
    answers = searched(view, queries, 10, exact=True)

    for hits, before in zip(answers, expected["answers"], strict=True):
        assert [(hit.product_id, hit.image_id) for hit in hits] == [
            (product_id, image) for product_id, image, _ in before
        ]
        np.testing.assert_allclose([hit.score for hit in hits], [score for *_, score in before], atol=1e-5)


def test_its_hits_carry_what_they_did(view: Snapshot, expected: dict[str, Any], queries: Vectors) -> None:
    for hits, before in zip(searched(view, queries, 1, exact=True), expected["first_hits"], strict=True):
        assert described(hits[0]) == {"live": {}, **before, "score": pytest.approx(before["score"], abs=1e-5)}


def test_its_tree_is_searched(
    view: Snapshot,
    expected: dict[str, Any],
    queries: Vectors,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("annoy")
    monkeypatch.delattr("vitrine.shards.finding.best_of_all")

    answers = searched(view, queries, 10)

    pairs = zip(answers, expected["answers"], strict=True)
    same = [len({hit.product_id for hit in hits} & {name for name, *_ in before}) for hits, before in pairs]
    assert sum(same) >= 0.95 * 10 * len(queries)


def test_every_product_reads_as_it_was_written(view: Snapshot) -> None:
    older, newer, gone = catalogue()
    written = {version.product_id: version for version in (*older, *newer)}
    for tombstone in gone:
        del written[tombstone.product_id]

    assert {name: view.product(name) for name in written} == written


def test_its_tombstones_still_hide(view: Snapshot) -> None:
    assert view.product("p6") is None
    assert view.product("p7") is None


def test_its_expiry_still_counts(view: Snapshot) -> None:
    assert view.product("schuh-ß-靴") is not None
    assert view.at(NOW + 1).product("schuh-ß-靴") is None


def test_it_can_be_compacted_by_this_version(view: Snapshot, tmp_path: Path) -> None:
    table = merged_table(view.shards, reaches_oldest=True)

    shard = Shard.open(write_rolled(table, "m", tmp_path, TreeSettings(trees=2, projected_dim=3)))

    assert shard.facts.products == 1_018


def test_its_live_rows_read_as_they_were_written(with_live: Snapshot) -> None:
    newest = {version.product_id: version for versions in live() for version in versions}
    shards = [entry.shard for entry in with_live.shards]

    assert {name: newest_live(shards, name) for name in newest} == newest


def test_its_newest_live_row_is_answered(with_live: Snapshot) -> None:
    answered = [with_live.live_attributes(name) for name in ("p1000", "p1001", "p1002", "p3", "p999")]

    assert answered == [{"price": 2.5}, {}, {"größe": "M"}, {"stock": 0.0, "in_stock": False}, {}]


def test_its_live_rows_can_be_compacted_by_this_version(with_live: Snapshot, tmp_path: Path) -> None:
    table = merged_table(with_live.shards, reaches_oldest=True)

    shard = Shard.open(write_rolled(table, "m", tmp_path, TreeSettings(trees=2, projected_dim=3)))

    assert shard.facts.live_rows == 24  # of 32 products; eight have none any more
