"""Wrist watches: strap upright, dial towards the viewer."""

from __future__ import annotations

import math
from typing import Final

from vitrine.sample.canvas import Canvas
from vitrine.sample.curves import Points, box, ellipse, flipped, mirrored, ribbon, smooth, turned
from vitrine.sample.look import Drawer, Look
from vitrine.sample.metalwork import FITTING, METALS
from vitrine.sample.palette import INK, RGB, contrasting, darker, lighter, luma
from vitrine.sample.relief import Form

CENTRE: Final = 160.0
STRAP: Final = Form(round_px=16, rise=7, lift=0.2, gloss=0.2, tube=True)
BRACELET: Final = Form(round_px=20, rise=9, lift=0.2, gloss=0.7, tube=True)
CASE: Final = Form(round_px=9, rise=7, lift=0.45, gloss=0.9, solid=True)
RECESS: Final = Form(round_px=4, rise=-3, lift=0)

# Seven-segment digits as the segments that are lit: a top, b upper right, … g middle.
_SEGMENTS: Final = {"0": "abcdef", "1": "bc", "2": "abged", "3": "abgcd", "5": "afgcd", "8": "abcdefg"}


def leather(canvas: Canvas, look: Look) -> None:
    """A round case on a stitched leather strap."""
    metal = look.choice("metal", METALS)
    radius, half = look.between("radius", 56, 66), look.between("strap", 25, 31)
    _strap(canvas, look, half, radius, STRAP)
    for line in (_edge(half - 5, -1), _edge(half - 5, 1)):
        canvas.line(line, contrasting(look.colour, 0.5), 1.3, dash=(4, 2.5))
    _holes(canvas, look.colour)
    dial = look.choice(
        "dial", [(244, 243, 238), (244, 243, 238), (34, 36, 42), darker(look.colour, 0.2), (228, 214, 186)]
    )
    _round_case(canvas, look, radius, half, metal)
    _dial(canvas, look, radius * 0.84, dial, metal)


def steel(canvas: Canvas, look: Look) -> None:
    """A metal bracelet of three rows of links."""
    metal = look.colour
    radius, half = look.between("radius", 58, 70), look.between("strap", 27, 35)
    canvas.part(_straps(half), metal, BRACELET)
    if look.product.pattern == "two tone":
        canvas.part(
            box(-half * 0.36, 8, half * 0.36, 312),
            look.choice("inlay", METALS[:1] + METALS[2:]),
            Form(6, 3, 0, 0.8, tube=True),
        )
    step = look.between("links", 10, 14)
    rows = [4 + step * n for n in range(int(312 / step) + 1)]
    canvas.lines([[(-half, y), (half, y + 0.01)] for y in rows], darker(metal, 0.62), 1.7)
    canvas.lines([[(-half, y + 1.8), (half, y + 1.8)] for y in rows], lighter(metal, 0.6), 1)
    for x in (-half * 0.36, half * 0.36):
        canvas.line([(x, 0), (x, 320)], darker(metal, 0.55), 1.4)
    _round_case(canvas, look, radius, half, metal)
    if look.product.pattern == "studded":
        _stones(canvas, radius * 0.9, radius * 0.9, metal)
    elif look.chance("diver", 0.4):
        _bezel(canvas, look, radius)
    dial = look.choice("dial", [(240, 240, 238), (34, 36, 42), look.accent, (36, 52, 96)])
    _dial(canvas, look, radius * 0.78, dial, metal)


def chronograph(canvas: Canvas, look: Look) -> None:
    """A sports watch with three small dials, pushers and a rubber strap."""
    radius, half = look.between("radius", 64, 74), look.between("strap", 29, 35)
    metal = look.choice("metal", [*METALS, (58, 58, 62)])
    _strap(canvas, look, half, radius, STRAP)
    for y in (*range(14, 90, 9), *range(236, 312, 9)):
        canvas.line([(-half * 0.6, y), (half * 0.6, y)], darker(look.colour, 0.35), 2.4)
    for angle in (-32, 32):
        pusher = turned(box(radius - 2, CENTRE - 6, radius + 12, CENTRE + 6, 3), angle, (0, CENTRE))
        canvas.part(pusher, metal, FITTING)
    _round_case(canvas, look, radius, half, metal)
    _bezel(canvas, look, radius)
    dial = look.choice("dial", [(240, 240, 238), (34, 36, 42), (36, 52, 96), darker(look.colour, 0.25)])
    _dial(canvas, look, radius * 0.76, dial, metal, small_dials=True)


