"""Batches of training pictures, varied as photos vary: place, crop, light, sharpness, and many on another background.

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
from torchvision.transforms.v2.functional import jpeg

from training.scenes.backgrounds import empty_scenes, scenes, uniform
from training.scenes.geometry import bounding_boxes, framed, moved_together, placements, source

_BAR_SHARE: Final = 0.4
_BAR_MAX: Final = 0.16
"""Widest white bar left on either side of a composed picture, as a share of its width."""

_TIGHTENED_SHARE: Final = 0.5
_TIGHTENED_MIN: Final = 0.7


@dataclass(frozen=True)
class Augmentation:
    """How much pictures vary.

    Shares are probabilities; ranges are factors; angles in degrees; shifts and tilts as shares of half the picture;
    `cropped_side`: shares of the product's width and height that a crop leaves.
    """

    composed_share: float = 0.5
    empty_share: float = 0.05
    flip_share: float = 0.5
    scale: tuple[float, float] = (0.85, 1.15)
    composed_scale: tuple[float, float] = (0.5, 1.15)
    shift_max: float = 0.12
    composed_shift_max: float = 0.3
    rotation_max_deg: float = 10.0
    tilt_max: float = 0.1
    cropped_share: float = 0.25
    cropped_side: tuple[float, float] = (0.75, 1.0)
    brightness: tuple[float, float] = (0.85, 1.15)
    contrast: tuple[float, float] = (0.9, 1.1)
    channel_gain: tuple[float, float] = (0.97, 1.03)
    shade_max: float = 0.25
    blurred_share: float = 0.2
    jpeg_share: float = 0.2
    jpeg_quality: tuple[int, int] = (40, 95)


GENTLE: Final = Augmentation(
    composed_share=0.4,
    scale=(1.0, 1.0),
    composed_scale=(0.6, 1.05),
    shift_max=0.0,
    composed_shift_max=0.2,
    rotation_max_deg=0.0,
    tilt_max=0.0,
    cropped_share=0.1,
    brightness=(0.97, 1.03),
    contrast=(0.98, 1.02),
    channel_gain=(1.0, 1.0),
    shade_max=0.15,
    blurred_share=0.05,
    jpeg_share=0.05,
)
"""For the last epochs: half of the pictures as they will be indexed, the others as they will be asked."""

MIRRORED: Final = Augmentation(
    composed_share=0,
    empty_share=0,
    scale=(1, 1),
    shift_max=0,
    rotation_max_deg=0,
    tilt_max=0,
    cropped_share=0,
    brightness=(1, 1),
    contrast=(1, 1),
    channel_gain=(1, 1),
    shade_max=0,
    blurred_share=0,
    jpeg_share=0,
)
"""Half of the pictures mirrored, and nothing else: to compare with what others did."""


@dataclass(frozen=True)
class Varied:
    """A varied batch. `masks` (n, 1, px, px): where the product is; of use where `masked` (n,) bool.

    `present` bool (n,): whether the picture shows its product; the others show a background alone.
    """

    pictures: Tensor
    masks: Tensor
    masked: Tensor
    present: Tensor


def as_pictures(pixels: Tensor) -> Tensor:
    """uint8 (n, px, px, 3) as pictures."""
    return pixels.permute(0, 3, 1, 2).float() / 255


def as_pixels(pictures: Tensor) -> npt.NDArray[np.uint8]:
    """Pictures as uint8 (n, px, px, 3)."""
    pixels: npt.NDArray[np.uint8] = (pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return pixels


def augmented(
    pictures: Tensor, masks: Tensor, can_be_cut: Tensor, settings: Augmentation, px: int, random: torch.Generator
) -> Varied:
    """A varied copy of a batch, `px` wide and high. `can_be_cut` bool (n,): pictures that may get another background.

    Pictures that are not composed stay on white, also where moving them uncovers an edge.
    """
    n = len(pictures)
    composed = can_be_cut & _chosen(n, settings.composed_share, random)
    where, shown = _placed(masks, composed, settings, px, random)
    moved, moved_masks = moved_together(pictures, some_tightened(masks, random), where, px)
    rows = composed.nonzero().squeeze(1)
    behind = moved.clone()
    behind[rows] = _shadowed(scenes(len(rows), px, pictures, random), moved_masks[rows], random)
    # Only the product is lit differently, so that a white background stays white.
    varied = torch.lerp(behind, _lit(moved, settings, random), moved_masks)
    varied[rows] = _with_white_bars(_shaded(varied[rows], settings, random), random)
    varied = torch.where(shown, varied, torch.ones(()))
    empty = _chosen(n, settings.empty_share, random)
    varied[empty] = empty_scenes(int(empty.sum()), px, random)
    worn = _recompressed(_blurred(varied, settings, random), settings, random)
    nothing = empty.view(n, 1, 1, 1)
    return Varied(worn, torch.where(nothing, 0.0, moved_masks * shown), can_be_cut | empty, ~empty)


def some_tightened(masks: Tensor, random: torch.Generator) -> Tensor:
    """Half of the masks drawn in by one pixel, so that the white rim of a rough cut gives no product away.

    A mask that would lose more than 30 % of itself, such as a thin chain's, is kept. Same shape as `masks`.
    """
    tight = 1 - functional.max_pool2d(1 - masks, kernel_size=3, stride=1, padding=1)
    thick = tight.sum(dim=(1, 2, 3)) > _TIGHTENED_MIN * masks.sum(dim=(1, 2, 3))
    chosen = thick & _chosen(len(masks), _TIGHTENED_SHARE, random)
    return torch.where(chosen.view(-1, 1, 1, 1), tight, masks)


def _placed(
    masks: Tensor, composed: Tensor, settings: Augmentation, px: int, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Placements (n, 3, 3), and bool (n, 1, px, px): what is not cut away by a crop."""
    n = len(masks)
    flipped = _chosen(n, settings.flip_share, random)
    angle_max = math.radians(settings.rotation_max_deg)
    shift_max = torch.where(composed, settings.composed_shift_max, settings.shift_max).unsqueeze(1)
    loose = placements(
        scale=torch.where(
            composed, uniform(*settings.composed_scale, (n,), random), uniform(*settings.scale, (n,), random)
        ),
        shift=uniform(-1, 1, (n, 2), random) * shift_max,
        angle_rad=uniform(-angle_max, angle_max, (n,), random),
        flipped=flipped,
        tilt=uniform(-settings.tilt_max, settings.tilt_max, (n, 2), random),
    )
    boxes = _parts_of(bounding_boxes(masks), settings, random)
    cropped = _chosen(n, settings.cropped_share, random)
    where = torch.where(cropped.view(n, 1, 1), framed(boxes, flipped), loose)
    x, y = source(where, px).unbind(dim=3)
    left, top, right, bottom = boxes.view(n, 4, 1, 1).unbind(dim=1)
    inside = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
    return where, (inside | ~cropped.view(n, 1, 1)).unsqueeze(1)


