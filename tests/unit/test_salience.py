"""From a coarse map to one box."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from vitrine.images import CropBox
from vitrine.salience import proposed_box, with_margin


def nothing() -> npt.NDArray[np.float32]:
    """A map without product. float32, shape (10, 10)."""
    return np.full((10, 10), 0.02, np.float32)


def test_a_box_goes_around_the_product() -> None:
    cells = nothing()
    cells[2:6, 3:9] = 1
    assert proposed_box(cells) == pytest.approx((0.3, 0.2, 0.9, 0.6), abs=0.02)


def test_an_edge_lies_where_a_cell_is_partly_covered() -> None:
    cells = nothing()
    cells[2:8, 2:7] = 1
    cells[2:8, 7] = 0.5
    box = proposed_box(cells)
    assert box is not None
    assert box.right == pytest.approx(0.75, abs=0.02)


def test_nothing_is_proposed_where_nothing_stands_out() -> None:
    assert proposed_box(nothing()) is None
    assert proposed_box(np.full((10, 10), 0.49, np.float32)) is None
    assert proposed_box(np.full((10, 10), np.nan, np.float32)) is None


def test_of_two_things_the_larger_one_is_proposed() -> None:
    cells = nothing()
    cells[4:9, 4:9] = 0.9
    cells[0:2, 0:2] = 1
    assert proposed_box(cells) == pytest.approx((0.4, 0.4, 0.9, 0.9), abs=0.02)


def test_things_that_touch_at_a_corner_are_one() -> None:
    cells = nothing()
    cells[2:4, 2:4] = 1
    cells[4:6, 4:6] = 1
    assert proposed_box(cells) == pytest.approx((0.2, 0.2, 0.6, 0.6), abs=0.02)


def test_a_product_that_touches_the_edge_is_boxed_to_the_edge() -> None:
    box = proposed_box(np.ones((10, 10), np.float32))
    assert box == (0, 0, 1, 1)


def test_a_map_need_not_be_square() -> None:
    cells = np.zeros((4, 8), np.float32)
    cells[1:3, 2:4] = 1
    assert proposed_box(cells) == pytest.approx((0.25, 0.25, 0.5, 0.75), abs=0.02)


def test_a_proposed_box_is_an_acceptable_crop() -> None:
    random = np.random.default_rng(2)
    for _ in range(200):
        box = proposed_box(random.random((10, 10), dtype=np.float32))
        assert box is not None
        box.validated()


def test_a_margin_goes_all_around_and_ends_with_the_picture() -> None:
    box = with_margin(CropBox(0.4, 0.02, 0.6, 0.52))
    assert box.left == pytest.approx(1 - box.right)
    assert 0.35 < box.left < 0.4
    assert box.top == 0
    assert 0.52 < box.bottom < 0.6
    assert with_margin(CropBox(0, 0, 1, 1)) == (0, 0, 1, 1)