def dress(canvas: Canvas, look: Look) -> None:
    """A slim rectangular or oval case on a narrow strap."""
    metal = look.choice("metal", METALS[:3])
    half = look.between("strap", 15, 20)
    wide, tall = look.between("wide", 36, 44), look.between("tall", 50, 60)
    _strap(canvas, look, half, tall, STRAP)
    oval = look.chance("oval", 0.4)
    canvas.part(box(wide - 2, CENTRE - 5, wide + 7, CENTRE + 5, 2), metal, FITTING)
    outer = ellipse(0, CENTRE, wide, tall) if oval else box(-wide, CENTRE - tall, wide, CENTRE + tall, 10)
    canvas.part(outer, metal, CASE)
    inner = (
        ellipse(0, CENTRE, wide - 8, tall - 8)
        if oval
        else box(-wide + 8, CENTRE - tall + 8, wide - 8, CENTRE + tall - 8, 5)
    )
    dial = look.choice("dial", [(246, 244, 238), (34, 36, 42), (232, 220, 196), look.accent])
    canvas.part(inner, dial, RECESS, edge=0.45)
    mark = metal if luma(dial) < 0.4 else INK
    marks = [_ray(turn, 0.74, 0.9, (wide - 8), (tall - 8)) for turn in range(0, 360, 30)]
    canvas.lines(marks, mark, 1.8)
    _hands(canvas, look, (wide + tall) * 0.36, mark)
    _glare(canvas, inner, wide)
    if look.chance("stones", 0.45):
        _stones(canvas, wide - 4, tall - 4, metal)


def digital(canvas: Canvas, look: Look) -> None:
    """A resin case with a liquid-crystal display."""
    wide, tall = look.between("wide", 50, 60), look.between("tall", 60, 70)
    half = look.between("strap", 28, 34)
    _strap(canvas, look, half, tall, STRAP)
    _holes(canvas, look.colour)
    for y in (28, 46, 64, 256, 274, 292):
        canvas.line([(-half + 7, y), (half - 7, y)], darker(look.colour, 0.3), 3)
    for side in (-1, 1):
        for y in (-26, 26):
            canvas.part(
                box(side * wide - 6, CENTRE + y - 7, side * wide + 6, CENTRE + y + 7, 3), (150, 150, 154), FITTING
            )
    canvas.part(_octagon(wide, tall, 20), look.colour, Form(12, 9, 0.45, 0.25, solid=True))
    canvas.part(
        _octagon(wide - 8, tall - 10, 16),
        look.accent if look.product.pattern != "plain" else darker(look.colour, 0.4),
        FITTING,
    )
    canvas.part(_octagon(wide - 12, tall - 14, 14), (38, 38, 42), RECESS)
    lit = look.choice("display", [(176, 186, 164), (176, 186, 164), (30, 34, 40)])
    screen = box(-wide + 17, CENTRE - 24, wide - 17, CENTRE + 24, 4)
    canvas.part(screen, lit, RECESS)
    dice = look.dice("time")
    size = (wide - 17) * 2 / 5.2
    hands = f"1{dice.choice('02')}{dice.choice('0123')}{dice.choice('0258')}"
    for n, digit in enumerate(hands):
        x = -wide + 21 + n * size * 1.14 + (size * 0.45 if n > 1 else 0)
        _digit(canvas, digit, x, CENTRE - 9, size * 0.82, contrasting(lit, 0.85))
    for y in (-2, 8):
        canvas.dot(0.5, CENTRE + y, 1.4, contrasting(lit, 0.85))
    canvas.line([(-wide + 22, CENTRE - 16), (wide - 26, CENTRE - 16)], contrasting(lit, 0.6), 2.4, dash=(6, 3))
    canvas.line([(-18, CENTRE + 38), (18, CENTRE + 38)], look.accent, 3, dash=(5, 2))
    _glare(canvas, screen, wide)


def _straps(half: float) -> Points:
    """Both ends of a strap, a little narrower where they bend away from the viewer."""
    far = half * 0.84
    return [
        *smooth((-far, 6), (-half * 0.96, 60), (-half, CENTRE), (-half * 0.96, 260), (-far, 314)),
        *smooth((far, 314), (half * 0.96, 260), (half, CENTRE), (half * 0.96, 60), (far, 6)),
    ]


