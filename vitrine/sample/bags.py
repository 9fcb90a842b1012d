"""Handbags, totes, backpacks, clutches, messenger bags and duffels, seen from the front."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from vitrine.sample.canvas import Canvas
from vitrine.sample.curves import Points, box, ellipse, flipped, hull, mirrored, moved, ribbon, smooth
from vitrine.sample.fabric import Fabric
from vitrine.sample.look import Drawer, Look
from vitrine.sample.metalwork import FITTING, METALS, chain
from vitrine.sample.motifs import badge, chest_motif
from vitrine.sample.palette import RGB, contrasting, darker
from vitrine.sample.relief import Form

BODY: Final = Form(round_px=26, rise=11, lift=0.25, gloss=0.18, solid=True)
STRAP: Final = Form(round_px=5, rise=3, lift=0.35, gloss=0.2)
PANEL: Final = Form(round_px=7, rise=3, lift=0.4, gloss=0.15)


def handbag(canvas: Canvas, look: Look) -> None:
    """Two handles over a trapezoid, a dome or a slouchy body."""
    cloth = look.fabric(26, block_y=look.between("block", 180, 210))
    metal = look.choice("metal", METALS[:3])
    top, bottom = look.between("top", 132, 148), look.between("bottom", 262, 284)
    wide, narrow = look.between("wide", 92, 106), look.between("narrow", 70, 86)
    body = _handbag_body(look, top, bottom, wide, narrow)
    reach = look.between("handle", 34, 84)
    _handle(canvas, darker(cloth.base, 0.35), 40, top + 6, reach - 8, 8)
    _gusset(canvas, look, body, cloth.base)
    canvas.part(body, cloth, BODY)
    seam = contrasting(cloth.base, 0.4)
    canvas.line([(x * 0.95, (y - 200) * 0.95 + 201) for x, y in body], seam, 1, dash=(3, 2))
    _handbag_front(canvas, look, cloth, top, bottom, narrow, metal)
    _handle(canvas, darker(cloth.base, 0.14), 46, top + 14, reach, 9)
    for x in (-46, 46):
        canvas.part(ribbon([(x, top + 12), (x * 1.02, top + 38)], 13), darker(cloth.base, 0.14), STRAP)
        canvas.part(ellipse(x, top + 12, 7, 7), metal, FITTING, holes=[ellipse(x, top + 12, 4, 4)])


def _handbag_body(look: Look, top: float, bottom: float, wide: float, narrow: float) -> Points:
    kind = look.choice("body", ("trapezoid", "dome", "slouchy"))
    if kind == "trapezoid":
        corner = ellipse(-wide + 13, bottom - 12, 12, 12, 180, 90)
        return mirrored([(0, top), *smooth((-narrow, top), (-wide + 2, bottom - 20)), *corner, (0, bottom)])
    if kind == "dome":
        side = smooth((0, top - 14), (-narrow * 0.7, top - 2), (-wide, top + 60), (-wide, bottom - 10))
        return mirrored([*side, *smooth((-wide + 6, bottom), (0, bottom + 2))])
    rim = smooth((0, top + 14), (-narrow * 0.6, top + 6), (-narrow, top - 2))
    low: Points = [(-wide + 4, bottom - 16), (-wide * 0.6, bottom), (0, bottom + 4)]
    return mirrored([*rim, *smooth((-narrow, top - 2), (-wide - 4, top + 70), *low)])


def tote(canvas: Canvas, look: Look) -> None:
    """A tall open shopper with long straps."""
    cloth = look.fabric(30, block_y=look.between("block", 180, 230))
    top, wide = look.between("top", 112, 126), look.between("wide", 80, 94)
    strap = look.accent if look.chance("strap", 0.5) else darker(cloth.base, 0.2)
    reach = look.between("handle", 14, 40)
    _handle(canvas, darker(strap, 0.35), 36, top + 4, reach - 4, 8)
    body = mirrored(
        [
            *smooth((0, top + 4), (-wide, top)),
            *smooth((-wide, top), (-wide - 4, 220), (-wide + 2, 296)),
            *smooth((-wide + 2, 296), (0, 300)),
        ]
    )
    _gusset(canvas, look, body, cloth.base)
    canvas.part(mirrored([(0, top - 6), (-wide + 2, top), (0, top + 12)]), darker(cloth.base, 0.5))
    canvas.part(body, cloth, Form(22, 7, 0.25, 0.05, solid=True))
    canvas.line([(-wide, top + 12), (0, top + 16), (wide, top + 12)], contrasting(cloth.base, 0.35), 1, dash=(3, 2))
    for x in (-36.0, 36.0):
        canvas.part(ribbon([(x, top), (x, 296 if look.chance("long", 0.35) else top + 44)], 12), strap, STRAP)
        canvas.lines(
            [[(x - 4, top + 28), (x + 4, top + 40)], [(x + 4, top + 28), (x - 4, top + 40)]],
            contrasting(strap, 0.4),
            0.9,
        )
    _handle(canvas, strap, 36, top + 2, reach, 10)
    dice = look.dice(f"folds {look.view}")
    for _ in range(4):
        x, y = dice.uniform(-60, 60), dice.uniform(200, 240)
        canvas.fold(smooth((x, y), (x + 6, y + 30), (x - 4, y + 50)), dice.uniform(1.5, 3), 9)
    if look.product.pattern == "printed":
        chest_motif(canvas, look, (0, 206), look.between("motif", 34, 46))


def backpack(canvas: Canvas, look: Look) -> None:
    """A rounded back, a zipped front pocket, straps and a loop."""
    cloth = look.fabric(26, block_y=look.between("block", 110, 165))
    second = look.accent if look.chance("two tone", 0.55) else darker(cloth.base, 0.2)
    wide = look.between("wide", 80, 90)
    canvas.part(ribbon(smooth((-20, 34), (-14, 12), (14, 12), (20, 34)), 8), darker(second, 0.2), STRAP)
    for side in (-1, 1):
        strap = smooth((side * 50, 50), (side * (wide + 14), 120), (side * (wide + 16), 220), (side * (wide - 8), 282))
        canvas.part(ribbon(strap, 13), darker(cloth.base, 0.4), STRAP)
    back = smooth((0, 22), (-52, 30), (-wide + 4, 84), (-wide, 180), (-wide + 1, 270))
    body = mirrored([*back, *ellipse(-wide + 21, 280, 20, 18, 180, 90), (0, 298)])
    _gusset(canvas, look, body, cloth.base)
    canvas.part(body, cloth, Form(34, 14, 0.25, 0.08, solid=True))
    for outer, inner in ((-wide, 16 - wide), (wide, wide - 16)):
        canvas.part([(outer, 206), (inner, 212), (inner, 290), (outer * 0.98, 288)], second, PANEL)
    half = smooth((-wide + 10, 190), (-wide + 14, 90), (-50, 46), (0, 36))
    _zip(canvas, [*half, *flipped(half)], cloth.base)
    _pocket(canvas, look.between("pocket", 158, 186), second if look.chance("pocket colour", 0.5) else cloth, second)
    if look.chance("upper pocket", 0.45):
        _zip(canvas, [(-46, 122), (46, 122)], second)
        canvas.line([(-48, 136), (48, 136)], darker(cloth.base, 0.3), 3)
    if look.product.pattern == "printed":
        chest_motif(canvas, look, (0, 100), 26)
    else:
        badge(canvas, look, (0, 232), 13)


def _pocket(canvas: Canvas, top: float, ink: RGB | Fabric, lining: RGB) -> None:
    """A backpack's front pocket with its own zip."""
    upper = smooth((0, top), (-44, top + 5), (-58, top + 28))
    canvas.part(mirrored([*upper, (-60, 268), *smooth((-58, 280), (-44, 286), (0, 287))]), ink, PANEL)
    half = smooth((-52, top + 34), (-44, top + 17), (0, top + 11))
    _zip(canvas, [*half, *flipped(half)], lining)


