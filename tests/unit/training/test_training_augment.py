"""Cutting products out, moving them, and putting them on other backgrounds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor

from training import backgrounds, heldout
from training.augment import Augmentation, augmented, moved_together, placements
from training.cutout import can_be_cut, product_masks

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


def test_white_stays_white_when_nothing_is_composed(batch: Batch) -> None:
    varied = augmented(*batch, Augmentation(composed_share=0.0), seeded())
    for edge in (varied[:, :, 0], varied[:, :, -1], varied[:, :, :, 0], varied[:, :, :, -1]):
        torch.testing.assert_close(edge, torch.ones_like(edge))
    assert not torch.equal(varied, batch[0])


def test_a_composed_picture_has_another_background(batch: Batch) -> None:
    varied = augmented(*batch, Augmentation(composed_share=1.0), seeded())
    assert (varied.amin(dim=1) > 0.95).float().mean() < 0.3
    assert varied.min() >= 0
    assert varied.max() <= 1


def test_a_picture_that_cannot_be_cut_is_never_composed(batch: Batch) -> None:
    pictures, masks, _ = batch
    varied = augmented(pictures, masks, torch.zeros(16, dtype=torch.bool), Augmentation(composed_share=1.0), seeded())
    assert (varied[:, :, 0] > 0.999).all()


def test_the_same_seed_gives_the_same_pictures(batch: Batch) -> None:
    first, again = (augmented(*batch, Augmentation(), seeded(5)) for _ in range(2))
    assert torch.equal(first, again)


def test_product_and_mask_move_together(batch: Batch) -> None:
    pictures, masks, _ = batch
    where = placements(torch.full((16,), 0.5), torch.full((16, 2), 0.5), torch.zeros(16), torch.zeros(16).bool())
    moved, moved_masks = moved_together(pictures, masks, where)
    assert moved_masks.sum(dim=(1, 2, 3)).tolist() == pytest.approx([20 * 20] * 16, rel=0.05)
    assert torch.equal(moved[:, 1] < 0.5, moved_masks[:, 0] > 0.5)


def test_a_shift_is_to_the_right_and_down(batch: Batch) -> None:
    pictures, masks, _ = batch
    where = placements(torch.ones(16), torch.tensor([[0.25, 0.5]]).expand(16, 2), torch.zeros(16), torch.zeros(16))
    _, moved_masks = moved_together(pictures, masks, where)
    rows, columns = moved_masks[0, 0].nonzero(as_tuple=True)
    assert (int(columns.min()), int(rows.min())) == (30, 40)


def test_generated_backgrounds_stay_in_range() -> None:
    clutter = torch.rand(4, 3, 80, 80, generator=seeded())
    scenes = backgrounds.scenes(25, 80, clutter, seeded())
    assert scenes.shape == (25, 3, 80, 80)
    assert scenes.min() >= 0
    assert scenes.max() <= 1


def test_heldout_pictures_are_the_same_for_a_seed() -> None:
    pixels = np.stack([square_picture(40)] * 6)
    np.testing.assert_array_equal(heldout.composed(pixels), heldout.composed(pixels))
    assert not np.array_equal(heldout.composed(pixels), heldout.composed(pixels, seed=1))


def test_heldout_pictures_keep_the_product() -> None:
    pixels = np.stack([square_picture(40)] * 6)
    is_product = (np.abs(heldout.composed(pixels).astype(int) - (200, 30, 40)) < 3).all(axis=3)
    assert (is_product.sum(axis=(1, 2)) > 500).all()
