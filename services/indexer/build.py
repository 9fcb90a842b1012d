"""Step 3: the changes of one commit → the folder of one fresh shard."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from vitrine.shards.build import write_fresh
from vitrine.shards.merge import merged_table
from vitrine.shards.records import Change, ProductVersion, Tombstone
from vitrine.shards.shard import Shard
from vitrine.shards.snapshot import Snapshot
from vitrine.shards.table import table_of


def build_fresh(changes: Iterable[Change], dim: int, model_id: str, scratch: Path) -> Path:
    """Writes a fresh shard under `scratch`. Of several changes to one product the last one counts."""
    last = {change.product_id: change for change in changes}
    versions = [change for change in last.values() if isinstance(change, ProductVersion)]
    tombstones = [change for change in last.values() if isinstance(change, Tombstone)]
    return write_fresh(table_of(versions, tombstones, dim), model_id, scratch)


def merge_fresh(shards: Sequence[Shard], model_id: str, reaches_oldest: bool, scratch: Path) -> Path:
    """Writes one fresh shard with what is alive of the newest `shards` of a partition, oldest first."""
    dim = shards[0].facts.dim
    snapshot = Snapshot.of(shards, dim, time.time_ns() // 1_000)
    return write_fresh(merged_table(snapshot.shards, reaches_oldest), model_id, scratch)
