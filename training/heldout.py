"""Composed pictures to measure on: families of backgrounds that training never draws, always the same for a seed."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from training.augment import as_pictures, as_pixels, moved_together, placements, some_tightened
from training.backgrounds import uniform
from training.cutout import product_masks

SEED: Final = 20_240
_SCALE: Final = (0.7, 1.0)
_SHIFT_MAX: Final = 0.12
_CELLS: Final = 24
_TILE_PX: Final = 6
_BLOCK: Final = 512


def composed(pixels: npt.NDArray[np.uint8], seed: int = SEED) -> npt.NDArray[np.uint8]:
    """The products of `pixels`, uint8 (n, px, px, 3), moved a little and put on held-out backgrounds. Same shape.

    Meant for pictures that `cutout.can_be_cut`.
    """
    random = torch.Generator().manual_seed(seed)
    blocks = [_composed(pixels[start : start + _BLOCK], random) for start in range(0, len(pixels), _BLOCK)]
    return np.concatenate(blocks)


def backgrounds(n: int, px: int, random: torch.Generator) -> Tensor:
    """Polygons, bricks and tiles in turn with a little grain. float32, shape (n, 3, px, px) in 0..1."""
    sizes = [len(part) for part in torch.arange(n).tensor_split(3)]
    parts = [_polygons(sizes[0], px, random), _bricks(sizes[1], px, random), _tiles(sizes[2], px, random)]
    mixed = torch.cat(parts)[torch.randperm(n, generator=random)]
    return (mixed + 0.03 * torch.randn(mixed.shape, generator=random)).clamp(0, 1)


def _composed(pixels: npt.NDArray[np.uint8], random: torch.Generator) -> npt.NDArray[np.uint8]:
    n, px = len(pixels), pixels.shape[1]
    pictures = as_pictures(torch.from_numpy(pixels))
    masks = some_tightened(torch.from_numpy(product_masks(pixels)).unsqueeze(1).float(), random)
    still = torch.zeros(n)
    where = placements(
        uniform(*_SCALE, (n,), random), uniform(-_SHIFT_MAX, _SHIFT_MAX, (n, 2), random), still, still.bool()
    )
    moved, moved_masks = moved_together(pictures, masks, where)
    mixed = torch.lerp(backgrounds(n, px, random), moved, moved_masks)
    return as_pixels(mixed)


def _polygons(n: int, px: int, random: torch.Generator) -> Tensor:
    """A Voronoi mosaic: each pixel takes the colour of the nearest of 24 random sites."""
    line = torch.linspace(0, 1, px)
    points = torch.cartesian_prod(line, line).expand(n, px * px, 2)
    nearest = torch.cdist(points, torch.rand(n, _CELLS, 2, generator=random)).argmin(dim=2)
    colours = torch.rand(n, 3, _CELLS, generator=random)
    return colours.gather(2, nearest.unsqueeze(1).expand(n, 3, px * px)).view(n, 3, px, px)


def _bricks(n: int, px: int, random: torch.Generator) -> Tensor:
    """Rows of bricks, every second row shifted by half a brick, with mortar between them."""
    line = torch.arange(px, dtype=torch.float32)
    x, y = line.view(1, 1, 1, px), line.view(1, 1, px, 1)
    height = uniform(6, 16, (n, 1, 1, 1), random)
    width = height * uniform(1.5, 3, (n, 1, 1, 1), random)
    course = (y / height).floor()
    along = x / width + 0.5 * (course % 2)
    mortar = (y % height < 1.5) | (along % 1 * width < 1.5)
    shade = ((along.floor() * 12.9898 + course * 78.233).sin() * 43758.5453) % 1
    brick = torch.rand(n, 3, 1, 1, generator=random) * (0.75 + 0.25 * shade)
    return torch.where(mortar, torch.rand(n, 3, 1, 1, generator=random), brick)


def _tiles(n: int, px: int, random: torch.Generator) -> Tensor:
    """A small random texture, enlarged and repeated like wallpaper."""
    tile = torch.rand(n, 3, _TILE_PX, _TILE_PX, generator=random)
    enlarged = functional.interpolate(tile, scale_factor=4, mode="bicubic", align_corners=False).clamp(0, 1)
    repeats = -(-px // enlarged.shape[-1])
    return enlarged.repeat(1, 1, repeats, repeats)[:, :, :px, :px]
