"""Vectors from the wire are unit vectors or they are refused."""

from __future__ import annotations

import numpy as np
import pytest

from tests.builders import scattered
from vitrine.runtime.errors import InvalidArgument
from vitrine.vectors import Vectors, from_wire, rows_from_wire, to_wire, unit


def wire(*numbers: float) -> bytes:
    return np.array(numbers, "<f4").tobytes()


def test_a_unit_vector_survives_the_wire() -> None:
    vector = scattered(np.random.default_rng(0), 1, 512)[0]

    np.testing.assert_allclose(from_wire(to_wire(vector), 512), vector, atol=1e-7)


def test_the_wire_is_little_endian_float32() -> None:
    assert to_wire(np.array([1, -2], np.float32)) == bytes.fromhex("0000803f 000000c0")


def test_rows_follow_each_other_whatever_the_memory_order() -> None:
    matrix = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))

    assert to_wire(matrix) == wire(0, 1, 2, 3, 4, 5)


def test_float64_is_sent_as_float32() -> None:
    doubles: Vectors = np.array([0.1, 0.2])

    assert to_wire(doubles) == wire(0.1, 0.2)


@pytest.mark.parametrize("scale", [1e-44, 1e-30, 1e-20, 1e-3, 1, 1e3, 1e20, 1e38])
def test_any_length_is_scaled_to_one(scale: float) -> None:
    vector = from_wire(wire(3 * scale, 0, 2.99 * scale, 0), 4)

    assert float(np.linalg.norm(vector)) == pytest.approx(1, abs=1e-6)


def test_the_direction_is_kept() -> None:
    np.testing.assert_allclose(from_wire(wire(3, 4), 2), [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("size", [0, 1, 15, 17, 20])
def test_a_wrong_length_is_refused_with_the_field(size: int) -> None:
    with pytest.raises(InvalidArgument, match="expected 16") as caught:
        from_wire(bytes(size), 4, "query.vector")

    assert caught.value.field == "query.vector"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_none_is_refused(number: float) -> None:
    with pytest.raises(InvalidArgument, match="NaN or infinite"):
        from_wire(wire(1, number, 0), 3)


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_all_zeros_have_no_direction(zero: float) -> None:
    with pytest.raises(InvalidArgument, match="no direction"):
        from_wire(wire(zero, zero), 2)


def test_the_largest_numbers_do_not_overflow() -> None:
    largest = float(np.finfo(np.float32).max)

    np.testing.assert_allclose(from_wire(wire(*[largest] * 4), 4), [0.5] * 4)


def test_the_answer_may_be_written_to() -> None:
    from_wire(wire(1, 0), 2)[0] = 0


def test_many_rows_are_read_as_one_by_one() -> None:
    rows = [to_wire(7 * row) for row in scattered(np.random.default_rng(0), 20)]

    np.testing.assert_array_equal(rows_from_wire(rows, 8), [from_wire(row, 8) for row in rows])
    assert rows_from_wire([], 8).shape == (0, 8)


@pytest.mark.parametrize("bad", [wire(1), wire(1, 2, 3), wire(np.nan, 1), wire(np.inf, 1), wire(0, 0)])
def test_one_bad_row_is_not_read_with_the_others(bad: bytes) -> None:
    with pytest.raises(InvalidArgument, match="vector"):
        rows_from_wire([wire(1, 0), bad], 2)


def test_rows_of_wrong_lengths_do_not_make_up_for_each_other() -> None:
    with pytest.raises(InvalidArgument):
        rows_from_wire([wire(1), wire(1, 2, 3)], 2)


def test_unit_scales_row_by_row() -> None:
    scaled = unit(np.array([[3, 4], [0, 0.5]], np.float32))

    np.testing.assert_allclose(scaled.ravel(), [0.6, 0.8, 0, 1], rtol=1e-6)


def test_unit_leaves_a_zero_row_zero() -> None:
    assert not unit(np.zeros((2, 3), np.float32)).any()


def test_unit_takes_no_rows() -> None:
    assert unit(np.zeros((0, 3), np.float32)).shape == (0, 3)
