"""Shoes and boots from the side, toe to the left; the second view shows the pair from the other side."""

from __future__ import annotations

from typing import Final

from vitrine.sample.canvas import Canvas
from vitrine.sample.curves import Points, between, box, closed, moved, ribbon, smooth
from vitrine.sample.fabric import Fabric
from vitrine.sample.look import Drawer, Look
from vitrine.sample.motifs import badge
from vitrine.sample.open_shoes import CUSHION, OPEN_SHOES, PANEL, SOLE
from vitrine.sample.palette import RGB, contrasting, darker, lighter, luma, mixed
from vitrine.sample.relief import Form

UPPER: Final = Form(round_px=26, rise=12, lift=0, gloss=0.10, solid=True)
LEATHER: Final = Form(round_px=26, rise=13, lift=0, gloss=0.45, solid=True)


def casual(canvas: Canvas, look: Look) -> None:
    """A canvas sneaker with a rubber sole."""
    cloth = look.fabric(17, block_y=172)
    rubber = look.choice("rubber", [(240, 239, 233), (240, 239, 233), (226, 206, 170), darker(look.colour, 0.4)])
    high = look.chance("high", 0.3)
    top = 90.0 if high else 138.0
    _inside(canvas, darker(cloth.base, 0.4), top)
    upper = [
        *smooth((-103, 212), (-107, 200), (-98, 186), (-70, 175), (-38, 160), (-6, top + 8)),
        *smooth((-6, top + 8), (8, top - 6), (24, top - 2)),
        *smooth((24, top - 2), (44, top + 18), (70, top + 16), (92, top - 2)),
        *smooth((92, top - 2), (98, top + 20), (97, 184), (100, 212)),
    ]
    canvas.part(upper, cloth, UPPER)
    toe = [*smooth((-108, 214), (-109, 198), (-98, 182), (-74, 174)), *smooth((-74, 174), (-58, 190), (-58, 214))]
    canvas.part(toe, rubber if look.chance("cap", 0.6) else darker(cloth.base, 0.1), PANEL, within=upper)
    canvas.part([(82, top), (104, top), (106, 214), (86, 214)], look.accent, PANEL, within=upper)
    _laces(canvas, look, (-44, 165), (6, top + 6), cloth.base, rows=8 if high else 6)
    canvas.part(
        ribbon(smooth((92, top - 1), (70, top + 17), (44, top + 19), (25, top)), 6), lighter(cloth.base, 0.12), CUSHION
    )
    canvas.line(smooth((-30, 196), (20, 176), (60, top + 32)), contrasting(cloth.base, 0.4), 1, dash=(3, 2))
    if look.product.pattern == "printed" or high:
        badge(canvas, look, (52, 172), 13)
    _flat_sole(canvas, rubber, look.accent if look.chance("foxing", 0.6) else darker(rubber, 0.25))


def sports(canvas: Canvas, look: Look) -> None:
    """A running shoe: mesh, overlays and a thick cushioned sole."""
    cloth = look.fabric(14, block_y=168)
    over = mixed(look.accent, cloth.base, 0.15)
    _inside(canvas, darker(cloth.base, 0.45), 128)
    upper = [
        *smooth((-106, 206), (-109, 194), (-96, 180), (-60, 164), (-22, 142), (0, 122), (14, 116)),
        *smooth((14, 116), (34, 138), (60, 142), (84, 120), (96, 116)),
        *smooth((96, 116), (101, 136), (99, 164), (106, 202)),
    ]
    canvas.part(upper, cloth, UPPER)
    canvas.part(
        [*smooth((-112, 210), (-112, 188), (-84, 170)), *smooth((-84, 170), (-52, 188), (-38, 210))],
        over,
        PANEL,
        within=upper,
    )
    canvas.part(
        [*smooth((62, 150), (84, 118), (104, 112)), (112, 206), *smooth((66, 206), (56, 180), (62, 150))],
        over,
        PANEL,
        within=upper,
    )
    _side_mark(canvas, look, lighter(cloth.base, 0.85) if luma(cloth.base) < 0.6 else darker(look.accent, 0.1))
    _laces(canvas, look, (-52, 163), (2, 122), over, rows=6)
    canvas.part(ribbon(smooth((95, 118), (84, 122), (60, 143), (35, 140), (17, 119)), 8), darker(over, 0.15), CUSHION)
    _running_sole(canvas, look)


