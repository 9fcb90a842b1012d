"""The search itself, in this thread: no calls, no messages."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from vitrine.filters import Filter
from vitrine.runtime.cores import one_blas_thread
from vitrine.shards.masks import Masks
from vitrine.shards.query import Answer, Query
from vitrine.shards.search import answers
from vitrine.shards.snapshot import Snapshot
from vitrine.vectors import Vectors

PASSES: Final = 5


class Core:
    """A snapshot and the masks kept for it."""

    def __init__(self, snapshot: Snapshot) -> None:
        one_blas_thread()  # as in a searcher; and threads of its own would hide what they cost
        self._snapshot = snapshot
        self._masks = Masks()

    def answers(self, queries: Vectors, k: int, wanted: Filter | None = None, batch: int = 1) -> list[Answer]:
        """`queries`, float32, shape (q, dim), searched `batch` at a time."""
        asked = [Query(query, k, filter=wanted) for query in queries]
        parts = (asked[begin : begin + batch] for begin in range(0, len(asked), batch))
        return [answer for part in parts for answer in answers([self._snapshot], part, self._masks)]

    def found(self, queries: Vectors, k: int, wanted: Filter | None = None) -> list[list[str]]:
        """The products answered to each of `queries`, best first."""
        return [products_of(answer) for answer in self.answers(queries, k, wanted)]

    def query_us(self, queries: Vectors, k: int, wanted: Filter | None = None, batch: int = 1) -> float:
        """CPU time of a query: the median of a few passes over `queries`, after one that fills caches."""
        self.answers(queries, k, wanted, batch)
        return round(float(np.median([self._pass_us(queries, k, wanted, batch) for _ in range(PASSES)])), 1)

    def _pass_us(self, queries: Vectors, k: int, wanted: Filter | None, batch: int) -> float:
        began = time.thread_time()
        self.answers(queries, k, wanted, batch)
        return (time.thread_time() - began) / len(queries) * 1e6


def products_of(answer: Answer) -> list[str]:
    return [entry.shard.product_id(entry.row) for entry in answer.found]


def methods(found: Sequence[Answer]) -> dict[str, int]:
    """How shards were searched, and how often; what came after a first way that found too few is told apart."""
    plans = [plan for answer in found for shards in answer.plans for plan in shards]
    return dict(Counter(f"fell back to {plan.method}" if plan.fell_back else plan.method for plan in plans))