def clutch(canvas: Canvas, look: Look) -> None:
    """A flat evening bag with a flap or a metal frame."""
    cloth = look.fabric(22, block_y=170)
    metal = look.choice("metal", METALS[:3])
    top, bottom = look.between("top", 106, 122), look.between("bottom", 214, 236)
    body = box(-106, top, 106, bottom, 8)
    if look.chance("chain", 0.45):
        chain(canvas, smooth((-98, top + 6), (-70, 54), (0, 34), (70, 54), (98, top + 6)), metal)
    _gusset(canvas, look, body, cloth.base)
    canvas.part(body, cloth, Form(16, 8, 0.2, 0.3, solid=True))
    if look.chance("framed", 0.35):
        canvas.part(box(-106, top - 4, 106, top + 9, 5), metal, FITTING)
        for x in (-5, 5):
            canvas.part(ellipse(x, top - 6, 7, 7), metal, FITTING)
        for x in range(-84, 85, 24):
            canvas.fold(smooth((x * 0.9, top + 14), (x, (top + bottom) / 2), (x * 1.05, bottom - 6)), 4, 8)
        return
    tip = bottom - look.between("tip", 22, 58)
    flap = _flap(look, top, tip)
    canvas.part(flap, replace(cloth, base=darker(cloth.base, 0.05)), PANEL)
    canvas.line([(x * 0.965, y - 3.5) for x, y in flap[2:]], contrasting(cloth.base, 0.4), 1, dash=(3, 2))
    canvas.part(box(-9, tip - 16, 9, tip - 2, 4), metal, FITTING)
    canvas.dot(0, tip - 9, 2, darker(metal, 0.4))