def formal(canvas: Canvas, look: Look) -> None:
    """A derby or a slip-on of polished leather."""
    base = look.colour
    _inside(canvas, mixed(base, (170, 130, 90), 0.4), 140)
    upper = [
        *smooth((-110, 212), (-108, 200), (-88, 190), (-56, 180), (-28, 160), (-6, 138), (14, 130)),
        *smooth((14, 130), (36, 146), (60, 148), (90, 132)),
        *smooth((90, 132), (97, 160), (98, 186), (102, 212)),
    ]
    canvas.part(upper, Fabric(base), LEATHER)
    seam = contrasting(base, 0.45)
    if look.chance("slip-on", 0.35):
        canvas.part(ribbon(smooth((-52, 180), (-34, 172), (-8, 176), (12, 196)), 16, 12), darker(base, 0.15), PANEL)
        canvas.part(box(-34, 168, -20, 182, 3), (200, 190, 160), Form(3, 1.4, 0.4, 0.8))
        canvas.line(smooth((-92, 194), (-70, 188), (-46, 194), (-30, 208)), seam, 1.1)
    else:
        facing = [
            *smooth((14, 130), (-8, 140), (-34, 168), (-24, 180)),
            *smooth((-24, 180), (10, 176), (40, 206)),
            *smooth((60, 200), (44, 160), (30, 142)),
        ]
        canvas.part(facing, darker(base, 0.06), PANEL, within=upper)
        _laces(canvas, look, (-28, 163), (6, 137), base, rows=4)
        for shift in (0, 4):
            canvas.line(moved(smooth((-64, 182), (-54, 196), (-60, 212)), shift, 0), seam, 1, dash=(2, 1.5))
    canvas.line(smooth((74, 140), (70, 176), (84, 210)), seam, 1)
    sole = darker(look.choice("sole", [base, (90, 58, 36), (40, 38, 38)]), 0.35)
    canvas.part(
        [
            *smooth((-112, 210), (-106, 220), (-70, 224), (0, 222), (46, 216)),
            (104, 216),
            (104, 208),
            *smooth((104, 208), (0, 210), (-112, 208)),
        ],
        sole,
        SOLE,
    )
    canvas.part([(50, 214), (104, 214), (105, 232), (54, 232)], darker(sole, 0.2), SOLE)


def boots(canvas: Canvas, look: Look) -> None:
    """An ankle boot: laced, or with elastic sides."""
    base = look.colour
    top = look.between("shaft", 48, 84)
    upper = [
        *smooth((-104, 212), (-104, 196), (-84, 182), (-50, 172), (-20, 150), (-8, 110), (-6, top)),
        *smooth((-6, top), (40, top + 5), (88, top - 4)),
        *smooth((88, top - 4), (86, 120), (94, 160), (100, 212)),
    ]
    canvas.part(closed((-6, top), (40, top - 9), (88, top - 4), (40, top + 8)), darker(base, 0.55))
    canvas.part(upper, Fabric(base), Form(24, 12, 0, 0.22, solid=True))
    seam = contrasting(base, 0.4)
    if look.chance("chelsea", 0.4):
        gusset = [(24, top + 4), (60, top + 2), *smooth((56, 120), (44, 158), (32, 120), (24, top + 4))]
        canvas.part(gusset, darker(base, 0.4), PANEL, within=upper)
        canvas.lines([[(x, top + 4), (x + 2, 146)] for x in range(28, 58, 4)], darker(base, 0.6), 1)
        canvas.part(ribbon([(84, top - 14), (92, top + 18)], 9), darker(base, 0.15), PANEL)
    else:
        facing = [*smooth((-10, top - 4), (-14, 110), (-40, 168)), *smooth((-24, 178), (8, 140), (14, top - 2))]
        canvas.part(facing, darker(base, 0.12), PANEL)
        _laces(canvas, look, (-30, 164), (2, top + 10), base, rows=7)
    canvas.line(smooth((-70, 178), (-52, 194), (-54, 212)), seam, 1.1, dash=(2.5, 1.5))
    canvas.line(smooth((64, 210), (58, 170), (96, 150)), seam, 1.1, dash=(2.5, 1.5))
    canvas.fold(smooth((-8, 130), (20, 150), (60, 140)), -3, 8)
    canvas.fold(smooth((-52, 174), (-40, 190), (-30, 196)), -2.5, 5)
    sole = look.choice("sole", [(44, 42, 42), (120, 84, 54), (196, 164, 116)])
    tread: Points = [(40, 228), (44, 222), (54, 222), (58, 232), (104, 232), (103, 208)]
    toe, welt = smooth((-107, 208), (-106, 222), (-90, 228)), smooth((103, 208), (0, 211), (-107, 207))
    canvas.part([*toe, *tread, *welt], sole, SOLE)
    canvas.line([(-104, 212), (102, 212)], lighter(sole, 0.35), 1.1, dash=(3, 2))


