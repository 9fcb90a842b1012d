"""How a shard is searched: the way follows from what the calibration measured and from what is asked, nothing else."""

from __future__ import annotations

from dataclasses import replace

from vitrine.shards.files import ScanCosts, ScanEffort, SearchPlan, TreeEffort
from vitrine.shards.planning import Extent, Task, Way, ways_of

ROWS = 100_000
PLAN = SearchPlan(
    method="tree",
    efforts=(TreeEffort(10, search_k=2_000, rerank=20, recall=0.995, recall_lower95=0.992, cost_us=300.0),),
    scans=(ScanEffort(10, candidates=13, recall=0.996, recall_lower95=0.993),),
    trees=20,
    projected_dim=64,
    recall_target=0.99,
    costs=ScanCosts(exact_row_ns=100.0, projected_row_ns=20.0, rerank_row_ns=300.0),
)
TEN = Task(10, 10)


def test_a_big_shard_is_searched_by_its_tree() -> None:
    way = _first(ROWS)

    assert (way.method, way.search_k, way.candidates, way.recall) == ("tree", 2_000, 20, 0.995)


def test_where_few_rows_are_left_they_are_compared_in_the_trees_space() -> None:
    assert _first(selected=ROWS // 20, filtered=True).method == "projected"


def test_where_hardly_any_are_left_all_are_scored() -> None:
    assert _first(selected=50, filtered=True).method == "exact"


def test_a_tree_looks_at_more_where_half_of_the_rows_may_not_be_answered() -> None:
    way = _first(selected=ROWS // 2)

    assert (way.method, way.search_k, way.candidates) == ("tree", 4_000, 40)


def test_what_a_filter_leaves_may_be_far_away_so_more_of_it_is_scored() -> None:
    near, far = (_first(selected=ROWS // 20, filtered=filtered) for filtered in (False, True))

    assert near.candidates == 13
    assert far.candidates > 100


def test_exact_is_exact() -> None:
    way = ways_of(PLAN, _extent(ROWS), Task(10, 10, exact=True)).first

    assert (way.method, way.recall) == ("exact", 1.0)


def test_a_target_that_nothing_was_measured_to_reach_is_answered_exactly() -> None:
    assert ways_of(PLAN, _extent(ROWS), Task(10, 10, recall_target=0.9999)).first.method == "exact"


def test_where_scanning_is_dear_the_tree_is_asked_for_what_a_filter_leaves() -> None:
    dear = replace(PLAN, costs=replace(PLAN.costs, projected_row_ns=500.0, rerank_row_ns=900.0))

    assert ways_of(dear, _extent(ROWS // 4), TEN._replace(filtered=True)).first.method == "tree"


def _first(selected: int, filtered: bool = False) -> Way:
    return ways_of(PLAN, _extent(selected), TEN._replace(filtered=filtered)).first


def _extent(selected: int) -> Extent:
    return Extent(ROWS, selected, picked=selected <= ROWS // 5, pick_ns=0.0)