def _flap(look: Look, top: float, tip: float) -> Points:
    """A clutch's flap; its hinge is the first two points."""
    kind = look.choice("flap", ("point", "straight", "round"))
    if kind == "point":
        return [(-106, top + 3), (106, top + 3), (104, top + 18), (0, tip), (-104, top + 18)]
    if kind == "straight":
        return box(-106, top, 106, tip - 6, 7)
    edge = smooth((104, top + 20), (60, tip - 12), (0, tip), (-60, tip - 12), (-104, top + 20))
    return [(-106, top + 3), (106, top + 3), *edge]


def messenger(canvas: Canvas, look: Look) -> None:
    """A broad flap and a long shoulder strap."""
    cloth = look.fabric(26, block_y=look.between("block", 190, 220))
    metal = look.choice("metal", METALS[:3])
    top, bottom = look.between("top", 138, 150), look.between("bottom", 276, 290)
    wide = look.between("wide", 90, 102)
    strap = darker(look.accent, 0.1) if look.chance("strap", 0.4) else darker(cloth.base, 0.2)
    loop = [(-wide + 5, top + 30), *ellipse(0, 84, wide - 14, 70, 180, 360), (wide - 5, top + 30)]
    canvas.part(ribbon(loop, 9), strap, STRAP)
    body = box(-wide, top, wide, bottom, 10)
    _gusset(canvas, look, body, cloth.base)
    canvas.part(body, Fabric(darker(cloth.base, 0.15)), BODY)
    canvas.part(box(-wide + 10, bottom - 40, wide - 10, bottom - 6, 5), darker(cloth.base, 0.2), PANEL)
    edge = bottom - look.between("flap", 26, 60)
    flap = [
        *ellipse(-wide + 7, top + 4, 10, 10, 180, 270),
        *ellipse(wide - 7, top + 4, 10, 10, 270, 360),
        *ellipse(wide - 11, edge - 12, 13, 13, 0, 90),
        *ellipse(-wide + 11, edge - 12, 13, 13, 90, 180),
    ]
    canvas.part(flap, cloth, Form(18, 7, 0.45, 0.15))
    canvas.line(
        [(x * 0.95, y - 3 if y > top + 40 else y + 5) for x, y in flap], contrasting(cloth.base, 0.4), 1, dash=(3, 2)
    )
    if look.product.pattern == "printed":
        chest_motif(canvas, look, (0, (top + edge) / 2 - 4), 24)
    if look.chance("buckles", 0.6):
        for x in (-wide * 0.5, wide * 0.5):
            canvas.part(box(x - 7, edge - 44, x + 7, edge + 16, 3), strap, STRAP)
            canvas.part(
                box(x - 9, edge - 10, x + 9, edge + 6, 3),
                metal,
                FITTING,
                holes=[box(x - 5, edge - 6, x + 5, edge + 2, 1)],
            )
    else:
        canvas.part(box(-12, edge - 14, 12, edge + 8, 4), metal, FITTING)


