"""Jeans, trousers, shorts, skirts, track pants and leggings, seen from the front."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vitrine.sample.canvas import Canvas
from vitrine.sample.curves import Points, along, box, ellipse, flipped, mirrored, smooth
from vitrine.sample.fabric import Fabric
from vitrine.sample.look import Drawer, Look
from vitrine.sample.motifs import badge
from vitrine.sample.palette import RGB, contrasting, darker, lighter
from vitrine.sample.relief import Form

LEG: Final = Form(round_px=22, rise=8, lift=0.2, tube=True)
BAND: Final = Form(round_px=6, rise=2.5, lift=0.3)
DETAIL: Final = Form(round_px=4, rise=1.5, lift=0.3)
COPPER: Final[RGB] = (196, 140, 78)


@dataclass(frozen=True)
class Cut:
    """Half widths and heights of a pair of legs."""

    waist: float
    hip: float
    knee: float
    hem_out: float
    hem_in: float
    top: float
    crotch: float
    bottom: float

    def side(self) -> Points:
        """The left outer seam, from the waist to the hem."""
        half_way = (self.crotch + self.bottom) / 2
        return smooth(
            (-self.waist, self.top),
            (-self.hip, self.crotch - 36),
            (-self.knee, half_way),
            (-self.hem_out, self.bottom),
        )

    def outline(self) -> Points:
        """Both legs."""
        inseam = smooth(
            (-self.hem_in, self.bottom + 2), (-self.hem_in - 1, (self.crotch + self.bottom) / 2), (-2, self.crotch)
        )
        waist = smooth((0, self.top + 4), (-self.waist * 0.6, self.top + 3), (-self.waist, self.top))
        return mirrored([*waist, *self.side(), *inseam, (0, self.crotch)])


def _long(look: Look, hem: float = 44) -> Cut:
    slim = look.between("slim", -4, 6)
    return Cut(
        waist=look.between("waist", 50, 56),
        hip=look.between("hip", 61, 67),
        knee=58 + slim,
        hem_out=hem + 9 + slim,
        hem_in=look.between("hem", 6, 11),
        top=16,
        crotch=look.between("crotch", 106, 118),
        bottom=304,
    )


def jeans(canvas: Canvas, look: Look) -> None:
    """Denim with copper rivets, yellow stitches and worn thighs."""
    cut, cloth = _long(look), Fabric(look.colour)
    thread = lighter(COPPER, 0.2) if look.chance("thread", 0.7) else contrasting(cloth.base, 0.4)
    _legs(canvas, look, cloth, cut)
    washed = {"plain": 0.1, "washed": 0.42, "ripped": 0.25}[look.product.pattern]
    for side in (-1, 1):
        canvas.tone(ellipse(side * 38, 160, 13, 52), washed, 16)
        canvas.tone(ellipse(side * 39, 256, 9, 34), washed * 0.7, 12)
        for n in range(4):
            start, end = (side * 58.0, 108.0 + 7 * n), (side * 18.0, 118.0 + 6 * n)
            canvas.line([start, end], lighter(cloth.base, 0.4), 1.4, opacity=washed)
    if look.product.pattern == "ripped":
        _rips(canvas, look, cloth.base)
    _fly(canvas, cloth.base, cut, thread)
    _scoop_pockets(canvas, cloth.base, cut, thread)
    _waistband(canvas, cloth, cut, 13, loops=True)
    canvas.part(ellipse(0, cut.top + 10, 4, 4), COPPER, Form(4, 2, 0.4, 0.6))
    for hem in ((-cut.hem_out + 3, -cut.hem_in - 2), (cut.hem_in + 2, cut.hem_out - 3)):
        canvas.line([(hem[0], cut.bottom - 7), (hem[1], cut.bottom - 6)], thread, 1, dash=(3, 1.5))


def trousers(canvas: Canvas, look: Look) -> None:
    """Formal trousers with a crease and slanted pockets."""
    cut, cloth = _long(look, hem=42), look.fabric(14)
    _legs(canvas, look, cloth, cut)
    _fly(canvas, cloth.base, cut, contrasting(cloth.base, 0.25))
    for mirror in (False, True):
        crease = smooth((-28, cut.top + 26), (-37, 160), (-(cut.hem_out + cut.hem_in) / 2, cut.bottom))
        canvas.fold(flipped(crease) if mirror else crease, 4, 4)
        slant = [(-cut.waist + 10, cut.top + 16), (-cut.hip + 4, cut.top + 62)]
        canvas.line(flipped(slant) if mirror else slant, darker(cloth.base, 0.4), 1.6)
    _waistband(canvas, cloth, cut, 15, loops=True)
    canvas.part(box(-4, cut.top + 5, 8, cut.top + 12, 2), lighter(cloth.base, 0.3), DETAIL)


def shorts(canvas: Canvas, look: Look) -> None:
    """Wide legs that end above the knee."""
    hem = look.between("length", 226, 258)
    cut = Cut(
        waist=72, hip=92, knee=98, hem_out=look.between("hem", 100, 108), hem_in=6, top=58, crotch=172, bottom=hem
    )
    cloth = look.fabric(24)
    _legs(canvas, look, cloth, cut)
    _fly(canvas, cloth.base, cut, contrasting(cloth.base, 0.3))
    _scoop_pockets(canvas, cloth.base, cut, contrasting(cloth.base, 0.3))
    if look.chance("drawstring", 0.5):
        _waistband(canvas, cloth, cut, 18, loops=False)
        _drawstring(canvas, cut.top + 14, lighter(look.accent, 0.3), 40)
    else:
        _waistband(canvas, cloth, cut, 15, loops=True)
        canvas.part(ellipse(0, cut.top + 11, 4, 4), lighter(cloth.base, 0.4), DETAIL)
    if look.chance("cargo", 0.3):
        for x in (-98, 66):
            canvas.part(box(x, 176, x + 32, 214, 3), cloth, DETAIL)
            canvas.part(box(x - 1, 172, x + 33, 184, 3), cloth, DETAIL)


def track_pants(canvas: Canvas, look: Look) -> None:
    """Sportswear: an elastic waist with a string, bands down the sides, ribbed cuffs."""
    cut, cloth = _long(look, hem=38), look.fabric(26)
    _legs(canvas, look, cloth, cut)
    bands = look.choice("bands", (1, 2, 3))
    for mirror in (False, True):
        for n in range(bands):
            seam = [(x + 6 + 7 * n, y) for x, y in cut.side()[2:]]
            canvas.line(flipped(seam) if mirror else seam, look.accent, 9 if bands == 1 else 3.2)
        cuff = box(-cut.hem_out - 1, cut.bottom - 16, -cut.hem_in + 1, cut.bottom + 2, 5)
        if look.chance("cuffed", 0.6):
            canvas.part(flipped(cuff) if mirror else cuff, darker(cloth.base, 0.2), BAND)
    _waistband(canvas, cloth, cut, 18, loops=False)
    _drawstring(canvas, cut.top + 14, lighter(look.accent, 0.3), 46)
    if look.product.pattern == "printed":
        badge(canvas, look, (-36, 92), 13)


def leggings(canvas: Canvas, look: Look) -> None:
    """Tight legs, full or three-quarter length."""
    short = look.chance("capri", 0.35)
    cut = Cut(
        waist=46,
        hip=60,
        knee=46,
        hem_out=look.between("hem", 36, 41),
        hem_in=8,
        top=20,
        crotch=112,
        bottom=258 if short else 302,
    )
    cloth = look.fabric(22)
    _legs(canvas, look, cloth, cut)
    canvas.line([(0, cut.top + 20), (0, cut.crotch)], contrasting(cloth.base, 0.3), 1)
    _waistband(canvas, cloth, cut, 20, loops=False)


def skirt(canvas: Canvas, look: Look) -> None:
    """Flared from the waist: gathered, pleated or straight."""
    cloth = look.fabric(26, block_y=look.between("block", 150, 210))
    flare, bottom = look.between("flare", 82, 112), look.between("length", 236, 288)
    waist, top = 50, 44
    hem = smooth((-flare, bottom - 8), (-flare * 0.5, bottom + 2), (-10, bottom + 6), (0, bottom + 6))
    side = smooth((-waist, top), (-waist - (flare - waist) * 0.5, (top + bottom) * 0.42), (-flare, bottom - 8))
    canvas.part(mirrored([(0, top + 4), *side, *hem]), cloth, Form(30, 9, 0.2, tube=True))
    dice = look.dice(f"folds {look.view}")
    pleats = look.choice("pleats", (5, 8, 12))
    for n in range(pleats):
        share = (n + 0.5) / pleats * 2 - 1
        pleat = smooth(
            (share * (waist - 4), top + 18),
            (share * (waist + flare) / 2, (top + bottom) / 2),
            (share * flare, bottom + 4),
        )
        canvas.fold(pleat, dice.uniform(-7, -3.5), 26 / pleats + 3)
    canvas.line([(x * 0.985, y - 6) for x, y in [*hem, *flipped(hem)]], contrasting(cloth.base, 0.3), 0.8, dash=(3, 2))
    band = [
        *smooth((-waist - 1, top - 4), (0, top + 2), (waist + 1, top - 4)),
        *smooth((waist + 2, top + 11), (0, top + 17), (-waist - 2, top + 11)),
    ]
    canvas.part(band, look.accent if look.chance("sash", 0.35) else darker(cloth.base, 0.1), BAND)


def _legs(canvas: Canvas, look: Look, cloth: Fabric, cut: Cut) -> None:
    back = smooth((-cut.waist + 1, cut.top), (0, cut.top - 5), (cut.waist - 1, cut.top))
    canvas.part([*back, (cut.waist, cut.top + 16), (-cut.waist, cut.top + 16)], darker(cloth.base, 0.45))
    canvas.part(cut.outline(), cloth, LEG)
    canvas.line(cut.side()[1:], contrasting(cloth.base, 0.2), 2)
    dice = look.dice(f"folds {look.view}")
    knee_y = (cut.crotch + cut.bottom) / 2 + 6
    for side in (-1, 1):
        for _ in range(3):
            y = cut.crotch + dice.uniform(-10, 16)
            end = (side * dice.uniform(36, 56), y + dice.uniform(-16, 14))
            canvas.fold(smooth((side * 3, cut.crotch - 4), (side * 20, y), end), dice.uniform(2, 4), 7)
        for _ in range(2):
            y = knee_y + dice.uniform(-24, 44)
            inner, outer = cut.hem_in + 4, cut.knee - 8
            canvas.fold(smooth((side * outer, y), (side * (inner + outer) / 2, y + 5), (side * inner, y - 2)), 2.2, 7)


def _waistband(canvas: Canvas, cloth: Fabric, cut: Cut, height: float, *, loops: bool) -> None:
    w, top = cut.waist, cut.top
    line = smooth((-w, top), (-w * 0.5, top + 3), (0, top + 4), (w * 0.5, top + 3), (w, top))
    band = [*line, *smooth((w + 2, top + height), (0, top + height + 4), (-w - 2, top + height))]
    canvas.part(band, Fabric(darker(cloth.base, 0.06)), BAND)
    if loops:
        for x in (-0.62, -0.3, 0.3, 0.62):
            canvas.part(box(x * w - 2.5, top + 1, x * w + 2.5, top + height + 6, 1), cloth.base, DETAIL)
        return
    ribs = [[(x, y + 2), (x, y + height - 1)] for x, y in along(line, 26)[1:-1]]
    canvas.lines(ribs, contrasting(cloth.base, 0.25), 0.9)


def _fly(canvas: Canvas, base: RGB, cut: Cut, thread: RGB) -> None:
    canvas.line([(0, cut.top + 14), (0, cut.crotch)], darker(base, 0.4), 1.2)
    fly = smooth((13, cut.top + 16), (13, cut.crotch - 34), (8, cut.crotch - 20), (1, cut.crotch - 12))
    canvas.line(fly, thread, 1, dash=(3, 1.5))


def _scoop_pockets(canvas: Canvas, base: RGB, cut: Cut, thread: RGB) -> None:
    w, top = cut.waist, cut.top + 14
    scoop = smooth((-w * 0.52, top), (-w * 0.58, top + 20), (-w * 0.86, top + 30), (-cut.hip + 3, top + 32))
    for side in (scoop, flipped(scoop)):
        canvas.line(side, darker(base, 0.45), 1.6)
        canvas.line([(x * 0.97, y + 3) for x, y in side], thread, 0.9, dash=(3, 1.5))


def _drawstring(canvas: Canvas, y: float, colour: RGB, length: float) -> None:
    for side in (-1, 1):
        canvas.line(smooth((side * 4, y), (side * 9, y + length * 0.5), (side * 6, y + length)), colour, 2.2)
        canvas.dot(side * 6, y + length, 2, darker(colour, 0.3))


def _rips(canvas: Canvas, look: Look, base: RGB) -> None:
    """Torn knees with white threads across."""
    dice = look.dice("rips")
    for side in (-1, 1):
        x, y, width = side * 38 + dice.uniform(-3, 3), dice.uniform(186, 206), dice.uniform(10, 15)
        canvas.part(ellipse(x, y, width, dice.uniform(5, 8)), darker(base, 0.35), Form(4, -2, 0))
        threads = [[(x - width, y + d), (x + width, y + d + dice.uniform(-1, 1))] for d in (-4.0, -1.5, 1.0, 3.5)]
        canvas.lines(threads, lighter(base, 0.75), 0.9)


DRAWERS: Final[dict[str, Drawer]] = {
    "Jeans": jeans,
    "Trousers": trousers,
    "Shorts": shorts,
    "Skirts": skirt,
    "Track Pants": track_pants,
    "Leggings": leggings,
}
