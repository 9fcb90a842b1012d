"""Prints: simple pictures on a chest or the side of a bag."""

from __future__ import annotations

from typing import Final

from vitrine.sample.canvas import Canvas
from vitrine.sample.curves import Point, Points, box, ellipse, moved, smooth, turned
from vitrine.sample.look import Look
from vitrine.sample.palette import RGB, darker, lighter, luma, mixed

MOTIFS: Final = ("sun", "mountain", "star", "waves", "rings", "bars", "bolt", "leaf", "heart")


def chest_motif(canvas: Canvas, look: Look, at: Point, radius: float) -> None:
    """One of the motifs in the product's second colour, `radius` pixels around a point."""
    second = mixed(look.accent, look.colour, 0.4)
    for outline, colour in _pieces(look.choice("motif kind", MOTIFS), look.accent, second):
        scaled = [(x * radius, y * radius) for x, y in outline]
        canvas.part(moved(scaled, *at), colour, edge=0)
    if look.chance("lettering", 0.6) and radius > 20:
        _lettering(canvas, look, at, radius)


def _lettering(canvas: Canvas, look: Look, at: Point, radius: float) -> None:
    """A word of block letters under the motif."""
    dice = look.dice("letters")
    letters = dice.randint(4, 7)
    size = 2 * radius / letters
    for n in range(letters):
        x, y = at[0] - radius + n * size, at[1] + radius * 1.18
        canvas.part(box(x, y, x + size * 0.72, y + size), look.accent, edge=0)
        notch = dice.choice(
            ((0.25, 0.0, 0.5, 0.55), (0.25, 0.45, 0.5, 1.0), (0.24, 0.25, 0.5, 0.75), (0.4, 0.2, 0.72, 0.4))
        )
        left, top, right, bottom = (v * size for v in notch)
        canvas.part(box(x + left, y + top, x + right, y + bottom), look.colour, edge=0)


def _pieces(kind: str, first: RGB, second: RGB) -> list[tuple[Points, RGB]]:
    """The motif's outlines within a circle of radius 1."""
    if kind == "sun":
        rays = [turned([(-0.08, -0.68), (0.08, -0.68), (0, -1)], 30 * n, (0, 0)) for n in range(12)]
        return [(ellipse(0, 0, 0.55, 0.55), first), *((ray, first) for ray in rays)]
    if kind == "mountain":
        disc = ellipse(0, 0, 1, 1)
        peaks: Points = [(-0.86, 0.5), (-0.3, -0.3), (0, 0.1), (0.32, -0.5), (0.88, 0.46)]
        return [(disc, second), ([*peaks, *smooth((0.86, 0.5), (0, 1.0), (-0.86, 0.5))], first)]
    if kind == "star":
        return [([turned([(0, -1 if n % 2 == 0 else -0.42)], 36 * n, (0, 0))[0] for n in range(10)], first)]
    if kind == "waves":
        wave = smooth((-1, 0), (-0.5, -0.25), (0, 0), (0.5, 0.25), (1, 0))
        band = [*wave, *reversed(moved(wave, 0, 0.2))]
        return [(moved(band, 0, y), first if n % 2 == 0 else second) for n, y in enumerate((-0.7, -0.3, 0.1, 0.5))]
    if kind == "rings":
        return [(ellipse(0, 0, r, r), first if n % 2 == 0 else second) for n, r in enumerate((1, 0.78, 0.56, 0.34))]
    if kind == "bars":
        return [
            (box(-1, y, 1 - 0.3 * n, y + 0.26), first if n != 1 else second) for n, y in enumerate((-0.6, -0.15, 0.3))
        ]
    if kind == "bolt":
        return [([(0.2, -1), (-0.5, 0.15), (-0.08, 0.15), (-0.3, 1), (0.5, -0.2), (0.06, -0.2)], first)]
    if kind == "leaf":
        leaf = [*smooth((0, -1), (0.62, -0.2), (0, 0.8)), *smooth((0, 0.8), (-0.62, -0.2), (0, -1))]
        return [(leaf, first), (box(-0.04, -0.6, 0.04, 1), lighter(second, 0.1))]
    right = smooth((0, -0.45), (0.4, -0.85), (0.9, -0.55), (0.75, 0.05), (0, 0.85))
    return [([*right, *((-x, y) for x, y in reversed(right))], first)]


def badge(canvas: Canvas, look: Look, at: Point, radius: float) -> None:
    """A round patch with a motif on it."""
    light = luma(look.accent) > 0.6
    canvas.part(ellipse(*at, radius, radius), darker(look.colour, 0.5) if light else lighter(look.colour, 0.85))
    for outline, _ in _pieces(look.choice("motif kind", MOTIFS), look.accent, look.accent):
        canvas.part(moved([(x * radius * 0.7, y * radius * 0.7) for x, y in outline], *at), look.accent, edge=0)
