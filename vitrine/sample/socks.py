"""Socks, always a pair: overlapping in the first view, side by side in the second."""

from __future__ import annotations

from typing import Final

from vitrine.sample.canvas import Canvas
from vitrine.sample.curves import Points, closed, ribbon, smooth
from vitrine.sample.look import Drawer, Look
from vitrine.sample.motifs import badge
from vitrine.sample.palette import RGB, contrasting, darker
from vitrine.sample.relief import Form

SOCK: Final = Form(round_px=20, rise=8, lift=0.3, solid=True)
PATCH: Final = Form(round_px=8, rise=1.5, lift=0.15)


def _sock(canvas: Canvas, look: Look, top: float, sole: float) -> None:
    """One sock, toe to the left; `top` is where it begins, `sole` the height of its underside."""
    cloth = look.fabric(21, block_y=look.between("block", top + 60, sole - 70))
    ankle, wide = sole - 94, look.between("wide", 27, 32)
    leg = ankle - top
    front = smooth((-wide, top), (-wide + 1, top + leg * 0.3), (-wide + 3, top + leg * 0.85), (-wide - 10, ankle + 18))
    instep = smooth(front[-1], (-56, ankle + 46), (-84, ankle + 58))
    toe = smooth((-84, ankle + 58), (-104, sole - 26), (-103, sole - 6), (-84, sole + 4))
    under = smooth((-84, sole + 4), (-40, sole + 1), (4, sole - 6), (30, sole - 22))
    heel = smooth((30, sole - 22), (38, sole - 50), (wide + 2, ankle - 6), (wide, top + leg * 0.4), (wide, top))
    outline = [*front, *instep, *toe, *under, *heel]
    canvas.part(outline, cloth, SOCK)
    patch = _patch_colour(look)
    if patch is not None:
        canvas.part(
            closed((-118, sole - 60), (-84, sole - 44), (-74, sole - 14), (-84, sole + 14), (-124, sole + 14)),
            patch,
            PATCH,
            within=outline,
        )
        canvas.part(
            closed((44, sole - 76), (10, sole - 44), (2, sole - 2), (60, sole + 10)), patch, PATCH, within=outline
        )
    _cuff(canvas, look, outline, top, wide)
    canvas.fold(smooth((-wide - 4, ankle + 12), (-6, ankle + 18), (16, ankle + 6)), -3.5, 6)
    canvas.fold(smooth((-wide, ankle + 24), (-14, ankle + 34), (6, ankle + 30)), -2.5, 6)
    canvas.line(smooth((-82, sole - 40), (-74, sole - 18), (-84, sole + 3)), contrasting(cloth.base, 0.25), 1)
    if look.product.pattern == "printed":
        badge(canvas, look, (0, (top + ankle) / 2 + 12), 14)


def _patch_colour(look: Look) -> RGB | None:
    """Heel and toe: in the second colour, a darker first, or none."""
    kind = look.choice("patch", ("accent", "accent", "darker", "none"))
    if kind == "none":
        return None
    return look.accent if kind == "accent" else darker(look.colour, 0.25)


def _cuff(canvas: Canvas, look: Look, outline: Points, top: float, wide: float) -> None:
    height = look.between("cuff", 16, 26)
    colour = look.accent if look.chance("cuff colour", 0.45) else darker(look.colour, 0.08)
    band = [
        *smooth((-wide - 2, top - 2), (0, top + 2), (wide + 2, top - 2)),
        *smooth((wide + 2, top + height), (0, top + height + 4), (-wide - 2, top + height)),
    ]
    canvas.part(band, colour, Form(10, 3, 0.2), within=outline)
    ribs = [[(float(x), top + 1), (float(x), top + height + 1)] for x in range(-28, 29, 5)]
    canvas.lines(ribs, contrasting(colour, 0.25), 0.9, opacity=0.7)
    if look.chance("cuff lines", 0.4):
        for y in (top + 7, top + 14):
            canvas.part(
                ribbon(smooth((-wide, y), (0, y + 4), (wide, y)), 3), contrasting(colour, 0.7), edge=0, within=outline
            )


def _pair(top: float, sole: float) -> Drawer:
    def drawer(canvas: Canvas, look: Look) -> None:
        if look.view == 0:
            places = ((60.0, -10.0, 6.0, 0.88), (2.0, 6.0, -2.0, 0.92))
        else:
            places = ((36.0, -6.0, 8.0, 0.74), (-68.0, 8.0, 3.0, 0.74))
        length = look.between("length", -14, 10)
        for dx, dy, degrees, scale in places:
            with canvas.moved(dx, dy, degrees=degrees, scale=scale):
                _sock(canvas, look, top - length, sole)

    return drawer


DRAWERS: Final[dict[str, Drawer]] = {
    "Crew Socks": _pair(top=52, sole=274),
    "Ankle Socks": _pair(top=124, sole=240),
    "Knee Socks": _pair(top=20, sole=300),
}
