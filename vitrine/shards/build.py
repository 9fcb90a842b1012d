"""Columns → a shard on disk.

Fresh shards are one small file; rolled ones carry a tree and what a search of it was measured to need.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from vitrine.shards import files, space, tree
from vitrine.shards.calibrate import calibrated
from vitrine.shards.files import FileFacts, Kind, SearchPlan, ShardFacts
from vitrine.shards.metric import ANGULAR, metric_of
from vitrine.shards.scoring import Gallery, product_starts_of
from vitrine.shards.shard import FirstStage
from vitrine.shards.space import ScannedSpace, Space
from vitrine.shards.table import ShardTable, vectors_column, with_columns
from vitrine.shards.tree import Tree

# Below this many rows scoring them all is as fast as a tree.
TREE_MIN_ROWS: Final = 1024
EXACT_PLAN: Final = SearchPlan("exact")

# From so many rows on, a tree finds what a scan of its space would find for less.
_BIG_ROWS: Final = 32_768
# Rows projected at a time: a build of a million rows holds a few MB of them, not gigabytes.
_PART_ROWS: Final = 16_384


@dataclass(frozen=True)
class TreeSettings:
    """How trees are built.

    recall_target   what the lower 95 % bound of measured recall must reach
    metric          of the index (see metric.py)
    trees           0: by size
    projected_dim   principal directions; with a half square behind them, rows of 63 are 256 bytes long
    """

    recall_target: float = 0.99
    metric: str = ANGULAR
    trees: int = 0
    projected_dim: int = 63

    def trees_for(self, rows: int) -> int:
        """More of them find more by inspecting fewer nodes, and take room (docs/search.md has the figures)."""
        return self.trees or (20 if rows >= _BIG_ROWS else 5)


def write_fresh(table: ShardTable, model_id: str, parent: Path, metric: str = ANGULAR) -> Path:
    """Writes a fresh shard under `parent`. Returns its folder, named by a random id that is never reused."""
    folder = _new_folder(parent)
    # As they will be once they are rolled, so that a product keeps its score and its place in a ranking.
    vectors = np.ascontiguousarray(table.vectors, dtype=np.float16).astype(np.float32)
    schema = pa.schema([*(field.with_nullable(True) for field in table.rows.schema)])
    rows = with_columns(table.rows, schema).append_column("vector", vectors_column(vectors))
    batch = pa.concat_batches([rows, with_columns(table.tombstones, rows.schema)])
    _write_batch(batch, folder / files.FRESH_FILE)
    _write_live(table, folder)
    _write_facts(table, "fresh", model_id, metric, EXACT_PLAN, folder)
    return folder


def write_rolled(table: ShardTable, model_id: str, parent: Path, settings: TreeSettings) -> Path:
    """Writes a rolled shard under `parent`, with a tree if it is worth one and annoy is there. Returns its folder."""
    folder = _new_folder(parent)
    vectors = np.ascontiguousarray(table.vectors, dtype=np.float16)
    _write_batch(table.rows, folder / files.ROWS_FILE)
    _write_batch(table.tombstones, folder / files.TOMBSTONES_FILE)
    np.save(folder / files.KEYS_FILE, table.keys)
    np.save(folder / files.VECTORS_FILE, vectors)
    _write_live(table, folder)
    stored = replace(table, vectors=vectors)
    plan = _plant(stored, folder, settings) if len(vectors) >= TREE_MIN_ROWS and tree.available() else EXACT_PLAN
    _write_facts(stored, "rolled", model_id, settings.metric, plan, folder)
    return folder


def _plant(table: ShardTable, folder: Path, settings: TreeSettings) -> SearchPlan:
    """Writes the tree and what belongs to it. Returns how it is to be searched."""
    fitted, variance = space.fitted(settings.metric, table.vectors, settings.projected_dim)
    parameters, trees = fitted.parameters(), settings.trees_for(len(table.vectors))
    if parameters is not None:
        np.save(folder / files.PROJECTION_FILE, parameters)
    projected = _write_projected(fitted, table.vectors, folder / files.PROJECTED_FILE)
    path = folder / files.TREE_FILE
    tree.build(map(fitted.project, _parts(table.vectors)), fitted.dim, fitted.tree_metric, trees, path)
    stage = FirstStage(Tree.open(path, fitted.dim, len(table.vectors), fitted.tree_metric), fitted, projected)
    plan = SearchPlan(
        "tree",
        trees=trees,
        projected_dim=fitted.dim,
        projection_variance=variance,
        recall_target=settings.recall_target,
    )
    starts = product_starts_of(table.keys, table.rows.column("product_id"))
    return calibrated(Gallery.of(table.vectors, starts), metric_of(settings.metric), stage, plan)


def _write_projected(fitted: Space, vectors: Any, path: Path) -> Any:
    """What scans of the space read, written and mapped; None where there are no such scans."""
    if not isinstance(fitted, ScannedSpace):
        return None
    written = None
    row = 0
    for part in _parts(vectors):
        stored = fitted.stored(fitted.project(part))
        if written is None:
            shape = (len(vectors), stored.shape[1])
            written = np.lib.format.open_memmap(path, "w+", stored.dtype, shape)
        written[row : row + len(stored)] = stored
        row += len(stored)
    assert written is not None
    written.flush()
    return np.asarray(written)


def _parts(vectors: Any) -> Iterator[Any]:
    for begin in range(0, len(vectors), _PART_ROWS):
        yield vectors[begin : begin + _PART_ROWS]


def _write_facts(table: ShardTable, kind: Kind, model_id: str, metric: str, plan: SearchPlan, folder: Path) -> None:
    measured: dict[str, FileFacts] = {path.name: files.measure(path) for path in sorted(folder.iterdir())}
    facts = ShardFacts(
        shard_id=folder.name,
        kind=kind,
        rows=len(table.keys),
        products=len(product_starts_of(table.keys, table.rows.column("product_id"))) - 1,
        tombstones=table.tombstones.num_rows,
        dim=table.vectors.shape[1],
        model_id=model_id,
        plan=plan,
        files=measured,
        live_rows=table.live.num_rows,
        metric=metric,
    )
    (folder / files.FACTS_FILE).write_bytes(facts.to_json())


def _write_live(table: ShardTable, folder: Path) -> None:
    if table.live.num_rows:
        _write_batch(table.live, folder / files.LIVE_FILE)


def _write_batch(batch: pa.RecordBatch, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)


def _new_folder(parent: Path) -> Path:
    folder = parent / uuid.uuid4().hex
    folder.mkdir(parents=True)
    return folder
