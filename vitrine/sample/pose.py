"""Where a product stands and how it is lit."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from vitrine.sample.curves import Point, Points

Box: TypeAlias = tuple[int, int, int, int]
Grid: TypeAlias = npt.NDArray[np.float32]

WIDTH: Final = 240
HEIGHT: Final = 320
# Fine pixels are what outlines are painted with; a cell of the relief is two product pixels wide.
FINE: Final = 3
COARSE: Final = 2
CELL: Final = FINE * COARSE
# Where a product that turns is so far to the side that it does not move any more.
_YAW_RADIUS: Final = 110


@dataclass(frozen=True)
class Light:
    """A lamp: where it is (x right, y down, z towards the camera), and how bright the shade stays."""

    x: float = -0.45
    y: float = -0.6
    z: float = 1.0
    ambient: float = 0.5
    exposure: float = 1.0


@dataclass(frozen=True)
class Pose:
    """How a product stands before the camera. `yaw_px`: how far its middle moves sideways when it turns."""

    scale_x: float = 1
    scale_y: float = 1
    degrees: float = 0
    yaw_px: float = 0
    mirrored: bool = False
    dx: float = 0
    dy: float = 0

    def place(self, points: Iterable[Point]) -> Points:
        """Product coordinates → fine pixels."""
        turn = math.radians(self.degrees)
        c, s = math.cos(turn) * FINE, math.sin(turn) * FINE
        wide, tall = self.scale_x * (-1 if self.mirrored else 1), self.scale_y
        left, top = (WIDTH / 2 + self.dx) * FINE, (HEIGHT / 2 + self.dy) * FINE
        if self.yaw_px:
            points = [(x + self.yaw_px * max(0.0, 1 - (x / _YAW_RADIUS) ** 2), y) for x, y in points]
        upright = [(x * wide, (y - HEIGHT / 2) * tall) for x, y in points]
        return [(c * x - s * y + left, s * x + c * y + top) for x, y in upright]

    def coordinates(self, box: Box, degrees: float = 0) -> tuple[Grid, Grid]:
        """Product coordinates of the final pixels inside a fine box; `degrees` turns the pattern on a part."""
        x = _centres(box[0] // FINE, box[2] // FINE, WIDTH / 2 + self.dx)[None, :]
        y = _centres(box[1] // FINE, box[3] // FINE, HEIGHT / 2 + self.dy)[:, None]
        c, s = _turn(self.degrees)
        across = (c * x + s * y) * np.float32((-1 if self.mirrored else 1) / self.scale_x)
        down = (c * y - s * x) * np.float32(1 / self.scale_y) + np.float32(HEIGHT / 2)
        if self.yaw_px:
            bulge = np.maximum(np.float32(1) - np.square(across * np.float32(1 / _YAW_RADIUS)), 0)
            across = across - np.float32(self.yaw_px) * bulge
        if degrees:
            c, s = _turn(degrees)
            across, down = c * across + s * down, c * down - s * across
        return across, down


def _centres(start: int, stop: int, middle: float) -> Grid:
    """The middles of a row of pixels, as distances from a point."""
    return np.arange(start, stop, dtype=np.float32) + np.float32(0.5 - middle)


def _turn(degrees: float) -> tuple[np.float32, np.float32]:
    return np.float32(math.cos(math.radians(degrees))), np.float32(math.sin(math.radians(degrees)))


def enclosing(placed: Points, margin: float = 1) -> Box | None:
    """The fine box around points, aligned to cells and inside the canvas; None where nothing of it is visible."""
    xs, ys = [p[0] for p in placed], [p[1] for p in placed]
    left, top = max(0, math.floor((min(xs) - margin) / CELL)), max(0, math.floor((min(ys) - margin) / CELL))
    right = min(WIDTH * FINE // CELL, math.ceil((max(xs) + margin) / CELL))
    bottom = min(HEIGHT * FINE // CELL, math.ceil((max(ys) + margin) / CELL))
    if right <= left or bottom <= top:
        return None
    return left * CELL, top * CELL, right * CELL, bottom * CELL
