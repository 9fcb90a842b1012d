"""Generated backgrounds to train on: colour noise, gradients, stripes and checks, rectangles, clutter.

Every function returns float32 (n, 3, px, px) in 0..1 and draws all its chance from `random`.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

_NOISE_CELLS: Final = (2, 4, 8, 16, 32, 80)
_RECTANGLES: Final = 14
_CLUTTER_ZOOM: Final = (1.0, 3.0)


def scenes(n: int, px: int, clutter: Tensor, random: torch.Generator) -> Tensor:
    """Two backgrounds a picture, split by a horizon: a wall and a floor. Half of them have no floor.

    `clutter` float32 (m, 3, px, px): pictures of other products, to be looked at closely.
    """
    wall, floor = _mixed(n, px, clutter, random), _mixed(n, px, clutter, random)
    horizon = torch.rand(n, 1, 1, 1, generator=random) * 1.2 + 0.4
    rows = torch.linspace(0, 1, px).view(1, 1, px, 1)
    return torch.where(rows > horizon, floor, wall)


def uniform(low: float, high: float, shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    """float32 of `shape`, uniform in low..high."""
    return torch.rand(shape, generator=random) * (high - low) + low


def rotated_axes(n: int, px: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two perpendicular coordinates per picture at a random angle, each float32 (n, 1, px, px) in about -1.4..1.4."""
    angle = uniform(0, math.pi, (n, 1, 1, 1), random)
    line = torch.linspace(-1, 1, px)
    x, y = line.view(1, 1, 1, px), line.view(1, 1, px, 1)
    return x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()


def noise(n: int, px: int, random: torch.Generator) -> Tensor:
    """Colour noise summed over octaves with random weights around a random colour."""
    total = torch.zeros(n, 3, px, px)
    for cells in _NOISE_CELLS:
        weight = uniform(0, 1, (n, 1, 1, 1), random).square()
        octave = torch.randn(n, 3, cells, cells, generator=random)
        total += weight * functional.interpolate(octave, size=(px, px), mode="bilinear", align_corners=False)
    contrast = uniform(0.03, 0.3, (n, 1, 1, 1), random)
    return (_colours(n, random) + contrast * total).clamp(0, 1)


def gradients(n: int, px: int, random: torch.Generator) -> Tensor:
    """From one colour to another at a random angle."""
    along, _ = rotated_axes(n, px, random)
    share = (along / 2.8 + 0.5).clamp(0, 1)
    return torch.lerp(_colours(n, random), _colours(n, random), share)


def stripes(n: int, px: int, random: torch.Generator) -> Tensor:
    """Two colours in stripes, or in checks for half of the pictures, from soft to sharp."""
    along, across = rotated_axes(n, px, random)
    frequency = uniform(4, 40, (n, 1, 1, 1), random)
    checked = torch.rand(n, 1, 1, 1, generator=random) < 0.5
    wave = (frequency * along).sin() * torch.where(checked, (frequency * across).sin(), torch.ones(()))
    share = (wave * uniform(1, 12, (n, 1, 1, 1), random)).sigmoid()
    return torch.lerp(_colours(n, random), _colours(n, random), share)


def rectangles(n: int, px: int, random: torch.Generator) -> Tensor:
    """Upright rectangles of random colours, sizes and places over one another."""
    line = torch.linspace(0, 1, px)
    x, y = line.view(1, 1, 1, px), line.view(1, 1, px, 1)
    canvas = _colours(n, random).expand(n, 3, px, px)
    for _ in range(_RECTANGLES):
        centre_x, centre_y = torch.rand(2, n, 1, 1, 1, generator=random)
        half_width, half_height = uniform(0.03, 0.3, (2, n, 1, 1, 1), random)
        inside = ((x - centre_x).abs() < half_width) & ((y - centre_y).abs() < half_height)
        canvas = torch.where(inside, _colours(n, random), canvas)
    return canvas


def closeups(n: int, px: int, clutter: Tensor, random: torch.Generator) -> Tensor:
    """Random windows, magnified up to three times, of the pictures in `clutter`, float32 (m, 3, px, px)."""
    if n == 0:
        return clutter[:0]
    rows = torch.randint(len(clutter), (n,), generator=random)
    zoom = uniform(*_CLUTTER_ZOOM, (n, 1), random)
    reach = 1 - 1 / zoom
    placement = torch.zeros(n, 2, 3)
    placement[:, 0, 0] = placement[:, 1, 1] = (1 / zoom).squeeze(1)
    placement[:, :, 2] = uniform(-1, 1, (n, 2), random) * reach
    grid = functional.affine_grid(placement, [n, 3, px, px], align_corners=False)
    return functional.grid_sample(clutter[rows], grid, align_corners=False, padding_mode="border")


def _mixed(n: int, px: int, clutter: Tensor, random: torch.Generator) -> Tensor:
    """Every kind equally often, in random order."""
    sizes = [len(part) for part in torch.arange(n).tensor_split(5)]
    parts = [
        noise(sizes[0], px, random),
        gradients(sizes[1], px, random),
        stripes(sizes[2], px, random),
        rectangles(sizes[3], px, random),
        closeups(sizes[4], px, clutter, random),
    ]
    return torch.cat(parts)[torch.randperm(n, generator=random)]


def _colours(n: int, random: torch.Generator) -> Tensor:
    return torch.rand(n, 3, 1, 1, generator=random)
