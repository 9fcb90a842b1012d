"""A condition reads the right cells of a column, wherever in its buffers they stand."""

from __future__ import annotations

import pyarrow as pa
import pytest

from vitrine.filters import Condition, any_string, is_bool, number
from vitrine.shards.conditions import rows_meeting

ROWS = 40


def every(period: int, value: object, otherwise: object) -> list[object]:
    """`value` in rows 0, period, …; then `otherwise`, then nothing, by turns."""
    return [value if row % period == 0 else (otherwise, None)[row % 2] for row in range(ROWS)]


BATCH = pa.RecordBatch.from_pydict(
    {
        "category": pa.array(["Shoes" if row % 3 == 0 else "" for row in range(ROWS)]),
        "attr:s:colour": pa.array(every(5, "red", "blue"), pa.string()),
        "attr:l:colour": pa.array(every(7, ["green", "red"], ["blue", "green"]), pa.list_(pa.string())),
        "attr:n:price": pa.array(every(4, 9.5, 20.0), pa.float64()),
        "attr:b:used": pa.array(every(3, True, False), pa.bool_()),
        "attr:l:none": pa.array([[]] * ROWS, pa.list_(pa.string())),
        "attr:s:null": pa.nulls(ROWS, pa.string()),
    }
)
# Under the nulls stands what would pass.
UNDER_NULLS = pa.RecordBatch.from_pydict(
    {
        "attr:n:price": pa.Array.from_buffers(
            pa.float64(), ROWS, [pa.py_buffer(b"\x01" + bytes(4)), pa.array([9.5] * ROWS).buffers()[1]]
        ),
        "attr:b:used": pa.Array.from_buffers(
            pa.bool_(), ROWS, [pa.py_buffer(b"\x01" + bytes(4)), pa.py_buffer(b"\xff" * 5)]
        ),
    }
)


@pytest.mark.parametrize("begin", [0, 1, 7, 8, 9, 31, ROWS])
@pytest.mark.parametrize("rows", [ROWS, 9, 1])
@pytest.mark.parametrize(
    ("condition", "period"),
    [
        (any_string("category", "Shoes", "x"), 3),
        (number("attributes.price", gte=9.5, lt=20), 4),
        (number("live.price", gt=9.4, lte=9.5), 4),
        (is_bool("attributes.used", True), 3),
    ],
)
def test_a_slice_meets_what_the_whole_meets(condition: Condition, period: int, begin: int, rows: int) -> None:
    sliced = BATCH.slice(begin, rows)

    met = rows_meeting(sliced, condition)

    wanted = [row % period == 0 for row in range(ROWS)][begin : begin + rows]
    assert ([False] * len(wanted) if met is None else met.tolist()) == wanted


@pytest.mark.parametrize("begin", [0, 1, 7, 8, 9, 31])
@pytest.mark.parametrize("rows", [ROWS, 9, 3])
def test_strings_and_lists_of_strings_are_one_field(begin: int, rows: int) -> None:
    met = rows_meeting(BATCH.slice(begin, rows), any_string("attributes.colour", "red"))

    assert met is not None
    assert met.tolist() == [row % 5 == 0 or row % 7 == 0 for row in range(ROWS)][begin : begin + rows]


def test_an_empty_list_holds_nothing() -> None:
    met = rows_meeting(BATCH, any_string("attributes.none", ""))

    assert met is not None
    assert not met.any()


@pytest.mark.parametrize(
    "condition", [any_string("attributes.null", "x"), number("category", gt=0), number("attributes.colour", gt=0)]
)
def test_a_field_without_a_value_of_the_type_is_met_nowhere(condition: Condition) -> None:
    assert rows_meeting(BATCH, condition) is None


@pytest.mark.parametrize("condition", [number("live.price", gt=0), is_bool("live.used", True)])
def test_what_stands_under_a_null_does_not_count(condition: Condition) -> None:
    met = rows_meeting(UNDER_NULLS, condition)

    assert met is not None
    assert met.tolist() == [True] + [False] * (ROWS - 1)
