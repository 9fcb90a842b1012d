"""A tree search keeps the recall it was measured to have, and never starves a query."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.builders import MODEL, clustered, found, fresh, product, rolled, scattered, searched, singles, snapshot
from vitrine.shards import calibrate, files, space, tree
from vitrine.shards.build import TREE_MIN_ROWS, TreeSettings, write_rolled
from vitrine.shards.calibrate import KS, MOVED_COSINE, moved
from vitrine.shards.files import ScanCosts, SearchPlan, TreeEffort
from vitrine.shards.merge import merged_table
from vitrine.shards.metric import SCORE_TOLERANCE
from vitrine.shards.records import Tombstone
from vitrine.shards.shard import Shard
from vitrine.shards.snapshot import Snapshot
from vitrine.shards.table import table_of
from vitrine.vectors import Vectors

DIM = 64
TREES = TreeSettings(trees=10, projected_dim=32)


@pytest.fixture(scope="module")
def catalogue() -> Vectors:
    """5,000 vectors for shards, then 200 of the same kind that no shard holds."""
    return clustered(np.random.default_rng(1), 5_200, DIM)


@pytest.fixture(scope="module")
def queries(catalogue: Vectors) -> Vectors:
    """Unknown to the calibration; half of them as far away as a shopper's photo."""
    unknown = catalogue[5_000:].copy()
    unknown[::2] = moved(unknown[::2], MOVED_COSINE, np.random.default_rng(8))
    return unknown