def _edge(half: float, side: int) -> Points:
    return [
        (side * x, y)
        for x, y in smooth((half * 0.84, 6), (half * 0.96, 60), (half, CENTRE), (half * 0.96, 260), (half * 0.84, 314))
    ]


def _strap(canvas: Canvas, look: Look, half: float, reach: float, form: Form) -> None:
    canvas.part(_straps(half), look.fabric(16, block_y=CENTRE), form)
    for y, far in ((0, 30), (320, 290)):
        canvas.tone([(-50, y), (50, y), (50, far), (-50, far)], -0.3, 16)
    for side in (-1, 1):
        lug = [
            (-half + 1, CENTRE + side * (reach + 9)),
            (-half + 9, CENTRE + side * (reach + 9)),
            (-half + 12, CENTRE),
            (-half - 6, CENTRE),
        ]
        for outline in (lug, flipped(lug)):
            canvas.part(outline, look.choice("metal", METALS), FITTING)


def _holes(canvas: Canvas, colour: RGB) -> None:
    for y in (262, 276, 290):
        canvas.part(ellipse(0, y, 2.4, 3.2), darker(colour, 0.7))
    canvas.part(box(-34, 34, 34, 46, 3), darker(colour, 0.12), Form(4, 3, 0.4, 0.2))


def _round_case(canvas: Canvas, look: Look, radius: float, half: float, metal: RGB) -> None:
    for side in (-1, 1):
        for x in (-half - 1, half + 1):
            lug = ribbon([(x, CENTRE + side * (radius - 16)), (x * 0.97, CENTRE + side * (radius + 8))], 11, 8)
            canvas.part(lug, metal, FITTING)
    canvas.part(box(radius - 3, CENTRE - 6, radius + 9, CENTRE + 6, 3), darker(metal, 0.1), FITTING)
    canvas.line([(radius + 3, CENTRE - 5), (radius + 3, CENTRE + 5)], darker(metal, 0.5), 1)
    canvas.part(ellipse(0, CENTRE, radius, radius), metal, CASE)
    canvas.line(ellipse(0, CENTRE, radius * 0.93, radius * 0.93), darker(metal, 0.35), 1)


def _bezel(canvas: Canvas, look: Look, radius: float) -> None:
    """A coloured ring with minute marks around the dial."""
    colour = look.choice("bezel", [(38, 38, 42), (38, 38, 42), (36, 52, 96), look.accent])
    canvas.part(ellipse(0, CENTRE, radius * 0.95, radius * 0.95), colour, Form(5, 2.5, 0, 0.4))
    marks = [_ray(turn, 0.86, 0.91, radius, radius) for turn in range(0, 360, 15)]
    canvas.lines(marks, contrasting(colour, 0.9), 1.4)


def _dial(canvas: Canvas, look: Look, radius: float, colour: RGB, metal: RGB, *, small_dials: bool = False) -> None:
    face = ellipse(0, CENTRE, radius, radius)
    canvas.part(face, colour, RECESS, edge=0.5)
    mark = INK if luma(colour) > 0.45 else (metal if look.chance("metal marks", 0.5) else (238, 238, 234))
    canvas.lines([_ray(turn, 0.92, 0.96, radius, radius) for turn in range(0, 360, 6)], mark, 0.7, opacity=0.8)
    kind = look.choice("hours", ("batons", "dots", "numerals"))
    if kind == "dots":
        for turn in range(0, 360, 30):
            x, y = _ray(turn, 0.8, 0.8, radius, radius)[0]
            canvas.dot(x, y, 3 if turn % 90 == 0 else 2.2, mark)
    else:
        length = 0.7 if kind == "batons" else 0.76
        canvas.lines([_ray(turn, length, 0.88, radius, radius) for turn in range(0, 360, 30)], mark, 2.6)
        if kind == "numerals":
            pairs = [_ray(turn + shift, 0.74, 0.86, radius, radius) for turn in range(0, 360, 90) for shift in (-4, 4)]
            canvas.lines(pairs, mark, 1.8)
    if small_dials:
        for x, y in ((-0.42, 0.0), (0.42, 0.0), (0.0, 0.42)):
            _small_dial(canvas, look, x * radius, CENTRE + y * radius, radius * 0.24, colour, mark)
    elif look.chance("date", 0.5):
        canvas.part(box(radius * 0.52, CENTRE - 5, radius * 0.72, CENTRE + 5, 1), (248, 248, 246), edge=0.5)
        canvas.line([(radius * 0.58, CENTRE), (radius * 0.67, CENTRE)], INK, 3, dash=(2, 1))
    canvas.line([(-9, CENTRE - radius * 0.42), (9, CENTRE - radius * 0.42)], mark, 2, dash=(3, 1))
    _hands(canvas, look, radius, mark)
    _glare(canvas, face, radius)


