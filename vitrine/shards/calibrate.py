"""What a search must spend to keep the recall promise, measured on the shard itself when it is built.

Queries are rows of the shard; half as they are, a quarter moved away to cosine 0.8, a quarter moved to cosine 0.9 on
the way to another row. Directions in which vectors do not differ are no difficulty, those in which they do are: so
mixed, the queries are about as hard as pictures of products that are not there (docs/search.md). A query's own product
does not count. Recall counts products: one is found if its exact score is as good as the k-th best, or hardly worse
(see Metric.as_good_as). Candidates are what is measured: scored on their full vectors, the good ones among them are
always found.

For each k there is a frontier of efforts, each the cheapest that reaches one of many targets: a request may ask for a
target of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from time import thread_time
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vitrine.shards.files import ScanCosts, ScanEffort, SearchPlan, TreeEffort
from vitrine.shards.finding import nearest
from vitrine.shards.metric import Metric, Scores
from vitrine.shards.scoring import Best, Gallery, best_of_all, best_of_candidates, best_of_parts, packed, parts_of
from vitrine.shards.selection import Rows
from vitrine.shards.shard import FirstStage
from vitrine.vectors import Vectors, unit

QUERIES: Final = 512
# The smallest is what one of ten shards is asked first for the best ten of all.
KS: Final = (5, 10, 30, 100)
MOVED_COSINE: Final = 0.8
TOWARD_COSINE: Final = 0.9
# Up to this many rows, scoring all of them (about 2 ms) is better than an answer that breaks the promise.
EXACT_ROWS: Final = 16_384
# The dearest search: nodes inspected, and candidates scored on their full vectors.
MAX_SEARCH_K: Final = 64_000
MAX_CANDIDATES: Final = 4_096

_Z_95: Final = 1.645  # one-sided
_SEED: Final = 5
_TARGETS: Final = (0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.985, 0.99, 0.993, 0.995, 0.997, 0.998, 0.999)
_FIRST_SEARCH_K: Final = 250
_SEARCH_K_STEP: Final = 2**0.5
_RERANKS: Final = (1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96)  # times k
# Exact scores are kept of so many more products than the largest k: of those that are hardly worse.
_HARDLY_WORSE: Final = 50
# What the tree needs beyond the scan's candidates it needs of nodes, not of candidates.
_TREE_CANDIDATES: Final = 2
# A tree that costs this many times the scan of its space is not worth measuring.
_TREE_WORTH: Final = 1.5

_TIMES: Final = 3
_TIMED_NODES: Final = 200_000
_TIMED_EXACT_PARTS: Final = 4
_TIMED_BATCH: Final = (32, 64)  # queries, candidates of each


class Recall(NamedTuple):
    """Of one k with 1, 2, … candidates: the mean over the queries, and its lower 95 % bound. float64, shape (n,)."""

    mean: npt.NDArray[np.float64]
    lower95: npt.NDArray[np.float64]

    def of(self, candidates: int) -> tuple[float, float]:
        return float(self.mean[candidates - 1]), float(self.lower95[candidates - 1])


@dataclass(frozen=True, eq=False)
class Probe:
    """Calibration queries, float32, shape (q, dim), and the truth about them.

    `best`: the best products of each other than its own, best first, with exact scores.
    """

    queries: Vectors
    best: Best
    metric: Metric

    @staticmethod
    def of(gallery: Gallery, metric: Metric) -> Probe:
        """Scores every row."""
        rng = np.random.default_rng(_SEED)
        rows = np.sort(rng.choice(len(gallery.vectors), size=min(QUERIES, len(gallery.vectors)), replace=False))
        queries = unit(np.asarray(gallery.vectors[rows], dtype=np.float32))
        queries[::4] = moved(queries[::4], MOVED_COSINE, rng)
        others = np.asarray(gallery.vectors[rng.permutation(rows)[: len(queries[2::4])]], dtype=np.float32)
        queries[2::4] = _toward(queries[2::4], others, TOWARD_COSINE)
        found = best_of_all(gallery, metric, None, queries, max(KS) + _HARDLY_WORSE)
        own = found.products == _products(gallery, rows)[:, None]
        best = Best(np.where(own, -1, found.products), np.where(own, -np.inf, found.scores))
        return Probe(queries, _best_first(best), metric)

    def scores_of(self, products: Rows, repeated: bool) -> Scores:
        """Exact scores of candidates, shape (q, n); -inf: none of the best, the query's own, or not there.

        `repeated`: a product may come several times in a list; only the first counts.
        """
        keys, scores = self._known
        wanted = self._keys(products)
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        found = np.where((keys[places] == wanted) & (products >= 0), scores[places], -np.inf)
        if repeated:
            found[_seen_before(products)] = -np.inf
        return found

    def recall(self, k: int, scores: Scores) -> Recall:
        """What candidates with these exact scores, nearest first, bring for `k`."""
        possible = np.minimum(k, self.best.counts)
        kth_best = self.best.scores[np.arange(len(possible)), np.maximum(possible, 1) - 1]
        found = np.cumsum(scores >= self.metric.as_good_as(kth_best)[:, None], axis=1)
        shares = np.minimum(found, possible[:, None]) / np.maximum(possible, 1)[:, None]
        shares[possible == 0] = 1
        mean = shares.mean(axis=0)
        return Recall(mean, np.maximum(0, mean - _Z_95 * shares.std(axis=0, ddof=1) / np.sqrt(len(shares))))

    @cached_property
    def _known(self) -> tuple[Rows, Scores]:
        there = self.best.products >= 0
        keys, scores = self._keys(self.best.products)[there], self.best.scores[there]
        order = np.argsort(keys)
        # Never empty: a last key that nothing has.
        return np.append(keys[order], np.iinfo(np.int64).max), np.append(scores[order], np.float32(-np.inf))

    @staticmethod
    def _keys(products: Rows) -> Rows:
        """One number for a query and a product."""
        return (np.arange(len(products), dtype=np.int64)[:, None] << 32) + products


@dataclass(frozen=True, eq=False)
class _Subject:
    """What is measured."""

    gallery: Gallery
    metric: Metric
    stage: FirstStage

    @property
    def rows(self) -> int:
        return len(self.gallery.vectors)

    def scores_of(self, probe: Probe, rows: Rows) -> Scores:
        """Exact scores of each query's candidate `rows`, shape (q, n); see Probe."""
        repeated = self.gallery.product_of_row is not None
        return probe.scores_of(_products(self.gallery, rows), repeated)


