"""Heels, ballerinas and sandals from the side, toe to the left."""

from __future__ import annotations

from typing import Final

from vitrine.sample.canvas import Canvas
from vitrine.sample.curves import Points, box, closed, ellipse, ribbon, smooth
from vitrine.sample.fabric import Fabric
from vitrine.sample.look import Drawer, Look
from vitrine.sample.palette import RGB, contrasting, darker
from vitrine.sample.relief import Form

SOLE: Final = Form(round_px=8, rise=4, lift=0.35, solid=True)
PANEL: Final = Form(round_px=6, rise=2.2, lift=0.3, gloss=0.12)
CUSHION: Final = Form(round_px=7, rise=4, lift=0.35)
BUCKLE: Final = Form(round_px=3, rise=1.5, lift=0.4, gloss=0.8)


def heels(canvas: Canvas, look: Look) -> None:
    """A pump on a stiletto, a block heel or a wedge."""
    cloth = Fabric(look.colour, look.product.pattern, look.accent, 15)
    kind = look.choice("heel", ("stiletto", "block", "wedge"))
    rise = look.between("rise", -8, 10)
    heel = _heel(kind, rise)
    canvas.part(heel, darker(cloth.base, 0.25) if kind != "wedge" else (190, 150, 104), Form(10, 6, 0, 0.4, solid=True))
    back = 112 + rise
    inside = [*smooth((-50, 186), (-10, 168), (40, 144), (88, back)), *smooth((88, back), (60, 172), (0, 206))]
    canvas.part(inside, (222, 190, 160), Form(8, -3, 0))
    dip = look.between("dip", -6, 6)
    upper = [
        *smooth((-108, 226), (-104, 210), (-88, 194), (-62, 184), (-46, 184)),
        *smooth((-46, 184), (-20, 202 + dip), (24, 184 + dip), (60, 150), (88, back)),
        *smooth((88, back), (102, 140), (100, 164), (86, 178)),
        *smooth((86, 178), (50, 186 + rise), (10, 212), (-30, 230)),
        *smooth((-30, 230), (-70, 233), (-108, 228)),
    ]
    canvas.part(upper, cloth, Form(18, 11, 0.2, 0.5, solid=True))
    sole = [
        *smooth((-108, 226), (-70, 231), (-28, 229)),
        *smooth((-28, 229), (12, 210), (50, 186 + rise)),
        *smooth((50, 189 + rise), (14, 215), (-28, 235)),
        *smooth((-28, 235), (-70, 237), (-108, 231)),
    ]
    canvas.part(sole, darker(cloth.base, 0.5), Form(3, 1.5, 0.2))
    if look.chance("strap", 0.4):
        canvas.part(ribbon(smooth((-12, 190), (20, 142), (84, 124)), 6), darker(cloth.base, 0.1), PANEL)
        canvas.part(box(34, 128, 44, 140, 2), (214, 180, 100), BUCKLE)
    if look.chance("bow", 0.35):
        for side in (-1, 1):
            canvas.part([(-66, 188), (-66 + side * 15, 179), (-66 + side * 16, 195)], look.accent, PANEL)
        canvas.dot(-66, 188, 3.4, darker(look.accent, 0.2))


def _heel(kind: str, rise: float) -> Points:
    if kind == "wedge":
        front = smooth((-40, 226), (0, 208), (50, 178))
        return [*front, (97, 140), *smooth((99, 180), (96, 236)), *smooth((40, 238), (-40, 236))]
    if kind == "block":
        back = smooth((100, 200), (100, 160), (97, 140))
        return [*smooth((54, 178 + rise), (68, 200), (66, 236)), (100, 236), *back]
    back = smooth((96, 200), (100, 160), (97, 140))
    return [*smooth((58, 176 + rise), (80, 190), (88, 236)), (95, 236), *back]


