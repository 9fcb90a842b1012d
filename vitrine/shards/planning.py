"""How one shard is best searched: the cheapest way that keeps the recall it was calibrated for.

    tree        candidates from the tree, re-ranked by their full vectors; widened where rows are dead or filtered out
    projected   every selected row compared in the tree's space, the nearest products re-ranked
    exact       every selected row scored on its full vector

Costs are those that the calibration measured on the shard itself.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from vitrine.shards.files import SearchPlan

# "none": no row matches, so nothing is searched.
Method = Literal["tree", "projected", "exact", "none"]

# A tree's candidates are no longer nearest ones if it must bring more than this share of its rows.
_TREE_SHARE: Final = 0.25
# Of what a scan in the tree's space costs one query alone, what it costs in a batch of four, which reads the rows once.
# Always planned so: which way is taken, and so the answer, must not depend on who asks at the same time.
_IN_COMPANY: Final = 0.5
# A shard is trusted with more products than it is likely to contribute, and what is missed is mostly the last of them.
# Ten shards of 25,000 rows, each of which reaches 0.95 of its best five, answer 0.994 of the best ten of all, at 1.7
# times the cost of one shard of the same rows (benchmarks/results/filters.json).
_SHARED_MISSES: Final = 5.0
# Calibration asks for what is near. What a filter leaves may all be far from the query, and there the space says less
# about the order: of the 5 % farthest of 39,000 rows, 13 candidates held 0.63 of the best ten, and 104 held 0.994.
_FAR_TIMES: Final = 2
_FAR_MORE: Final = 100


class Way(NamedTuple):
    """One way to search a shard, what it costs a query, and the recall measured for it.

    search_k     nodes of the tree inspected
    candidates   rows taken from the tree, or products from a scan in its space
    passing      of the tree's candidates, those that are expected to be selected rows
    """

    method: Method
    cost_us: float
    recall: float = 1.0
    search_k: int = 0
    candidates: int = 0
    passing: int = 0

    def widened(self, times: float, rows: int) -> Way:
        """A tree search that looks at `times` as much of a shard of `rows`."""
        return self._replace(
            cost_us=self.cost_us * times,
            search_k=int(self.search_k * times),
            candidates=min(rows, int(self.candidates * times)),
        )


class Ways(NamedTuple):
    """`scan`: what finds every product there is; the better one of "projected" and "exact".

    `tree`: None where the scan is cheaper, or there is no tree, or it does not reach the target.
    """

    scan: Way
    tree: Way | None = None

    @property
    def first(self) -> Way:
        return self.tree or self.scan


class Task(NamedTuple):
    """What is wanted of a shard.

    k              best products
    trusted        so many of them are expected to be among the best of all shards together
    recall_target  None = the shard's own
    filtered       by what products are, which may be at odds with what they look like
    """

    k: int
    trusted: int
    exact: bool = False
    recall_target: float | None = None
    filtered: bool = False

    @property
    def misses(self) -> float:
        """How much more the search may miss of `trusted` products than of the `k` best of all shards together."""
        return 1.0 if self.trusted == self.k else _SHARED_MISSES

    def asked_for(self, k: int) -> Task:
        """The same for `k` products."""
        return self._replace(k=k, trusted=k)


class Extent(NamedTuple):
    """How much of a shard of `rows` may be answered: `selected` rows.

    picked     scans pick them out of the others; otherwise they look at all
    pick_ns    what that costs a row
    """

    rows: int
    selected: int
    picked: bool
    pick_ns: float


def ways_of(plan: SearchPlan, extent: Extent, task: Task) -> Ways:
    """How to search a shard that was calibrated as `plan` says."""
    scan, tree = _exact(plan, extent), None
    if not task.exact and plan.method == "tree":
        projected, tree = _projected(plan, extent, task), _tree(plan, extent, task)
        if projected is not None and projected.cost_us < scan.cost_us:
            scan = projected
    return Ways(scan, tree if tree is not None and tree.cost_us < scan.cost_us else None)


def _exact(plan: SearchPlan, extent: Extent) -> Way:
    if extent.picked:
        return Way("exact", extent.selected * plan.costs.rerank_row_ns / 1e3)
    return Way("exact", extent.rows * plan.costs.exact_row_ns / 1e3)


def _projected(plan: SearchPlan, extent: Extent, task: Task) -> Way | None:
    effort = plan.scan(task.trusted, _target(plan, task))
    if effort is None:
        return None
    # Beyond the largest measured k, linearly.
    candidates = int(effort.candidates * max(1.0, task.trusted / effort.k))
    if task.filtered:
        candidates = _FAR_TIMES * candidates + _FAR_MORE
    if candidates >= extent.selected:
        return None
    row_ns = plan.costs.projected_row_ns * _IN_COMPANY + extent.pick_ns
    looked_at = extent.selected if extent.picked else extent.rows
    cost_us = (looked_at * row_ns + candidates * plan.costs.rerank_row_ns) / 1e3
    return Way("projected", cost_us, _recall(effort.recall, task), 0, candidates, candidates)


def _tree(plan: SearchPlan, extent: Extent, task: Task) -> Way | None:
    effort = plan.effort(task.trusted, _target(plan, task)) or plan.effort(task.trusted, task.recall_target)
    if effort is None:
        return None
    deeper = max(1.0, task.trusted / effort.k)
    rerank = max(task.trusted, int(effort.rerank * deeper))
    recall = _recall(effort.recall, task)
    way = Way("tree", effort.cost_us * deeper, recall, int(effort.search_k * deeper), rerank, rerank)
    # Rows that may not be answered are found and thrown away, so their share is made up for.
    way = way.widened(extent.rows / max(1, extent.selected), extent.rows)
    return way if way.candidates <= _TREE_SHARE * extent.rows else None


def _target(plan: SearchPlan, task: Task) -> float | None:
    """What an effort for `task.trusted` products must reach. None: the plan's own target."""
    if task.misses == 1:
        return task.recall_target
    target = plan.recall_target if task.recall_target is None else task.recall_target
    return 1 - task.misses * (1 - target)


def _recall(measured: float, task: Task) -> float:
    """What a recall measured for `task.trusted` products means for the whole answer."""
    return 1 - (1 - measured) / task.misses