def _inside(canvas: Canvas, colour: RGB, top: float) -> None:
    """The far side of the opening and the tongue."""
    canvas.part(
        closed(
            (-8, top + 8), (14, top - 14), (30, top - 2), (60, top + 4), (88, top - 5), (92, top + 14), (40, top + 40)
        ),
        colour,
        Form(8, 3, 0),
    )


def _laces(
    canvas: Canvas, look: Look, low: tuple[float, float], high: tuple[float, float], base: RGB, rows: int
) -> None:
    """Rows of laces over the instep between two points, with their eyelets."""
    lace = look.choice("laces", [(246, 245, 240), look.accent, darker(base, 0.3)])
    if luma(lace) < 0.25 and luma(base) < 0.3:
        lace = (196, 194, 190)
    facing = [low, high]
    canvas.part(ribbon(moved(facing, 11, 7), 12), darker(base, 0.12), PANEL)
    for n in range(rows):
        x, y = between(low, high, (n + 0.5) / rows)
        canvas.part(
            ribbon(smooth((x - 3, y - 3), (x + 4, y - 2), (x + 12, y + 9)), 4.2), lace, Form(3, 1.6, 0.4), edge=0.3
        )
        canvas.dot(x + 13, y + 10, 1.7, darker(base, 0.6))


def _flat_sole(canvas: Canvas, rubber: RGB, stripe: RGB) -> None:
    sole = [
        *smooth((-107, 204), (-107, 220), (-92, 229)),
        *smooth((-92, 229), (0, 230), (90, 229)),
        *smooth((90, 229), (104, 224), (104, 203)),
        *smooth((104, 203), (40, 207), (-60, 208), (-107, 204)),
    ]
    canvas.part(sole, rubber, SOLE)
    canvas.line(smooth((-105, 214), (-60, 217), (40, 216), (103, 213)), stripe, 2.4)


def _running_sole(canvas: Canvas, look: Look) -> None:
    foam = look.choice("foam", [(244, 244, 242), (244, 244, 242), look.accent, (60, 60, 64)])
    sole = [
        *smooth((-108, 196), (-108, 212), (-90, 226)),
        *smooth((-90, 226), (0, 232), (96, 232)),
        *smooth((96, 232), (110, 220), (108, 188)),
        *smooth((108, 188), (60, 196), (-20, 206), (-108, 198)),
    ]
    canvas.part(sole, foam, Form(9, 5, 0.4, solid=True))
    canvas.line(smooth((-100, 214), (-40, 214), (30, 222), (104, 204)), contrasting(foam, 0.35), 2)
    canvas.part(
        [*smooth((-100, 221), (0, 228), (100, 226)), *smooth((98, 233), (0, 234), (-88, 227))],
        darker(look.accent, 0.2),
        Form(3, 1, 0.2),
    )
    for x in range(-80, 96, 14):
        canvas.line([(x, 226), (x + 3, 234)], darker(foam, 0.5), 1.6)


def _side_mark(canvas: Canvas, look: Look, colour: RGB) -> None:
    """Stripes, a sweep or a chevron on the side."""
    kind = look.choice("mark", ("stripes", "sweep", "chevron", "arc"))
    if kind == "stripes":
        for n in range(3):
            canvas.part(ribbon([(-12 + n * 17.0, 150.0 - n * 2), (4 + n * 17.0, 200.0 - n * 3)], 7), colour, PANEL)
    elif kind == "sweep":
        canvas.part(
            [*smooth((-34, 190), (0, 196), (64, 150)), *smooth((64, 150), (10, 178), (-14, 176), (-34, 190))],
            colour,
            PANEL,
        )
    elif kind == "chevron":
        for n in range(2):
            canvas.part(
                ribbon([(-6 + 20.0 * n, 150.0), (14 + 20.0 * n, 174.0), (-2 + 20.0 * n, 200.0)], 8), colour, PANEL
            )
    else:
        canvas.part(ribbon(smooth((-40, 188), (0, 160), (54, 166), (84, 188)), 8, 3), colour, PANEL)


def _staged(shoe: Drawer) -> Drawer:
    """The shoe alone in the first view; with its fellow behind it in the second."""

    def drawer(canvas: Canvas, look: Look) -> None:
        if look.view == 0:
            shoe(canvas, look)
            return
        with canvas.moved(22, -26, scale=0.8, degrees=2):
            shoe(canvas, look)
        with canvas.moved(-14, 12, scale=0.84, degrees=-2):
            shoe(canvas, look)

    return drawer


_SHOES: Final[dict[str, Drawer]] = {
    "Casual Shoes": casual,
    "Sports Shoes": sports,
    "Formal Shoes": formal,
    "Boots": boots,
    **OPEN_SHOES,
}
DRAWERS: Final[dict[str, Drawer]] = {name: _staged(shoe) for name, shoe in _SHOES.items()}
