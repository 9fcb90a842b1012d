"""Necklaces, pendants, earrings, rings, bracelets and bangles."""

from __future__ import annotations

from typing import Final

from vitrine.sample.canvas import Canvas
from vitrine.sample.curves import Points, along, box, closed, ellipse, flipped, mirrored, moved, ribbon, smooth, turned
from vitrine.sample.look import Drawer, Look
from vitrine.sample.metalwork import FITTING, METAL_NAMES, METALS, POLISHED, bead, chain, gem, ring
from vitrine.sample.palette import RGB, darker, lighter
from vitrine.sample.relief import Form

CUTS: Final = ("round", "oval", "square", "drop")


def _metal(look: Look) -> RGB:
    """The product's colour where that is a metal, else a setting for its stones."""
    return look.colour if look.product.colour in METAL_NAMES else look.choice("metal", METALS[:3])


def _stone(look: Look) -> RGB:
    return look.accent if look.product.colour in METAL_NAMES else look.colour


def necklace(canvas: Canvas, look: Look) -> None:
    """Strands of beads, or a chain with a fringe of stones."""
    metal, stone = _metal(look), _stone(look)
    deep, wide = look.between("deep", 210, 262), look.between("wide", 62, 88)
    strands = look.choice("strands", (1, 1, 2, 3)) if look.product.pattern == "beaded" else 1
    for n in range(strands):
        line = _hanging(wide - 13 * n, deep - 32 * n)
        chain(canvas, line, metal, 3.2)
        if look.product.pattern == "beaded":
            _beads(canvas, line, stone if n % 2 == 0 else metal, metal, look.between("bead", 4.5, 7.5) - n)
    line = _hanging(wide, deep)
    if look.product.pattern == "studded":
        for n, (x, y) in enumerate(along(line, 25)[6:19]):
            gem(canvas, x, y + 8, 9 - abs(n - 6) * 0.6, stone, "drop")
    elif look.product.pattern == "plain":
        chain(canvas, line, metal, look.between("links", 6, 10))
        if look.chance("bar", 0.5):
            canvas.part(box(-30, deep - 8, 30, deep + 6, 6), metal, POLISHED)


def pendant(canvas: Canvas, look: Look) -> None:
    """A large ornament on a fine chain."""
    metal, stone = _metal(look), _stone(look)
    wide, radius = look.between("wide", 34, 62), look.between("radius", 42, 54)
    line = [(-wide, 8.0), *smooth((-wide, 8), (-wide * 0.7, 60), (0, 130), (wide * 0.7, 60), (wide, 8))]
    chain(canvas, line, metal, 4)
    ring(canvas, 0, 140, 7, 11, 4, metal)
    kind = look.choice("shape", ("heart", "drop", "disc", "flower", "leaf", "star"))
    centre = 152 + radius
    for outline in _ornament(kind, radius):
        canvas.part(moved(outline, 0, centre), metal, Form(12, 7, 0.3, 0.85), edge=0.4)
    if look.product.pattern == "studded":
        for x, y in along(moved(_ornament(kind, radius * 0.8)[0], 0, centre), 19)[:-1]:
            canvas.dot(x, y, 4, darker(metal, 0.4))
            canvas.dot(x, y, 3, (246, 248, 252))
            canvas.dot(x - 0.8, y - 0.8, 1.2, (255, 255, 255))
    if look.product.pattern != "plain" or look.product.colour not in METAL_NAMES:
        gem(canvas, 0, centre, radius * 0.4, stone, look.choice("cut", CUTS))


def earrings(canvas: Canvas, look: Look) -> None:
    """A pair of drops, hoops, studs or bells."""
    kind = look.choice("kind", (_drop, _hoop, _stud, _bell))
    for x, lean in ((-54, 3), (54, -3)):
        with canvas.moved(x, 0, degrees=lean):
            kind(canvas, look)


def _drop(canvas: Canvas, look: Look) -> None:
    metal, stone = _metal(look), _stone(look)
    _hook(canvas, metal, 70)
    bead(canvas, 0, 108, 8, stone if look.product.pattern == "beaded" else metal)
    if look.product.pattern == "beaded":
        for n in range(4):
            bead(canvas, 0, 130 + n * 25, 9 + 2 * n, stone if n % 2 == 0 else metal)
        return
    length = look.between("length", 10, 50)
    chain(canvas, [(0, 116), (0, 122 + length)], metal, 4)
    radius = look.between("size", 26, 36)
    outline = moved(_ornament("drop", radius * 1.2)[0], 0, 122 + length + radius)
    canvas.part(outline, metal, POLISHED, edge=0.4)
    if look.product.pattern == "studded":
        gem(canvas, 0, 128 + length + radius, radius * 0.72, stone, "drop")


