"""A shopper's photo: the product somewhere at home, held a little askew, in that room's light."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageFilter

from vitrine.sample.look import SampleProduct
from vitrine.sample.pose import Light
from vitrine.sample.scenes import HEIGHT, WIDTH, scene
from vitrine.sample.studio import cut_out

_TINTS: Final = ((1.06, 1.0, 0.9), (0.94, 1.0, 1.08), (1.0, 1.0, 1.0), (1.03, 0.99, 0.96))


@dataclass(frozen=True)
class SampleQuery:
    """A photo (JPEG) and the product on it."""

    product: SampleProduct
    picture: bytes


def queries(products: Sequence[SampleProduct], count: int = 90, seed: int = 11) -> list[SampleQuery]:
    """Photos of `count` products, no product twice while there are others left, categories in turn."""
    dice = random.Random(f"{seed} queries")
    shelves: dict[str, list[SampleProduct]] = {}
    for product in dice.sample(list(products), len(products)):
        shelves.setdefault(product.category, []).append(product)
    ordered = [shelf[n] for n in range(len(products)) for _, shelf in sorted(shelves.items()) if n < len(shelf)]
    chosen = [ordered[n % len(ordered)] for n in range(count)] if ordered else []
    return [SampleQuery(product, photo(product, f"{seed} photo {n}")) for n, product in enumerate(chosen)]


def photo(product: SampleProduct, seed: str) -> bytes:
    """One photo of a product on a cluttered background: a JPEG of 320x400."""
    dice = random.Random(seed)
    light = Light(x=dice.uniform(-0.7, 0.7), y=dice.uniform(-0.8, -0.2), ambient=dice.uniform(0.4, 0.6))
    picture = scene(dice)
    item = _held(cut_out(product, dice.randrange(2), light), dice)
    alpha = item.getchannel("A")
    shadow = (
        alpha.resize((WIDTH // 4, HEIGHT // 4)).filter(ImageFilter.GaussianBlur(dice.uniform(1, 3))).resize(alpha.size)
    )
    strength = dice.uniform(0.35, 0.6)
    picture.paste(
        (18, 16, 18),
        (round(-light.x * 14), dice.randint(4, 12)),
        shadow.point([round(v * strength) for v in range(256)]),
    )
    picture.paste(item, (0, 0), alpha)
    out = io.BytesIO()
    _developed(picture, dice).save(out, "JPEG", quality=dice.randint(78, 90))
    return out.getvalue()


def _held(product: Image.Image, dice: random.Random) -> Image.Image:
    """The cut-out turned, scaled and seen a little from the side, on a transparent picture of 320x400."""
    left, top, right, bottom = product.getchannel("A").getbbox() or (0, 0, product.width, product.height)
    fill = dice.uniform(0.72, 0.95)
    scale = min(fill * WIDTH / (right - left), fill * HEIGHT / (bottom - top))
    turn = math.radians(dice.gauss(0, 8))
    middle = ((left + right) / 2, (top + bottom) / 2)
    shift = (dice.uniform(-12, 12), dice.uniform(-14, 14))
    corners: list[float] = []
    for x, y in ((0, 0), (0, HEIGHT), (WIDTH, HEIGHT), (WIDTH, 0)):
        u, v = (x - WIDTH / 2 - shift[0]) / scale, (y - HEIGHT / 2 - shift[1]) / scale
        u, v = u * dice.uniform(0.95, 1.05), v * dice.uniform(0.96, 1.04)
        corners.append(middle[0] + math.cos(turn) * u - math.sin(turn) * v)
        corners.append(middle[1] + math.sin(turn) * u + math.cos(turn) * v)
    return product.transform((WIDTH, HEIGHT), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)


def _developed(picture: Image.Image, dice: random.Random) -> Image.Image:
    """A phone's exposure, white balance, vignette, noise and focus."""
    if dice.random() < 0.5:
        picture = picture.filter(ImageFilter.GaussianBlur(dice.uniform(0.2, 0.8)))
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j].astype(np.float32)
    fall = 1 - np.float32(dice.uniform(0.04, 0.2)) * (x * x + y * y) / 2
    side = 1 + np.float32(dice.uniform(-0.12, 0.12)) * x
    exposure = np.float32(dice.uniform(0.84, 1.14))
    noise = np.random.default_rng(dice.randrange(2**32)).standard_normal((HEIGHT, WIDTH, 1)).astype(np.float32)
    pixels = np.asarray(picture, dtype=np.float32) * (fall * side * exposure)[..., None]
    pixels = pixels * np.array(dice.choice(_TINTS), dtype=np.float32) + noise * np.float32(dice.uniform(1, 5))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