def calibrated(gallery: Gallery, metric: Metric, stage: FirstStage, plan: SearchPlan) -> SearchPlan:
    """`plan` with what was measured.

    `reached` False: neither the tree nor a scan of its space reaches the target, and the shard is too big to score all
    of its rows instead.
    """
    subject, probe = _Subject(gallery, metric, stage), Probe.of(gallery, metric)
    costs, targets = _costs(subject, probe.queries), sorted({*_TARGETS, plan.recall_target})
    scans = _scan_efforts(subject, probe, targets)
    efforts = _tree_efforts(subject, probe, targets, scans, costs)
    measured = replace(plan, efforts=efforts, scans=scans, costs=costs, calibration_queries=len(probe.queries))
    return replace(measured, reached=all(_is_reached(measured, k, subject.rows) for k in KS))


def moved(vectors: Vectors, cosine: float, rng: np.random.Generator) -> Vectors:
    """Unit vectors at `cosine` to each of the unit `vectors`, shape (n, dim), in random directions."""
    return _toward(vectors, rng.standard_normal(vectors.shape).astype(np.float32), cosine)


def _toward(vectors: Vectors, others: Vectors, cosine: float) -> Vectors:
    """Unit vectors at `cosine` to each of the unit `vectors`, on the way to `others`, shape (n, dim)."""
    across = others - np.sum(others * vectors, axis=1, keepdims=True) * vectors
    return unit(cosine * vectors + np.float32(np.sqrt(1 - cosine**2)) * unit(across))