def _parts_of(boxes: Tensor, settings: Augmentation, random: torch.Generator) -> Tensor:
    """Random boxes, float32 (n, 4), inside boxes (n, 4)."""
    start, size = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    share = uniform(*settings.cropped_side, (len(boxes), 2), random)
    corner = start + size * (1 - share) * torch.rand(len(boxes), 2, generator=random)
    return torch.cat([corner, corner + size * share], dim=1)


def _lit(pictures: Tensor, settings: Augmentation, random: torch.Generator) -> Tensor:
    """Another brightness, contrast and tint per picture."""
    n = len(pictures)
    gain = uniform(*settings.channel_gain, (n, 3, 1, 1), random) * uniform(*settings.brightness, (n, 1, 1, 1), random)
    contrast = uniform(*settings.contrast, (n, 1, 1, 1), random)
    middle = pictures.mean(dim=(1, 2, 3), keepdim=True)
    return ((middle + (pictures - middle) * contrast) * gain).clamp(0, 1)


def _shaded(pictures: Tensor, settings: Augmentation, random: torch.Generator) -> Tensor:
    """Light that falls from one side, over product and background alike."""
    n, px = len(pictures), pictures.shape[-1]
    line = torch.linspace(-1, 1, px)
    slope = uniform(-settings.shade_max, settings.shade_max, (2, n, 1, 1, 1), random)
    return (pictures * (1 + slope[0] * line.view(1, 1, 1, px) + slope[1] * line.view(1, 1, px, 1))).clamp(0, 1)


def _shadowed(behind: Tensor, masks: Tensor, random: torch.Generator) -> Tensor:
    """Backgrounds with a soft shadow beside the product, of random darkness."""
    if len(behind) == 0:
        return behind
    reach = max(behind.shape[-1] // 16, 1)
    soft = functional.avg_pool2d(masks, 2 * reach + 1, stride=1, padding=reach)
    dx, dy = torch.randint(-reach, reach + 1, (2,), generator=random).tolist()
    darkness = uniform(0, 0.6, (len(behind), 1, 1, 1), random)
    return behind * (1 - darkness * soft.roll((dy, dx), dims=(2, 3)))


def _with_white_bars(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Some pictures with white bars left and right, or above and below: what letterboxing leaves of a photo."""
    n, px = len(pictures), pictures.shape[-1]
    width = uniform(0, _BAR_MAX, (n, 1, 1, 1), random) * (torch.rand(n, 1, 1, 1, generator=random) < _BAR_SHARE)
    upright = torch.rand(n, 1, 1, 1, generator=random) < 0.5
    line = torch.linspace(0, 1, px)
    position = torch.where(upright, line.view(1, 1, 1, px), line.view(1, 1, px, 1))
    is_bar = (position < width) | (position > 1 - width)
    return torch.where(is_bar, torch.ones(()), pictures)


def _blurred(pictures: Tensor, settings: Augmentation, random: torch.Generator) -> Tensor:
    """Some pictures mixed with a blurred copy."""
    rows = _chosen(len(pictures), settings.blurred_share, random).nonzero().squeeze(1)
    if len(rows) == 0:
        return pictures
    sharp = pictures[rows]
    padded = functional.pad(sharp, (1, 1, 1, 1), mode="replicate")
    soft = functional.avg_pool2d(padded, kernel_size=3, stride=1)
    pictures[rows] = torch.lerp(sharp, soft, torch.rand(len(rows), 1, 1, 1, generator=random))
    return pictures


def _recompressed(pictures: Tensor, settings: Augmentation, random: torch.Generator) -> Tensor:
    """Some pictures saved as JPEG and read again."""
    low, high = settings.jpeg_quality
    for row in _chosen(len(pictures), settings.jpeg_share, random).nonzero().squeeze(1).tolist():
        quality = int(torch.randint(low, high + 1, (), generator=random))
        pictures[row] = jpeg((pictures[row] * 255).round().to(torch.uint8), quality).float() / 255
    return pictures


def _chosen(n: int, share: float, random: torch.Generator) -> Tensor:
    """bool (n,), each true with probability `share`."""
    return torch.rand(n, generator=random) < share
