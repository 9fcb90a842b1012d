"""Bytes that are no acceptable picture, by what is wrong with them."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Final

from PIL import Image

NAMES: Final = ("empty", "text", "truncated", "bomb", "gif", "bmp", "broken png", "header only")


@lru_cache(maxsize=1)
def pictures() -> dict[str, bytes]:
    """One of each of `NAMES`."""
    small = Image.radial_gradient("L").convert("RGB")
    jpeg, png = _encoded(small, "JPEG"), _encoded(small, "PNG")
    return {
        "empty": b"",
        "text": b"this is no picture\n" * 20,
        "truncated": jpeg[: len(jpeg) // 2],
        "bomb": _encoded(Image.new("1", (10_000, 10_000)), "PNG"),  # 100 megapixels in a few kilobytes
        "gif": _encoded(small, "GIF"),
        "bmp": _encoded(small, "BMP"),
        "broken png": png[:60] + bytes(64) + png[124:],
        "header only": jpeg[:20],
    }


def _encoded(picture: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind)
    return out.getvalue()