def _scan_efforts(subject: _Subject, probe: Probe, targets: list[float]) -> tuple[ScanEffort, ...]:
    """For each k and target the fewest nearest products that hold enough of the best; none without such scans."""
    if subject.stage.projected is None:
        return ()
    wanted = 2 * max(KS)
    while True:
        found = nearest(subject.stage, subject.gallery, None, probe.queries, wanted)
        scores = probe.scores_of(_best_first(found).products[:, :wanted], repeated=False)
        recalls = {k: probe.recall(k, scores) for k in KS}
        if wanted >= MAX_CANDIDATES or all(recall.lower95[-1] >= targets[-1] for recall in recalls.values()):
            break
        wanted *= 4
    efforts = []
    for k, recall in recalls.items():
        reaching = [np.flatnonzero(recall.lower95[k - 1 :] >= target) for target in targets]
        enough = {k + int(places[0]) for places in reaching if len(places)}
        efforts += [ScanEffort(k, candidates, *recall.of(candidates)) for candidates in sorted(enough)]
    return tuple(efforts)


def _tree_efforts(
    subject: _Subject, probe: Probe, targets: list[float], scans: tuple[ScanEffort, ...], costs: ScanCosts
) -> tuple[TreeEffort, ...]:
    """For each k the frontier of efforts, up to where every target is reached, or a scan is better."""
    measured: dict[int, list[TreeEffort]] = {k: [] for k in KS}
    projected = subject.stage.space.project(probe.queries)
    most_us, most_candidates = _limits(subject, targets, scans, costs)
    for search_k in _search_ks(subject.rows):
        width = min(most_candidates, search_k, subject.rows)
        started = thread_time()
        rows = packed([subject.stage.tree.candidates(query, width, search_k) for query in projected])
        full_us = (thread_time() - started) * 1e6 / len(projected)
        nodes_us = min(full_us, _nodes_us(subject, projected, search_k))
        candidate_us = (full_us - nodes_us) / width + costs.rerank_row_ns / 1e3
        scores = subject.scores_of(probe, rows)
        for k, efforts in measured.items():
            recall = probe.recall(k, scores)
            for rerank in [int(k * times) for times in _RERANKS if k * times <= scores.shape[1]]:
                cost_us = nodes_us + rerank * candidate_us
                efforts.append(TreeEffort(k, search_k, rerank, *recall.of(rerank), cost_us))
        if nodes_us > most_us or all(_best_lower95(efforts) >= targets[-1] for efforts in measured.values()):
            break
    return tuple(effort for efforts in measured.values() for effort in _frontier(efforts, targets))


