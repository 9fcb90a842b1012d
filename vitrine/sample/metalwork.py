"""Metal and stones: beads, gems and chains for jewellery, watches and bags."""

from __future__ import annotations

from typing import Final

from vitrine.sample.canvas import Canvas
from vitrine.sample.curves import Points, box, ellipse, moved, smooth, turned
from vitrine.sample.palette import COLOURS, RGB, darker, lighter
from vitrine.sample.relief import Form

METAL_NAMES: Final = ("Gold", "Silver", "Rose Gold", "Bronze")
METALS: Final[tuple[RGB, ...]] = tuple(COLOURS[name] for name in METAL_NAMES)
POLISHED: Final = Form(round_px=5, rise=4, lift=0.3, gloss=0.9)
FITTING: Final = Form(round_px=3, rise=2, lift=0.4, gloss=0.9)
STONE: Final = Form(round_px=8, rise=5, lift=0.3, gloss=0.8)


def bead(canvas: Canvas, x: float, y: float, radius: float, colour: RGB) -> None:
    """A small ball with its own shade and highlight."""
    canvas.dot(x, y, radius, darker(colour, 0.42))
    canvas.dot(x - radius * 0.08, y - radius * 0.1, radius * 0.84, colour)
    canvas.dot(x - radius * 0.28, y - radius * 0.3, radius * 0.42, lighter(colour, 0.45))
    canvas.dot(x - radius * 0.34, y - radius * 0.38, radius * 0.2, (255, 255, 255))


def gem(canvas: Canvas, x: float, y: float, radius: float, colour: RGB, cut: str = "round") -> None:
    """A faceted stone: round, oval, square or a drop."""
    outline = moved(_cut(cut, radius), x, y)
    canvas.part(outline, darker(colour, 0.2), STONE, edge=0.45)
    corners = [(x + 0.56 * (px - x), y + 0.56 * (py - y)) for px, py in outline[:: max(1, len(outline) // 8)]]
    canvas.part(corners, lighter(colour, 0.3), edge=0.1)
    rays: list[Points] = [[(x + 1.7 * (px - x), y + 1.7 * (py - y)), (px, py)] for px, py in corners]
    canvas.lines(rays, lighter(colour, 0.6), max(0.5, radius * 0.05), opacity=0.7)
    canvas.part(
        [(x - radius * 0.4, y - radius * 0.1), (x - radius * 0.05, y - radius * 0.45), (x, y - radius * 0.15)],
        lighter(colour, 0.8),
        edge=0,
    )


def chain(canvas: Canvas, line: Points, metal: RGB, width: float = 5) -> None:
    """Links along a line."""
    canvas.line(line, darker(metal, 0.4), width, free=True, dash=(width, width * 0.32))
    canvas.line(line, lighter(metal, 0.4), width * 0.4, free=True, dash=(width * 0.8, width * 0.52))


def ring(canvas: Canvas, x: float, y: float, rx: float, ry: float, thick: float, metal: RGB) -> None:
    """A polished hoop."""
    canvas.part(
        ellipse(x, y, rx, ry),
        metal,
        Form(max(2, thick * 0.7), thick * 0.5, 0.2, 0.9),
        holes=[ellipse(x, y, rx - thick, ry - thick)],
    )


def _cut(cut: str, radius: float) -> Points:
    if cut == "oval":
        return ellipse(0, 0, radius * 0.76, radius)
    if cut == "square":
        return turned(box(-radius * 0.8, -radius * 0.8, radius * 0.8, radius * 0.8, radius * 0.2), 0, (0, 0))
    if cut == "drop":
        right = smooth((0, -radius * 1.15), (radius * 0.45, -radius * 0.35), (radius * 0.72, radius * 0.3), (0, radius))
        return [*right, *((-px, py) for px, py in reversed(right))]
    return ellipse(0, 0, radius, radius)
