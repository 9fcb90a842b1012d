"""Composed pictures to measure on: families of backgrounds that training never draws, always the same for a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from training.scenes.augment import as_pictures, as_pixels, some_tightened
from training.scenes.backgrounds import uniform
from training.scenes.cutout import product_masks
from training.scenes.geometry import bounding_boxes, moved_together, placements

SEED: Final = 20_240
_SCALE: Final = (0.7, 1.0)
_SHIFT_MAX: Final = 0.12
SCENE_SHARE: Final = (0.35, 0.9)
"""How much of a scene's side the longer side of its product takes."""

_CELLS: Final = 24
_TILE_PX: Final = 6
_BLOCK: Final = 512


@dataclass(frozen=True)
class Scenes:
    """Scenes of one product each.

    `pixels` uint8 (n, px, px, 3); `boxes` float32 (n, 4): left, top, right and bottom of what shows of the product,
    as fractions of the picture.
    """

    pixels: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float32]


def composed(pixels: npt.NDArray[np.uint8], seed: int = SEED) -> npt.NDArray[np.uint8]:
    """The products of `pixels`, uint8 (n, px, px, 3), moved a little and put on held-out backgrounds. Same shape.

    Meant for pictures that `cutout.can_be_cut`.
    """
    random = _seeded(seed)
    parts = []
    for block in _blocks(pixels):
        pictures, masks = _cut(block, random)
        parts.append(_mixed(pictures, masks, _nudged(len(block), random), random)[0])
    return np.concatenate(parts)


def scenes(pixels: npt.NDArray[np.uint8], seed: int = SEED) -> Scenes:
    """The products of `pixels`, uint8 (n, px, px, 3), small or large, anywhere inside a scene of the same size.

    Meant for pictures that `cutout.can_be_cut`.
    """
    random = _seeded(seed)
    parts = []
    for block in _blocks(pixels):
        pictures, masks = _cut(block, random)
        parts.append(_mixed(pictures, masks, _anywhere(masks, random), random))
    mixed, boxes = zip(*parts, strict=True)
    return Scenes(np.concatenate(mixed), np.concatenate(boxes))


def empty(n: int, px: int, seed: int = SEED) -> npt.NDArray[np.uint8]:
    """Held-out backgrounds with nothing on them. uint8, shape (n, px, px, 3)."""
    random = _seeded(seed)
    sizes = [len(block) for block in torch.arange(n).split(_BLOCK)]
    return np.concatenate([as_pixels(backgrounds(size, px, random)) for size in sizes])


def backgrounds(n: int, px: int, random: torch.Generator) -> Tensor:
    """Polygons, bricks and tiles in turn with a little grain. float32, shape (n, 3, px, px) in 0..1."""
    sizes = [len(part) for part in torch.arange(n).tensor_split(3)]
    parts = [_polygons(sizes[0], px, random), _bricks(sizes[1], px, random), _tiles(sizes[2], px, random)]
    mixed = torch.cat(parts)[torch.randperm(n, generator=random)]
    return (mixed + 0.03 * torch.randn(mixed.shape, generator=random)).clamp(0, 1)


def _mixed(
    pictures: Tensor, masks: Tensor, where: Tensor, random: torch.Generator
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """The products placed on held-out backgrounds, and the box of each, as in `Scenes`."""
    n, px = len(pictures), pictures.shape[-1]
    moved, moved_masks = moved_together(pictures, masks, where, px)
    mixed = torch.lerp(backgrounds(n, px, random), moved, moved_masks)
    boxes: npt.NDArray[np.float32] = ((bounding_boxes(moved_masks) + 1) / 2).numpy()
    return as_pixels(mixed), boxes


def _cut(pixels: npt.NDArray[np.uint8], random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures and masks as `augment` has them."""
    masks = torch.from_numpy(product_masks(pixels)).unsqueeze(1).float()
    return as_pictures(torch.from_numpy(pixels)), some_tightened(masks, random)


def _nudged(n: int, random: torch.Generator) -> Tensor:
    """Placements (n, 3, 3) not far from where the product was."""
    scale, shift = uniform(*_SCALE, (n,), random), uniform(-_SHIFT_MAX, _SHIFT_MAX, (n, 2), random)
    return placements(scale, shift, torch.zeros(n), torch.zeros(n).bool())


def _anywhere(masks: Tensor, random: torch.Generator) -> Tensor:
    """Placements (n, 3, 3) of any size in SCENE_SHARE, with the whole product inside the picture."""
    n = len(masks)
    boxes = bounding_boxes(masks)
    size, centre = boxes[:, 2:] - boxes[:, :2], (boxes[:, 2:] + boxes[:, :2]) / 2
    scale = 2 * uniform(*SCENE_SHARE, (n,), random) / size.amax(dim=1)
    room = 1 - size * scale.unsqueeze(1) / 2
    target = uniform(-1, 1, (n, 2), random) * room
    return placements(scale, target / scale.unsqueeze(1) - centre, torch.zeros(n), torch.zeros(n).bool())


def _blocks(pixels: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
    return [pixels[start : start + _BLOCK] for start in range(0, len(pixels), _BLOCK)]


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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
