"""Records ↔ columns: the row table of a shard, and the table of its live rows.

One row an image, sorted by product key, so that the rows of a product are neighbours; one live row a product, sorted
likewise. An attribute lives in a column named `attr:<type>:<name>`: a name used with two types gets two columns, and a
shard never refuses a product for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa

from vitrine.attributes import Attributes, AttributeValue
from vitrine.shards.keys import Keys, keys_of
from vitrine.shards.records import ImageRow, LiveVersion, ProductVersion, Tombstone
from vitrine.vectors import Vectors

FIXED_FIELDS: Final = (
    pa.field("product_id", pa.string(), nullable=False),
    pa.field("image_id", pa.string(), nullable=False),
    pa.field("uri", pa.string(), nullable=False),
    pa.field("sha256", pa.binary(32), nullable=False),
    pa.field("category", pa.string(), nullable=False),
    pa.field("event_time_us", pa.int64(), nullable=False),
    pa.field("expires_at_us", pa.int64()),
    pa.field("log_offset", pa.int64(), nullable=False),
)
TOMBSTONE_SCHEMA: Final = pa.schema(
    [pa.field("product_id", pa.string(), nullable=False), pa.field("log_offset", pa.int64(), nullable=False)]
)
LIVE_FIXED_FIELDS: Final = (
    pa.field("key", pa.uint64(), nullable=False),
    pa.field("product_id", pa.string(), nullable=False),
    pa.field("log_offset", pa.int64(), nullable=False),
)
_ATTRIBUTE_PREFIX: Final = "attr:"
_ATTRIBUTE_TYPES: Final = {"s": pa.string(), "n": pa.float64(), "b": pa.bool_(), "l": pa.list_(pa.string())}

AttributeType = Literal["s", "n", "b", "l"]


def live_batch(live: Iterable[LiveVersion]) -> pa.RecordBatch:
    """LIVE_FIXED_FIELDS and attribute columns, in key order; each product at most once."""
    listed = list(live)
    keys = keys_of(version.product_id for version in listed)
    order = np.argsort(keys, kind="stable")
    ordered = [listed[place] for place in order.tolist()]
    fixed = [
        pa.array(keys[order], pa.uint64()),
        pa.array([version.product_id for version in ordered], pa.string()),
        pa.array([version.log_offset for version in ordered], pa.int64()),
    ]
    arrays, fields = _attribute_arrays([version.attributes for version in ordered])
    return pa.RecordBatch.from_arrays([*fixed, *arrays], schema=pa.schema([*LIVE_FIXED_FIELDS, *fields]))


def no_live_rows() -> pa.RecordBatch:
    return live_batch(())


@dataclass(frozen=True)
class ShardTable:
    """The contents of a shard as columns, in key order.

    rows        one row an image (FIXED_FIELDS and attribute columns)
    keys        uint64, shape (rows,), ascending: the product key of each row
    vectors     float32 or float16, shape (rows, dim)
    tombstones  TOMBSTONE_SCHEMA
    live        one row a product (LIVE_FIXED_FIELDS and attribute columns)
    """

    rows: pa.RecordBatch
    keys: Keys
    vectors: Any  # float16 while it comes from rolled shards; numpy has no common static type for both
    tombstones: pa.RecordBatch
    live: pa.RecordBatch = field(default_factory=no_live_rows)


def table_of(
    versions: Sequence[ProductVersion],
    tombstones: Iterable[Tombstone],
    dim: int,
    live: Iterable[LiveVersion] = (),
) -> ShardTable:
    """Columns for product versions and tombstones, each product at most once among both together, and live rows."""
    ordered = sorted(versions, key=lambda version: version.product_id)
    owners = [version for version in ordered for _ in version.images]
    images = [image for version in ordered for image in version.images]
    vectors = np.stack([image.vector for image in images]) if images else np.zeros((0, dim), np.float32)
    keys = keys_of(owner.product_id for owner in owners)
    return in_key_order(_rows_batch(owners, images), keys, vectors, tombstone_batch(tombstones), live_batch(live))


def in_key_order(
    rows: pa.RecordBatch, keys: Keys, vectors: Any, tombstones: pa.RecordBatch, live: pa.RecordBatch
) -> ShardTable:
    """The same rows sorted by product key; rows of one product keep their order and stay together."""
    order = np.argsort(keys, kind="stable")
    return ShardTable(rows.take(pa.array(order)), keys[order], vectors[order], tombstones, live)


def attribute_column(kind: AttributeType, name: str) -> str:
    """The name of the column in which strings, numbers, bools or lists of an attribute stand."""
    return f"{_ATTRIBUTE_PREFIX}{kind}:{name}"


def attribute_columns(schema: pa.Schema) -> list[tuple[int, str]]:
    """(column index, attribute name) of every attribute column."""
    return [
        (index, name.split(":", 2)[2]) for index, name in enumerate(schema.names) if name.startswith(_ATTRIBUTE_PREFIX)
    ]


def with_columns(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """`batch` with every column of `schema`; columns it lacks are null."""
    names = set(batch.schema.names)
    columns = [
        batch.column(column.name) if column.name in names else pa.nulls(batch.num_rows, column.type)
        for column in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def vectors_column(vectors: Vectors) -> pa.Array:
    """A FixedSizeList column over `vectors`, shape (n, dim)."""
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])


def _rows_batch(owners: Sequence[ProductVersion], images: Sequence[ImageRow]) -> pa.RecordBatch:
    fixed = {
        "product_id": [owner.product_id for owner in owners],
        "image_id": [image.image_id for image in images],
        "uri": [image.uri for image in images],
        "sha256": [image.sha256 for image in images],
        "category": [owner.category for owner in owners],
        "event_time_us": [owner.event_time_us for owner in owners],
        "expires_at_us": [owner.expires_at_us for owner in owners],
        "log_offset": [owner.log_offset for owner in owners],
    }
    arrays, fields = _attribute_arrays([owner.attributes for owner in owners])
    arrays = [*(pa.array(fixed[entry.name], entry.type) for entry in FIXED_FIELDS), *arrays]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema([*FIXED_FIELDS, *fields]))


def _attribute_arrays(rows: Sequence[Attributes]) -> tuple[list[pa.Array], list[pa.Field]]:
    """One column an attribute and type, with a cell for each of `rows`."""
    arrays, fields = [], []
    for name, kind in sorted({(name, _kind(value)) for row in rows for name, value in row.items()}):
        arrays.append(pa.array([_cell(row.get(name), kind) for row in rows], _ATTRIBUTE_TYPES[kind]))
        fields.append(pa.field(attribute_column(kind, name), _ATTRIBUTE_TYPES[kind]))
    return arrays, fields


def tombstone_batch(tombstones: Iterable[Tombstone]) -> pa.RecordBatch:
    """TOMBSTONE_SCHEMA columns."""
    listed = list(tombstones)
    return pa.RecordBatch.from_arrays(
        [
            pa.array([tombstone.product_id for tombstone in listed], pa.string()),
            pa.array([tombstone.log_offset for tombstone in listed], pa.int64()),
        ],
        schema=TOMBSTONE_SCHEMA,
    )


def _kind(value: AttributeValue) -> AttributeType:
    if isinstance(value, str):
        return "s"
    if isinstance(value, bool):
        return "b"
    return "l" if isinstance(value, tuple) else "n"


def _cell(value: AttributeValue | None, kind: str) -> object:
    if value is None or _kind(value) != kind:
        return None
    return list(value) if isinstance(value, tuple) else value
