"""Places where a shopper takes a photo: floors, tables, beds and shelves, with things lying about."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from vitrine.sample.curves import Points, box, closed, ellipse, moved, smooth, turned
from vitrine.sample.palette import COLOURS, RGB, darker, lighter, mixed

WIDTH: Final = 320
HEIGHT: Final = 400

WOODS: Final[tuple[RGB, ...]] = ((176, 132, 88), (136, 96, 62), (206, 172, 130), (100, 72, 52), (190, 180, 166))
WALLS: Final[tuple[RGB, ...]] = (
    (226, 220, 208),
    (196, 206, 212),
    (214, 198, 178),
    (182, 192, 176),
    (206, 186, 186),
    (158, 166, 178),
)
THINGS: Final[tuple[RGB, ...]] = tuple(COLOURS.values())


def scene(dice: random.Random) -> Image.Image:
    """A cluttered background, RGB, 320x400; the middle is less crowded than the edges."""
    place = dice.choice(PLACES)(dice)
    for _ in range(dice.randint(4, 7)):
        _put(place, dice, dice.choice(OBJECTS))
    # A little blur also stands for antialiasing.
    return place.filter(ImageFilter.GaussianBlur(dice.uniform(0.7, 1.6)))


def _planks(dice: random.Random) -> Image.Image:
    """A wooden floor or table top."""
    wood = dice.choice(WOODS)
    floor = _grained(wood, dice)
    pen = ImageDraw.Draw(floor, "RGBA")
    step = dice.randint(22, 55)
    for n, y in enumerate(range(-step, floor.height + step, step)):
        shade = dice.randint(-26, 26)
        pen.rectangle((0, y, floor.width, y + step), fill=(255, 240, 220, shade) if shade > 0 else (30, 20, 10, -shade))
        pen.line((0, y, floor.width, y), fill=(30, 20, 12, 170), width=2)
        x = (n * 131) % floor.width
        pen.line((x, y, x, y + step), fill=(30, 20, 12, 140), width=2)
    return _turned_floor(floor, dice)


def _tiles(dice: random.Random) -> Image.Image:
    """A tiled floor."""
    first = dice.choice(WALLS)
    second = mixed(first, dice.choice(THINGS), dice.uniform(0.05, 0.5))
    floor = _speckled(first, dice, 8)
    pen = ImageDraw.Draw(floor, "RGBA")
    size = dice.randint(35, 75)
    for row in range(floor.height // size + 1):
        for column in range(floor.width // size + 1):
            corner = (column * size, row * size, (column + 1) * size, (row + 1) * size)
            pen.rectangle(
                corner,
                fill=(*second, 230 if (row + column) % 2 else dice.randint(0, 40)),
                outline=(*darker(first, 0.45), 200),
                width=2,
            )
    return _turned_floor(floor, dice)


def _room(dice: random.Random) -> Image.Image:
    """A wall and a floor with a skirting board, a picture and a piece of furniture."""
    wall = dice.choice(WALLS)
    picture = _speckled(wall, dice, 4)
    pen = ImageDraw.Draw(picture, "RGBA")
    ground = round(picture.height * dice.uniform(0.5, 0.72))
    picture.paste(_planks(dice).crop((0, 0, picture.width, picture.height - ground)), (0, ground))
    pen.rectangle(
        (0, ground - 13, picture.width, ground), fill=(*lighter(wall, 0.6), 255), outline=(*darker(wall, 0.3), 255)
    )
    left = dice.randint(0, 210)
    frame = (left, dice.randint(10, 30), left + dice.randint(55, 100), dice.randint(90, 130))
    pen.rectangle(frame, fill=(*dice.choice(THINGS), 255), outline=(*darker(wall, 0.6), 255), width=5)
    side = dice.choice((-30, 215))
    seat = box(side, ground - 95, side + 140, ground + 45, 15)
    _shape(picture, seat, mixed(dice.choice(THINGS), wall, 0.35))
    return picture


def _blanket(dice: random.Random) -> Image.Image:
    """Rumpled bedclothes, plain, striped or checked."""
    base = mixed(dice.choice(THINGS), (240, 236, 228), dice.uniform(0.2, 0.8))
    cloth = _speckled(base, dice, 5)
    pen = ImageDraw.Draw(cloth, "RGBA")
    stripe = (*dice.choice(THINGS), dice.randint(50, 120))
    step, kind = dice.randint(25, 60), dice.randrange(3)
    for t in range(-20, 410, step):
        if kind > 0:
            pen.line(smooth((t, -5), (t + 7, 130), (t - 6, 270), (t + 4, 405)), fill=stripe, width=step // 3)
        if kind > 1:
            pen.line(smooth((-5, t), (105, t + 6), (215, t - 5), (325, t)), fill=stripe, width=step // 3)
    waves = _noise(dice, (7, 6), cloth.size) + 0.6 * _noise(dice, (14, 10), cloth.size)
    slope = np.gradient(waves, axis=1) + np.gradient(waves, axis=0)
    return _shaded(cloth, 1 + np.clip(slope * 7, -0.22, 0.15))


def _shelf(dice: random.Random) -> Image.Image:
    """Rows of books behind, a board in front."""
    wood = dice.choice(WOODS)
    picture = Image.new("RGB", (WIDTH, HEIGHT), darker(wood, 0.55))
    pen = ImageDraw.Draw(picture)
    for bottom in (dice.randint(105, 130), dice.randint(260, 290)):
        x = dice.randint(-10, 5)
        while x < picture.width:
            wide, tall = dice.randint(10, 29), dice.randint(65, 108)
            colour = mixed(dice.choice(THINGS), (120, 110, 100), dice.uniform(0.1, 0.5))
            pen.rectangle((x, bottom - tall, x + wide, bottom), fill=colour, outline=darker(colour, 0.4))
            pen.rectangle((x + 2, bottom - tall + 10, x + wide - 2, bottom - tall + 16), fill=lighter(colour, 0.5))
            x += wide + dice.choice((1, 1, 1, 7))
        pen.rectangle((0, bottom, picture.width, bottom + 13), fill=wood)
        pen.rectangle((0, bottom + 13, picture.width, bottom + 17), fill=darker(wood, 0.6))
    table = _grained(wood, dice).crop((0, 0, picture.width, 85))
    picture.paste(table, (0, picture.height - 85))
    return picture.filter(ImageFilter.GaussianBlur(dice.uniform(0.5, 1.5)))


def _bokeh(dice: random.Random) -> Image.Image:
    """A street or a shop far out of focus, over a near surface."""
    base = dice.choice([(58, 66, 84), (96, 84, 74), (70, 92, 82), (146, 140, 134)])
    picture = Image.new("RGB", (WIDTH, HEIGHT), base)
    pen = ImageDraw.Draw(picture, "RGBA")
    for _ in range(8):
        x, y = dice.randint(-40, 320), dice.randint(-30, 250)
        pen.rectangle((x, y, x + dice.randint(30, 110), y + dice.randint(40, 150)), fill=(*dice.choice(THINGS), 150))
    picture = picture.filter(ImageFilter.BoxBlur(11))
    pen = ImageDraw.Draw(picture, "RGBA")
    for _ in range(26):
        x, y, r = dice.randint(0, 320), dice.randint(0, 280), dice.randint(5, 23)
        light = lighter(dice.choice(THINGS), 0.55)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=(*light, dice.randint(50, 120)), outline=(*light, 140), width=1)
    near = round(picture.height * dice.uniform(0.62, 0.8))
    picture.paste(_grained(dice.choice(WOODS), dice).crop((0, near, picture.width, picture.height)), (0, near))
    return picture


def _garden(dice: random.Random) -> Image.Image:
    """Grass or fallen leaves."""
    base = dice.choice([(86, 120, 58), (110, 130, 70), (130, 106, 66)])
    ground = _speckled(darker(base, 0.3), dice, 30)
    pen = ImageDraw.Draw(ground)
    for _ in range(520):
        x, y, tall = dice.randint(0, 320), dice.randint(0, 410), dice.randint(13, 40)
        lean = dice.randint(-12, 12)
        blade = mixed(base, dice.choice(((190, 200, 110), (50, 80, 40), (150, 120, 60))), dice.uniform(0, 0.6))
        pen.line((x, y, x + lean, y - tall), fill=blade, width=dice.randint(2, 3))
    return ground


def _book(dice: random.Random) -> list[tuple[Points, RGB]]:
    colour = dice.choice(THINGS)
    cover = box(-70, -50, 70, 50, 4)
    return [
        (moved(cover, 5, 7), (236, 230, 214)),
        (cover, colour),
        (box(-40, -22, 40, 2), lighter(colour, 0.6)),
        (box(-30, 14, 30, 22), lighter(colour, 0.4)),
    ]


def _mug(dice: random.Random) -> list[tuple[Points, RGB]]:
    colour = lighter(dice.choice(THINGS), 0.3)
    handle = ellipse(52, 0, 26, 15)
    return [
        (handle, darker(colour, 0.2)),
        (ellipse(0, 0, 48, 48), colour),
        (ellipse(0, 0, 40, 40), darker(colour, 0.25)),
        (ellipse(2, 2, 36, 36), (84, 54, 34)),
    ]


def _plant(dice: random.Random) -> list[tuple[Points, RGB]]:
    green = mixed((70, 122, 66), (40, 90, 70), dice.random())
    leaves: list[tuple[Points, RGB]] = [(ellipse(0, 0, 34, 34), (168, 100, 70)), (ellipse(0, 0, 28, 28), (70, 52, 40))]
    for n in range(11):
        leaf = closed((0, 0), (16, -34), (0, -dice.uniform(66, 96)), (-16, -34))
        leaves.append(
            (turned(leaf, 33 * n + dice.uniform(-12, 12), (0, 0)), mixed(green, (200, 220, 130), dice.uniform(0, 0.35)))
        )
    return leaves


def _bottle(dice: random.Random) -> list[tuple[Points, RGB]]:
    colour = dice.choice(THINGS)
    body = [
        *box(-26, -30, 26, 110, 10)[28:],
        *smooth((-26, -20), (-24, -44), (-10, -66)),
        (-10, -92),
        (10, -92),
        *smooth((10, -66), (24, -44), (26, -20)),
    ]
    return [
        (body, mixed(colour, (200, 220, 220), 0.4)),
        (box(-12, -104, 12, -84, 3), darker(colour, 0.3)),
        (box(-26, 10, 26, 64), lighter(colour, 0.75)),
    ]


def _cushion(dice: random.Random) -> list[tuple[Points, RGB]]:
    colour = mixed(dice.choice(THINGS), (230, 224, 214), 0.25)
    pillow = closed((-84, -70), (0, -60), (84, -70), (74, 0), (84, 70), (0, 60), (-84, 70), (-74, 0))
    bars = [(box(x, -56, x + 9, 56), lighter(colour, 0.4)) for x in (-44, 0, 40)] if dice.random() < 0.5 else []
    return [(pillow, colour), *bars]


def _telephone(dice: random.Random) -> list[tuple[Points, RGB]]:
    glow = lighter(dice.choice(THINGS), 0.2)
    return [
        (box(-36, -72, 36, 72, 10), (34, 34, 38)),
        (box(-31, -66, 31, 66, 6), darker(glow, 0.35)),
        (box(-24, -50, 24, -20, 4), glow),
        (box(-24, -8, 24, 2, 2), (220, 222, 226)),
    ]


def _toy(dice: random.Random) -> list[tuple[Points, RGB]]:
    colour = dice.choice(THINGS)
    return [
        (ellipse(0, 0, 46, 46), colour),
        (ellipse(-14, -16, 14, 10), lighter(colour, 0.6)),
        (closed((-44, 4), (0, 22), (44, 4), (0, 34)), lighter(colour, 0.75)),
    ]


def _papers(dice: random.Random) -> list[tuple[Points, RGB]]:
    sheet = box(-64, -86, 64, 86)
    lines: list[tuple[Points, RGB]] = [
        (box(-48, y, dice.uniform(10, 48), y + 5), (150, 152, 160)) for y in range(-60, 70, 16)
    ]
    return [(turned(sheet, 12, (0, 0)), (226, 222, 210)), (sheet, (246, 245, 240)), *lines]


PLACES: Final[Sequence[Callable[[random.Random], Image.Image]]] = (
    _planks,
    _tiles,
    _room,
    _blanket,
    _shelf,
    _bokeh,
    _garden,
)
OBJECTS: Final[Sequence[Callable[[random.Random], list[tuple[Points, RGB]]]]] = (
    _book,
    _mug,
    _plant,
    _bottle,
    _cushion,
    _telephone,
    _toy,
    _papers,
)


def _put(place: Image.Image, dice: random.Random, thing: Callable[[random.Random], list[tuple[Points, RGB]]]) -> None:
    """Lay a thing somewhere near the edge of the picture."""
    turn = dice.uniform(0, 2 * math.pi)
    x = place.width / 2 + math.cos(turn) * place.width * dice.uniform(0.38, 0.52)
    y = place.height / 2 + math.sin(turn) * place.height * dice.uniform(0.36, 0.52)
    degrees, scale = dice.uniform(-180, 180), dice.uniform(0.5, 0.9)
    for n, (outline, colour) in enumerate(thing(dice)):
        _shape(place, moved(turned(outline, degrees, (0, 0), scale), x, y), colour, shadow=n == 0)


def _shape(place: Image.Image, outline: Points, colour: RGB, *, shadow: bool = True) -> None:
    """A filled outline, lit from the upper left, with a soft shadow on what lies below."""
    xs, ys = [p[0] for p in outline], [p[1] for p in outline]
    left, top = round(min(xs)) - 12, round(min(ys)) - 12
    size = (round(max(xs)) + 16 - left, round(max(ys)) + 16 - top)
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in outline], fill=255)
    if shadow:
        soft = mask.filter(ImageFilter.BoxBlur(4)).point([round(v * 0.5) for v in range(256)])
        place.paste((24, 20, 22), (left + 4, top + 5), soft)
    light = Image.linear_gradient("L").resize(size)
    place.paste(
        Image.composite(
            Image.new("RGB", size, darker(colour, 0.18)), Image.new("RGB", size, lighter(colour, 0.1)), light
        ),
        (left, top),
        mask,
    )


def _noise(dice: random.Random, cells: tuple[int, int], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Smooth noise around 0: `cells` (rows, columns) random values enlarged to a picture's size."""
    values = np.random.default_rng(dice.randrange(2**32)).standard_normal(cells).astype(np.float32)
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BICUBIC))


