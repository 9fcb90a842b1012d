"""Briefs, trunks, boxers, bras, vests and camisoles, laid flat."""

from __future__ import annotations

from typing import Final

from vitrine.sample.canvas import Canvas
from vitrine.sample.curves import Points, along, box, ellipse, flipped, mirrored, ribbon, smooth
from vitrine.sample.look import Drawer, Look
from vitrine.sample.palette import RGB, contrasting, darker, lighter
from vitrine.sample.relief import Form

BODY: Final = Form(round_px=24, rise=8, lift=0.2)
BAND: Final = Form(round_px=7, rise=3, lift=0.35)
TRIM: Final = Form(round_px=3, rise=1.4, lift=0.3)


def briefs(canvas: Canvas, look: Look) -> None:
    """High leg openings, a waistband and a seamed front."""
    cloth = look.fabric(20, block_y=150)
    top, crotch = look.between("top", 90, 100), look.between("crotch", 226, 240)
    hip = look.between("hip", 146, 166)
    leg = smooth((-102, hip), (-74, hip + 16), (-44, crotch - 34), (-24, crotch - 4))
    outline = mirrored(
        [
            (0, top),
            (-92, top - 4),
            *smooth((-92, top - 4), (-98, top + 24), (-102, hip)),
            *leg,
            *smooth((-24, crotch - 4), (-12, crotch), (0, crotch)),
        ]
    )
    canvas.part(outline, cloth, BODY)
    trim = look.accent if look.chance("trim", 0.5) else darker(cloth.base, 0.12)
    for side in (leg, flipped(leg)):
        canvas.part(ribbon(side, 6), trim, TRIM)
    _front(canvas, cloth.base, top + 20, crotch)
    _waistband(canvas, look, 93, top - 6, 22)
    _creases(canvas, look, top + 30, crotch - 16)


def trunks(canvas: Canvas, look: Look) -> None:
    """Short tight legs under a broad waistband."""
    cloth = look.fabric(22, block_y=150)
    top, hem = look.between("top", 82, 92), look.between("hem", 218, 240)
    crotch = hem - look.between("inseam", 14, 30)
    side = smooth((-84, top), (-98, top + 50), (-104, hem))
    outline = mirrored(
        [
            (0, top),
            *side,
            *smooth((-104, hem), (-60, hem + 8), (-16, hem + 6)),
            *smooth((-16, hem + 6), (-8, crotch + 6), (0, crotch)),
        ]
    )
    canvas.part(outline, cloth, BODY)
    trim = look.accent if look.chance("trim", 0.5) else darker(cloth.base, 0.12)
    cuff = smooth((-104, hem - 3), (-60, hem + 5), (-15, hem + 3))
    for line in (cuff, flipped(cuff)):
        canvas.part(ribbon(line, 7), trim, TRIM)
    _front(canvas, cloth.base, top + 22, crotch)
    _waistband(canvas, look, 86, top - 6, 26)
    _creases(canvas, look, top + 34, crotch)


def boxers(canvas: Canvas, look: Look) -> None:
    """Loose woven shorts with an elastic waist and a buttoned fly."""
    cloth = look.fabric(18, block_y=150)
    top, hem = look.between("top", 62, 72), look.between("hem", 236, 262)
    crotch = hem - look.between("inseam", 48, 62)
    side = smooth((-70, top), (-94, top + 60), (-112, hem - 6))
    outline = mirrored(
        [
            (0, top),
            *side,
            *smooth((-112, hem - 6), (-60, hem + 4), (-6, hem + 2)),
            *smooth((-6, hem + 2), (-3, crotch + 20), (0, crotch)),
        ]
    )
    canvas.part(outline, cloth, Form(26, 8, 0.2, tube=True))
    dice = look.dice(f"folds {look.view}")
    for x in range(-60, 61, 20):
        canvas.fold(
            smooth((x, top + 12), (x * 1.2, top + 50), (x * 1.4 + dice.uniform(-6, 6), hem - 20)), dice.uniform(2, 5), 8
        )
    canvas.part(box(-8, top + 12, 8, crotch - 10, 2), cloth, TRIM)
    for y in (top + 36, top + 62):
        canvas.part(ellipse(0, y, 3.4, 3.4), lighter(cloth.base, 0.7), TRIM)
    hem_line = smooth((-110, hem - 14), (-60, hem - 4), (-8, hem - 6))
    for line in (hem_line, flipped(hem_line)):
        canvas.line(line, contrasting(cloth.base, 0.35), 0.9, dash=(3, 2))
    _waistband(canvas, look, 71, top - 8, 20, plain=True)


