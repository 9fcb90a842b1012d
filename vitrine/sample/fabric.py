"""Cloth: what covers a part. A pattern is a few layers of one colour each, painted in the product's coordinates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from vitrine.sample.palette import RGB, mixed

Field: TypeAlias = npt.NDArray[np.float32]
Layers: TypeAlias = Iterator[tuple[RGB, Field]]


@dataclass(frozen=True)
class Fabric:
    """A base colour with a pattern on it; `period_px` is the distance at which the pattern repeats."""

    base: RGB
    pattern: str = "plain"
    accent: RGB = (255, 255, 255)
    period_px: float = 20
    block_y: float = 120

    @property
    def patterned(self) -> bool:
        """True where there is more to see than the base colour."""
        return self.pattern in PATTERNS

    def layers(self, x: Field, y: Field) -> Layers:
        """Colours and their coverage (0..1) at the product coordinates x, y, from the bottom layer to the top one."""
        paint = PATTERNS.get(self.pattern)
        return iter(()) if paint is None else paint(self, x, y)


def _band(t: Field, period: float, width: float) -> Field:
    """Coverage of bands `width` wide that repeat every `period`; edges are antialiased over one pixel."""
    distance = np.abs(np.mod(t, np.float32(period)) - np.float32(period / 2))
    return np.clip(np.float32(width / 2 + 0.5) - distance, 0, 1)


def _striped(f: Fabric, x: Field, y: Field) -> Layers:
    # Stripes around a body hang a little lower in its middle.
    sagged = y + x * x * np.float32(0.0009)
    yield f.accent, _band(sagged, f.period_px, f.period_px * 0.42)


def _pinstriped(f: Fabric, x: Field, y: Field) -> Layers:
    yield f.accent, _band(x + np.float32(0) * y, f.period_px * 0.6, max(1.2, f.period_px * 0.12))


def _checked(f: Fabric, x: Field, y: Field) -> Layers:
    half = mixed(f.base, f.accent, 0.45)
    period, width = f.period_px * 1.3, f.period_px * 0.62
    across, down = _band(x, period, width), _band(y, period, width)
    yield half, across
    yield half, down
    yield f.accent, across * down
    lines = np.maximum(_band(x + np.float32(period / 2), period, 1.4), _band(y + np.float32(period / 2), period, 1.4))
    yield mixed(f.base, f.accent, 0.8), lines


def _cells(x: Field, y: Field, period: float) -> tuple[Field, Field, Field]:
    """Coordinates inside the cells of a brick lattice, and the row's number."""
    row = np.floor(y / np.float32(period))
    u = np.mod(x + np.mod(row, 2) * np.float32(period / 2), np.float32(period)) - np.float32(period / 2)
    v = np.mod(y, np.float32(period)) - np.float32(period / 2)
    return u, v, row


def _dotted(f: Fabric, x: Field, y: Field) -> Layers:
    u, v, _ = _cells(x, y, f.period_px * 0.8)
    yield f.accent, np.clip(np.float32(f.period_px * 0.2 + 0.5) - np.hypot(u, v), 0, 1)


def _chevron(f: Fabric, x: Field, y: Field) -> Layers:
    period = np.float32(f.period_px * 1.2)
    zigzag = np.abs(np.mod(x + period / 2, period) - period / 2)
    yield f.accent, _band(y + zigzag, f.period_px, f.period_px * 0.36)


def _argyle(f: Fabric, x: Field, y: Field) -> Layers:
    period = np.float32(f.period_px * 1.6)
    u = np.abs(np.mod(x + period / 2, period) - period / 2)
    v = np.abs(np.mod(y, period * np.float32(1.5)) - period * np.float32(0.75)) / np.float32(1.5)
    yield f.accent, np.clip(period / 2 - u - v + np.float32(0.5), 0, 1)
    line = np.abs(np.mod(u + v + period / 4, period / 2) - period / 4)
    yield mixed(f.base, (255, 255, 255), 0.7), np.clip(np.float32(1.1) - line, 0, 1)


def _floral(f: Fabric, x: Field, y: Field) -> Layers:
    u, v, row = _cells(x, y, f.period_px * 1.15)
    radius = np.hypot(u, v)
    turn = np.arctan2(v, u) + row
    petal = np.float32(f.period_px * 0.4) * (np.float32(0.5) + np.float32(0.5) * np.abs(np.cos(np.float32(2.5) * turn)))
    leaf = np.hypot(u - np.float32(f.period_px * 0.42), (v - np.float32(f.period_px * 0.34)) * 2)
    yield mixed(f.base, (70, 120, 70), 0.7), np.clip(np.float32(f.period_px * 0.17 + 0.5) - leaf, 0, 1)
    yield f.accent, np.clip(petal - radius + np.float32(0.5), 0, 1)
    yield mixed(f.accent, (240, 190, 70), 0.75), np.clip(np.float32(f.period_px * 0.1 + 0.5) - radius, 0, 1)


def _colour_block(f: Fabric, x: Field, y: Field) -> Layers:
    yield f.accent, np.clip(np.float32(f.block_y) - y + x * np.float32(0.0), 0, 1)


def _tortoise(f: Fabric, x: Field, y: Field) -> Layers:
    scale = np.float32(6.3 / f.period_px / 2)
    blotches = np.sin(x * scale + 2 * np.sin(y * scale * 0.7)) + np.sin(y * scale * 1.3 + 2 * np.cos(x * scale * 0.6))
    yield f.accent, np.clip(blotches * np.float32(2) - np.float32(0.4), 0, 1)


def _two_tone(f: Fabric, x: Field, y: Field) -> Layers:
    yield f.accent, _band(x + np.float32(0) * y + np.float32(60), 120, f.period_px * 1.2)


PATTERNS: Final[dict[str, Callable[[Fabric, Field, Field], Layers]]] = {
    "striped": _striped,
    "pinstriped": _pinstriped,
    "checked": _checked,
    "dotted": _dotted,
    "chevron": _chevron,
    "argyle": _argyle,
    "floral": _floral,
    "colour block": _colour_block,
    "tortoise": _tortoise,
    "two tone": _two_tone,
}
