"""The volume of a drawing: parts and folds raise a height map, and one lamp falls on it.

Kept at half the final size: light changes slowly, outlines do not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from vitrine.sample.curves import Points
from vitrine.sample.pose import CELL, COARSE, FINE, HEIGHT, WIDTH, Box, Grid, Light, enclosing

Area: TypeAlias = tuple[slice, slice]

_POLISH: Final = 24
# Two box blurs of this share of a radius reach as far as the radius.
_SIGMA: Final = 0.42
_ROOM_PX: Final = 12


@dataclass(frozen=True)
class Form:
    """The volume of a part: its edge rounds off over `round_px` and the part rises by `rise`.

    `lift`: how dark its shadow on the parts below is. `gloss`: 0 cloth, 0.3 leather, 1 metal. A `tube` is round
    sideways only (a sleeve, a trouser leg). A `solid` part hides the relief and the shadows below it.
    """

    round_px: float = 10
    rise: float = 5
    lift: float = 0.35
    gloss: float = 0.0
    tube: bool = False
    solid: bool = False


FLAT: Final = Form(round_px=0, rise=0, lift=0)


class Relief:
    """Heights, painted light and polish of a canvas, in cells of 2x2 final pixels."""

    def __init__(self) -> None:
        cells = (HEIGHT // COARSE, WIDTH // COARSE)
        self._height = np.zeros(cells, dtype=np.float32)
        self._shade = np.ones(cells, dtype=np.float32)
        self._gloss = np.zeros(cells, dtype=np.float32)

    def part(self, placed: Points, form: Form, holes: Sequence[Points] = (), within: Points | None = None) -> None:
        """Raise a part; all points are in fine pixels."""
        box = enclosing(placed, margin=_ROOM_PX * FINE)
        if box is None or form is FLAT:
            return
        shape = _stencil(placed, box, holes, within)
        area, mask = _area(box), _grid(shape)
        if form.solid:
            self._height[area] *= 1 - mask
            self._shade[area] += (1 - self._shade[area]) * mask
        if form.lift:
            # The light comes from above: a part's shadow falls a little below it.
            cast = _grid(ImageChops.offset(shape.filter(ImageFilter.GaussianBlur(1.2)), 0, 1))
            self._shade[area] *= 1 - np.float32(form.lift) * np.clip(cast - mask * 2, 0, 1)
        if form.round_px:
            radius = form.round_px / COARSE * _SIGMA
            soft = shape.filter(ImageFilter.GaussianBlur((radius, 0 if form.tube else radius)))
            depth = np.clip(_grid(soft) * 2 - 1, 0, 1)
            self._height[area] += np.float32(form.rise) * np.sin(depth * np.float32(math.pi / 2))
        self._gloss[area] += (np.float32(form.gloss) - self._gloss[area]) * mask

    def fold(self, placed: Points, depth: float, width: float) -> None:
        """A crease along a line: a ridge, or a valley where `depth` is negative."""
        box = enclosing(placed, margin=width * FINE * 2)
        if box is not None:
            shape = Image.new("L", ((box[2] - box[0]) // CELL, (box[3] - box[1]) // CELL))
            ImageDraw.Draw(shape).line(_shrunk(placed, box, CELL), 255, max(1, round(width / COARSE)), "curve")
            soft = shape.filter(ImageFilter.GaussianBlur(max(1.1, width / COARSE * _SIGMA)))
            self._height[_area(box)] += np.float32(depth) * _grid(soft)

    def tone(self, placed: Points, amount: float, soft_px: float) -> None:
        """Soft light (amount over 0) or shade (under 0) over an area."""
        box = enclosing(placed, margin=soft_px * FINE * 2)
        if box is not None:
            soft = _stencil(placed, box).filter(ImageFilter.GaussianBlur(soft_px / COARSE * _SIGMA))
            self._shade[_area(box)] *= 1 + np.float32(amount) * _grid(soft)

    def lit(self, light: Light) -> tuple[Grid, Grid]:
        """Brightness of the cloth (1 where flat) and of its highlights (0..1). Shape (320, 240)."""
        down, right = np.gradient(smoothed(self._height))
        length = np.sqrt(right * right + down * down + 1)
        lamp = np.array([light.x, light.y, light.z], dtype=np.float32)
        lamp /= np.linalg.norm(lamp)
        half = lamp + np.array([0, 0, 1], dtype=np.float32)
        half /= np.linalg.norm(half)
        facing = np.maximum(lamp[2] - right * lamp[0] - down * lamp[1], 0) / length
        mirror = np.maximum(half[2] - right * half[0] - down * half[1], 0) / length
        shade = light.ambient + (1 - light.ambient) * facing / lamp[2]
        # Blinn-Phong. A flat surface shows no highlight, only what is tilted towards the lamp does.
        flat = half[2] ** _POLISH
        shine = np.maximum(mirror**_POLISH - flat, 0) / (1 - flat)
        return _enlarged(shade * self._shade * np.float32(light.exposure)), _enlarged(shine * self._gloss)


def smoothed(values: Grid) -> Grid:
    """Each value averaged with its neighbours (1-2-1 both ways)."""
    wide = np.pad(values, 1, mode="edge")
    rows = wide[:-2] + 2 * wide[1:-1] + wide[2:]
    total: Grid = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / np.float32(16)
    return total


def _stencil(placed: Points, box: Box, holes: Sequence[Points] = (), within: Points | None = None) -> Image.Image:
    """The coverage of the cells in a box by an outline, with four samples a cell."""
    size = ((box[2] - box[0]) // FINE, (box[3] - box[1]) // FINE)
    shape = Image.new("L", size)
    pen = ImageDraw.Draw(shape)
    pen.polygon(_shrunk(placed, box, FINE), 255)
    for hole in holes:
        pen.polygon(_shrunk(hole, box, FINE), 0)
    if within is not None:
        limit = Image.new("L", size)
        ImageDraw.Draw(limit).polygon(_shrunk(within, box, FINE), 255)
        shape = ImageChops.multiply(shape, limit)
    return shape.reduce(COARSE)


def _shrunk(placed: Points, box: Box, by: int) -> Points:
    return [((x - box[0]) / by, (y - box[1]) / by) for x, y in placed]


def _area(box: Box) -> Area:
    return slice(box[1] // CELL, box[3] // CELL), slice(box[0] // CELL, box[2] // CELL)


def _grid(picture: Image.Image) -> Grid:
    return np.asarray(picture, dtype=np.float32) / np.float32(255)


def _enlarged(cells: Grid) -> Grid:
    return np.asarray(Image.fromarray(cells).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