def flats(canvas: Canvas, look: Look) -> None:
    """A ballerina with a bow or a buckle."""
    cloth = Fabric(look.colour, look.product.pattern, look.accent, 15)
    lining = (226, 200, 172)
    far = smooth((-60, 190), (-10, 176), (50, 166), (94, 158))
    canvas.part([*far, *smooth((94, 170), (40, 208), (-50, 208))], lining, Form(8, -3, 0))
    upper = [
        *smooth((-108, 214), (-104, 200), (-86, 188), (-58, 184)),
        *smooth((-58, 184), (-40, 206), (10, 204), (54, 188), (90, 158), (97, 158)),
        *smooth((97, 158), (104, 180), (104, 214)),
    ]
    canvas.part(upper, cloth, Form(16, 10, 0.2, 0.3, solid=True))
    canvas.part(
        ribbon(smooth((-58, 184), (-40, 206), (10, 204), (54, 188), (90, 158), (97, 158)), 4),
        darker(cloth.base, 0.2),
        CUSHION,
    )
    if look.chance("bow", 0.6):
        bow = look.accent
        for side in (-1, 1):
            loop = closed((-66, 188), (-66 + side * 12, 178), (-66 + side * 20, 182), (-66 + side * 17, 196))
            canvas.part(loop, bow, Form(5, 3, 0.4))
        canvas.part(ellipse(-66, 188, 5, 5), darker(bow, 0.15), Form(3, 2, 0.4))
    else:
        canvas.part(
            box(-84, 184, -62, 196, 3), (214, 180, 100), Form(4, 2, 0.4, 0.8), holes=[box(-80, 187, -66, 193, 2)]
        )
    canvas.part(
        [
            *smooth((-109, 212), (0, 213), (104, 212)),
            (104, 220),
            *smooth((104, 220), (0, 220), (-100, 221), (-109, 216)),
        ],
        darker(look.choice("sole", [cloth.base, (120, 84, 54)]), 0.35),
        SOLE,
    )
    canvas.part([(66, 217), (104, 217), (104, 225), (68, 225)], darker(cloth.base, 0.5), SOLE)


def sandals(canvas: Canvas, look: Look) -> None:
    """Broad straps over a footbed, seen a little from above."""
    base = look.colour
    bed = look.choice("bed", [(176, 132, 88), (206, 174, 130), (84, 66, 56)])
    lift = look.between("wedge", 0, 22)
    insole = closed(
        (-108, 208),
        (-84, 190),
        (-20, 190),
        (50, 180 - lift),
        (98, 172 - lift),
        (110, 184 - lift),
        (98, 198 - lift),
        (30, 207 - lift * 0.4),
        (-30, 219),
        (-84, 221),
    )
    canvas.part(
        ribbon(smooth((58, 182 - lift), (60, 146 - lift), (84, 128 - lift), (108, 148 - lift)), 10),
        darker(base, 0.4),
        PANEL,
    )
    sole = [
        *insole[:1],
        *smooth((-110, 210), (-108, 226), (-84, 234), (0, 234), (104, 232), (111, 200), (110, 184 - lift)),
        *smooth((60, 176 - lift), (-20, 196), (-108, 206)),
    ]
    canvas.part(sole, darker(bed, 0.35), Form(9, 4, 0.2, solid=True))
    canvas.part(insole, bed, Form(10, 3, 0.1))
    canvas.line(smooth((-100, 208), (-20, 200), (60, 190 - lift)), darker(bed, 0.25), 1, dash=(3, 2))
    _bands(canvas, look, base)
    ankle = smooth(
        (44, 210 - lift), (46, 172 - lift), (62, 142 - lift), (90, 134 - lift), (108, 150 - lift), (108, 182 - lift)
    )
    canvas.part(ribbon(ankle, 11), base, Form(6, 4, 0.4, 0.25))
    canvas.part(box(48, 148 - lift, 62, 164 - lift, 2), (206, 196, 170), BUCKLE)


def _bands(canvas: Canvas, look: Look, base: RGB) -> None:
    """One broad band over the foot, or two."""
    second = look.accent if look.chance("two tone", 0.5) else darker(base, 0.08)
    spans = look.choice(
        "bands", [[(-74.0, 16.0)], [(-82.0, -38.0), (-30.0, 14.0)], [(-86.0, -56.0), (-50.0, -20.0), (-14.0, 14.0)]]
    )
    for n, (left, right) in enumerate(spans):
        top = 178 - (left + 90) * 0.3
        opening = closed(
            (left - 3, 216), (left + 2, top + 14), (left + 16, top - 2), (left + 22, top + 10), (left + 12, 212)
        )
        canvas.part(opening, darker(base, 0.6))
        band = [
            *smooth((left, 222), (left + 3, top + 16), (left + 20, top - 2), (left + 30, top - 5)),
            *smooth((right + 16, top - 13), (right + 14, top + 14), (right, 221)),
        ]
        canvas.part(band, second if n % 2 else base, Form(16, 9, 0.4, 0.3, solid=True))
        canvas.line([(x + 4, y + 2) for x, y in band[:15]], contrasting(base, 0.4), 0.9, dash=(2.5, 1.5))


OPEN_SHOES: Final[dict[str, Drawer]] = {
    "Heels": heels,
    "Flats": flats,
    "Sandals": sandals,
}