@pytest.fixture(scope="module")
def big_folder(catalogue: Vectors, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("annoy")
    table = table_of(singles(catalogue[:5_000]), [], DIM)
    return write_rolled(table, MODEL, tmp_path_factory.mktemp("big"), TREES)


@pytest.fixture(scope="module")
def big(big_folder: Path) -> Shard:
    return Shard.open(big_folder)


@pytest.fixture(scope="module")
def crowded(catalogue: Vectors, tmp_path_factory: pytest.TempPathFactory) -> Shard:
    """60 products of 50 images that are nearly alike, and 200 of one: 50 candidates may be one product."""
    pytest.importorskip("annoy")
    rng = np.random.default_rng(3)
    versions = [
        product(f"many{number}", moved(np.repeat(catalogue[number : number + 1], 50, axis=0), 0.999, rng))
        for number in range(60)
    ]
    folder = tmp_path_factory.mktemp("crowded")
    return rolled(folder, [*versions, *singles(catalogue[100:300])], dim=DIM, settings=TREES)


def hopeless(folder: Path) -> Shard:
    """Random directions have no low-rank structure: two of 32 dimensions tell next to nothing."""
    pytest.importorskip("annoy")
    versions = singles(scattered(np.random.default_rng(6), 4_000, 32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrate, "QUERIES", 64)  # enough to see that it is hopeless
        return rolled(folder, versions, dim=32, settings=TreeSettings(trees=2, projected_dim=2))


@pytest.fixture(scope="module")
def small_and_hopeless(tmp_path_factory: pytest.TempPathFactory) -> Shard:
    return hopeless(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def big_and_hopeless(tmp_path_factory: pytest.TempPathFactory) -> Shard:
    """Too big to be searched exactly, as far as the calibration knows, which may not spend much."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrate, "EXACT_ROWS", 1_000)
        patch.setattr(calibrate, "MAX_SEARCH_K", 500)
        patch.setattr(calibrate, "MAX_CANDIDATES", 200)
        patch.setattr(calibrate, "_costs", lambda *_: ScanCosts(exact_row_ns=1e6))
        return hopeless(tmp_path_factory.mktemp("big"))


@pytest.fixture
def _without_annoy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "available", lambda: False)


def recall(view: Snapshot, queries: Vectors, k: int) -> float:
    """The share of the exact answers that a tree search finds, as good ones counting alike."""
    exact, near = searched(view, queries, k, exact=True), searched(view, queries, k)
    good = [
        sum(hit.score >= best[-1].score - SCORE_TOLERANCE for hit in hits)
        for hits, best in zip(near, exact, strict=True)
    ]
    return float(np.mean(good)) / k


def _recall_lower95(effort: TreeEffort) -> float:
    return effort.recall_lower95


def test_the_plan_reaches_the_target_at_every_k(big: Shard) -> None:
    plan = big.facts.plan

    assert (plan.method, plan.reached) == ("tree", True)
    for k in KS:
        chosen = plan.scan(k)
        assert chosen is not None
        assert TREES.recall_target <= chosen.recall_lower95 <= chosen.recall <= 1


def test_the_plan_was_measured_with_enough_queries(big: Shard) -> None:
    assert big.facts.plan.calibration_queries >= 500


@pytest.mark.parametrize("k", [1, 3, 10, 20, 100])
def test_queries_it_never_saw_are_answered_as_well(big: Shard, queries: Vectors, k: int) -> None:
    assert recall(snapshot(big), queries, k) >= 0.98


def test_a_search_for_ten_does_use_the_tree(big: Shard, queries: Vectors, monkeypatch: pytest.MonkeyPatch) -> None:
    def unused(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("vitrine.shards.finding.best_of_all", unused)

    assert len(searched(snapshot(big), queries, 10)[0]) == 10


def test_exact_means_exact(big: Shard, catalogue: Vectors, queries: Vectors) -> None:
    scores = queries @ np.asarray(big.table.vectors, np.float32).T

    hits = searched(snapshot(big), queries, 10, exact=True)

    for row, best in zip(scores, hits, strict=True):
        np.testing.assert_allclose([hit.score for hit in best], np.sort(row)[::-1][:10], atol=1e-5)


def test_a_product_finds_itself(big: Shard, catalogue: Vectors) -> None:
    view = snapshot(big)

    assert all(found(view, catalogue[number], 1, exact=False) == [f"p{number}"] for number in range(0, 5_000, 50))


def test_measured_recall_is_there_to_be_shown(big: Shard) -> None:
    assert TREES.recall_target <= big.facts.plan.recall_at(10) <= 1


def test_building_twice_gives_the_same_tree(catalogue: Vectors, tmp_path: Path) -> None:
    pytest.importorskip("annoy")

    one, two = (rolled(tmp_path, singles(catalogue[:1_100]), dim=DIM, settings=TREES) for _ in range(2))

    assert one.facts.files[files.TREE_FILE] == two.facts.files[files.TREE_FILE]


class TestNeverStarved:
    """Always k products if k exist."""

    @pytest.mark.parametrize("k", [1, 10, 50, 260])
    def test_by_products_with_50_images(self, crowded: Shard, queries: Vectors, k: int) -> None:
        assert {len(hits) for hits in searched(snapshot(crowded), queries[:50], k)} == {k}

    def test_by_products_with_50_images_and_each_comes_once(self, crowded: Shard, queries: Vectors) -> None:
        for hits in searched(snapshot(crowded), queries[:50], 50):
            assert len({hit.product_id for hit in hits}) == 50

    def test_products_with_50_images_do_not_lower_recall(self, crowded: Shard, queries: Vectors) -> None:
        assert recall(snapshot(crowded), queries, 10) >= 0.98

    @pytest.mark.parametrize("survivors", [1, 9, 10, 100])
    def test_by_a_shard_that_is_mostly_dead(self, big: Shard, queries: Vectors, tmp_path: Path, survivors: int) -> None:
        gone = [Tombstone(f"p{number}", 9) for number in range(5_000 - survivors)]
        view = snapshot(big, fresh(tmp_path, [], gone, dim=DIM))

        assert {len(hits) for hits in searched(view, queries[:20], 10)} == {min(10, survivors)}

    @pytest.mark.parametrize("dead_share", [0.3, 0.5, 0.7])
    def test_dead_rows_do_not_lower_recall(
        self, big: Shard, queries: Vectors, tmp_path: Path, dead_share: float
    ) -> None:
        dead = np.flatnonzero(np.random.default_rng(4).random(5_000) < dead_share)
        view = snapshot(big, fresh(tmp_path, [], [Tombstone(f"p{number}", 9) for number in dead], dim=DIM))

        assert recall(view, queries, 10) >= 0.99

    def test_by_dead_rows_all_around_the_query(self, big: Shard, catalogue: Vectors, tmp_path: Path) -> None:
        nearest = found(snapshot(big), catalogue[0], 2_000)
        view = snapshot(big, fresh(tmp_path, [], [Tombstone(product_id, 9) for product_id in nearest], dim=DIM))

        assert len(found(view, catalogue[0], 10, exact=False)) == 10

    @pytest.mark.parametrize("k", [4_999, 5_000, 5_001, 20_000])
    def test_by_a_k_beyond_the_shard(self, big: Shard, queries: Vectors, k: int) -> None:
        assert len(searched(snapshot(big), queries[:1], k)[0]) == min(k, 5_000)


class TestTargetOutOfReach:
    def test_a_small_shard_is_searched_without_its_tree(self, small_and_hopeless: Shard) -> None:
        queries = scattered(np.random.default_rng(7), 50, 32)

        assert recall(snapshot(small_and_hopeless), queries, 10) >= 0.98

    def test_its_plan_keeps_the_promise(self, small_and_hopeless: Shard) -> None:
        plan = small_and_hopeless.facts.plan

        assert plan.reached
        assert plan.recall_at(10) >= TREES.recall_target

    def test_the_plan_of_a_big_shard_says_so(self, big_and_hopeless: Shard) -> None:
        assert not big_and_hopeless.facts.plan.reached

    def test_the_recall_a_big_shard_did_reach_is_recorded(self, big_and_hopeless: Shard) -> None:
        effort = big_and_hopeless.facts.plan.effort(10)

        assert effort is not None
        assert 0 < effort.recall_lower95 < effort.recall < TREES.recall_target

    def test_a_big_shard_spends_all_it_may(self, big_and_hopeless: Shard) -> None:
        plan = big_and_hopeless.facts.plan

        assert plan.effort(10) == max((effort for effort in plan.efforts if effort.k == 10), key=_recall_lower95)

    def test_a_big_shard_does_answer(self, big_and_hopeless: Shard) -> None:
        queries = scattered(np.random.default_rng(7), 10, 32)

        assert {len(hits) for hits in searched(snapshot(big_and_hopeless), queries, 10)} == {10}


class TestPlainShards:
    def test_few_rows_get_no_tree(self, catalogue: Vectors, tmp_path: Path) -> None:
        shard = rolled(tmp_path, singles(catalogue[: TREE_MIN_ROWS - 1]), dim=DIM, settings=TREES)

        assert shard.facts.plan == SearchPlan("exact")
        assert files.TREE_FILE not in shard.facts.files

    @pytest.mark.parametrize("rows", ["all alike", "few kinds"])
    def test_vectors_that_are_all_alike_can_be_rolled(self, tmp_path: Path, rows: str) -> None:
        pytest.importorskip("annoy")
        kinds = scattered(np.random.default_rng(9), 1 if rows == "all alike" else 5, 16)
        same = np.repeat(kinds, 1_200 // len(kinds), axis=0)

        shard = rolled(tmp_path, singles(same), dim=16)

        assert len(found(snapshot(shard), kinds[0], 10, exact=False)) == 10

    def test_few_products_with_many_images_can_be_rolled(self, catalogue: Vectors, tmp_path: Path) -> None:
        pytest.importorskip("annoy")
        versions = [product(f"p{n}", catalogue[n * 64 : n * 64 + 64]) for n in range(17)]

        shard = rolled(tmp_path, versions, dim=DIM, settings=TREES)

        assert len(found(snapshot(shard), catalogue[0], 100, exact=False)) == 17

    def test_a_projection_wider_than_the_vectors_keeps_them_whole(self, tmp_path: Path) -> None:
        pytest.importorskip("annoy")
        versions = singles(scattered(np.random.default_rng(9), 1_100))

        plan = rolled(tmp_path, versions, settings=TreeSettings(trees=4, projected_dim=64)).facts.plan

        assert plan.projected_dim == 8
        assert plan.projection_variance == pytest.approx(1)


class TestWithoutAnnoy:
    @pytest.mark.usefixtures("_without_annoy")
    def test_a_rolled_shard_is_exact(self, catalogue: Vectors, tmp_path: Path) -> None:
        shard = rolled(tmp_path, singles(catalogue[:1_100]), dim=DIM, settings=TREES)

        assert shard.facts.plan == SearchPlan("exact")

    @pytest.mark.usefixtures("_without_annoy")
    def test_a_shard_built_with_a_tree_is_searched_exactly(self, big_folder: Path, queries: Vectors) -> None:
        shard = Shard.open(big_folder)

        assert shard.facts.plan.method == "tree"
        assert recall(snapshot(shard), queries, 10) == 1

    @pytest.mark.usefixtures("_without_annoy")
    def test_a_shard_built_with_a_tree_can_be_compacted(self, big_folder: Path, tmp_path: Path) -> None:
        table = merged_table(snapshot(Shard.open(big_folder)).shards, reaches_oldest=True)

        assert Shard.open(write_rolled(table, MODEL, tmp_path, TREES)).facts.products == 5_000


class TestProjection:
    def test_it_keeps_the_directions_of_most_variance(self) -> None:
        rng = np.random.default_rng(0)
        vectors = (rng.standard_normal((500, 6)) * [5, 0.1, 3, 0.1, 0.1, 0.1]).astype(np.float32)

        projection, share = space.principal_directions(vectors, 2)

        assert projection.shape == (6, 2)
        np.testing.assert_allclose(np.abs(projection[[0, 2], [0, 1]]), 1, atol=0.01)
        assert share > 0.99

    def test_its_columns_are_orthonormal(self) -> None:
        projection, _ = space.principal_directions(clustered(np.random.default_rng(0), 400, 32, 8), 16)

        np.testing.assert_allclose(projection.T @ projection, np.eye(16), atol=1e-5)

    def test_vectors_without_variance_are_no_trouble(self) -> None:
        projection, share = space.principal_directions(np.ones((50, 4), np.float32), 2)

        assert (projection.shape, share) == ((4, 2), 1.0)


class TestMoved:
    @pytest.mark.parametrize("cosine", [0.0, 0.5, 0.8, 1.0])
    def test_vectors_are_moved_to_the_cosine(self, cosine: float) -> None:
        rng = np.random.default_rng(0)
        vectors = scattered(rng, 20, 32)

        away = moved(vectors, cosine, rng)

        np.testing.assert_allclose((away * vectors).sum(axis=1), cosine, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(away, axis=1), 1, atol=1e-5)