def bra(canvas: Canvas, look: Look) -> None:
    """Two cups, straps and an underband."""
    cloth = look.fabric(16, block_y=170)
    trim = look.accent if look.chance("trim", 0.4) else darker(cloth.base, 0.12)
    strap_x, width = look.between("strap", 58, 68), look.between("strap width", 6, 11)
    base_y = look.between("base", 206, 220)
    strap = smooth((-strap_x, 148), (-strap_x - 4, 96), (-strap_x + 14, 40), (-strap_x + 30, 26))
    wing = [
        *smooth((-88, 150), (-104, 170), (-111, base_y - 8)),
        *smooth((-109, base_y + 12), (-80, base_y + 8), (-50, base_y + 8)),
        (-50, 170),
    ]
    cup = [
        *smooth((-strap_x, 138), (-34, 150), (-7, base_y - 26)),
        *smooth((-7, base_y - 12), (-24, base_y + 6), (-58, base_y + 4), (-92, base_y - 18), (-96, 158)),
        *smooth((-96, 158), (-80, 146), (-strap_x, 138)),
    ]
    for mirror in (False, True):
        canvas.part(ribbon(flipped(strap) if mirror else strap, width), trim, TRIM)
        canvas.part(flipped(wing) if mirror else wing, darker(cloth.base, 0.1), Form(8, 3, 0.2))
    upper = [
        *smooth((0, base_y - 16), (-7, base_y - 14)),
        *smooth((-30, base_y + 4), (-60, base_y + 6), (-110, base_y - 4)),
    ]
    band = mirrored([*upper, (-111, base_y + 13), *smooth((-60, base_y + 18), (0, base_y + 14))])
    canvas.part(band, trim, BAND)
    for mirror in (False, True):
        shape = flipped(cup) if mirror else cup
        canvas.part(shape, cloth, Form(30, 15, 0.35), degrees=-12 if mirror else 12)
        seam = smooth((-strap_x, 140), (-54, 180), (-48, base_y + 3))
        if look.chance("seamed", 0.5):
            canvas.line(flipped(seam) if mirror else seam, contrasting(cloth.base, 0.25), 1)
        neck = cup[:15]
        canvas.part(ribbon(flipped(neck) if mirror else neck, 4.5), trim, TRIM)
    _bow(canvas, 0, base_y - 14, lighter(trim, 0.2))


def vest(canvas: Canvas, look: Look) -> None:
    """A ribbed sleeveless undershirt."""
    cloth = look.fabric(20, block_y=132)
    strap, scoop = look.between("strap", 46, 54), look.between("scoop", 82, 104)
    neck = smooth((-strap + 18, 22), (-strap + 20, scoop - 30), (-14, scoop - 3), (0, scoop))
    arm = smooth((-strap - 3, 24), (-strap - 4, 76), (-72, 120))
    body = [
        *reversed(neck),
        *arm,
        *smooth((-72, 120), (-68, 200), (-70, 296)),
        *smooth((-70, 296), (-30, 300), (0, 300)),
    ]
    back = mirrored([(0, 52), *smooth((-18, 48), (-strap + 18, 22)), (-strap - 2, 24), (-60, 122), (0, 122)])
    canvas.part(back, darker(cloth.base, 0.35))
    canvas.part(mirrored(body), cloth, Form(30, 9, 0.2, tube=True))
    ribs = [[(float(x), 60.0), (float(x), 300.0)] for x in range(-70, 71, 4)]
    canvas.lines(ribs, contrasting(cloth.base, 0.16), 0.7, opacity=0.5)
    trim = look.accent if look.chance("trim", 0.35) else darker(cloth.base, 0.1)
    for edge in (neck, arm):
        for line in (edge, flipped(edge)):
            canvas.part(ribbon(line, 7), trim, TRIM)
    _creases(canvas, look, 130, 280)


