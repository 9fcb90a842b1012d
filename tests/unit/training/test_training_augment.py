"""Cutting products out, moving them, and putting them on other backgrounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor

from training.scenes import backgrounds
from training.scenes.augment import MIRRORED, Augmentation, Varied, augmented
from training.scenes.cutout import can_be_cut, product_masks
from training.scenes.geometry import bounding_boxes, framed, moved_together, placements

STILL = replace(MIRRORED, flip_share=0)
"""Nothing varies."""

Batch = tuple[Tensor, Tensor, Tensor]
"""Pictures, their masks, and whether they can be cut."""


def square_picture(side_px: int) -> npt.NDArray[np.uint8]:
    """A red square in the middle of white. uint8, shape (80, 80, 3)."""
    picture = np.full((80, 80, 3), 255, dtype=np.uint8)
    start = (80 - side_px) // 2
    picture[start : start + side_px, start : start + side_px] = (200, 30, 40)
    return picture


@pytest.fixture
def batch() -> Batch:
    pixels = np.stack([square_picture(40)] * 16)
    masks = product_masks(pixels)
    pictures = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return pictures, torch.from_numpy(masks).unsqueeze(1).float(), torch.from_numpy(can_be_cut(masks))


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_mask_is_the_product() -> None:
    assert product_masks(square_picture(40)[None]).sum() == 40 * 40


def test_white_inside_a_product_belongs_to_it() -> None:
    picture = square_picture(40)
    picture[35:45, 35:45] = 255
    assert product_masks(picture[None]).sum() == 40 * 40


@pytest.mark.parametrize(("side_px", "expected"), [(24, False), (26, True), (75, True), (77, False)])
def test_only_masks_of_10_to_90_percent_are_cut(side_px: int, expected: bool) -> None:
    assert can_be_cut(product_masks(square_picture(side_px)[None])).tolist() == [expected]


def varied(batch: Batch, settings: Augmentation, px: int = 80, seed: int = 1) -> Varied:
    return augmented(*batch, settings, px, seeded(seed))


def test_nothing_changes_where_nothing_varies(batch: Batch) -> None:
    same = varied(batch, STILL)
    torch.testing.assert_close(same.pictures, batch[0], atol=1e-5, rtol=0)
    # Half of the masks are drawn in by a pixel.
    assert same.masks.sum(dim=(1, 2, 3)).tolist() == pytest.approx([40 * 40] * 16, rel=0.1)
    assert same.masked.all()
    assert same.present.all()


def test_white_stays_white_when_nothing_is_composed(batch: Batch) -> None:
    settings = replace(Augmentation(), composed_share=0, empty_share=0, jpeg_share=0, scale=(0.5, 0.8))
    pictures = varied(batch, replace(settings, cropped_share=0)).pictures
    for edge in (pictures[:, :, 0], pictures[:, :, -1], pictures[:, :, :, 0], pictures[:, :, :, -1]):
        torch.testing.assert_close(edge, torch.ones_like(edge), atol=1e-5, rtol=0)
    assert not torch.equal(pictures, batch[0])


def test_a_composed_picture_has_another_background(batch: Batch) -> None:
    pictures = varied(batch, replace(Augmentation(), composed_share=1, empty_share=0, cropped_share=0)).pictures
    assert (pictures.amin(dim=1) > 0.95).float().mean() < 0.3
    assert pictures.min() >= 0
    assert pictures.max() <= 1


def test_a_picture_that_cannot_be_cut_is_never_composed(batch: Batch) -> None:
    pictures, masks, _ = batch
    uncut = (pictures, masks, torch.zeros(16, dtype=torch.bool))
    settings = replace(STILL, composed_share=1, scale=(0.5, 0.8))
    result = varied(uncut, settings)
    assert (result.pictures[:, :, 0] > 0.999).all()
    assert not result.masked.any()


def test_an_empty_picture_says_so_and_has_no_product(batch: Batch) -> None:
    result = varied(batch, replace(Augmentation(), empty_share=1))
    assert not result.present.any()
    assert result.masks.sum() == 0
    red = (result.pictures[:, 0] > 0.75) & (result.pictures[:, 1] < 0.15) & (result.pictures[:, 2] < 0.2)
    assert red.float().mean() < 0.1


def test_a_crop_is_fitted_into_the_picture_and_what_is_cut_away_is_white(batch: Batch) -> None:
    settings = replace(STILL, cropped_share=1, cropped_side=(0.5, 1.0))
    result = varied(batch, settings)
    red = (result.pictures[:, 1:2] < 0.5).float()
    left, top, right, bottom = bounding_boxes(red).unbind(dim=1)
    assert torch.maximum(right - left, bottom - top).tolist() == pytest.approx([2.0] * 16, abs=0.08)
    assert torch.minimum(right - left, bottom - top).min() < 1.5
    white = result.pictures.amin(dim=1, keepdim=True) > 0.9
    assert (white | (red > 0)).float().mean() > 0.97


def test_pictures_come_out_in_the_size_that_is_asked(batch: Batch) -> None:
    result = varied(batch, Augmentation(), px=64)
    assert result.pictures.shape == (16, 3, 64, 64)
    assert result.masks.shape == (16, 1, 64, 64)


def test_the_same_seed_gives_the_same_pictures(batch: Batch) -> None:
    first, again = (varied(batch, Augmentation(), seed=5) for _ in range(2))
    assert torch.equal(first.pictures, again.pictures)
    assert not torch.equal(first.pictures, varied(batch, Augmentation(), seed=6).pictures)


def test_product_and_mask_move_together(batch: Batch) -> None:
    pictures, masks, _ = batch
    where = placements(torch.full((16,), 0.5), torch.full((16, 2), 0.5), torch.zeros(16), torch.zeros(16).bool())
    moved, moved_masks = moved_together(pictures, masks, where, 80)
    assert moved_masks.sum(dim=(1, 2, 3)).tolist() == pytest.approx([20 * 20] * 16, rel=0.05)
    assert torch.equal(moved[:, 1] < 0.5, moved_masks[:, 0] > 0.5)


def test_a_shift_is_to_the_right_and_down(batch: Batch) -> None:
    pictures, masks, _ = batch
    where = placements(torch.ones(16), torch.tensor([[0.25, 0.5]]).expand(16, 2), torch.zeros(16), torch.zeros(16))
    _, moved_masks = moved_together(pictures, masks, where, 80)
    rows, columns = moved_masks[0, 0].nonzero(as_tuple=True)
    assert (int(columns.min()), int(rows.min())) == (30, 40)


def test_a_tilt_makes_one_side_larger(batch: Batch) -> None:
    pictures, masks, _ = batch
    tilt = torch.tensor([[0.3, 0.0]]).expand(16, 2)
    where = placements(torch.ones(16), torch.zeros(16, 2), torch.zeros(16), torch.zeros(16).bool(), tilt)
    _, moved_masks = moved_together(pictures, masks, where, 80)
    heights = moved_masks[0, 0].sum(dim=0)
    shown = heights.nonzero().squeeze(1)
    assert heights[shown[-2]] > 1.2 * heights[shown[1]]


def test_a_framed_box_fills_the_picture_along_its_longer_side() -> None:
    boxes = torch.tensor([[-0.5, -0.25, 0.5, 0.25]])
    mask = torch.zeros(1, 1, 80, 80)
    mask[:, :, 30:50, 20:60] = 1
    assert bounding_boxes(mask).tolist() == boxes.tolist()
    _, moved = moved_together(torch.ones(1, 3, 80, 80), mask, framed(boxes, torch.tensor([False])), 80)
    assert bounding_boxes(moved).tolist() == [[-1.0, -0.5, 1.0, 0.5]]


def test_a_mask_without_a_mark_is_bounded_by_the_whole_picture() -> None:
    assert bounding_boxes(torch.zeros(1, 1, 8, 8)).tolist() == [[-1.0, -1.0, 1.0, 1.0]]


@pytest.mark.parametrize("n", [0, 1, 3, 25])
def test_there_are_scenes_for_any_number_of_pictures(n: int) -> None:
    assert backgrounds.scenes(n, 32, torch.rand(4, 3, 80, 80, generator=seeded()), seeded()).shape == (n, 3, 32, 32)
    assert backgrounds.empty_scenes(n, 32, seeded()).shape == (n, 3, 32, 32)


def test_generated_backgrounds_stay_in_range() -> None:
    clutter = torch.rand(4, 3, 80, 80, generator=seeded())
    scenes = backgrounds.scenes(25, 80, clutter, seeded())
    assert scenes.shape == (25, 3, 80, 80)
    assert scenes.min() >= 0
    assert scenes.max() <= 1
