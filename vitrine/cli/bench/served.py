"""An index made straight from vectors, and the searchers and the gateway that serve it: no stream, no embedder."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vitrine.cli.stack import STORE_FOLDER, Stack, StackSettings, running_stack
from vitrine.index import settings as index_settings
from vitrine.index.manifest import Manifest, ManifestLog
from vitrine.index.settings import DEFAULT_INDEX, IndexSettings
from vitrine.index.shelf import Shelf
from vitrine.index.store import Store
from vitrine.runtime.errors import ConfigError
from vitrine.shards.build import TreeSettings, write_rolled
from vitrine.shards.keys import keys_of
from vitrine.shards.metric import ANGULAR
from vitrine.shards.table import FIXED_FIELDS, ShardTable, no_live_rows, tombstone_batch
from vitrine.stream.partitioning import partition_of

MODEL_ID: Final = "bench"
_SHA256_BYTES: Final = 32
_SEED: Final = 7


def index_of(
    vectors: npt.NDArray[np.floating[Any]],
    labels: pa.Table,
    folder: Path,
    *,
    partitions: int = 1,
    shards: int = 1,
    metric: str = ANGULAR,
    recall_target: float = 0.99,
) -> None:
    """Writes an index of `vectors` (rows, dim) into the store of a stack in `folder`, each row a product of its own.

    `labels`: a row each; `product_id`, each once, `category` if there is one, and attributes in all other columns.
    `shards`: rolled shards a partition, which share its rows evenly. `metric`, `recall_target`: as in index.json.
    Raises ConfigError (`folder`) where an index is there already.
    """
    trees = TreeSettings(recall_target, metric)
    store = Store.open(str(folder / STORE_FOLDER))
    index = index_settings.create_or_check(
        store,
        IndexSettings(DEFAULT_INDEX, vectors.shape[1], MODEL_ID, partitions, metric, recall_target=recall_target),
    )
    for partition, rows in enumerate(_rows_by_partition(labels["product_id"].to_pylist(), partitions)):
        shelf = Shelf(store, index.name, partition, folder / "cache")
        tables = (shard_table(vectors, labels, part) for part in np.array_split(rows, shards))
        entries = tuple(shelf.put(write_rolled(table, MODEL_ID, shelf.scratch, trees)) for table in tables)
        shelf.clear_scratch()
        now_us = time.time_ns() // 1_000
        manifest = Manifest(
            partition,
            version=1,
            next_offset=len(vectors),
            index_time_us=now_us,
            synced_us=now_us,
            created_us=now_us,
            shards=entries,
        )
        if not ManifestLog(store, index.name, partition).create(manifest):
            raise ConfigError("folder", f"{folder} holds an index already")


def shard_table(
    vectors: npt.NDArray[np.floating[Any]], labels: pa.Table, rows: npt.NDArray[np.int64] | None = None
) -> ShardTable:
    """Columns for `rows` (default: all) of `vectors` and `labels`, as `index_of` takes them."""
    rows = np.arange(len(vectors)) if rows is None else rows
    chosen = labels.take(pa.array(rows))
    # Bytes that differ, as those of pictures do, so that files have the size they would have.
    sha256s = np.random.default_rng((_SEED, len(rows))).bytes(_SHA256_BYTES * len(rows))
    fixed = {
        "product_id": chosen["product_id"],
        "image_id": pa.repeat(pa.scalar("0"), len(rows)),
        "uri": pa.repeat(pa.scalar(""), len(rows)),
        "sha256": pa.Array.from_buffers(pa.binary(_SHA256_BYTES), len(rows), [None, pa.py_buffer(sha256s)]),
        "category": _category(chosen),
        "event_time_us": pa.repeat(pa.scalar(0, pa.int64()), len(rows)),
        "expires_at_us": pa.nulls(len(rows), pa.int64()),
        "log_offset": pa.array(rows, pa.int64()),
    }
    columns = [_whole(fixed[field.name]).cast(field.type) for field in FIXED_FIELDS]
    attributes = _attributes(chosen)
    schema = pa.schema([*FIXED_FIELDS, *(pa.field(name, column.type) for name, column in attributes.items())])
    batch = pa.RecordBatch.from_arrays([*columns, *attributes.values()], schema=schema)
    keys = keys_of(batch.column("product_id").to_pylist())
    order = np.argsort(keys, kind="stable")
    # Vectors are copied once: of a million rows they take a gigabyte.
    return ShardTable(
        batch.take(pa.array(order)), keys[order], vectors[rows[order]], tombstone_batch(()), no_live_rows()
    )


@contextmanager
def served(
    folder: Path, model: Path, *, partitions: int = 1, searchers: int = 1, gateway_options: tuple[str, ...] = ()
) -> Iterator[Stack]:
    """Searchers and a gateway over the index that `index_of` made in `folder`, ready, and stopped at the end.

    `model`: a model folder, which is looked at but not loaded.
    """
    settings = StackSettings(
        folder, model, partitions=partitions, searchers=searchers, search_only=True, gateway_options=gateway_options
    )
    with running_stack(settings) as stack:
        yield stack


def _rows_by_partition(product_ids: Sequence[str], partitions: int) -> list[npt.NDArray[np.int64]]:
    if partitions == 1:
        return [np.arange(len(product_ids))]
    homes = np.fromiter((partition_of(product_id, partitions) for product_id in product_ids), np.int64)
    return [np.flatnonzero(homes == partition) for partition in range(partitions)]


def _category(labels: pa.Table) -> pa.ChunkedArray | pa.Array:
    if "category" not in labels.column_names:
        return pa.repeat(pa.scalar(""), labels.num_rows)
    return pc.fill_null(labels["category"].cast(pa.string()), "")


def _attributes(labels: pa.Table) -> dict[str, pa.Array]:
    """A column an attribute, named and typed as in a shard, in the order of those names."""
    found = {}
    for name in labels.column_names:
        if name not in ("product_id", "category"):
            kind, typed = _kind(labels.schema.field(name).type)
            found[f"attr:{kind}:{name}"] = _whole(labels[name]).cast(typed)
    return dict(sorted(found.items()))


def _kind(column: pa.DataType) -> tuple[str, pa.DataType]:
    if pa.types.is_boolean(column):
        return "b", pa.bool_()
    if pa.types.is_list(column):
        return "l", pa.list_(pa.string())
    if pa.types.is_integer(column) or pa.types.is_floating(column):
        return "n", pa.float64()
    return "s", pa.string()


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
