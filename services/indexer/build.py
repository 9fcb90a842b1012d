"""Step 3: the changes of one commit → the folder of one fresh shard."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from services.indexer.source import MAX_AHEAD_US
from vitrine.index.settings import IndexSettings
from vitrine.runtime import failpoints
from vitrine.runtime.errors import StoreUnavailable
from vitrine.shards.build import write_fresh
from vitrine.shards.merge import merged_table
from vitrine.shards.records import Change, LiveVersion, ProductVersion, Tombstone
from vitrine.shards.shard import Shard
from vitrine.shards.snapshot import Snapshot
from vitrine.shards.table import table_of

Versioned = TypeVar("Versioned", Change, LiveVersion)


def newest(changes: Iterable[Versioned]) -> list[Versioned]:
    """The newest change of each product, by its place in the log: an event that is published again keeps its own."""
    by_product: dict[str, Versioned] = {}
    for change in changes:
        known = by_product.get(change.product_id)
        if known is None or change.log_offset >= known.log_offset:
            by_product[change.product_id] = change
    return list(by_product.values())


def build_fresh(changes: Sequence[Change], live: Sequence[LiveVersion], index: IndexSettings, scratch: Path) -> Path:
    """Writes a fresh shard under `scratch`: at most one change, and one live version, a product."""
    versions = [change for change in changes if isinstance(change, ProductVersion)]
    tombstones = [change for change in changes if isinstance(change, Tombstone)]
    with failpoints.step("build"):
        table = table_of(versions, tombstones, index.dim, live)
        return whole(lambda draft: write_fresh(table, index.model_id, draft, index.metric), scratch)


def merge_fresh(shards: Sequence[Shard], index: IndexSettings, reaches_oldest: bool, scratch: Path) -> Path:
    """Writes one fresh shard with what is alive of the newest `shards` of a partition, oldest first."""
    snapshot = Snapshot.of(shards, index.dim, surely_expired_us())
    table = merged_table(snapshot.shards, reaches_oldest)
    return whole(lambda draft: write_fresh(table, index.model_id, draft, index.metric), scratch)


def surely_expired_us() -> int:
    """Rows that expired before this moment are dropped for good. Those that did since may not have: the clock here may
    be ahead. Searchers hide them all the same.
    """
    return time.time_ns() // 1_000 - MAX_AHEAD_US


def whole(write: Callable[[Path], Path], scratch: Path) -> Path:
    """The folder that `write` makes below the one it is given, moved to `scratch`; or nothing, where it fails.

    Raises StoreUnavailable where the folder cannot be written: a full disk is a store that refuses, and what was
    written until then must not fill it further at every retry.
    """
    draft = scratch / f"{uuid.uuid4().hex}.draft"
    try:
        built = write(draft)
        return built.rename(scratch / built.name)
    except OSError as error:
        raise StoreUnavailable(f"store: cannot build a shard in {scratch.parent} ({error})") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
