"""Batches of training pictures, varied: moved, lit and coloured differently, many on another background.

Pictures are float32 (n, 3, px, px) in 0..1, masks float32 (n, 1, px, px) with 1 on the product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from training.backgrounds import scenes, uniform

_BAR_SHARE: Final = 0.4
_BAR_MAX: Final = 0.16
"""Widest white bar left on either side of a composed picture, as a share of its width."""

_TIGHTENED_SHARE: Final = 0.5
_TIGHTENED_MIN: Final = 0.7


@dataclass(frozen=True)
class Augmentation:
    """How much pictures vary. Ranges are factors; angles in degrees; shifts as shares of half the picture."""

    composed_share: float = 0.6
    flip_share: float = 0.5
    scale: tuple[float, float] = (0.75, 1.15)
    composed_scale: tuple[float, float] = (0.6, 1.15)
    shift_max: float = 0.15
    rotation_max_deg: float = 12.0
    brightness: tuple[float, float] = (0.8, 1.2)
    contrast: tuple[float, float] = (0.8, 1.2)
    channel_gain: tuple[float, float] = (0.94, 1.06)


def as_pictures(pixels: Tensor) -> Tensor:
    """uint8 (n, px, px, 3) as pictures."""
    return pixels.permute(0, 3, 1, 2).float() / 255


def as_pixels(pictures: Tensor) -> npt.NDArray[np.uint8]:
    """Pictures as uint8 (n, px, px, 3)."""
    pixels: npt.NDArray[np.uint8] = (pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return pixels


def augmented(
    pictures: Tensor, masks: Tensor, can_be_cut: Tensor, settings: Augmentation, random: torch.Generator
) -> Tensor:
    """A varied copy of a batch. `can_be_cut` bool (n,): pictures that may get another background.

    Pictures that are not composed stay on white, also where moving them uncovers an edge.
    """
    composed = can_be_cut & (torch.rand(len(pictures), generator=random) < settings.composed_share)
    cut = some_tightened(masks, random)
    moved, moved_masks = moved_together(pictures, cut, _placements(composed, settings, random))
    rows = composed.nonzero().squeeze(1)
    behind = moved.clone()
    behind[rows] = scenes(len(rows), pictures.shape[-1], pictures, random)
    # Only the product is lit differently, so that a white background stays white.
    varied = torch.lerp(behind, _lit(moved, settings, random), moved_masks)
    varied[rows] = _with_white_bars(varied[rows], random)
    return varied


def moved_together(pictures: Tensor, masks: Tensor, placements: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures and masks resampled by `placements`, float32 (n, 2, 3) from output to input coordinates in -1..1.

    What comes from outside the picture is white and not product.
    """
    grid = functional.affine_grid(placements, list(pictures.shape), align_corners=False)
    # Sampling the negative turns the zero padding into white.
    negative = torch.cat([1 - pictures, masks], dim=1)
    sampled = functional.grid_sample(negative, grid, align_corners=False, padding_mode="zeros")
    return 1 - sampled[:, :3], sampled[:, 3:]


def some_tightened(masks: Tensor, random: torch.Generator) -> Tensor:
    """Half of the masks drawn in by one pixel, so that the white rim of a rough cut gives no product away.

    A mask that would lose more than 30 % of itself, such as a thin chain's, is kept. Same shape as `masks`.
    """
    tight = 1 - functional.max_pool2d(1 - masks, kernel_size=3, stride=1, padding=1)
    thick = tight.sum(dim=(1, 2, 3)) > _TIGHTENED_MIN * masks.sum(dim=(1, 2, 3))
    chosen = thick & (torch.rand(len(masks), generator=random) < _TIGHTENED_SHARE)
    return torch.where(chosen.view(-1, 1, 1, 1), tight, masks)


def placements(scale: Tensor, shift: Tensor, angle_rad: Tensor, flipped: Tensor) -> Tensor:
    """Affine matrices, float32 (n, 2, 3), that show the picture `scale` times as large and `shift` (n, 2) away.

    `scale`, `angle_rad` float32 (n,); `flipped` bool (n,): mirrored left to right.
    """
    mirror = 1 - 2 * flipped.float()
    cos, sin = angle_rad.cos() / scale, angle_rad.sin() / scale
    across = torch.stack([cos * mirror, sin * mirror, -shift[:, 0] * mirror], dim=1)
    down = torch.stack([-sin, cos, -shift[:, 1]], dim=1)
    return torch.stack([across, down], dim=1)


def _placements(composed: Tensor, settings: Augmentation, random: torch.Generator) -> Tensor:
    n = len(composed)
    scale = torch.where(
        composed, uniform(*settings.composed_scale, (n,), random), uniform(*settings.scale, (n,), random)
    )
    angle_max = math.radians(settings.rotation_max_deg)
    return placements(
        scale,
        uniform(-settings.shift_max, settings.shift_max, (n, 2), random),
        uniform(-angle_max, angle_max, (n,), random),
        torch.rand(n, generator=random) < settings.flip_share,
    )


def _lit(pictures: Tensor, settings: Augmentation, random: torch.Generator) -> Tensor:
    """Another brightness, contrast and tint per picture."""
    n = len(pictures)
    gain = uniform(*settings.channel_gain, (n, 3, 1, 1), random) * uniform(*settings.brightness, (n, 1, 1, 1), random)
    contrast = uniform(*settings.contrast, (n, 1, 1, 1), random)
    middle = pictures.mean(dim=(1, 2, 3), keepdim=True)
    return ((middle + (pictures - middle) * contrast) * gain).clamp(0, 1)


def _with_white_bars(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Some pictures with white bars left and right, or above and below: what letterboxing leaves of a photo."""
    n, px = len(pictures), pictures.shape[-1]
    width = uniform(0, _BAR_MAX, (n, 1, 1, 1), random) * (torch.rand(n, 1, 1, 1, generator=random) < _BAR_SHARE)
    upright = torch.rand(n, 1, 1, 1, generator=random) < 0.5
    line = torch.linspace(0, 1, px)
    position = torch.where(upright, line.view(1, 1, 1, px), line.view(1, 1, px, 1))
    is_bar = (position < width) | (position > 1 - width)
    return torch.where(is_bar, torch.ones(()), pictures)
