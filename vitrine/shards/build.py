"""Columns → a shard on disk.

Fresh shards are one small file; rolled ones carry a tree and what a search of it was measured to need.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from vitrine.shards import files, tree
from vitrine.shards.calibrate import calibrated
from vitrine.shards.files import FileFacts, Kind, SearchPlan, ShardFacts
from vitrine.shards.scoring import product_starts_of
from vitrine.shards.table import ShardTable, vectors_column, with_columns

# Below this many rows scoring them all is as fast as a tree.
TREE_MIN_ROWS: Final = 1024
EXACT_PLAN: Final = SearchPlan("exact")


@dataclass(frozen=True)
class TreeSettings:
    """How trees are built. `recall_target`: what the lower 95 % bound of measured recall must reach."""

    recall_target: float = 0.99
    trees: int = 20
    projected_dim: int = 64


def write_fresh(table: ShardTable, model_id: str, parent: Path) -> Path:
    """Writes a fresh shard under `parent`. Returns its folder, named by a random id that is never reused."""
    folder = _new_folder(parent)
    vectors = np.ascontiguousarray(table.vectors, dtype=np.float32)
    schema = pa.schema([*(field.with_nullable(True) for field in table.rows.schema)])
    rows = with_columns(table.rows, schema).append_column("vector", vectors_column(vectors))
    batch = pa.concat_batches([rows, with_columns(table.tombstones, rows.schema)])
    _write_batch(batch, folder / files.FRESH_FILE)
    _write_live(table, folder)
    _write_facts(table, "fresh", model_id, EXACT_PLAN, folder)
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
    _write_facts(stored, "rolled", model_id, plan, folder)
    return folder


def _plant(table: ShardTable, folder: Path, settings: TreeSettings) -> SearchPlan:
    projection, variance = tree.fit_projection(table.vectors, settings.projected_dim)
    projected = np.concatenate([np.asarray(part, np.float32) @ projection for part in _parts(table.vectors)])
    path = folder / files.TREE_FILE
    tree.build(projected, settings.trees, path)
    np.save(folder / files.PROJECTION_FILE, projection)
    opened = tree.Tree.open(path, projection.shape[1], len(projected))
    return calibrated(table, opened, projection, variance, settings.trees, settings.recall_target)


def _parts(vectors: np.ndarray, rows: int = 65_536) -> list[np.ndarray]:
    return [vectors[begin : begin + rows] for begin in range(0, len(vectors), rows)]


def _write_facts(table: ShardTable, kind: Kind, model_id: str, plan: SearchPlan, folder: Path) -> None:
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
