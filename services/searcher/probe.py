"""Recall as shoppers get it: sampled real queries, searched again exactly, a few milliseconds at a time."""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from functools import partial
from statistics import fmean
from typing import Final, NamedTuple

import numpy as np

from services.searcher import metrics
from services.searcher.partition_reader import View
from services.searcher.query import Asked
from services.searcher.shard_set import ShardSet
from services.searcher.threads import SearchThreads, Turn
from vitrine.shards import search
from vitrine.shards.masks import Masks
from vitrine.shards.metric import Metric
from vitrine.shards.query import Query
from vitrine.shards.snapshot import Snapshot
from vitrine.vectors import Vectors

K: Final = 10
KEPT: Final = 200
# A probe rests four times as long as it works, so that it never takes more than a fifth of a core.
_REST: Final = 4
# Below every score of every metric.
_ANY_SCORE: Final = -2.0


class Probed(NamedTuple):
    """Mean recall of the last probes of a partition, and how many there were since the start."""

    recall: float
    queries: int


class RecallProbe:
    """Keeps one query of each interval, each as likely as any other, and forgets it once it is probed."""

    def __init__(self, shard_set: ShardSet, threads: SearchThreads, masks: Masks, interval_s: float) -> None:
        self._shard_set = shard_set
        self._threads = threads
        self._masks = masks
        self._interval_s = interval_s
        self._sampled: Vectors | None = None
        self._seen = 0
        self._turn = 0
        self._recalls: defaultdict[int, deque[float]] = defaultdict(lambda: deque(maxlen=KEPT))
        self._queries: defaultdict[int, int] = defaultdict(int)

    def offer(self, queries: Sequence[Asked]) -> None:
        """Queries that were answered just now."""
        if not self._interval_s:
            return
        for asked in queries:
            self._seen += 1
            if random.random() * self._seen < 1:
                self._sampled = asked.query.vector

    def probed(self, partition: int) -> Probed:
        recalls = self._recalls[partition]
        return Probed(fmean(recalls) if recalls else 0.0, self._queries[partition])

    async def follow(self) -> None:
        """Probes until cancelled."""
        while self._interval_s:
            await asyncio.sleep(self._interval_s)
            vector, self._sampled, self._seen = self._sampled, None, 0
            if vector is not None and self._shard_set.partitions:
                await self._probe(vector)
        await asyncio.Event().wait()

    async def _probe(self, vector: Vectors) -> None:
        """One partition after the other has its turn."""
        partitions = self._shard_set.partitions
        partition = partitions[self._turn % len(partitions)]
        self._turn += 1
        view = await self._threads.run(partial(self._shard_set.current, partition), Turn.PROBE)
        if not isinstance(view, View) or not view.snapshot.rows_live:
            return
        recall = await self._recall(view.snapshot, vector)
        self._recalls[partition].append(recall)
        self._queries[partition] += 1
        metrics.PROBED_QUERIES.labels(partition).inc()
        metrics.PROBED_RECALL.labels(partition).set(self.probed(partition).recall)

    async def _recall(self, snapshot: Snapshot, vector: Vectors) -> float:
        query = Query(vector, K)
        [answer] = await self._threads.run(partial(search.answers, [snapshot], [query], self._masks), Turn.PROBE)
        answered = [found.score for found in answer.found]
        lowest = answered[-1] if len(answered) == K else _ANY_SCORE
        parts = search.scan(snapshot, vector, lowest, None, self._masks)
        best: list[float] = []
        while True:
            began = time.perf_counter()
            part = await self._threads.run(partial(next, parts, None), Turn.PROBE)
            if part is None:
                return recall_of(answered, best, snapshot.shards[0].shard.metric)
            best = heapq.nlargest(K, best + [entry.score for entry in part.found])
            await asyncio.sleep(_REST * (time.perf_counter() - began))


def recall_of(answered: Sequence[float], best: Sequence[float], metric: Metric) -> float:
    """The share of `best`, the true best scores in descending order, that was answered with products as good."""
    if not best:
        return 1.0
    good_enough = metric.as_good_as(np.array(best[-1:], np.float32))
    good = int(np.count_nonzero(np.array(answered, np.float32) >= good_enough))
    return min(good, len(best)) / len(best)
