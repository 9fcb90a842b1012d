"""Bytes → pixels: the one place that decodes pictures. Pictures are hostile until proven otherwise."""

from __future__ import annotations

import io
import math
import warnings
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from vitrine.runtime.errors import BadImage, InvalidArgument

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_PIXELS: Final = 40_000_000
FORMATS: Final = ("JPEG", "PNG", "WEBP")
THUMBNAIL_PX: Final = 256
WHITE: Final = (255, 255, 255)

# Decoding at twice the wanted size keeps the final downscale antialiased; libjpeg does the rest of the reduction.
_DRAFT_OVERSAMPLING: Final = 2

# What undoes each EXIF orientation (Exif 2.32, 4.6.4 A).
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Image.MAX_IMAGE_PIXELS = MAX_PIXELS


class CropBox(NamedTuple):
    """A region of a picture as fractions of its upright width and height, 0 ≤ left < right ≤ 1."""

    left: float
    top: float
    right: float
    bottom: float

    def validated(self, field: str = "crop") -> CropBox:
        """Itself. Raises InvalidArgument where it does not lie inside the picture."""
        if not all(np.isfinite(self)):
            raise InvalidArgument(field, "every side must be a finite number")
        if not (0 <= self.left < self.right <= 1 and 0 <= self.top < self.bottom <= 1):
            raise InvalidArgument(field, "needs 0 <= left < right <= 1 and 0 <= top < bottom <= 1")
        return self


def decode(data: bytes, target_px: tuple[int, int] | None = None) -> Image.Image:
    """An upright RGB picture from JPEG, PNG or WebP bytes, told apart by content.

    `target_px` (width, height): a JPEG may be decoded at a reduced scale that still covers it, which halves the time.
    Transparent pixels become white. Raises BadImage.
    """
    if not data:
        raise BadImage("is empty")
    if len(data) > MAX_BYTES:
        raise BadImage(f"has {len(data)} bytes, at most {MAX_BYTES} are accepted")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")  # damaged metadata; only the pixels matter
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
            if picture.width * picture.height > MAX_PIXELS:
                raise BadImage(f"has {picture.width}x{picture.height} pixels, at most {MAX_PIXELS} are accepted")
            if target_px is not None:
                _request_reduced_scale(picture, target_px)
            picture.load()
            return _flattened(_upright(picture))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage(f"has more than {MAX_PIXELS} pixels") from error
    except UnidentifiedImageError as error:
        raise BadImage("is not a JPEG, PNG or WebP picture") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, MemoryError, TypeError) as error:
        # Pillow's decoders raise all of these on damaged files.
        raise BadImage(f"cannot be decoded ({error})") from error


def pixels(
    data: bytes, height: int, width: int, crop: CropBox | None = None, fill: tuple[int, int, int] = WHITE
) -> npt.NDArray[np.uint8]:
    """The picture (or its crop) letterboxed: scaled to fit, centred on `fill`. uint8, shape (height, width, 3).

    Raises BadImage, InvalidArgument (crop).
    """
    if crop is None:
        return letterboxed(decode(data, (width, height)), height, width, fill)
    # The smaller the part, the larger the scale that it needs; its shorter side decides, however the picture is turned.
    # Less than a pixel of the largest picture needs no more.
    share = max(min(crop.validated().right - crop.left, crop.bottom - crop.top), 1 / MAX_PIXELS)
    whole = decode(data, (math.ceil(width / share), math.ceil(height / share)))
    return letterboxed(cropped(whole, crop), height, width, fill)


def cropped(picture: Image.Image, crop: CropBox) -> Image.Image:
    """The part of `picture` inside `crop`, at least one pixel each way."""
    crop = crop.validated()
    left, top = int(crop.left * picture.width), int(crop.top * picture.height)
    right = max(left + 1, round(crop.right * picture.width))
    bottom = max(top + 1, round(crop.bottom * picture.height))
    return picture.crop((left, top, right, bottom))


def letterboxed(
    picture: Image.Image, height: int, width: int, fill: tuple[int, int, int] = WHITE
) -> npt.NDArray[np.uint8]:
    """`picture` scaled to fit and centred on `fill`. uint8, shape (height, width, 3)."""
    left, top, right, bottom = _place(picture.size, (width, height))
    size = (right - left, bottom - top)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    canvas = np.empty((height, width, 3), dtype=np.uint8)
    canvas[:] = fill
    canvas[top:bottom, left:right] = np.asarray(picture)
    return canvas


def behind_letterbox(box: CropBox, size: tuple[int, int], height: int, width: int) -> CropBox | None:
    """A region of what `letterboxed` makes of a picture of `size` (width, height), as one of the picture itself.

    What lies on the fill is cut off; None where all of it does.
    """
    left, top, right, bottom = _place(size, (width, height))
    inside = CropBox(
        _clipped((box.left * width - left) / (right - left)),
        _clipped((box.top * height - top) / (bottom - top)),
        _clipped((box.right * width - left) / (right - left)),
        _clipped((box.bottom * height - top) / (bottom - top)),
    )
    return inside if inside.left < inside.right and inside.top < inside.bottom else None


def thumbnail(data: bytes) -> bytes:
    """A WebP of the picture with its longer side at most 256 px. Raises BadImage."""
    picture = decode(data, (THUMBNAIL_PX, THUMBNAIL_PX))
    picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BILINEAR)
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=80, method=2)
    return out.getvalue()


def _fitted(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    scale = min(target[0] / size[0], target[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _place(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a picture of `size` scaled to fit and centred in `target`; both (width, height)."""
    width, height = _fitted(size, target)
    left, top = (target[0] - width) // 2, (target[1] - height) // 2
    return left, top, left + width, top + height


def _clipped(share: float) -> float:
    return min(max(share, 0.0), 1.0)


def _request_reduced_scale(picture: Image.Image, target_px: tuple[int, int]) -> None:
    width, height = _fitted(picture.size, target_px)
    picture.draft("RGB", (width * _DRAFT_OVERSAMPLING, height * _DRAFT_OVERSAMPLING))


def _upright(picture: Image.Image) -> Image.Image:
    # Not ImageOps.exif_transpose: it writes the EXIF block anew, which fails in many ways on a damaged one.
    turn = _UPRIGHT.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    return picture if turn is None else picture.transpose(turn)


def _flattened(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        # Pillow's own conversion of 16-bit grey clips at 255, so nearly everything would become white.
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        backdrop = Image.new("RGBA", layer.size, (*WHITE, 255))
        return Image.alpha_composite(backdrop, layer).convert("RGB")
    return picture.convert("RGB")
