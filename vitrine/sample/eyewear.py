"""Sunglasses and spectacles: built in three dimensions, so that both views come from one model.

Millimetres: x to the right of the nose, y down, z away from the viewer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from vitrine.sample.canvas import Canvas
from vitrine.sample.curves import Points, box, closed, ellipse, ribbon, smooth
from vitrine.sample.fabric import Fabric
from vitrine.sample.look import Drawer, Look
from vitrine.sample.palette import RGB, darker, lighter, luma
from vitrine.sample.relief import Form

Solid: TypeAlias = Sequence[tuple[float, float, float]]

ACETATE: Final = Form(round_px=5, rise=2, lift=0.25, gloss=0.25)
WIRE: Final = Form(round_px=3, rise=1, lift=0.2, gloss=0.3)
GLASS: Final = Form(round_px=14, rise=3, lift=0, gloss=0.5)
LENS_X: Final = 34.0
SMOKES: Final[tuple[RGB, ...]] = ((46, 46, 52), (46, 46, 52), (92, 60, 40), (50, 66, 54), (56, 70, 104), (110, 60, 84))


@dataclass(frozen=True)
class Model:
    """One pair: the right lens around its own centre, how thick the rim is, and how far the frame wraps the face."""

    lens: Points
    rim_mm: float
    wrap: float = 0.0024
    metal: bool = False
    clear: bool = False
    double_bridge: bool = False
    shield: bool = False


@dataclass(frozen=True)
class Camera:
    """Where the pair is seen from."""

    yaw: float
    pitch: float
    scale: float
    dx: float
    dy: float

    def project(self, solid: Solid) -> Points:
        """Millimetres → product pixels."""
        c, s = math.cos(math.radians(self.yaw)), math.sin(math.radians(self.yaw))
        cp, sp = math.cos(math.radians(self.pitch)), math.sin(math.radians(self.pitch))
        flat = []
        for x, y, z in solid:
            depth = z * c - x * s
            near = self.scale / (1 + depth / 900)
            flat.append((self.dx + (x * c + z * s) * near, self.dy + (y * cp - depth * sp) * near))
        return flat


def _pair(canvas: Canvas, look: Look, model: Model) -> None:
    camera = _camera(look)
    base = look.colour
    spots = darker(base, 0.65) if luma(base) > 0.3 else (176, 112, 52)
    frame = (
        Fabric(base, look.product.pattern, spots, period_px=9) if look.product.pattern == "tortoise" else Fabric(base)
    )
    temples = look.accent if look.product.pattern == "two tone" else base
    far, near = (-1, 1) if camera.yaw >= 0 else (1, -1)
    for side in (far, near):
        _temple(canvas, camera, model, side, temples)
    tint = (206, 220, 226) if model.clear else look.choice("smoke", SMOKES)
    for side in (far, near):
        _lens(canvas, look, camera, model, side, tint)
    _bridge(canvas, camera, model, base)
    for side in (far, near):
        _rim(canvas, camera, model, side, frame)


def _camera(look: Look) -> Camera:
    if look.view == 0:
        yaw = look.between("yaw", 30, 38)
        return Camera(yaw, 8, look.between("scale", 1.12, 1.2), -38, 160)
    return Camera(look.between("yaw 1", -9, -3), 5, look.between("scale", 1.34, 1.42), 2, 164)


def _curved(points: Points, model: Model) -> Solid:
    """Points of the frame's front, bent around the face."""
    return [(x, y, model.wrap * x * x) for x, y in points]


def _outline(model: Model, side: int, grow_mm: float) -> Points:
    """A lens (or its rim's outer edge) in the frame's front; side -1 is the wearer's right."""
    wide = max(abs(x) for x, _ in model.lens)
    tall = max(abs(y) for _, y in model.lens)
    return [(side * (LENS_X + x * (1 + grow_mm / wide)), y * (1 + grow_mm / tall)) for x, y in model.lens]


def _temple(canvas: Canvas, camera: Camera, model: Model, side: int, colour: RGB) -> None:
    top = min(y for _, y in model.lens) * 0.55
    edge = LENS_X + max(x for x, _ in model.lens) + model.rim_mm * 0.5
    start = model.wrap * edge * edge
    path: Solid = [
        (side * edge, top, start),
        (side * (edge + 2), top, start + 30),
        (side * (edge + 1), top + 1, 104),
        (side * (edge - 4), top + 16, 142),
    ]
    line = smooth(*camera.project(path))
    thick = (3.2 if model.metal else 4.2 + model.rim_mm * 0.8) * camera.scale
    form = WIRE if model.metal else ACETATE
    canvas.part(ribbon(line, thick, thick * 0.72), colour, form)
    if model.metal:
        canvas.part(ribbon(line[-9:], thick * 1.9), (60, 56, 54), form)