def _hoop(canvas: Canvas, look: Look) -> None:
    metal, stone = _metal(look), _stone(look)
    radius, thick = look.between("size", 40, 50), look.between("thick", 7, 14)
    ring(canvas, 0, 160, radius * 0.8, radius * 1.35, thick, metal)
    canvas.part(box(-4, 160 - radius * 1.35 - 8, 4, 160 - radius * 1.35 + 10, 2), darker(metal, 0.1), FITTING)
    if look.product.pattern != "plain":
        path = ellipse(0, 160, radius * 0.8 - thick / 2, radius * 1.35 - thick / 2, -60, 240)
        for x, y in along(path, 17):
            bead(canvas, x, y, thick * 0.42, stone)


def _stud(canvas: Canvas, look: Look) -> None:
    metal, stone = _metal(look), _stone(look)
    radius = look.between("size", 36, 46)
    petals = look.choice("petals", (0, 5, 6, 8))
    if petals == 0:
        canvas.part(ellipse(0, 160, radius, radius), metal, POLISHED)
    for n in range(petals):
        petal = closed(
            (0, 160 - radius * 1.08),
            (radius * 0.36, 160 - radius * 0.7),
            (0, 160 - radius * 0.2),
            (-radius * 0.36, 160 - radius * 0.7),
        )
        canvas.part(turned(petal, 360 * n / petals, (0, 160)), metal, POLISHED, edge=0.4)
    if look.product.pattern == "beaded":
        for x, y in ellipse(0, 160, radius * 0.62, radius * 0.62)[::5]:
            bead(canvas, x, y, radius * 0.14, stone)
    gem(
        canvas,
        0,
        160,
        radius * (0.36 if petals else 0.66),
        stone if look.product.pattern != "plain" else lighter(metal, 0.3),
        look.choice("cut", CUTS[:3]),
    )


def _bell(canvas: Canvas, look: Look) -> None:
    metal, stone = _metal(look), _stone(look)
    canvas.part(ellipse(0, 84, 22, 22), metal, POLISHED)
    gem(canvas, 0, 84, 13, stone)
    chain(canvas, [(0, 104), (0, 124)], metal, 5)
    canvas.part(
        mirrored([*smooth((0, 122), (-22, 132), (-36, 164), (-42, 194)), (0, 200)]), metal, Form(14, 8, 0.2, 0.9)
    )
    for y, half in ((150, 27), (172, 36)):
        canvas.line(smooth((-half, y), (0, y + 6), (half, y)), darker(metal, 0.45), 1.6)
    for x in range(-36, 37, 12):
        if look.product.pattern != "plain":
            bead(canvas, x, 184, 4, stone)
        chain(canvas, [(x, 198), (x, 214)], metal, 3)
        bead(canvas, x, 222, 6, stone if look.product.pattern == "beaded" else metal)


def finger_ring(canvas: Canvas, look: Look) -> None:
    """A band with a stone, a cluster, or engraving."""
    metal, stone = _metal(look), _stone(look)
    wide, tall = look.between("wide", 74, 84), look.between("tall", 76, 88)
    thick, y = look.between("thick", 12, 20), 196.0
    inner = ellipse(4, y + 3, wide - thick, tall - thick * 0.9)
    canvas.part(ellipse(0, y, wide, tall), darker(metal, 0.08), Form(10, 8, 0, 0.9), holes=[inner])
    canvas.line(ellipse(4, y + 3, wide - thick + 2, tall - thick * 0.9 + 2, 20, 200), darker(metal, 0.5), 2)
    if look.product.pattern == "plain" and look.product.colour in METAL_NAMES:
        marks = [
            [(x * (wide - 3), y + s * (tall - 3)), (x * (wide - thick + 4), y + s * (tall - thick + 4))]
            for x, s in ellipse(0, 0, 1, 1)
        ]
        canvas.lines(marks, darker(metal, 0.4), 1.6)
        return
    top, size = y - tall, look.between("stone", 24, 36)
    for side in (-1, 1):
        canvas.part(ribbon([(side * wide * 0.5, top + 22), (side * size * 0.66, top - 6)], 14, 8), metal, FITTING)
    if look.product.pattern == "studded":
        for side in (-1, 1):
            for n in range(5):
                x, ring_y = ellipse(0, y, wide - thick / 2, tall - thick / 2, 270 + side * (24 + 11 * n), 360)[0]
                bead(canvas, x, ring_y, thick * 0.32, (232, 238, 246))
    if look.product.pattern == "beaded":
        for turn in range(0, 360, 36):
            x, ring_y = turned([(0, top - 10 - size * 1.0)], turn, (0, top - 10))[0]
            bead(canvas, x, ring_y, size * 0.28, (238, 240, 246))
    gem(
        canvas,
        0,
        top - 10,
        size * (0.84 if look.product.pattern == "beaded" else 1),
        stone,
        look.choice("cut", CUTS[:3]),
    )


