"""The photographer: a product, posed, lit and set on white."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Final

from PIL import Image, ImageFilter

from vitrine.sample import bags, bottomwear, eyewear, innerwear, jewellery, shoes, socks, topwear, watches
from vitrine.sample.canvas import Canvas
from vitrine.sample.look import Drawer, Look, SampleProduct
from vitrine.sample.pose import HEIGHT, WIDTH, Light, Pose

DRAWERS: Final[dict[str, Drawer]] = {
    **topwear.DRAWERS,
    **bottomwear.DRAWERS,
    **innerwear.DRAWERS,
    **shoes.DRAWERS,
    **bags.DRAWERS,
    **socks.DRAWERS,
    **watches.DRAWERS,
    **eyewear.DRAWERS,
    **jewellery.DRAWERS,
}

VIEWS: Final = 2

_STUDIO_LIGHTS: Final = (Light(), Light(x=0.5, exposure=0.97))
_GRAINS: Final = {
    "Topwear": "cotton",
    "Shoes": "leather",
    "Bags": "leather",
    "Bottomwear": "cotton",
    "Watches": "polish",
    "Innerwear": "cotton",
    "Jewellery": "polish",
    "Eyewear": "polish",
    "Socks": "knit",
}
# The second view: clothes turn a little, shoes and socks turn round. Eyewear has its own camera.
_CLOTHES: Final = Pose(scale_x=0.84, yaw_px=18)
_FIRST: Final = {"Shoes": Pose(scale_x=0.96, scale_y=0.96, degrees=-4, dy=-14)}
_SECOND: Final = {
    "Topwear": _CLOTHES,
    "Shoes": Pose(mirrored=True, dy=-10),
    "Bags": Pose(scale_x=0.86, yaw_px=-10, dx=-6),
    "Bottomwear": _CLOTHES,
    "Watches": Pose(scale_x=0.86, degrees=-12),
    "Innerwear": _CLOTHES,
    "Jewellery": Pose(scale_x=0.9, scale_y=0.94, degrees=8),
    "Socks": Pose(mirrored=True),
}


def draw(product: SampleProduct, view: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    """View 0 or 1 of a product as JPEG bytes; the same product gives the same bytes."""
    return _jpeg(on_white(cut_out(product, view)), size)


def cut_out(product: SampleProduct, view: int, light: Light | None = None) -> Image.Image:
    """The product alone, on transparent ground, in the studio's light or another: RGBA, 240x320."""
    look = Look(product, view)
    canvas = Canvas(_pose(look), _GRAINS[product.category])
    DRAWERS[product.article_type](canvas, look)
    return canvas.cut_out(light or _STUDIO_LIGHTS[view])


def on_white(product: Image.Image) -> Image.Image:
    """The cut-out on white, with a soft shadow behind it."""
    picture = Image.new("RGB", product.size, (255, 255, 255))
    alpha = product.getchannel("A")
    shadow = alpha.resize((WIDTH // 4, HEIGHT // 4)).filter(ImageFilter.GaussianBlur(2)).resize(alpha.size)
    picture.paste((120, 120, 128), (3, 5), shadow.point([round(v * 0.3) for v in range(256)]))
    picture.paste(product, (0, 0), alpha)
    return picture


def _pose(look: Look) -> Pose:
    poses, tilt = (_FIRST, 1.2) if look.view == 0 else (_SECOND, 3.5)
    base = poses.get(look.product.category, Pose())
    return replace(base, degrees=base.degrees + look.between(f"tilt {look.view}", -tilt, tilt))


def _jpeg(picture: Image.Image, size: tuple[int, int]) -> bytes:
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90)
    return out.getvalue()
