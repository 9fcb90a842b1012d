"""Step 5: which shards become one rolled shard, and the building of it in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.indexer.build import surely_expired_us, whole
from vitrine.index.manifest import ShardEntry
from vitrine.index.settings import IndexSettings
from vitrine.runtime.cores import one_blas_thread
from vitrine.runtime.errors import Unavailable
from vitrine.shards.build import TreeSettings, write_rolled
from vitrine.shards.merge import merged_table
from vitrine.shards.shard import Shard
from vitrine.shards.snapshot import Snapshot

# A shard joins the newer ones after it once it is at most this many times their size: few shards, and a row is
# rewritten about log(size) times.
TIER_FACTOR: Final = 3
# A shard of which more than this is dead is rewritten.
DEAD_SHARE: Final = 0.3

_PARENT_INTERVAL_S: Final = 1.0


# A live row weighs this part of a row with a vector: a hundred bytes against one or two thousand.
LIVE_WEIGHT: Final = 1 / 16


@dataclass(frozen=True)
class RollRules:
    """When fresh shards are rolled. `rows`: live rows count by their weight."""

    rows: int
    idle_rows: int
    idle_s: float
    age_s: float
    survey_interval_s: float

    def due(self, fresh: Sequence[ShardEntry], idle_s: float, age_s: float) -> bool:
        """`idle_s`: since the last change. `age_s`: since the oldest of `fresh` was made."""
        weight = _weight(fresh)
        return weight >= self.rows or (weight >= self.idle_rows and idle_s >= self.idle_s) or age_s >= self.age_s


@dataclass(frozen=True)
class Run:
    """Neighbouring shards of one partition that become one. `fresh`: some of them are fresh."""

    entries: tuple[ShardEntry, ...]

    @property
    def fresh(self) -> bool:
        return any(entry.kind == "fresh" for entry in self.entries)


def chosen_run(shards: Sequence[ShardEntry], roll_fresh: bool) -> Run | None:
    """What to merge next: the fresh shards if they are due, and older ones that are not much bigger; or None."""
    first = len(shards)
    while first > 0 and shards[first - 1].kind == "fresh":
        first -= 1
    rolls = roll_fresh and first < len(shards)
    end = len(shards) if rolls else first
    begin = first if rolls else end - 1
    while begin > 0 and _joins(shards[begin - 1], shards[begin:end]):
        begin -= 1
    entries = tuple(shards[max(0, begin) : end])
    has_fresh = any(entry.kind == "fresh" for entry in entries)
    return Run(entries) if entries and (has_fresh or len(entries) > 1) else None


def build_rolled(
    folders: Sequence[Path], run_length: int, reaches_oldest: bool, index: IndexSettings, scratch: Path
) -> Path:
    """Merges the first `run_length` of `folders` (the run and all newer shards, oldest first). Returns the new folder.

    Raises Unavailable if that process dies, and what `merge_rolled` raises. It is one of its own so that commits and
    calls go on, and spawned because a fork would copy grpc's threads in an unknown state.
    """
    try:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context, _end_with_parent, (os.getpid(),)) as pool:
            return pool.submit(merge_rolled, list(folders), run_length, reaches_oldest, index, scratch).result()
    except BrokenProcessPool as error:
        raise Unavailable("the process that built a rolled shard was killed") from error


def abort_builds() -> None:
    """Ends builds under way, so that a stop need not wait for them. They leave nothing but scratch files."""
    for process in multiprocessing.active_children():
        process.terminate()


def merge_rolled(
    folders: Sequence[Path], run_length: int, reaches_oldest: bool, index: IndexSettings, scratch: Path
) -> Path:
    """What `build_rolled` does, in this process. Blocks. Raises CorruptShard, StoreUnavailable."""
    one_blas_thread()
    shards = [Shard.open(folder) for folder in folders]
    run = Snapshot.of(shards, index.dim, surely_expired_us()).shards[:run_length]
    table = merged_table(run, reaches_oldest)
    settings = TreeSettings(index.recall_target, index.metric)
    return whole(lambda draft: write_rolled(table, index.model_id, draft, settings), scratch)


def _end_with_parent(parent_pid: int) -> None:
    """A build does not outlive an indexer that was killed: its process would wait for work for ever."""

    def watch() -> None:
        while os.getppid() == parent_pid:
            time.sleep(_PARENT_INTERVAL_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _joins(older: ShardEntry, run: Sequence[ShardEntry]) -> bool:
    """By rows too: a run of live rows only never has vectors written again."""
    if older.rows > TIER_FACTOR * sum(entry.rows for entry in run):
        return False
    return _weight([older]) <= TIER_FACTOR * _weight(run)


def _weight(entries: Sequence[ShardEntry]) -> float:
    return sum(entry.rows + LIVE_WEIGHT * entry.live_rows for entry in entries)