def bracelet(canvas: Canvas, look: Look) -> None:
    """A loop of beads, a chain with charms, or set stones."""
    metal, stone = _metal(look), _stone(look)
    wide, tall = look.between("wide", 88, 98), look.between("tall", 66, 92)
    loop = ellipse(0, 156, wide, tall, -90, 270)
    if look.product.pattern == "beaded":
        canvas.line(loop, darker(metal, 0.4), 2, free=True)
        size = look.between("bead", 8, 12)
        count = round(3.1416 * (wide + tall) / (2.15 * size))
        for n, (x, y) in enumerate(along(loop, count + 1)[:-1]):
            bead(canvas, x, y, size, metal if n % 5 == 0 else stone)
        return
    chain(canvas, loop, metal, look.between("links", 7, 11))
    places = along(ellipse(0, 156, wide, tall, 20, 160), 7)
    for n, (x, y) in enumerate(places):
        if look.product.pattern == "studded":
            canvas.part(ellipse(x, y, 15, 15), metal, POLISHED)
            gem(canvas, x, y, 11, stone, "round")
        elif n % 2 == 1:
            chain(canvas, [(x, y), (x, y + 14)], metal, 4)
            kind = look.choice(f"charm {n}", ("heart", "star", "disc", "drop"))
            canvas.part(moved(_ornament(kind, 15)[0], x, y + 28), metal if n != 3 else stone, POLISHED, edge=0.4)


def bangle(canvas: Canvas, look: Look) -> None:
    """One broad hoop, or a stack of thin ones."""
    metal, stone = _metal(look), _stone(look)
    stack = look.choice("stack", (1, 1, 3, 4))
    thick = look.between("thick", 16, 26) if stack == 1 else look.between("thin", 8, 10)
    wide, tall = look.between("wide", 92, 102), look.between("tall", 58, 84)
    enamel = look.product.colour not in METAL_NAMES
    for n in range(stack):
        y = 160 + (stack / 2 - n) * (thick + 5)
        colour = stone if enamel and n % 2 == 0 else metal
        ring(canvas, 0, y, wide, tall, thick, colour)
        canvas.line(ellipse(0, y, wide - 1, tall - 1), darker(colour, 0.4), 1)
        path = ellipse(0, y, wide - thick / 2, tall - thick / 2, 8, 172)
        if look.product.pattern == "studded":
            for x, dot_y in along(path, 15 if stack == 1 else 22):
                bead(canvas, x, dot_y, thick * 0.3, metal if enamel else stone)
        elif look.product.pattern == "beaded":
            for x, dot_y in along(ellipse(0, y, wide - thick / 2, tall - thick / 2), 44):
                bead(canvas, x, dot_y, thick * 0.36, colour)


def _hanging(wide: float, deep: float) -> Points:
    left = [(-wide * 0.72, 14.0), (-wide, 90.0), (-wide * 0.86, deep - 74), (-wide * 0.46, deep - 16)]
    return smooth(*left, (0, deep), *flipped(left))


def _beads(canvas: Canvas, line: Points, colour: RGB, metal: RGB, radius: float) -> None:
    count = 45
    for n, (x, y) in enumerate(along(line, count)):
        middle = 1 - abs(n - count // 2) / (count // 2)
        size = radius * (0.55 + 0.6 * middle)
        bead(canvas, x, y, size, metal if n % 6 == 0 else colour)


def _hook(canvas: Canvas, metal: RGB, top: float) -> None:
    canvas.line([*ellipse(0, top, 12, 16, 150, 360), (11, top + 22), (0, top + 34)], darker(metal, 0.2), 3, free=True)


def _ornament(kind: str, radius: float) -> list[Points]:
    """A pendant's outlines around (0, 0); the first is the whole where there are several petals."""
    if kind == "heart":
        right = smooth((0, -0.5), (0.45, -0.95), (0.98, -0.6), (0.8, 0.05), (0, 0.95))
        shapes = [[*right, *((-x, y) for x, y in reversed(right))]]
    elif kind == "drop":
        right = smooth((0, -1.05), (0.4, -0.4), (0.72, 0.3), (0.4, 0.86), (0, 0.98))
        shapes = [[*right, *((-x, y) for x, y in reversed(right))]]
    elif kind == "flower":
        petal = closed((0, -1), (0.36, -0.66), (0, -0.1), (-0.36, -0.66))
        shapes = [ellipse(0, 0, 0.62, 0.62), *(turned(petal, 60 * n, (0, 0)) for n in range(6))]
    elif kind == "leaf":
        right = smooth((0, -1.1), (0.6, -0.2), (0.34, 0.6), (0, 1.05))
        shapes = [[*right, *((-x, y) for x, y in reversed(right))]]
    elif kind == "star":
        shapes = [[turned([(0, -1.05 if n % 2 == 0 else -0.5)], 36 * n, (0, 0))[0] for n in range(10)]]
    else:
        shapes = [ellipse(0, 0, 0.92, 0.92)]
    return [[(x * radius, y * radius) for x, y in shape] for shape in shapes]


DRAWERS: Final[dict[str, Drawer]] = {
    "Necklaces": necklace,
    "Pendants": pendant,
    "Earrings": earrings,
    "Rings": finger_ring,
    "Bracelets": bracelet,
    "Bangles": bangle,
}
