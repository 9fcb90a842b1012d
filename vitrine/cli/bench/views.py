"""Further views of a product picture, as another photo of it could be: place, angle, side and light vary a little."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114
"""Weights of luma (ITU-R BT.601)."""

_YIQ: Final = np.array([[_RED, _GREEN, _BLUE], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_RGB: Final = np.linalg.inv(_YIQ)
_MIDDLE_GREY: Final = 128.0


@dataclass(frozen=True)
class Variation:
    """How much views vary. Shares are probabilities, ranges are factors, angles in degrees.

    `area`: share of the picture's area that a crop leaves; `aspect`: of the crop, against the picture's own;
    `tint_max`: how far the ground beside a turned picture is from the colour of its edge, 1 = another colour.
    """

    area: tuple[float, float] = (0.7, 1.0)
    aspect: tuple[float, float] = (0.9, 1.1)
    rotation_max_deg: float = 10.0
    flip_share: float = 0.5
    brightness: tuple[float, float] = (0.85, 1.1)
    contrast: tuple[float, float] = (0.85, 1.15)
    saturation: tuple[float, float] = (0.8, 1.2)
    hue_max_deg: float = 6.0
    tinted_share: float = 0.5
    tint_max: float = 0.15


def view(picture: Image.Image, random: np.random.Generator, variation: Variation) -> Image.Image:
    """Another view of an RGB picture, of the same size. What is drawn from `random` does not depend on the picture."""
    ground = _ground(picture, random, variation)
    placed = picture.transform(
        picture.size,
        Image.Transform.AFFINE,
        _placement(picture.size, random, variation),
        Image.Resampling.BILINEAR,
        fillcolor=ground,
    )
    return placed.convert("RGB", _light(random, variation))


def _ground(picture: Image.Image, random: np.random.Generator, variation: Variation) -> tuple[int, int, int]:
    """The colour of the picture's edge, or one close to it."""
    share = random.uniform(0, variation.tint_max) * (random.random() < variation.tinted_share)
    tint = random.uniform(0, 255, 3)
    pixels = np.asarray(picture)
    edge = np.median(np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]), axis=0)
    red, green, blue = (edge + share * (tint - edge)).astype(int).tolist()
    return red, green, blue


def _placement(size: tuple[int, int], random: np.random.Generator, variation: Variation) -> tuple[float, ...]:
    """Where each pixel of the view lies in the picture: x = a·x' + b·y' + c, y = d·x' + e·y' + f."""
    area, aspect = random.uniform(*variation.area), random.uniform(*variation.aspect)
    across, down = min(1.0, math.sqrt(area * aspect)), min(1.0, math.sqrt(area / aspect))
    turn = math.radians(random.uniform(-variation.rotation_max_deg, variation.rotation_max_deg))
    mirrored = -1.0 if random.random() < variation.flip_share else 1.0
    width, height = size
    centre_x = width / 2 + random.uniform(-0.5, 0.5) * (1 - across) * width
    centre_y = height / 2 + random.uniform(-0.5, 0.5) * (1 - down) * height
    a, b = mirrored * across * math.cos(turn), -down * math.sin(turn)
    d, e = mirrored * across * math.sin(turn), down * math.cos(turn)
    return (
        a, b, centre_x - a * width / 2 - b * height / 2,
        d, e, centre_y - d * width / 2 - e * height / 2,
    )  # fmt: skip


def _light(random: np.random.Generator, variation: Variation) -> tuple[float, ...]:
    """Brightness, contrast, saturation and hue as one 3x4 matrix over RGB in 0..255."""
    gain = random.uniform(*variation.brightness)
    contrast = random.uniform(*variation.contrast)
    saturation = random.uniform(*variation.saturation)
    hue = math.radians(random.uniform(-variation.hue_max_deg, variation.hue_max_deg))
    # Luma stays; the plane of colour is turned and stretched.
    turned = np.array([[1, 0, 0], [0, math.cos(hue), -math.sin(hue)], [0, math.sin(hue), math.cos(hue)]])
    colours: npt.NDArray[np.float64] = _RGB @ (turned * [[1], [saturation], [saturation]]) @ _YIQ
    matrix = np.column_stack([gain * contrast * colours, np.full(3, _MIDDLE_GREY * (1 - contrast))])
    return tuple(matrix.ravel().tolist())