def duffel(canvas: Canvas, look: Look) -> None:
    """A barrel for travel or sport, with two handles."""
    cloth = look.fabric(28, block_y=look.between("block", 178, 206))
    second = look.accent if look.chance("two tone", 0.6) else darker(cloth.base, 0.25)
    top, bottom = look.between("top", 136, 150), look.between("bottom", 244, 262)
    if look.chance("shoulder strap", 0.5):
        canvas.part(
            ribbon(smooth((-96, top + 20), (-70, 70), (0, 46), (70, 70), (96, top + 20)), 8), darker(second, 0.3), STRAP
        )
    _handle(canvas, darker(second, 0.4), 38, top + 4, top - 66, 8)
    body = mirrored(
        [
            *smooth(
                (0, top),
                (-74, top + 1),
                (-104, top + 20),
                (-110, (top + bottom) / 2),
                (-106, bottom - 12),
                (-86, bottom),
            ),
            (0, bottom + 1),
        ]
    )
    _gusset(canvas, look, body, cloth.base)
    canvas.part(body, cloth, Form(30, 14, 0.25, 0.1, solid=True))
    for side in (-1, 1):
        end = [
            (side * 70.0, top - 2.0),
            (side * 120.0, top - 2.0),
            (side * 120.0, bottom + 4.0),
            (side * 74.0, bottom + 4.0),
        ]
        canvas.part(end, second, PANEL, within=body)
    _zip(canvas, smooth((-70, top + 9), (0, top + 7), (70, top + 9)), darker(cloth.base, 0.3))
    for x in (-38, 38):
        canvas.part(ribbon([(x, top + 2), (x * 1.04, bottom)], 11), second, STRAP)
    _handle(canvas, second, 38, top + 6, top - 58, 10)
    if look.product.pattern == "printed":
        chest_motif(canvas, look, (0, (top + bottom) / 2 + 8), 22)


def _handle(canvas: Canvas, colour: RGB, half: float, bottom: float, top: float, width: float) -> None:
    bend = min(half * 0.9, (bottom - top) * 0.7)
    arch = [(-half, bottom), *ellipse(0, top + bend, half * 0.94, bend, 180, 360), (half, bottom)]
    canvas.part(ribbon(arch, width), colour, STRAP)


def _gusset(canvas: Canvas, look: Look, body: Points, base: RGB) -> None:
    """The side of the bag, which only the second view shows."""
    if look.view == 1:
        canvas.part(hull([*body, *moved(body, 20, -6)]), darker(base, 0.3), Form(8, 4, 0, 0.1), edge=0.1)


def _handbag_front(
    canvas: Canvas, look: Look, cloth: Fabric, top: float, bottom: float, narrow: float, metal: RGB
) -> None:
    kind = look.choice("front", ("flap", "pocket", "belt", "zip"))
    if kind == "flap":
        flap = [
            (-narrow * 0.62, top),
            (narrow * 0.62, top),
            *smooth((narrow * 0.62, top + 44), (0, top + 66), (-narrow * 0.62, top + 44)),
        ]
        canvas.part(flap, darker(cloth.base, 0.1), PANEL)
        canvas.part(box(-8, top + 48, 8, top + 68, 3), metal, FITTING)
    elif kind == "pocket":
        pocket = box(-54, top + 50, 54, bottom - 16, 10)
        canvas.part(pocket, darker(cloth.base, 0.08), PANEL)
        _zip(canvas, [(-46, top + 60), (46, top + 60)], cloth.base)
    elif kind == "belt":
        canvas.part(box(-narrow - 14, top + 40, narrow + 14, top + 54), darker(cloth.base, 0.22), STRAP)
        canvas.part(box(-14, top + 35, 14, top + 59, 5), metal, FITTING, holes=[box(-9, top + 40, 9, top + 54, 3)])
    else:
        _zip(canvas, [(-narrow + 16, top + 16), (narrow - 16, top + 16)], cloth.base)
        canvas.part(ribbon(smooth((24, top + 18), (27, top + 40), (25, top + 60)), 6), look.accent, STRAP)
        canvas.part(ellipse(25, top + 64, 7, 9), look.accent, PANEL)


def _zip(canvas: Canvas, line: Points, base: RGB) -> None:
    canvas.line(line, darker(base, 0.55), 4.4)
    canvas.line(line, (192, 192, 190), 1.3, dash=(1.4, 1.2))
    x, y = line[-1]
    canvas.part(box(x - 3, y - 2, x + 3, y + 12, 2), (186, 186, 188), FITTING)


DRAWERS: Final[dict[str, Drawer]] = {
    "Handbags": handbag,
    "Totes": tote,
    "Backpacks": backpack,
    "Clutches": clutch,
    "Messenger Bags": messenger,
    "Duffel Bags": duffel,
}
