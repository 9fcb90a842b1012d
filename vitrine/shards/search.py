"""Questions → answers, over all shards of several partitions.

Queries of a batch that want alike are searched together. Every shard gives candidates by rough scores (finding.py); the
best of all shards together are scored for good and ranked (finals.py).

Where there are several shards, each is asked for its share of the answer first, which costs less; one that
contributed as many products as it was trusted with is asked again, for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, inf, sqrt
from time import perf_counter
from typing import Final, NamedTuple

import numpy as np

from vitrine.filters import Filter
from vitrine.shards.finals import Candidates, best_together, finals_of
from vitrine.shards.finding import Finding, Search, found_in
from vitrine.shards.masks import Masks, Selected
from vitrine.shards.metric import Metric
from vitrine.shards.planning import Task, Way
from vitrine.shards.query import Answer, Found, Query, RankedPlace, ShardPlan
from vitrine.shards.scoring import Gallery, Part, best_of_all, by_product, parts_of
from vitrine.shards.shard import Shard
from vitrine.shards.snapshot import Snapshot
from vitrine.vectors import Vectors

# A shard is trusted with its expected share of an answer, and so many standard deviations more.
_TRUSTED_SIGMAS: Final = 3.0
# An answer that came out short, because of what is left out or because what a page goes on from has moved down, is
# looked for that many times as deep.
_DEEPER: Final = 4
# Up to so many times what the deepest page needs at first; beyond that every row is looked at, once.
_DEEPEST: Final = 4
_FURTHEST_SKIPPED: Final = 1_000
_BELOW_EVERY_SCORE: Final = -2.0

SCAN_PART_ROWS: Final = 8192


class Scanned(NamedTuple):
    """A part of a scan: the products found in it, one entry each, and how many rows were scored."""

    found: list[Found]
    rows_scored: int


def answers(snapshots: Sequence[Snapshot], queries: Sequence[Query], masks: Masks) -> list[Answer]:
    """The answer to each query, from all `snapshots` together (partitions: no product is in two)."""
    alike: dict[tuple[Task, bytes], list[int]] = {}
    for number, query in enumerate(queries):
        # Filters that mean the same have the same key.
        alike.setdefault((_task(query), query.filter.key if query.filter else b""), []).append(number)
    found: dict[int, Answer] = {}
    for (task, _), numbers in alike.items():
        together = [queries[number] for number in numbers]
        found.update(zip(numbers, _answered(snapshots, together, task, masks), strict=True))
    return [found[number] for number in range(len(queries))]


def scan(
    snapshot: Snapshot, vector: Vectors, min_score: float, wanted: Filter | None, masks: Masks
) -> Iterator[Scanned]:
    """Every product that scores at least `min_score`, in no order, in parts of about 8,192 rows.

    `vector`: float32, shape (dim,), unit length.
    """
    sources = _sources([snapshot], wanted, masks)
    for source in sources:
        for part in source.parts():
            yield Scanned(source.found_in(part, vector, min_score), part.places.stop - part.places.start)


@dataclass(frozen=True, eq=False)
class _Source:
    """What is searched as one: a rolled shard, or all fresh ones of a snapshot together. `number`: of the snapshot."""

    number: int
    snapshot: Snapshot
    shard: Shard | None
    gallery: Gallery
    rows_live: int
    selected: Selected

    @property
    def count(self) -> int:
        """Rows that may be answered."""
        return self.selected.selection.count

    @property
    def metric(self) -> Metric:
        return (self.shard or self.snapshot.shards[0].shard).metric

    def found(self, score: float, row: int) -> Found:
        if self.shard is not None:
            return Found(score, self.shard, row, self.snapshot)
        place, row = self.snapshot.fresh.places[row].tolist()
        return Found(score, self.snapshot.shards[place].shard, row, self.snapshot)

    def parts(self) -> Iterator[Part]:
        """What may be answered, about 8,192 rows at a time."""
        return parts_of(self.gallery, self.selected.selection, SCAN_PART_ROWS)

    def found_in(self, part: Part, vector: Vectors, lowest: float, highest: float = inf) -> list[Found]:
        """Every product of `part` that scores `lowest` to `highest`, best first. `vector`: shape (dim,)."""
        queries = vector[np.newaxis, :]
        scores = by_product(self.metric.scores(queries, self.gallery.vectors[part.rows]), part)[0]
        products = part.named(np.flatnonzero(scores >= self.metric.doubtful_from(lowest)))
        none = np.zeros(len(products), np.int64)
        finals = finals_of(Candidates(none, none, products), [self.gallery], self.metric, queries)
        kept = (finals.scores >= lowest) & (finals.scores <= highest)
        pairs = zip(finals.scores[kept].tolist(), finals.rows[kept].tolist(), strict=True)
        return [self.found(score, row) for score, row in pairs]

    def search(self, queries: Vectors, task: Task) -> Finding:
        selection = self.selected.selection
        if self.shard is not None:
            return found_in(self.shard, selection, queries, task)
        started = perf_counter()
        best = best_of_all(self.gallery, self.metric, selection, queries, task.k)
        search_us = (perf_counter() - started) * 1e6 / len(queries)
        return Finding(best, [Search(_EVERY_ROW, self.count, search_us)] * len(queries))

    def plan(self, search: Search | None) -> ShardPlan:
        """What is said of it. None: no row matches, so it was not searched."""
        way = search.way if search else _NOT_SEARCHED
        return ShardPlan(
            shard_id=self.shard.facts.shard_id if self.shard else "",
            method=way.method,
            rows_live=self.rows_live,
            rows_matching=self.count,
            nodes_inspected=way.search_k,
            rows_scored=search.rows_scored if search else 0,
            fell_back=bool(search and search.fell_back),
            search_us=search.search_us if search else 0.0,
            mask_us=self.selected.mask_us,
            mask_cached=self.selected.cached,
        )


_EVERY_ROW: Final = Way("exact", 0.0)
_NOT_SEARCHED: Final = Way("none", 0.0)


def _task(query: Query) -> Task:
    return Task(query.depth, query.depth, query.exact, query.recall_target, filtered=bool(query.filter))


def _answered(snapshots: Sequence[Snapshot], queries: Sequence[Query], task: Task, masks: Masks) -> list[Answer]:
    """Answers to queries that want alike."""
    sources = _sources(snapshots, queries[0].filter, masks)
    asked = [source for source in sources if source.count]
    if not asked:
        return [Answer([], 1.0, _plans(len(snapshots), sources, {}))] * len(queries)
    vectors = np.stack([query.vector for query in queries])
    findings, candidates = _found(asked, vectors, task)
    finals = finals_of(candidates, [source.gallery for source in asked], asked[0].metric, vectors)
    given = []
    for number, (query, entries) in enumerate(zip(queries, finals.by_query(len(queries)), strict=True)):
        ranked = _in_rank_order([asked[place].found(score, row) for score, place, row in entries])[: task.k]
        found = _wanted(ranked, query)
        if len(found) < query.k and _can_go_deeper(ranked, query, task):
            deeper = task.asked_for(task.k * _DEEPER)
            # Without `after` only excluded products are missing, and these are never so many.
            if query.after is None or deeper.k <= _DEEPEST * (_FURTHEST_SKIPPED + query.k):
                given += _answered(snapshots, [query], deeper, masks)
            else:
                found, searches = _after(asked, query, query.after)
                given.append(Answer(found, 1.0, _plans(len(snapshots), sources, searches)))
            continue
        searches = {source: finding.searches[number] for source, finding in zip(asked, findings, strict=True)}
        recall = min(search.way.recall for search in searches.values())
        given.append(Answer(found, recall, _plans(len(snapshots), sources, searches)))
    return given


def _sources(snapshots: Sequence[Snapshot], wanted: Filter | None, masks: Masks) -> list[_Source]:
    sources = []
    for number, snapshot in enumerate(snapshots):
        fresh = snapshot.fresh
        if len(fresh.places):
            selected = masks.select_fresh(snapshot, wanted)
            sources.append(_Source(number, snapshot, None, fresh.gallery, len(fresh.places), selected))
        for entry in snapshot.shards:
            if entry.shard.facts.kind == "rolled" and entry.rows_live:
                selected = masks.select(entry, snapshot.live_blocks, wanted)
                sources.append(_Source(number, snapshot, entry.shard, entry.shard.gallery, entry.rows_live, selected))
    return sources


def _found(sources: Sequence[_Source], vectors: Vectors, task: Task) -> tuple[list[Finding], Candidates]:
    """What each source found, and the best of it all."""
    metric = sources[0].metric
    rows = sum(source.count for source in sources)
    tasks = [task._replace(trusted=_trusted(task.k, source.count / rows)) for source in sources]
    findings = [source.search(vectors, share) for source, share in zip(sources, tasks, strict=True)]
    candidates = best_together([finding.best for finding in findings], task.k, metric)
    counts = candidates.counts(len(vectors), len(sources))
    used_up = counts >= np.array([share.trusted for share in tasks])
    used_up &= np.array([share.trusted < task.k for share in tasks])
    if not used_up.any():
        return findings, candidates
    for place, source in enumerate(sources):
        numbers = np.flatnonzero(used_up[:, place])
        if len(numbers):
            findings[place] = findings[place].mended(numbers, source.search(vectors[numbers], task))
    return findings, best_together([finding.best for finding in findings], task.k, metric)


def _trusted(k: int, share: float) -> int:
    """How many of the best `k` a source with `share` of the rows will hardly exceed, were they spread by chance."""
    if share == 1.0:
        return k
    return min(k, ceil(k * share + _TRUSTED_SIGMAS * sqrt(k * share * (1 - share))) + 1)


def _in_rank_order(found: list[Found]) -> list[Found]:
    """`found` comes best first; ids are looked at only where scores are the same."""
    if any(one.score == other.score for one, other in pairwise(found)):
        found.sort(key=lambda entry: (-entry.score, _product_id(entry)))
    return found


def _wanted(ranked: list[Found], query: Query) -> list[Found]:
    found = ranked
    if query.after is not None:
        found = [entry for entry in found if _comes_after(entry, query.after)]
    if query.min_score is not None:
        found = [entry for entry in found if entry.score >= query.min_score]
    if query.exclude:
        found = [entry for entry in found if _product_id(entry) not in query.exclude]
    return found[: query.k]


def _comes_after(entry: Found, place: RankedPlace) -> bool:
    if entry.score == place.score:
        return _product_id(entry) > place.product_id
    return entry.score < place.score


def _after(sources: Sequence[_Source], query: Query, place: RankedPlace) -> tuple[list[Found], dict[_Source, Search]]:
    """The best after `place`, however many come before it, by looking at every row; and what that cost."""
    best: list[Found] = []
    searches = {}
    for source in sources:
        started = perf_counter()
        for part in source.parts():
            lowest = best[-1].score if len(best) == query.k else _BELOW_EVERY_SCORE
            best += source.found_in(part, query.vector, lowest, place.score)
            best.sort(key=lambda entry: -entry.score)
            best = _wanted(_in_rank_order(best), query)
        searches[source] = Search(_EVERY_ROW, source.count, (perf_counter() - started) * 1e6)
    return best, searches


def _can_go_deeper(ranked: list[Found], query: Query, task: Task) -> bool:
    """Whether there may be more than what was looked at, where too much of that is not to be answered."""
    good = query.min_score is None or (bool(ranked) and ranked[-1].score >= query.min_score)
    return good and len(ranked) >= task.k


def _plans(snapshots: int, sources: Sequence[_Source], searches: Mapping[_Source, Search]) -> list[list[ShardPlan]]:
    plans: list[list[ShardPlan]] = [[] for _ in range(snapshots)]
    for source in sources:
        plans[source.number].append(source.plan(searches.get(source)))
    return plans


def _product_id(entry: Found) -> str:
    return entry.shard.product_id(entry.row)