def camisole(canvas: Canvas, look: Look) -> None:
    """Thin straps and a lace edge."""
    cloth = look.fabric(20, block_y=150)
    flare = look.between("flare", 66, 80)
    edge = smooth((-62, 118), (-40, 96), (-20, 108), (0, 122))
    strap = smooth((-42, 98), (-44, 60), (-34, 20))
    for line in (strap, flipped(strap)):
        canvas.part(ribbon(line, 4), darker(cloth.base, 0.12), TRIM)
    canvas.part(mirrored([(0, 100), *smooth((-30, 98), (-60, 114)), (-60, 150), (0, 150)]), darker(cloth.base, 0.35))
    side = smooth((-62, 118), (-56, 180), (-flare, 290))
    hem = smooth((-flare, 290), (-flare * 0.5, 298), (-8, 300), (0, 300))
    canvas.part(mirrored([*reversed(edge), *side, *hem]), cloth, Form(28, 9, 0.2, tube=True))
    lace = lighter(look.accent, 0.25)
    for line in (edge, hem):
        for half in (line, flipped(line)):
            _lace(canvas, half, lace)
    _bow(canvas, 0, 126, lace)
    _creases(canvas, look, 150, 280)


def _front(canvas: Canvas, base: RGB, top: float, crotch: float) -> None:
    """The two curved seams of a pouch."""
    seam = smooth((-26, top), (-36, (top + crotch) / 2 - 8), (-26, crotch - 26), (-10, crotch - 3))
    for side in (seam, flipped(seam)):
        canvas.line(side, contrasting(base, 0.35), 1.2)
        canvas.line([(x * 0.88, y) for x, y in side], contrasting(base, 0.25), 0.8, dash=(2.5, 1.5))
    canvas.fold(smooth((0, top + 10), (0, (top + crotch) / 2), (0, crotch - 16)), 5, 24)


def _waistband(canvas: Canvas, look: Look, half: float, top: float, height: float, *, plain: bool = False) -> None:
    """Elastic, with a line or a word woven in."""
    colour = (
        look.colour
        if plain
        else look.choice("band", (look.accent, darker(look.colour, 0.25), lighter(look.colour, 0.5)))
    )
    upper = smooth((-half, top), (0, top + 5), (half, top))
    band = [*upper, *smooth((half + 2, top + height), (0, top + height + 5), (-half - 2, top + height))]
    canvas.part(band, colour, BAND)
    ribs = [[(x, y + 2), (x, y + height - 2)] for x, y in along(upper, 44)[1:-1]]
    canvas.lines(ribs, contrasting(colour, 0.2), 0.8)
    if plain:
        return
    mark = contrasting(colour, 0.75)
    if look.chance("word", 0.5):
        letters = [box(x, top + height * 0.42, x + 5, top + height * 0.8 + 2, 1) for x in range(-26, 26, 9)]
        for letter in letters:
            canvas.part(letter, mark, edge=0)
    else:
        canvas.line([(x, y + height * 0.5) for x, y in upper], mark, 2.4)


def _creases(canvas: Canvas, look: Look, top: float, bottom: float) -> None:
    dice = look.dice(f"folds {look.view}")
    for side in (-1, 1):
        for _ in range(3):
            y = dice.uniform(top, bottom)
            canvas.fold(
                smooth((side * 70, y), (side * 50, y + 6), (side * 26, y + dice.uniform(4, 20))),
                dice.uniform(1.5, 3.5),
                8,
            )


def _bow(canvas: Canvas, x: float, y: float, colour: RGB) -> None:
    for side in (-1, 1):
        loop = [(x, y), (x + side * 8, y - 5), (x + side * 9, y + 4)]
        canvas.part(loop, colour, Form(3, 2, 0.4))
    canvas.dot(x, y, 2, darker(colour, 0.2))


def _lace(canvas: Canvas, line: Points, colour: RGB) -> None:
    """Scallops with holes along an edge."""
    for x, y in along(line, 11):
        canvas.dot(x, y, 5, darker(colour, 0.14))
        canvas.dot(x, y, 4.2, colour)
        canvas.dot(x, y, 1.3, darker(colour, 0.3))


DRAWERS: Final[dict[str, Drawer]] = {
    "Briefs": briefs,
    "Trunks": trunks,
    "Boxers": boxers,
    "Bra": bra,
    "Innerwear Vests": vest,
    "Camisoles": camisole,
}
