"""Composed pictures to measure on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch")

import torch

from training.scenes import heldout

RED = (200, 30, 40)


def squares(n: int = 6, side_px: int = 40) -> npt.NDArray[np.uint8]:
    """Red squares in the middle of white. uint8, shape (n, 80, 80, 3)."""
    pixels = np.full((n, 80, 80, 3), 255, dtype=np.uint8)
    start = (80 - side_px) // 2
    pixels[:, start : start + side_px, start : start + side_px] = RED
    return pixels


def red(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    near: npt.NDArray[np.bool_] = np.all(np.abs(pixels.astype(int) - RED) < 3, axis=3)
    return near


def test_heldout_pictures_are_the_same_for_a_seed() -> None:
    np.testing.assert_array_equal(heldout.composed(squares()), heldout.composed(squares()))
    assert not np.array_equal(heldout.composed(squares()), heldout.composed(squares(), seed=1))


def test_heldout_pictures_keep_the_product() -> None:
    assert (red(heldout.composed(squares())).sum(axis=(1, 2)) > 500).all()


def test_no_white_is_left_around_a_composed_product() -> None:
    white = (heldout.composed(squares(12)) > 250).all(axis=3)
    assert white.mean() < 0.05


@pytest.mark.parametrize("side_px", [26, 70])
def test_the_box_of_a_scene_is_around_its_product(side_px: int) -> None:
    scenes = heldout.scenes(squares(12, side_px))
    for is_red, box in zip(red(scenes.pixels), scenes.boxes, strict=True):
        left, top, right, bottom = np.round(box * 80).astype(int)
        outside = is_red.copy()
        outside[top:bottom, left:right] = False
        assert is_red[top + 3 : bottom - 3, left + 3 : right - 3].all()
        assert outside.mean() < 0.02


def test_a_scene_shows_the_whole_product_at_every_size() -> None:
    boxes = heldout.scenes(squares(80)).boxes
    sides = boxes[:, 2:] - boxes[:, :2]
    np.testing.assert_allclose(sides[:, 0], sides[:, 1], atol=0.03)
    assert 0.3 < sides.min() < 0.45
    assert 0.75 < sides.max() < 0.93


def test_products_lie_anywhere_in_their_scenes() -> None:
    boxes = heldout.scenes(squares(80)).boxes
    assert (boxes[:, :2].min(axis=0) < 0.05).all()
    assert (boxes[:, 2:].max(axis=0) > 0.95).all()
    assert (boxes[:, :2].max(axis=0) > 0.4).all()


def test_empty_scenes_are_drawn_from_every_family() -> None:
    pixels = heldout.empty(9, 80)
    assert pixels.shape == (9, 80, 80, 3)
    assert (pixels.std(axis=(1, 2)).max(axis=1) > 5).all()


def test_backgrounds_of_any_count_are_drawn() -> None:
    random = torch.Generator().manual_seed(1)
    assert heldout.backgrounds(1, 16, random).shape == (1, 3, 16, 16)
