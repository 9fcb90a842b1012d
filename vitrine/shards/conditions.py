"""Conditions of a filter, evaluated over the columns of a batch; and which attributes a batch has.

A batch is the rows of a shard, or its live rows. An attribute has a column for each type its values have.
"""

from __future__ import annotations

from functools import reduce
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vitrine.filters import CATEGORY, AnyString, Condition, IsBool, NumberRange
from vitrine.shards.cells import bits
from vitrine.shards.table import AttributeType, attribute_column, attribute_columns

Mask = npt.NDArray[np.bool_]

_KIND_NAMES: Final = {"s": "string", "n": "number", "b": "bool", "l": "string_list"}


def rows_meeting(batch: pa.RecordBatch, condition: Condition) -> Mask | None:
    """Which rows of `batch` meet the condition; None where it has no such field of a fitting type: none do.

    The namespace of the field, "attributes." or "live.", is what the caller chose the batch by.
    """
    field = condition.field
    match condition.test:
        case AnyString(values):
            wanted = pa.array(values, pa.string())
            found = [_is_any(column, wanted) for column in _columns(batch, field, "s")]
            found += [_holds_any(column, wanted) for column in _columns(batch, field, "l")]
        case NumberRange() as bounds:
            found = [_is_within(column, bounds) for column in _columns(batch, field, "n")]
        case IsBool(value):
            found = [_is_bool(column, value) for column in _columns(batch, field, "b")]
    return reduce(np.logical_or, found) if found else None


def kinds_of(batch: pa.RecordBatch) -> dict[str, frozenset[str]]:
    """The attributes that rows of `batch` have, and the kinds of their values.

    Kinds: "string", "number", "bool", "string_list".
    """
    found: dict[str, set[str]] = {}
    for index, name in attribute_columns(batch.schema):
        if batch.column(index).null_count < batch.num_rows:
            found.setdefault(name, set()).add(_KIND_NAMES[batch.schema.names[index].split(":", 2)[1]])
    return {name: frozenset(kinds) for name, kinds in found.items()}


def _columns(batch: pa.RecordBatch, field: str, kind: AttributeType) -> list[pa.Array]:
    """The column, if there is one and it holds anything."""
    if field == CATEGORY:
        return [batch.column(CATEGORY)] if kind == "s" else []
    index = batch.schema.get_field_index(attribute_column(kind, field.split(".", 1)[1]))
    return [batch.column(index)] if index >= 0 and batch.column(index).null_count < batch.num_rows else []


def _is_any(column: pa.Array, wanted: pa.Array) -> Mask:
    # Of a null too it says that it is none of them.
    met = pc.is_in(column, wanted)
    return bits(met.buffers()[1], met.offset, len(met))


def _holds_any(column: pa.Array, wanted: pa.Array) -> Mask:
    met = np.concatenate([[0], np.cumsum(_is_any(column.values, wanted))])
    ends = met[column.offsets.to_numpy()]
    return _but_nulls(column, ends[1:] > ends[:-1])


def _is_within(column: pa.Array, bounds: NumberRange) -> Mask:
    numbers = np.frombuffer(column.buffers()[1], np.float64)[column.offset :][: len(column)]
    met = np.ones(len(column), np.bool_)
    if bounds.gt is not None:
        met &= numbers > bounds.gt
    if bounds.gte is not None:
        met &= numbers >= bounds.gte
    if bounds.lt is not None:
        met &= numbers < bounds.lt
    if bounds.lte is not None:
        met &= numbers <= bounds.lte
    return _but_nulls(column, met)


def _is_bool(column: pa.Array, value: bool) -> Mask:
    return _but_nulls(column, bits(column.buffers()[1], column.offset, len(column)) == value)


def _but_nulls(column: pa.Array, met: Mask) -> Mask:
    """What stands in the buffers where a cell is null means nothing."""
    if column.null_count:
        met &= bits(column.buffers()[0], column.offset, len(column))
    return met
