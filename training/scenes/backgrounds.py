"""Generated backgrounds to train on: colour noise, gradients, stripes and checks, shapes, grain, clutter.

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
_LEAVES: Final = 24
_CLUTTER_ZOOM: Final = (1.0, 3.0)
_PLAIN_SHARE: Final = 0.15


def scenes(n: int, px: int, clutter: Tensor, random: torch.Generator) -> Tensor:
    """Two backgrounds a picture, split by a horizon: a wall and a floor. Half of them have no floor.

    `clutter` float32 (m, 3, px, px): pictures of other products, to be looked at closely.
    """
    wall, floor = _mixed(n, px, clutter, random), _mixed(n, px, clutter, random)
    horizon = torch.rand(n, 1, 1, 1, generator=random) * 1.2 + 0.4
    rows = torch.linspace(0, 1, px).view(1, 1, px, 1)
    return torch.where(rows > horizon, floor, wall)


def empty_scenes(n: int, px: int, random: torch.Generator) -> Tensor:
    """Scenes without any product: walls and floors of the drawn kinds, and some of one plain colour, often white."""
    wall, floor = _shuffled(_drawn(n, px, random), random), _shuffled(_drawn(n, px, random), random)
    horizon = torch.rand(n, 1, 1, 1, generator=random) * 1.2 + 0.4
    scene = torch.where(torch.linspace(0, 1, px).view(1, 1, px, 1) > horizon, floor, wall)
    white = torch.rand(n, 1, 1, 1, generator=random) < 0.5
    plain = torch.where(white, torch.ones(()), _colours(n, random))
    is_plain = torch.rand(n, 1, 1, 1, generator=random) < _PLAIN_SHARE
    return torch.where(is_plain, plain, scene)


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
        return torch.zeros(0, 3, px, px)
    rows = torch.randint(len(clutter), (n,), generator=random)
    zoom = uniform(*_CLUTTER_ZOOM, (n, 1), random)
    reach = 1 - 1 / zoom
    placement = torch.zeros(n, 2, 3)
    placement[:, 0, 0] = placement[:, 1, 1] = (1 / zoom).squeeze(1)
    placement[:, :, 2] = uniform(-1, 1, (n, 2), random) * reach
    grid = functional.affine_grid(placement, [n, 3, px, px], align_corners=False)
    return functional.grid_sample(clutter[rows], grid, align_corners=False, padding_mode="border")


def leaves(n: int, px: int, random: torch.Generator) -> Tensor:
    """Ellipses over one another, many small and few large, as things lie in photos (dead leaves: Lee et al., 2001)."""
    line = torch.linspace(-1, 1, px)
    x, y = line.view(1, 1, 1, px), line.view(1, 1, px, 1)
    canvas = _colours(n, random).expand(n, 3, px, px)
    palette = _colours(n, random)
    for _ in range(_LEAVES):
        centre_x, centre_y = uniform(-1, 1, (2, n, 1, 1, 1), random)
        angle = uniform(0, math.pi, (n, 1, 1, 1), random)
        # The density of radii falls with their cube; the smallest is a tenth of the largest.
        radius = 0.07 / (1 - 0.99 * torch.rand(n, 1, 1, 1, generator=random)).sqrt()
        along = (x - centre_x) * angle.cos() + (y - centre_y) * angle.sin()
        across = (y - centre_y) * angle.cos() - (x - centre_x) * angle.sin()
        inside = along.square() + (across * uniform(1, 3, (n, 1, 1, 1), random)).square() < radius.square()
        shade = torch.lerp(palette, _colours(n, random), uniform(0, 1, (n, 1, 1, 1), random))
        canvas = torch.where(inside, shade, canvas)
    return canvas


def grain(n: int, px: int, random: torch.Generator) -> Tensor:
    """Two colours in bent lines, as in wood, marble and cloth."""
    along, across = rotated_axes(n, px, random)
    cells = torch.randn(n, 1, 5, 5, generator=random)
    bend = functional.interpolate(cells, size=(px, px), mode="bicubic", align_corners=False)
    frequency = uniform(3, 25, (n, 1, 1, 1), random)
    wave = (frequency * (along + uniform(0.05, 0.4, (n, 1, 1, 1), random) * bend + 0.2 * across)).sin()
    share = (wave * uniform(0.5, 4, (n, 1, 1, 1), random)).sigmoid()
    return torch.lerp(_colours(n, random), _colours(n, random), share)


def _drawn(n: int, px: int, random: torch.Generator) -> list[Tensor]:
    """Every kind that shows no product, equally often."""
    kinds = (noise, gradients, stripes, rectangles, leaves, grain)
    sizes = [len(part) for part in torch.arange(n).tensor_split(len(kinds))]
    return [kind(size, px, random) for kind, size in zip(kinds, sizes, strict=True)]


def _mixed(n: int, px: int, clutter: Tensor, random: torch.Generator) -> Tensor:
    """Every kind, close-ups of products too, in random order."""
    near = n // 7
    return _shuffled([*_drawn(n - near, px, random), closeups(near, px, clutter, random)], random)


def _shuffled(parts: list[Tensor], random: torch.Generator) -> Tensor:
    pictures = torch.cat(parts)
    return pictures[torch.randperm(len(pictures), generator=random)]


def _colours(n: int, random: torch.Generator) -> Tensor:
    return torch.rand(n, 3, 1, 1, generator=random)