def _shaded(picture: Image.Image, factor: npt.NDArray[np.float32]) -> Image.Image:
    pixels = np.asarray(picture, dtype=np.float32) * factor[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _speckled(colour: RGB, dice: random.Random, amount: float) -> Image.Image:
    """A wall or a cloth: one colour with soft spots and a slow change of light."""
    size = (WIDTH, HEIGHT)
    factor = 1 + _noise(dice, (3, 3), size) * 0.07 + _noise(dice, (200, 160), size) * (amount / 255)
    return _shaded(Image.new("RGB", size, colour), factor)


def _grained(colour: RGB, dice: random.Random) -> Image.Image:
    """Wood: streaks along x."""
    size = (WIDTH, HEIGHT)
    factor = 1 + _noise(dice, (150, 5), size) * 0.09 + _noise(dice, (3, 3), size) * 0.06
    return _shaded(Image.new("RGB", size, colour), factor)


def _turned_floor(floor: Image.Image, dice: random.Random) -> Image.Image:
    """The floor at an angle, enlarged so that its corners stay covered."""
    degrees = dice.choice((0, 0, 90, dice.uniform(-25, 25), dice.uniform(60, 120)))
    w, h = floor.size
    grown = floor.resize((round(w * 1.3), round(h * 1.3)), Image.Resampling.BILINEAR).rotate(
        degrees, Image.Resampling.BILINEAR, expand=True
    )
    # After a rotation the largest upright rectangle in the middle may be smaller than the picture: scale it up.
    side = min(w * 1.3, h * 1.3) / (abs(math.sin(math.radians(degrees))) + abs(math.cos(math.radians(degrees))))
    cut = (side * w / h, side)
    left, top = (grown.width - cut[0]) / 2, (grown.height - cut[1]) / 2
    return grown.resize((w, h), Image.Resampling.BILINEAR, box=(left, top, left + cut[0], top + cut[1]))
