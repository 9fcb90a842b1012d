"""Indexes of a vector set, built in a process of their own, so that what that takes can be told."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from vitrine.cli.bench.process_cost import peak_of_new_processes
from vitrine.cli.bench.served import index_of
from vitrine.cli.bench.vector_set import VectorSet
from vitrine.cli.stack import STORE_FOLDER
from vitrine.index.manifest import ManifestLog
from vitrine.index.settings import DEFAULT_INDEX
from vitrine.index.shelf import Shelf
from vitrine.index.store import Store
from vitrine.runtime.cores import one_blas_thread
from vitrine.shards import files
from vitrine.shards.files import ShardFacts
from vitrine.shards.shard import Shard
from vitrine.shards.snapshot import Snapshot

_SEARCHED_FILES: Final = {
    "vectors": files.VECTORS_FILE,
    "tree": files.TREE_FILE,
    "projected": files.PROJECTED_FILE,
    "projection": files.PROJECTION_FILE,
}
_ATTRIBUTE_PREFIX: Final = "attr:"


@dataclass(frozen=True)
class Wanted:
    """What to index: the first `rows` of the set in `source`. `extra`: more attributes, a column each of `rows`."""

    source: Path
    rows: int
    shards: int = 1
    metric: str = "angular"
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Built:
    """An index in the store of a stack in `folder`. `seconds`: from the mapped vectors to a manifest, all synced.

    `peak_private_bytes`: memory of the process that built it, files that it maps not counted.
    """

    folder: Path
    seconds: float
    peak_private_bytes: int | None

    @property
    def shard_folders(self) -> list[Path]:
        """Of partition 0, oldest first."""
        store = Store.open(str(self.folder / STORE_FOLDER))
        shelf = Shelf(store, DEFAULT_INDEX, 0, self.folder / "cache")
        manifest, _ = ManifestLog(store, DEFAULT_INDEX, 0).latest()
        return [shelf.folder(entry) for entry in manifest.shards]

    @property
    def facts(self) -> list[ShardFacts]:
        return [
            ShardFacts.from_json((folder / files.FACTS_FILE).read_bytes(), folder.name) for folder in self.shard_folders
        ]

    def snapshot(self) -> Snapshot:
        """All of it, open in this process."""
        shards = [Shard.open(folder) for folder in self.shard_folders]
        return Snapshot.of(shards, shards[0].facts.dim, time.time_ns() // 1_000)

    def fields(self) -> dict[str, Any]:
        """What it took and what it is, for a result."""
        peak = self.peak_private_bytes
        return {
            "build_s": round(self.seconds, 2),
            "build_peak_private_mb": None if peak is None else round(peak / 1e6, 1),
            "bytes_per_row": bytes_per_row(self.shard_folders),
            "trees": [facts.plan.trees for facts in self.facts],
            "target_reached": all(facts.plan.reached for facts in self.facts),
        }


def build(wanted: Wanted, folder: Path) -> Built:
    """Indexes it in the store of a stack in `folder`, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with peak_of_new_processes() as peak, ProcessPoolExecutor(1, context) as pool:
        seconds = pool.submit(_build, wanted, folder).result()
    return Built(folder, seconds, peak.private_bytes)


def bytes_per_row(folders: Sequence[Path]) -> dict[str, float]:
    """Size of what these shards hold, by what it is for, divided by their rows.

    searched = vectors + tree + projected + projection; rows.arrow in its parts: uri, attributes (category too), rest.
    """
    rows, sizes = 0, dict.fromkeys([*_SEARCHED_FILES, "keys", "uri", "attributes", "rest_of_rows"], 0)
    for folder in folders:
        facts = ShardFacts.from_json((folder / files.FACTS_FILE).read_bytes(), folder.name)
        rows += facts.rows
        for name, file in [*_SEARCHED_FILES.items(), ("keys", files.KEYS_FILE)]:
            sizes[name] += facts.files[file].size_bytes if file in facts.files else 0
        uri, attributes = _column_bytes(folder / files.ROWS_FILE)
        sizes["uri"] += uri
        sizes["attributes"] += attributes
        sizes["rest_of_rows"] += facts.files[files.ROWS_FILE].size_bytes - uri - attributes
    searched = sum(sizes[name] for name in _SEARCHED_FILES)
    return {name: round(size / rows, 1) for name, size in [("searched", searched), *sizes.items()]}


def _build(wanted: Wanted, folder: Path) -> float:
    one_blas_thread()  # as in the process that builds an indexer's shards
    source = VectorSet.open(wanted.source, wanted.rows)
    labels = source.labels
    for name, column in wanted.extra.items():
        labels = labels.append_column(name, pa.array(column))
    began = time.perf_counter()
    index_of(source.vectors, labels, folder, shards=wanted.shards, metric=wanted.metric)
    return time.perf_counter() - began


def _column_bytes(path: Path) -> tuple[int, int]:
    """Of the column `uri`, and of category and attributes."""
    with pa.memory_map(str(path)) as source:
        batch = pa.ipc.open_file(source).get_batch(0)
        names: Iterable[str] = batch.schema.names
        attributes = [name for name in names if name == "category" or name.startswith(_ATTRIBUTE_PREFIX)]
        return batch.column("uri").nbytes, sum(batch.column(name).nbytes for name in attributes)