def _lens(canvas: Canvas, look: Look, camera: Camera, model: Model, side: int, tint: RGB) -> None:
    glass = camera.project(_curved(_outline(model, side, 0.5), model))
    ys = [y for _, y in glass]
    top, bottom = min(ys), max(ys)
    opacity = 0.35 if model.clear else 0.93
    canvas.part(glass, tint, GLASS, opacity=opacity, edge=0.1)
    if not model.clear and look.chance("gradient", 0.6):
        middle = (top + bottom) / 2
        for n in range(4):
            y = middle - 4 + n * (bottom - middle) / 4
            canvas.part(box(-130, y, 130, bottom + 2), lighter(tint, 0.5), within=glass, opacity=0.22, edge=0)
    xs = [x for x, _ in glass]
    left, width = min(xs), max(xs) - min(xs)
    glare = [
        (left + width * 0.16, bottom),
        (left + width * 0.5, top),
        (left + width * 0.68, top),
        (left + width * 0.34, bottom),
    ]
    canvas.part(glare, (255, 255, 255), within=glass, opacity=0.3 if model.clear else 0.14, edge=0)


def _rim(canvas: Canvas, camera: Camera, model: Model, side: int, frame: Fabric) -> None:
    outer = camera.project(_curved(_outline(model, side, model.rim_mm), model))
    inner = camera.project(_curved(_outline(model, side, 0), model))
    form = WIRE if model.metal else ACETATE
    canvas.part(outer, frame, form, holes=[inner])
    edge = LENS_X + max(x for x, _ in model.lens)
    top = min(y for _, y in model.lens) * 0.55
    piece = box(side * (edge - 1), top - 3, side * (edge + model.rim_mm + 1.5), top + 3.4, 1)
    canvas.part(camera.project(_curved(piece, model)), frame, form)
    pin = camera.project(_curved([(side * (edge + model.rim_mm * 0.4), top)], model))[0]
    canvas.dot(*pin, 1.5, (216, 206, 180))


def _bridge(canvas: Canvas, camera: Camera, model: Model, base: RGB) -> None:
    inner = LENS_X + min(x for x, _ in model.lens) - model.rim_mm * 0.3
    lift = -4 if model.metal else -6
    low = [(-inner - 2, lift + 2.0), (0.0, lift - 3.0), (inner + 2, lift + 2.0)]
    width = (2.6 if model.metal else model.rim_mm + 2) * camera.scale
    form = WIRE if model.metal else ACETATE
    canvas.part(ribbon(smooth(*camera.project(_curved(low, model))), width), base, form)
    if model.double_bridge:
        high = [(-inner - 8, -15.0), (0.0, -16.5), (inner + 8, -15.0)]
        canvas.part(ribbon(smooth(*camera.project(_curved(high, model))), width), base, form)


def wayfarer(canvas: Canvas, look: Look) -> None:
    """Thick acetate, wider at the top."""
    t = look.between("tall", 0.92, 1.12)
    lens = closed(
        (-22, -13 * t),
        (0, -16 * t),
        (22, -17 * t),
        (27, -10 * t),
        (23, 9 * t),
        (10, 18 * t),
        (-8, 18 * t),
        (-21, 8 * t),
    )
    _pair(canvas, look, Model(lens, look.between("rim", 4.4, 6.4)))


def aviator(canvas: Canvas, look: Look) -> None:
    """Thin metal around drops, with a double bridge."""
    t = look.between("tall", 0.95, 1.1)
    lens = closed(
        (-22, -14 * t), (0, -18 * t), (24, -16 * t), (28, 0), (18, 20 * t), (0, 25 * t), (-16, 16 * t), (-24, 0)
    )
    _pair(canvas, look, Model(lens, 1.9, metal=True, double_bridge=True))


def circular(canvas: Canvas, look: Look) -> None:
    """Round lenses in metal or acetate."""
    radius = look.between("radius", 21, 25)
    thin = look.chance("wire", 0.5)
    _pair(canvas, look, Model(ellipse(-2, 1, radius, radius)[:-1], 1.8 if thin else 4, metal=thin))


def sports(canvas: Canvas, look: Look) -> None:
    """A low frame that wraps around the head."""
    t = look.between("tall", 0.85, 1.1)
    lens = closed(
        (-28, -6 * t), (-14, -14 * t), (14, -15 * t), (34, -11 * t), (32, 0), (14, 12 * t), (-8, 14 * t), (-24, 8 * t)
    )
    _pair(canvas, look, Model(lens, look.between("rim", 2.4, 4), wrap=0.0052))


def cat_eye(canvas: Canvas, look: Look) -> None:
    """Upswept outer corners."""
    sweep = look.between("sweep", 17, 22)
    lens = closed((-24, -8), (-4, -15), (18, -sweep + 4), (31, -sweep), (28, -2), (14, 15), (-6, 17), (-21, 8))
    _pair(canvas, look, Model(lens, look.between("rim", 3, 5)))


def spectacles(canvas: Canvas, look: Look) -> None:
    """Clear lenses, rectangular or round."""
    thin = look.chance("wire", 0.35)
    if look.chance("round", 0.35):
        lens = ellipse(-1, 0, 23, 20)[:-1]
    else:
        tall = look.between("tall", 13, 17)
        lens = box(-26, -tall, 26, tall, 8)
    _pair(canvas, look, Model(lens, 1.8 if thin else look.between("rim", 2.6, 4.2), metal=thin, clear=True))


DRAWERS: Final[dict[str, Drawer]] = {
    "Wayfarers": wayfarer,
    "Aviators": aviator,
    "Round Sunglasses": circular,
    "Sports Sunglasses": sports,
    "Cat Eye Sunglasses": cat_eye,
    "Spectacles": spectacles,
}
