"""T-shirts, shirts, polos, sweatshirts, sweaters, jackets and sleeveless tops, seen from the front."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vitrine.sample.canvas import Canvas
from vitrine.sample.curves import Point, Points, between, box, closed, ellipse, flipped, mirrored, ribbon, smooth
from vitrine.sample.fabric import Fabric
from vitrine.sample.look import Drawer, Look
from vitrine.sample.motifs import badge, chest_motif
from vitrine.sample.palette import RGB, contrasting, darker, lighter, mixed
from vitrine.sample.relief import Form

BODY: Final = Form(round_px=34, rise=7.5, lift=0.2, tube=True)
SLEEVE: Final = Form(round_px=20, rise=6, lift=0.3, tube=True)
TRIM: Final = Form(round_px=4, rise=1.6, lift=0.3)


def t_shirt(canvas: Canvas, look: Look) -> None:
    """Short sleeves and a round neck."""
    cloth = look.fabric(22, block_y=look.between("block", 120, 170))
    rib = look.accent if look.chance("ringer", 0.25) else cloth.base
    cut = _cut(look)
    _inside(canvas, cloth.base, cut)
    _short_sleeves(canvas, look, cloth, cut, rib)
    _body(canvas, look, cloth, cut)
    _round_neck(canvas, rib, cut)
    if look.product.pattern == "printed":
        chest_motif(canvas, look, (0, 130), look.between("motif", 30, 42))


def polo(canvas: Canvas, look: Look) -> None:
    """Short sleeves, a soft collar and a short placket."""
    cloth = look.fabric(22, block_y=look.between("block", 130, 170))
    rib = look.accent if look.chance("tipped", 0.5) else darker(cloth.base, 0.12)
    cut = _cut(look)
    _inside(canvas, cloth.base, cut)
    _short_sleeves(canvas, look, cloth, cut, rib)
    _body(canvas, look, cloth, cut)
    bottom = look.between("placket", 112, 128)
    canvas.part(box(-8, 58, 8, bottom, 2), mixed(cloth.base, rib, 0.15), TRIM)
    for y in range(74, round(bottom) - 4, 17):
        _button(canvas, 0, y, lighter(cloth.base, 0.55))
    _collar(canvas, cut, rib, reach=30)
    if look.product.pattern == "printed":
        chest_motif(canvas, look, (34, 104), 11)


def shirt(canvas: Canvas, look: Look) -> None:
    """A collar, buttons down the front, long or half sleeves."""
    cloth = look.fabric(15, block_y=118)
    cut = _cut(look)
    _inside(canvas, cloth.base, cut)
    if look.chance("half sleeves", 0.3):
        _short_sleeves(canvas, look, cloth, cut, cloth.base, length=22)
    else:
        _long_sleeves(canvas, look, cloth, cut, cloth.base, cuff_px=17)
    _body(canvas, look, cloth, cut, tail=14)
    canvas.part(box(-9, cut.neck_y - 4, 9, cut.hem_y - 1, 2), cloth, Form(round_px=4, rise=1, lift=0.2))
    for y in range(80, round(cut.hem_y) - 12, 30):
        _button(canvas, 0, y, mixed(lighter(cloth.base, 0.6), (250, 246, 236), 0.5))
    if look.chance("pocket", 0.75):
        _pocket(canvas, cloth, 20, 102, 34, 38)
    _collar(canvas, cut, cloth.base, reach=34)


def sweatshirt(canvas: Canvas, look: Look) -> None:
    """A hood with strings, a kangaroo pocket, ribbed cuffs and hem."""
    cloth = look.fabric(30, block_y=look.between("block", 128, 160))
    base = cloth.base
    cut = _cut(look, hem=278)
    hood = closed((0, 12), (-34, 20), (-46, 48), (-34, 74), (0, 84), (34, 74), (46, 48), (34, 20))
    canvas.part(hood, darker(base, 0.08), Form(round_px=16, rise=8, lift=0.3))
    canvas.part(closed((0, 24), (-22, 30), (-28, 50), (0, 78), (28, 50), (22, 30)), darker(base, 0.5), Form(6, -4, 0))
    _long_sleeves(canvas, look, cloth, cut, darker(base, 0.12), cuff_px=20)
    _body(canvas, look, cloth, cut)
    lap = smooth((-42, 42), (-38, 66), (-16, 84), (2, 92))
    for side in (lap, flipped(lap)):
        canvas.part(ribbon(side, 15, 12), darker(base, 0.05), Form(round_px=7, rise=4, lift=0.4))
    _rib(canvas, darker(base, 0.12), cut)
    canvas.part([(-34, 208), (34, 208), (48, 258), (46, 266), (-46, 266), (-48, 258)], cloth, Form(8, 3, 0.35))
    for x in (-9, 9):
        canvas.line(smooth((x, 86), (x * 1.3, 112), (x * 1.1, 142)), lighter(look.accent, 0.4), 2.2)
    if look.product.pattern == "printed":
        chest_motif(canvas, look, (0, 152), look.between("motif", 24, 32))


def sweater(canvas: Canvas, look: Look) -> None:
    """Knitwear with a V-neck."""
    cloth = look.fabric(26, block_y=look.between("block", 120, 175))
    rib = look.accent if look.chance("tipped", 0.35) else darker(cloth.base, 0.1)
    cut = _cut(look, hem=274)
    deep = look.between("neck", 92, 112)
    _inside(canvas, cloth.base, cut, deep)
    _long_sleeves(canvas, look, cloth, cut, rib, cuff_px=20)
    neck = [(-26, 31), *smooth((-25, 33), (-16, deep * 0.72), (0, deep))]
    _body(canvas, look, cloth, cut, neck=neck)
    for side in (neck, flipped(neck)):
        canvas.part(ribbon(side, 8), rib, TRIM)
    _rib(canvas, rib, cut)


def jacket(canvas: Canvas, look: Look) -> None:
    """A bomber jacket with a zip, a stand collar and slanted pockets."""
    cloth = look.fabric(34, block_y=look.between("block", 120, 150))
    rib = look.accent if look.chance("tipped", 0.5) else darker(cloth.base, 0.25)
    cut = _cut(look, hem=272)
    _long_sleeves(canvas, look, cloth, cut, rib, cuff_px=20)
    _body(canvas, look, cloth, cut, neck=[(-27, 34), *smooth((-27, 34), (-14, 44), (0, 47))])
    _rib(canvas, rib, cut)
    canvas.part(
        mirrored([*smooth((0, 22), (-20, 23), (-30, 30)), *smooth((-29, 46), (-14, 55), (0, 57))]), rib, Form(8, 4, 0.4)
    )
    metal = look.choice("zip", [(196, 198, 202), (212, 176, 96), (60, 60, 64)])
    canvas.part(box(-5, 32, 5, cut.hem_y + 18, 1), darker(cloth.base, 0.3), Form(3, 1.2, 0.35))
    canvas.line([(0, 34), (0, cut.hem_y + 16)], metal, 1.8, dash=(1.6, 1))
    canvas.part(box(-2.4, 60, 2.4, 74, 2), metal, Form(2, 1, 0.3, 0.6))
    for side in (-1, 1):
        pocket = [(side * 24.0, 240.0), (side * 40.0, 196.0)]
        canvas.part(ribbon(pocket, 7), darker(cloth.base, 0.14), Form(3, 1.5, 0.4))
    if look.product.pattern == "printed":
        badge(canvas, look, (36, 112), 16)


def top(canvas: Canvas, look: Look) -> None:
    """A sleeveless top with a scooped neck and a flared hem."""
    cloth = look.fabric(20, block_y=look.between("block", 110, 150))
    flare, strap = look.between("flare", 66, 88), look.between("strap", 44, 56)
    scoop = look.between("scoop", 74, 92)
    neck = smooth((-strap + 14, 26), (-strap + 18, scoop - 22), (-14, scoop - 3), (0, scoop))
    side = [
        *smooth((-strap - 2, 27), (-strap - 2, 66), (-64, 106)),
        *smooth((-64, 106), (-56, 168), (-flare, 266)),
    ]
    back = mirrored([(0, 62), *smooth((-16, 60), (-strap + 14, 26)), (-strap - 2, 27), (-54, 110), (0, 116)])
    canvas.part(back, darker(cloth.base, 0.4))
    canvas.part(
        mirrored([*reversed(neck), *side, *smooth((-flare, 266), (-flare / 2, 273), (-8, 276), (0, 276))]), cloth, BODY
    )
    for edge in (neck, side[:14]):
        for trim in (edge, flipped(edge)):
            canvas.part(ribbon(trim, 4.5), darker(cloth.base, 0.15), TRIM)
    waist = look.between("waist", 150, 176)
    if look.chance("belted", 0.4):
        canvas.part(ribbon(smooth((-60, waist), (0, waist + 5), (60, waist)), 8), look.accent, TRIM)
    dice = look.dice(f"folds {look.view}")
    for x in range(-60, 61, 17):
        canvas.fold(smooth((x * 0.7, waist + 12), (x * 0.9, 220), (x * flare / 64, 270)), dice.uniform(2, 5), 7)
    if look.product.pattern == "printed":
        chest_motif(canvas, look, (0, 126), 24)


@dataclass(frozen=True)
class _Cut:
    """The measures that the pieces of one garment share."""

    shoulder: float
    waist: float
    hem: float
    hem_y: float
    neck_y: float
    sleeve: float


def _cut(look: Look, hem: float = 292) -> _Cut:
    return _Cut(
        shoulder=look.between("shoulder", 70, 79),
        waist=look.between("waist", 58, 68),
        hem=look.between("hem", 62, 73),
        hem_y=hem + look.between("length", -10, 4),
        neck_y=look.between("neck", 58, 68),
        sleeve=look.between("sleeve", -8, 8),
    )


def _inside(canvas: Canvas, base: RGB, cut: _Cut, deep: float = 0) -> None:
    """The inside of the back, seen through the neck."""
    canvas.part(
        mirrored([*smooth((0, 34), (-14, 32), (-27, 28)), (-30, 60), (0, max(cut.neck_y, deep) + 8)]),
        darker(base, 0.38),
    )
    canvas.part(box(-6, 38, 6, 45, 1), lighter(base, 0.6))


def _body(canvas: Canvas, look: Look, cloth: Fabric, cut: _Cut, *, neck: Points | None = None, tail: float = 0) -> None:
    front = neck or _round(cut)
    s = cut.shoulder
    side = [
        *smooth((-27, 30), (-46, 37), (-s + 4, 47), (-s + 2, 56), (-s + 9, 84), (-s + 6, 116)),
        *smooth((-s + 6, 116), (-cut.waist, 186), (-cut.hem, cut.hem_y - tail)),
    ]
    hem = smooth(
        (-cut.hem, cut.hem_y - tail),
        (-cut.hem * 0.6, cut.hem_y - tail * 0.3 + 2),
        (-12, cut.hem_y + 4),
        (0, cut.hem_y + 4),
    )
    canvas.part(mirrored([*reversed(front), *side, *hem]), cloth, BODY)
    stitch = contrasting(cloth.base, 0.3)
    raised = [(x * 0.98, y - 7) for x, y in hem]
    canvas.line([*raised, *flipped(raised)], stitch, 0.8, dash=(3, 2))
    _drape(canvas, look)


def _drape(canvas: Canvas, look: Look) -> None:
    """Folds that fall from the arms and gather at the waist; each view hangs a little differently."""
    dice = look.dice(f"folds {look.view}")
    for side in (-1, 1):
        for _ in range(3):
            y = dice.uniform(112, 150)
            end = (side * dice.uniform(4, 26), y + dice.uniform(24, 70))
            middle = (side * dice.uniform(30, 42), y + dice.uniform(8, 24))
            canvas.fold(smooth((side * 60, y), middle, end), dice.uniform(2, 4.5), dice.uniform(6, 10))
        y = dice.uniform(200, 250)
        canvas.fold(smooth((side * 58, y), (side * 30, y + 10), (0, y + dice.uniform(-6, 16))), dice.uniform(2, 4), 9)


def _short_sleeves(canvas: Canvas, look: Look, cloth: Fabric, cut: _Cut, rib: RGB, length: float = 0) -> None:
    s, drop = cut.shoulder, length + cut.sleeve
    outer: Point = (-s - 36, 120 + drop)
    inner: Point = (-s - 2, 132 + drop)
    outline = [
        *smooth((-s + 14, 42), (-s - 4, 52), (-s - 20, 80), outer),
        *smooth(inner, (-s + 4, 118), (-s + 10, 100)),
    ]
    cuff = [between(outer, inner, t / 4) for t in range(5)]
    fold = look.dice(f"sleeve {look.view}")
    for mirror in (False, True):
        canvas.part(flipped(outline) if mirror else outline, cloth, SLEEVE, degrees=-14 if mirror else 14)
        band = flipped(cuff) if mirror else cuff
        canvas.part(ribbon([(x, y - 3) for x, y in band], 6), rib, TRIM)
        side = 1 if mirror else -1
        crease = smooth((side * (s + 4), 66), (side * (s + 10), 96), (side * (s + 16), 122 + drop))
        canvas.fold(crease, fold.uniform(2, 5), 7)


def _long_sleeves(canvas: Canvas, look: Look, cloth: Fabric, cut: _Cut, rib: RGB, cuff_px: float) -> None:
    s, end = cut.shoulder, 268 + cut.sleeve
    outer: Point = (-s - 35, end)
    inner: Point = (-s - 10, end + 4)
    outline = [
        *smooth((-s + 14, 42), (-s - 6, 54), (-s - 18, 90), (-s - 27, 160), outer),
        *smooth(inner, (-s - 2, 180), (-s + 8, 110)),
    ]
    dice = look.dice(f"sleeve {look.view}")
    for mirror in (False, True):
        canvas.part(flipped(outline) if mirror else outline, cloth, SLEEVE, degrees=-8 if mirror else 8)
        side = 1 if mirror else -1
        cuff: Points = [(side * (s + 32.0), end - cuff_px / 2 + 1), (side * (s + 7.0), end - cuff_px / 2 + 5)]
        canvas.part(ribbon(cuff, cuff_px), rib, Form(8, 4, 0.3))
        for _ in range(4):
            y = dice.uniform(110, 230)
            reach = s + 12 + (y - 100) * 0.14
            crease = smooth(
                (side * (reach + 14), y), (side * reach, y + 6), (side * (reach - 12), y + dice.uniform(-4, 16))
            )
            canvas.fold(crease, dice.uniform(1.5, 3.5), 6)


def _round_neck(canvas: Canvas, rib: RGB, cut: _Cut) -> None:
    half = _round(cut)
    canvas.part(ribbon([*half, *flipped(half)[1:]], 8), darker(rib, 0.06), TRIM)


def _round(cut: _Cut) -> Points:
    """The left half of a round neckline."""
    return smooth((-27, 30), (-24, cut.neck_y - 16), (-12, cut.neck_y - 3), (0, cut.neck_y))


def _collar(canvas: Canvas, cut: _Cut, colour: RGB, reach: float) -> None:
    y = cut.neck_y
    canvas.part(
        mirrored([*smooth((0, 28), (-18, 26), (-28, 22)), (-29, 38), *smooth((-20, 42), (0, 46))]),
        darker(colour, 0.12),
        TRIM,
    )
    leaf = [*smooth((-28, 21), (-34, 34), (-37, 46)), (-reach + 4, y + 22), *smooth((-3, y - 2), (-20, 42), (-28, 21))]
    for side in (leaf, flipped(leaf)):
        canvas.part(side, colour, Form(6, 3, 0.5))
        canvas.line([(x * 0.94, yy - 1.5) for x, yy in side[7:16]], contrasting(colour, 0.3), 0.7, dash=(2, 2))


def _rib(canvas: Canvas, colour: RGB, cut: _Cut) -> None:
    """A ribbed band at the hem."""
    half, top = cut.hem - 2, cut.hem_y - 4
    band = [
        *smooth((-half - 1, top - 2), (0, top + 3), (half + 1, top - 2)),
        *smooth((half - 2, top + 19), (0, top + 24), (-half + 2, top + 19)),
    ]
    canvas.part(band, colour, Form(9, 4, 0.3))
    for x in range(round(-half) + 4, round(half) - 1, 5):
        sag = 4 * (1 - (x / half) ** 2)
        canvas.line([(x, top + sag), (x, top + 16 + sag)], contrasting(colour, 0.2), 0.8)


def _pocket(canvas: Canvas, cloth: Fabric, x: float, y: float, width: float, height: float) -> None:
    outline = [(x, y), (x + width, y), (x + width, y + height - 6), (x + width / 2, y + height), (x, y + height - 6)]
    canvas.part(outline, cloth, Form(4, 1.2, 0.35))
    canvas.line([(x + 1, y + 6), (x + width - 1, y + 6)], contrasting(cloth.base, 0.3), 0.8, dash=(2.5, 1.6))


def _button(canvas: Canvas, x: float, y: float, colour: RGB) -> None:
    canvas.part(ellipse(x, y, 3, 3), colour, Form(3, 1.2, 0.5, 0.3), edge=0.4)
    canvas.dot(x, y, 0.7, darker(colour, 0.55))


DRAWERS: Final[dict[str, Drawer]] = {
    "Tshirts": t_shirt,
    "Shirts": shirt,
    "Polos": polo,
    "Sweatshirts": sweatshirt,
    "Sweaters": sweater,
    "Jackets": jacket,
    "Tops": top,
}
