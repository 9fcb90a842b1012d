"""What looks at every row: few at once, and each in steps of a few milliseconds, so that others search in between."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from services.searcher import metrics
from services.searcher.query import AskedScan
from vitrine.runtime.errors import ResourceExhausted
from vitrine.shards import search
from vitrine.shards.masks import Masks
from vitrine.shards.query import Found
from vitrine.shards.snapshot import Snapshot

RETRY_AFTER_S: Final = 1.0


class Scans:
    """At most `bound` at once."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._running = 0

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Raises ResourceExhausted."""
        if self._running >= self._bound:
            metrics.SCANS_REFUSED.inc()
            raise ResourceExhausted(f"{self._running} scans are running, as many as are allowed at once", RETRY_AFTER_S)
        self._running += 1
        metrics.SCANS_RUNNING.set(self._running)
        try:
            yield
        finally:
            self._running -= 1
            metrics.SCANS_RUNNING.set(self._running)


class PartitionScan:
    """The scan of one partition. `rows_scored`, `scoring_s`: what it has cost so far."""

    def __init__(self, snapshot: Snapshot, asked: AskedScan, masks: Masks) -> None:
        self.rows_scored = 0
        self.scoring_s = 0.0
        self._exclude = asked.exclude
        self._parts = search.scan(snapshot, asked.vector, asked.min_score, asked.filter, masks)

    def step(self) -> list[Found] | None:
        """What the next step finds; None at the end. Blocks, for some milliseconds."""
        began = time.perf_counter()
        part = next(self._parts, None)
        self.scoring_s += time.perf_counter() - began
        if part is None:
            return None
        self.rows_scored += part.rows_scored
        return [entry for entry in part.found if entry.shard.product_id(entry.row) != self._exclude]
