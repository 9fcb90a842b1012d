"""What a shard says about itself holds: frontiers, targets, and spaces that find what they are measured to find."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.builders import clustered, rolled, scattered, searched, singles, snapshot
from vitrine.shards import files, space
from vitrine.shards.build import TreeSettings
from vitrine.shards.calibrate import KS
from vitrine.shards.files import ScanEffort, SearchPlan, ShardFacts, TreeEffort
from vitrine.shards.finding import nearest
from vitrine.shards.metric import METRICS, SCORE_TOLERANCE
from vitrine.shards.shard import Shard
from vitrine.vectors import Vectors

ROWS = 3_000
DIM = 64
EACH = pytest.mark.parametrize("shard", METRICS, indirect=True)


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return clustered(np.random.default_rng(1), ROWS + 60, DIM)


@pytest.fixture(scope="module")
def shards(vectors: Vectors, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Shard]:
    """One of each metric."""
    pytest.importorskip("annoy")
    folder = tmp_path_factory.mktemp("metrics")
    return {
        metric: rolled(folder, singles(vectors[:ROWS]), dim=DIM, settings=TreeSettings(metric=metric, trees=10))
        for metric in METRICS
    }


@pytest.fixture
def shard(request: pytest.FixtureRequest, shards: dict[str, Shard]) -> Shard:
    return shards[request.param]


@EACH
class TestEachMetric:
    def test_reaches_the_target(self, shard: Shard) -> None:
        assert shard.facts.plan.reached

    def test_is_kept(self, shard: Shard) -> None:
        read = ShardFacts.from_json(shard.facts.to_json(), "here")

        assert read == shard.facts
        assert read.metric == shard.metric.name

    def test_has_efforts_that_cost_more_and_find_more(self, shard: Shard) -> None:
        for k in KS:
            frontier = [effort for effort in shard.facts.plan.efforts if effort.k == k]
            assert frontier
            for cheaper, dearer in pairwise(frontier):
                assert cheaper.cost_us <= dearer.cost_us
                assert cheaper.recall_lower95 < dearer.recall_lower95

    def test_has_costs(self, shard: Shard) -> None:
        costs = shard.facts.plan.costs

        assert min(costs.exact_row_ns, costs.rerank_row_ns) > 0
        assert (costs.projected_row_ns > 0) == (files.PROJECTED_FILE in shard.facts.files)

    def test_finds_what_scoring_every_row_finds(self, shard: Shard, vectors: Vectors) -> None:
        queries = vectors[ROWS:]
        exact, near = searched(snapshot(shard), queries, 10, exact=True), searched(snapshot(shard), queries, 10)

        good = [
            sum(hit.score >= best[-1].score - SCORE_TOLERANCE for hit in hits)
            for hits, best in zip(near, exact, strict=True)
        ]

        assert sum(good) / (10 * len(queries)) >= 0.98


def effort(k: int, cost_us: float, lower95: float) -> TreeEffort:
    return TreeEffort(k, int(10 * cost_us), k, lower95 + 0.002, lower95, cost_us)


class TestPlan:
    PLAN = SearchPlan(
        "tree",
        efforts=(effort(10, 50, 0.9), effort(10, 90, 0.991), effort(10, 200, 0.999), effort(100, 300, 0.98)),
        scans=(ScanEffort(10, 12, 0.985, 0.98), ScanEffort(10, 20, 0.996, 0.995)),
    )

    @pytest.mark.parametrize(("target", "cost_us"), [(None, 90), (0.5, 50), (0.9, 50), (0.99, 90), (0.995, 200)])
    def test_the_cheapest_effort_that_reaches_the_target_is_chosen(self, target: float | None, cost_us: float) -> None:
        chosen = self.PLAN.effort(7, target)

        assert chosen is not None
        assert chosen.cost_us == cost_us

    def test_a_target_out_of_reach_has_no_effort(self) -> None:
        assert self.PLAN.effort(10, 0.9995) is None
        assert self.PLAN.scan(10, 0.9995) is None
        assert self.PLAN.effort(11) is None

    def test_beyond_the_largest_measured_k_its_effort_is_what_there_is(self) -> None:
        assert self.PLAN.effort(5_000, 0.98) == self.PLAN.efforts[-1]

    def test_a_plan_that_missed_its_own_target_gives_the_best_it_has(self) -> None:
        missed = SearchPlan("tree", efforts=self.PLAN.efforts[:1], reached=False)

        assert missed.effort(10) == self.PLAN.efforts[0]
        assert missed.effort(10, 0.99) is None

    @pytest.mark.parametrize(("target", "candidates"), [(None, 20), (0.9, 12)])
    def test_a_scan_brings_no_more_than_it_must(self, target: float | None, candidates: int) -> None:
        chosen = self.PLAN.scan(10, target)

        assert chosen is not None
        assert chosen.candidates == candidates


class TestSpaces:
    @pytest.mark.parametrize("metric", ["angular", "euclidean", "hamming"])
    def test_a_scan_sees_the_distances_of_the_tree(self, metric: str, vectors: Vectors) -> None:
        fitted, _ = space.fitted(metric, vectors, 16)
        assert isinstance(fitted, space.ScannedSpace)
        projected = fitted.project(vectors)
        stored = fitted.stored(projected)
        apart = projected[:, None, :] - projected[None, :5, :]

        distances = fitted.distances(vectors[:5], stored)

        expected = np.abs(apart).sum(axis=2).T if metric == "hamming" else (apart**2).sum(axis=2).T / 2
        # The query's own half square is left out: it changes no order.
        offsets = distances - expected
        np.testing.assert_allclose(offsets, offsets[:, :1].repeat(len(vectors), axis=1), atol=1e-4)

    @pytest.mark.parametrize("metric", METRICS)
    def test_a_space_can_be_opened_again(self, metric: str, vectors: Vectors) -> None:
        fitted, _ = space.fitted(metric, vectors, 16)

        again = space.opened(metric, fitted.parameters(), fitted.dim)

        np.testing.assert_array_equal(again.project(vectors[:9]), fitted.project(vectors[:9]))
        assert (again.dim, again.tree_metric) == (fitted.dim, fitted.tree_metric)

    @pytest.mark.parametrize("dim", [9, 64])
    def test_bits_are_halves_of_a_catalogue(self, dim: int) -> None:
        rows = scattered(np.random.default_rng(0), 1_001, dim) + 1
        fitted, _ = space.fitted("hamming", rows, 4)

        assert fitted.project(rows).sum(axis=0).tolist() == [500] * dim


class TestNearest:
    @pytest.mark.parametrize("queries", [1, 7])
    @pytest.mark.parametrize("count", [1, 10, ROWS, 5_000])
    def test_are_the_nearest(self, shards: dict[str, Shard], vectors: Vectors, queries: int, count: int) -> None:
        shard = shards["angular"]
        assert shard.first_stage is not None
        fitted = shard.first_stage.space
        projected = fitted.project(np.asarray(shard.table.vectors, dtype=np.float32))

        found = nearest(shard.first_stage, shard.gallery, None, vectors[:queries], count)

        for products, query in zip(found.products, fitted.project(vectors[:queries]), strict=True):
            distances = ((projected - query) ** 2).sum(axis=1)
            chosen = np.sort(distances[products[products >= 0]])
            assert len(chosen) >= min(count, ROWS)
            np.testing.assert_allclose(chosen[:count], np.sort(distances)[:count], atol=1e-5)


def test_the_files_say_what_the_shard_was_built_for(shards: dict[str, Shard], tmp_path: Path) -> None:
    assert {name: files.PROJECTION_FILE in shard.facts.files for name, shard in shards.items()} == {
        "angular": True,
        "euclidean": True,
        "manhattan": False,
        "hamming": True,
    }
