"""Points → outlines: the few curves that the drawings are made of.

Coordinates are product pixels: x from -120 to 120 around the middle of the picture, y from 0 (top) to 320.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np

Point: TypeAlias = tuple[float, float]
Points: TypeAlias = list[Point]

_STEPS_PER_SPAN: Final = 7
_STEPS_PER_CIRCLE: Final = 56
_T: Final = np.arange(_STEPS_PER_SPAN) / _STEPS_PER_SPAN
_CATMULL_ROM: Final = 0.5 * np.stack(
    [-_T + 2 * _T**2 - _T**3, 2 - 5 * _T**2 + 3 * _T**3, _T + 4 * _T**2 - 3 * _T**3, _T**3 - _T**2], axis=1
)


def smooth(*points: Point) -> Points:
    """A curve through the points (Catmull-Rom), from the first to the last. Corners are where two curves are joined."""
    control = np.array([points[0], *points, points[-1]])
    spans = np.stack([control[:-3], control[1:-2], control[2:-1], control[3:]], axis=1)
    curve: list[list[float]] = (_CATMULL_ROM @ spans).reshape(-1, 2).tolist()
    return [*((x, y) for x, y in curve), points[-1]]


def closed(*points: Point) -> Points:
    """A closed curve through the points, without corners."""
    around = smooth(points[-2], points[-1], *points, points[0], points[1])
    return around[2 * _STEPS_PER_SPAN : -2 * _STEPS_PER_SPAN]


def mirrored(half: Sequence[Point]) -> Points:
    """The outline whose left half runs from the top middle to the bottom middle."""
    return [*half, *flipped(half)]


def flipped(points: Sequence[Point]) -> Points:
    """The points on the other side of the middle, in the opposite order."""
    return [(-x, y) for x, y in reversed(points)]


def ellipse(x: float, y: float, rx: float, ry: float, start: float = 0, stop: float = 360) -> Points:
    """An ellipse, or its arc between two angles in degrees (0 is right, 90 is down)."""
    steps = max(6, round(_STEPS_PER_CIRCLE * abs(stop - start) / 360))
    angles = np.radians(np.linspace(start, stop, steps))
    return [(x + rx * float(c), y + ry * float(s)) for c, s in zip(np.cos(angles), np.sin(angles), strict=True)]


def box(left: float, top: float, right: float, bottom: float, radius: float = 0) -> Points:
    """A rectangle with rounded corners."""
    if radius <= 0:
        return [(left, top), (right, top), (right, bottom), (left, bottom)]
    r = min(radius, abs(right - left) / 2, abs(bottom - top) / 2)
    return [
        *ellipse(left + r, top + r, r, r, 180, 270),
        *ellipse(right - r, top + r, r, r, 270, 360),
        *ellipse(right - r, bottom - r, r, r, 0, 90),
        *ellipse(left + r, bottom - r, r, r, 90, 180),
    ]


def ribbon(line: Sequence[Point], width: float, end_width: float | None = None) -> Points:
    """The outline of a band along a line; its width may change from one end to the other."""
    xy = np.array(line, dtype=np.float64)
    along = np.gradient(xy, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    half = np.linspace(width, width if end_width is None else end_width, len(xy))[:, None] / 2
    edge = np.concatenate([xy + across * half, (xy - across * half)[::-1]])
    return [(float(x), float(y)) for x, y in edge]


def moved(points: Sequence[Point], dx: float, dy: float) -> Points:
    """The points shifted."""
    return [(x + dx, y + dy) for x, y in points]


def turned(points: Sequence[Point], degrees: float, about: Point = (0, 160), scale: float = 1) -> Points:
    """The points rotated clockwise (and scaled) about one of them."""
    c, s = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    ax, ay = about
    return [(ax + c * (x - ax) - s * (y - ay), ay + s * (x - ax) + c * (y - ay)) for x, y in points]


def between(a: Point, b: Point, share: float) -> Point:
    """The point at a share (0..1) of the way from a to b."""
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def along(line: Sequence[Point], count: int) -> Points:
    """`count` points at equal distances on a line, both ends included."""
    xy = np.array(line, dtype=np.float64)
    reached = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(xy, axis=0), axis=1))])
    wanted = np.linspace(0, reached[-1], count)
    xs, ys = np.interp(wanted, reached, xy[:, 0]), np.interp(wanted, reached, xy[:, 1])
    return [(float(x), float(y)) for x, y in zip(xs, ys, strict=True)]


def hull(points: Sequence[Point]) -> Points:
    """The convex hull (Andrew's monotone chain): what a body covers while it is moved."""
    ordered = sorted(set(points))
    return [*_lower_chain(ordered)[:-1], *_lower_chain(ordered[::-1])[:-1]]


def _lower_chain(ordered: Points) -> Points:
    chain: Points = []
    for x, y in ordered:
        while len(chain) > 1:
            (ax, ay), (bx, by) = chain[-2:]
            if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                break
            chain.pop()
        chain.append((x, y))
    return chain