def _stones(canvas: Canvas, rx: float, ry: float, metal: RGB) -> None:
    """Small brilliants around the case."""
    for turn in range(0, 360, 15):
        x, y = _ray(turn, 1, 1, rx, ry)[0]
        canvas.dot(x, y, 2.8, darker(metal, 0.35))
        canvas.dot(x, y, 1.9, (252, 252, 255))


def _small_dial(canvas: Canvas, look: Look, x: float, y: float, radius: float, colour: RGB, mark: RGB) -> None:
    canvas.part(ellipse(x, y, radius, radius), contrasting(colour, 0.16), RECESS, edge=0.4)
    ticks: list[Points] = []
    for turn in range(0, 360, 30):
        c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        ticks.append([(x + c * radius * 0.76, y + s * radius * 0.76), (x + c * radius * 0.92, y + s * radius * 0.92)])
    canvas.lines(ticks, mark, 0.7)
    hand = math.radians(look.between(f"small {x:.0f}", 0, 360))
    canvas.line([(x, y), (x + math.cos(hand) * radius * 0.7, y + math.sin(hand) * radius * 0.7)], mark, 1.2)


def _hands(canvas: Canvas, look: Look, radius: float, colour: RGB) -> None:
    """Ten past ten, as every watch in a shop."""
    minute = look.between("minute", 50, 70)
    for turn, length, width in ((-60 + minute / 12, 0.5, 4.6), (minute, 0.76, 3.4)):
        canvas.part(
            ribbon([(0, CENTRE), _ray(turn, length, length, radius, radius)[0]], width, 1.6),
            colour,
            Form(2, 0.8, 0.4),
            edge=0.3,
        )
    seconds = look.choice("seconds", [look.accent, (200, 50, 44), colour])
    canvas.line([_ray(look.between("second", 120, 240), 0.8, 0.8, radius, radius)[0], (0, CENTRE)], seconds, 1.1)
    canvas.dot(0, CENTRE, 3.4, colour)
    canvas.dot(0, CENTRE, 1.4, seconds)


def _glare(canvas: Canvas, glass: Points, wide: float) -> None:
    band = [
        (-wide, CENTRE - wide * 0.2),
        (-wide * 0.2, CENTRE - wide * 1.1),
        (wide * 0.25, CENTRE - wide * 1.1),
        (-wide, CENTRE + wide * 0.35),
    ]
    canvas.part(band, (255, 255, 255), within=glass, opacity=0.16, edge=0)


def _ray(turn: float, inner: float, outer: float, rx: float, ry: float) -> Points:
    """A radial mark; `turn` in degrees clockwise from twelve o'clock."""
    s, c = math.sin(math.radians(turn)), -math.cos(math.radians(turn))
    return [(s * rx * inner, CENTRE + c * ry * inner), (s * rx * outer, CENTRE + c * ry * outer)]


def _octagon(wide: float, tall: float, corner: float) -> Points:
    return mirrored(
        [
            (0, CENTRE - tall),
            (-wide + corner, CENTRE - tall),
            (-wide, CENTRE - tall + corner),
            (-wide, CENTRE + tall - corner),
            (-wide + corner, CENTRE + tall),
            (0, CENTRE + tall),
        ]
    )


def _digit(canvas: Canvas, digit: str, x: float, y: float, size: float, colour: RGB) -> None:
    w, h = size, size * 0.95
    ends: dict[str, Points] = {
        "a": [(x, y), (x + w, y)],
        "b": [(x + w, y), (x + w, y + h)],
        "c": [(x + w, y + h), (x + w, y + 2 * h)],
        "d": [(x, y + 2 * h), (x + w, y + 2 * h)],
        "e": [(x, y + h), (x, y + 2 * h)],
        "f": [(x, y), (x, y + h)],
        "g": [(x, y + h), (x + w, y + h)],
    }
    canvas.lines([ends[name] for name in _SEGMENTS[digit]], colour, 2.4)


DRAWERS: Final[dict[str, Drawer]] = {
    "Leather Watches": leather,
    "Steel Watches": steel,
    "Chronographs": chronograph,
    "Dress Watches": dress,
    "Digital Watches": digital,
}
