"""A canvas on which products are built from parts.

Colours and outlines are painted at three times the final size and reduced at the end, which gives smooth edges. Volume
is separate (relief.py), so every part gets its highlight, its shade and its soft edge from one lamp, and a second view
can be lit differently.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from vitrine.sample.curves import Points
from vitrine.sample.fabric import Fabric
from vitrine.sample.palette import RGB, contrasting
from vitrine.sample.pose import FINE, HEIGHT, WIDTH, Box, Grid, Light, Pose, enclosing
from vitrine.sample.relief import FLAT, Form, Relief, smoothed

_OPAQUE = 255
_EDGE_FINE_PX = 3


class Canvas:
    """240x320 product pixels, transparent at first."""

    def __init__(self, pose: Pose, grain: str = "cotton") -> None:
        self.pose = pose
        self._grain = grain
        self._relief = Relief()
        # Colours multiplied by their coverage: pasting half of a colour (glass) is then right as it is.
        self._paint = Image.new("RGBa", (WIDTH * FINE, HEIGHT * FINE))

    def part(
        self,
        outline: Points,
        ink: RGB | Fabric,
        form: Form = FLAT,
        *,
        holes: Sequence[Points] = (),
        within: Points | None = None,
        edge: float = 0.25,
        opacity: float = 1,
        degrees: float = 0,
    ) -> None:
        """Lay a part on top: an outline filled with a colour or a fabric.

        `holes` are cut out of it, and it ends at `within`. `edge`: how much its contour stands out. `opacity` under 1
        makes glass. `degrees` turns the fabric's pattern.
        """
        fabric = ink if isinstance(ink, Fabric) else Fabric(ink)
        placed = self.pose.place(outline)
        gaps = [self.pose.place(hole) for hole in holes]
        limit = None if within is None else self.pose.place(within)
        if gaps or limit or opacity < 1 or fabric.patterned:
            self._paste(placed, fabric, gaps, limit, edge, opacity, degrees)
        else:
            pen = ImageDraw.Draw(self._paint)
            pen.polygon(placed, (*fabric.base, _OPAQUE))
            if edge:
                pen.line([*placed, placed[0]], (*contrasting(fabric.base, edge), _OPAQUE), _EDGE_FINE_PX)
        self._relief.part(placed, form, gaps, limit)

    def line(
        self,
        points: Points,
        colour: RGB,
        width: float = 1,
        *,
        dash: tuple[float, float] | None = None,
        free: bool = False,
        opacity: float = 1,
    ) -> None:
        """A drawn line: a seam, a stitch, a lace. It stays inside what is already painted unless it is `free`."""
        self.lines([points], colour, width, dash=dash, free=free, opacity=opacity)

    def lines(
        self,
        many: Sequence[Points],
        colour: RGB,
        width: float = 1,
        *,
        dash: tuple[float, float] | None = None,
        free: bool = False,
        opacity: float = 1,
    ) -> None:
        """Several lines of one kind: the marks of a dial, the ribs of a cuff."""
        placed = [self.pose.place(points) for points in many]
        box = enclosing([point for line in placed for point in line], margin=width * FINE)
        if box is None:
            return
        shape = Image.new("L", _size(box))
        pen = ImageDraw.Draw(shape)
        for line in placed:
            for piece in _dashes(_shifted(line, box), dash):
                pen.line(piece, round(_OPAQUE * opacity), max(1, round(width * FINE)), "curve")
        if not free:
            shape = ImageChops.multiply(shape, self._paint.crop(box).getchannel("a"))
        self._paint.paste((*colour, _OPAQUE), box, shape)

    def dot(self, x: float, y: float, radius: float, colour: RGB) -> None:
        """A small round thing: a button, a bead, a rivet."""
        (px, py), r = self.pose.place([(x, y)])[0], radius * FINE
        ImageDraw.Draw(self._paint).ellipse((px - r, py - r, px + r, py + r), (*colour, _OPAQUE))

    def fold(self, points: Points, depth: float, width: float = 6) -> None:
        """A crease in the cloth: a ridge, or a valley where `depth` is negative."""
        self._relief.fold(self.pose.place(points), depth, width)

    def tone(self, outline: Points, amount: float, soft_px: float) -> None:
        """Soft light (amount over 0) or shade (under 0) over an area: worn denim, the far end of a strap."""
        self._relief.tone(self.pose.place(outline), amount, soft_px)

    @contextmanager
    def moved(self, dx: float, dy: float, *, degrees: float = 0, scale: float = 1) -> Iterator[None]:
        """Draw one more of the same elsewhere: the other shoe, the other earring."""
        before = self.pose
        self.pose = replace(
            before,
            dx=before.dx + dx,
            dy=before.dy + dy,
            degrees=before.degrees + degrees,
            scale_x=before.scale_x * scale,
            scale_y=before.scale_y * scale,
        )
        yield
        self.pose = before

    def cut_out(self, light: Light) -> Image.Image:
        """The product alone, lit: an RGBA picture of 240x320."""
        picture = self._paint.reduce(FINE)
        left, top, right, bottom = box = picture.getbbox() or (0, 0, 1, 1)
        area = slice(top, bottom), slice(left, right)
        shade, shine = self._relief.lit(light)
        texture = (shade[area] * grain(self._grain)[area])[..., None]
        pixels = np.array(picture.crop(box))
        alpha = pixels[..., 3:].astype(np.float32)
        pixels[..., :3] = np.minimum(pixels[..., :3] * texture + shine[area][..., None] * alpha, alpha)
        picture.paste(Image.frombytes("RGBa", (right - left, bottom - top), pixels.tobytes()), box)
        return picture.convert("RGBA")

    def _paste(
        self,
        placed: Points,
        fabric: Fabric,
        holes: Sequence[Points],
        within: Points | None,
        edge: float,
        opacity: float,
        degrees: float,
    ) -> None:
        """Paint a part that is more than one plain polygon, through a stencil."""
        box = enclosing(placed)
        if box is None:
            return
        stencil = _filled(placed, box)
        for hole in holes:
            ImageDraw.Draw(stencil).polygon(_shifted(hole, box), 0)
        if within is not None:
            stencil = ImageChops.multiply(stencil, _filled(within, box))
        if opacity < 1:
            stencil = stencil.point([round(v * opacity) for v in range(_OPAQUE + 1)])
        cover = Image.new("RGBa", _size(box), (*fabric.base, _OPAQUE))
        if fabric.patterned:
            cover = _woven(fabric, *self.pose.coordinates(box, degrees))
        if edge:
            line = _shifted([*placed, placed[0]], box)
            ImageDraw.Draw(cover).line(line, (*contrasting(fabric.base, edge), _OPAQUE), _EDGE_FINE_PX + 1)
        self._paint.paste(cover, box[:2], stencil)


@lru_cache(maxsize=8)
def grain(kind: str) -> Grid:
    """The surface of a material close up, as a factor around 1. float32, shape (320, 240)."""
    noise = np.random.default_rng(5).standard_normal((HEIGHT, WIDTH)).astype(np.float32)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    soft = smoothed(noise)
    if kind == "knit":
        stitch = np.sin(x * np.float32(2.1)) * np.sin(y * np.float32(1.4) + np.abs(np.mod(x, 3) - np.float32(1.5)))
        knit: Grid = 1 + np.float32(0.05) * stitch + np.float32(0.04) * soft
        return knit
    if kind == "leather":
        return 1 + np.float32(0.03) * soft + np.float32(0.05) * smoothed(smoothed(soft))
    if kind == "cotton":
        return 1 + np.float32(0.04) * soft + np.float32(0.01) * noise
    return np.ones((HEIGHT, WIDTH), dtype=np.float32)


def _woven(fabric: Fabric, x: Grid, y: Grid) -> Image.Image:
    """A patterned cloth, drawn at the final size and enlarged to the fine one."""
    height, width = np.broadcast_shapes(x.shape, y.shape)
    cloth = np.empty((height, width, 4), dtype=np.float32)
    cloth[:] = (*fabric.base, _OPAQUE)
    for colour, coverage in fabric.layers(x, y):
        cloth += (np.array((*colour, _OPAQUE), dtype=np.float32) - cloth) * coverage[..., None]
    picture = Image.frombytes("RGBa", (width, height), cloth.astype(np.uint8).tobytes())
    return picture.resize((width * FINE, height * FINE), Image.Resampling.NEAREST)


def _filled(placed: Points, box: Box) -> Image.Image:
    shape = Image.new("L", _size(box))
    ImageDraw.Draw(shape).polygon(_shifted(placed, box), _OPAQUE)
    return shape


def _shifted(placed: Points, box: Box) -> Points:
    return [(x - box[0], y - box[1]) for x, y in placed]


def _size(box: Box) -> tuple[int, int]:
    return box[2] - box[0], box[3] - box[1]


def _dashes(line: Points, dash: tuple[float, float] | None) -> list[Points]:
    """The whole line, or its dashes (length and gap in product pixels)."""
    if dash is None:
        return [line]
    xy = np.array(line)
    reached = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(xy, axis=0), axis=1))])
    starts = np.arange(0, reached[-1], sum(dash) * FINE)
    at = np.stack([starts, np.minimum(starts + dash[0] * FINE, reached[-1])], axis=1)
    ends = np.stack([np.interp(at, reached, xy[:, 0]), np.interp(at, reached, xy[:, 1])], axis=2)
    return [[(x0, y0), (x1, y1)] for (x0, y0), (x1, y1) in ends.tolist()]