def _limits(
    subject: _Subject, targets: list[float], scans: tuple[ScanEffort, ...], costs: ScanCosts
) -> tuple[float, int]:
    """The most that a tree search may cost, microseconds, before another is better; and its most candidates."""
    scan_reaches = all(any(scan.k == k and scan.recall_lower95 >= targets[-1] for scan in scans) for k in KS)
    if not scan_reaches:
        return costs.exact_row_ns * subject.rows / 1e3, MAX_CANDIDATES
    most = max(scan.candidates for scan in scans)
    scan_us = (costs.projected_row_ns * subject.rows + costs.rerank_row_ns * most) / 1e3
    images = -(-subject.rows // (len(subject.gallery.product_starts) - 1))
    return _TREE_WORTH * scan_us, min(MAX_CANDIDATES, _TREE_CANDIDATES * images * most)


def _frontier(efforts: list[TreeEffort], targets: list[float]) -> list[TreeEffort]:
    """The cheapest effort for each target, and the best of all, cheapest first."""
    best = _best_lower95(efforts)
    reachable = [*(target for target in targets if target <= best), best]
    chosen = {
        min((effort for effort in efforts if effort.recall_lower95 >= target), key=lambda effort: effort.cost_us)
        for target in reachable
    }
    return sorted(chosen, key=lambda effort: effort.cost_us)


def _best_lower95(efforts: list[TreeEffort]) -> float:
    return max(effort.recall_lower95 for effort in efforts)


def _is_reached(plan: SearchPlan, k: int, rows: int) -> bool:
    """Whether what is done for `k` keeps the promise. Scoring every row does; it is done where it costs little."""
    dearest_us = max(effort.cost_us for effort in plan.efforts if effort.k == k)
    exact_us = plan.costs.exact_row_ns * rows / 1e3
    has_effort = plan.effort(k) is not None or plan.scan(k) is not None
    return has_effort or rows <= EXACT_ROWS or exact_us <= dearest_us


def _search_ks(rows: int) -> list[int]:
    steps = int(np.log(MAX_SEARCH_K / _FIRST_SEARCH_K) / np.log(_SEARCH_K_STEP)) + 1
    search_ks = [round(_FIRST_SEARCH_K * _SEARCH_K_STEP**step) for step in range(steps)]
    return [*(search_k for search_k in search_ks if search_k < rows), *([rows] if rows <= MAX_SEARCH_K else [])]


def _costs(subject: _Subject, queries: Vectors) -> ScanCosts:
    gallery, metric, one = subject.gallery, subject.metric, queries[:1]
    exact = list(islice(parts_of(gallery), _TIMED_EXACT_PARTS))
    exact_us = _least_us(
        lambda: best_of_parts(
            exact, lambda part: metric.scores(one, gallery.vectors[part.rows]), 1, KS[1], metric.doubtful_from
        )
    )
    rng = np.random.default_rng(_SEED)
    candidates = rng.integers(0, subject.rows, _TIMED_BATCH)
    together = queries[: len(candidates)]
    rerank_us = _least_us(lambda: best_of_candidates(gallery, metric, together, candidates[: len(together)]))
    return ScanCosts(
        exact_row_ns=1e3 * exact_us / sum(part.places.stop - part.places.start for part in exact),
        projected_row_ns=_projected_row_ns(subject, one),
        rerank_row_ns=1e3 * rerank_us / (len(together) * candidates.shape[1]),
    )


def _projected_row_ns(subject: _Subject, query: Vectors) -> float:
    if subject.stage.projected is None:
        return 0.0
    return 1e3 * _least_us(lambda: nearest(subject.stage, subject.gallery, None, query, KS[-1])) / subject.rows


def _nodes_us(subject: _Subject, projected: Vectors, search_k: int) -> float:
    """What inspecting `search_k` nodes costs a query that wants hardly any candidates."""
    timed = projected[: max(4, _TIMED_NODES // search_k)]
    return _least_us(lambda: [subject.stage.tree.candidates(query, 1, search_k) for query in timed]) / len(timed)


def _least_us(work: Callable[[], object]) -> float:
    """Processor time: others on the machine do not count."""
    spent_s = []
    for _ in range(_TIMES):
        started = thread_time()
        work()
        spent_s.append(thread_time() - started)
    return 1e6 * min(spent_s)


def _products(gallery: Gallery, rows: Rows) -> Rows:
    """The products of `rows`; -1 stays -1."""
    return rows if gallery.product_of_row is None else np.where(rows < 0, -1, gallery.product_of_row[rows])


def _best_first(best: Best) -> Best:
    order = np.argsort(-best.scores, axis=1, kind="stable")
    return Best(np.take_along_axis(best.products, order, 1), np.take_along_axis(best.scores, order, 1))


def _seen_before(products: Rows) -> npt.NDArray[np.bool_]:
    """Whether each product stands further left in its list too."""
    order = np.argsort(products, axis=1, kind="stable")
    ordered = np.take_along_axis(products, order, 1)
    again = np.zeros(products.shape, np.bool_)
    np.put_along_axis(again, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], 1)
    return again
