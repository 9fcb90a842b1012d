"""Batches of pictures moved: where each pixel of the new picture comes from, and what lies there.

Coordinates run from -1 to 1, left to right and top to bottom, as in torch's `affine_grid`. A placement is a float32
(3, 3) homography from coordinates of the new picture to those of the old one.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def placements(scale: Tensor, shift: Tensor, angle_rad: Tensor, flipped: Tensor, tilt: Tensor | None = None) -> Tensor:
    """Placements (n, 3, 3) that show the picture `scale` times as large and `shift` (n, 2) away.

    `scale`, `angle_rad` float32 (n,); `flipped` bool (n,): mirrored left to right; `tilt` (n, 2): perspective, the
    share by which one side comes nearer than the middle.
    """
    mirror = 1 - 2 * flipped.float()
    cos, sin = angle_rad.cos() / scale, angle_rad.sin() / scale
    across = torch.stack([cos * mirror, sin * mirror, -shift[:, 0] * mirror], dim=1)
    down = torch.stack([-sin, cos, -shift[:, 1]], dim=1)
    depth = torch.zeros(len(scale), 3) if tilt is None else functional.pad(tilt, (0, 1))
    return torch.stack([across, down, depth + torch.tensor([0.0, 0.0, 1.0])], dim=1)


def framed(boxes: Tensor, flipped: Tensor) -> Tensor:
    """Placements (n, 3, 3) that fit each box, float32 (n, 4) left, top, right, bottom, into the picture, centred.

    The longer side fills the picture, as letterboxing does; what lies beside the shorter one is outside of the box.
    """
    left, top, right, bottom = boxes.unbind(dim=1)
    half = torch.maximum(right - left, bottom - top) / 2
    zero, one = torch.zeros_like(half), torch.ones_like(half)
    mirror = 1 - 2 * flipped.float()
    across = torch.stack([half * mirror, zero, (left + right) / 2], dim=1)
    down = torch.stack([zero, half, (top + bottom) / 2], dim=1)
    return torch.stack([across, down, torch.stack([zero, zero, one], dim=1)], dim=1)


def bounding_boxes(masks: Tensor) -> Tensor:
    """Left, top, right and bottom of what is marked in masks (n, 1, height, width). float32 (n, 4).

    The whole picture where nothing is marked.
    """
    marked = masks.squeeze(1) > 0.5
    left, right = _ends(marked.any(dim=1))
    top, bottom = _ends(marked.any(dim=2))
    return torch.stack([left, top, right, bottom], dim=1)


def moved_together(pictures: Tensor, masks: Tensor, where: Tensor, px: int) -> tuple[Tensor, Tensor]:
    """Pictures (n, 3, h, w) and masks (n, 1, h, w) resampled by placements `where` to (n, …, px, px).

    What comes from outside the old picture is white and not product.
    """
    # Sampling the negative turns the zero padding into white.
    negative = torch.cat([1 - pictures, masks], dim=1)
    sampled = functional.grid_sample(negative, source(where, px), align_corners=False, padding_mode="zeros")
    return 1 - sampled[:, :3], sampled[:, 3:]


def source(where: Tensor, px: int) -> Tensor:
    """Where each pixel of the new pictures comes from, float32 (n, px, px, 2)."""
    line = (2 * torch.arange(px) + 1) / px - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    pixels = torch.stack([x, y, torch.ones_like(x)], dim=-1).view(1, px * px, 3)
    old = pixels @ where.transpose(1, 2)
    return (old[..., :2] / old[..., 2:]).view(len(where), px, px, 2)


def _ends(marked: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates of the first edge and the last edge of what is marked in (n, pixels)."""
    pixels = marked.shape[1]
    some = marked.any(dim=1)
    first = torch.where(some, marked.int().argmax(dim=1), 0)
    last = torch.where(some, pixels - marked.flip(1).int().argmax(dim=1), pixels)
    return 2 * first / pixels - 1, 2 * last / pixels - 1
