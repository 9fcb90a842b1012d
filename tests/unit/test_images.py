"""Pictures are hostile until proven otherwise, and the good ones keep their look."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import ExifTags, Image

from vitrine import images
from vitrine.images import CropBox
from vitrine.runtime.errors import BadImage, InvalidArgument

Pixels = npt.NDArray[np.uint8]


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def drawn(width: int = 48, height: int = 64) -> Image.Image:
    """Smooth colours, no two corners alike, so that a lossy codec keeps them and a turn shows."""
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([across, down, 255 - (across + down) / 2], axis=2).astype(np.uint8))


def plain(colour: tuple[int, ...], mode: str = "RGB", size: tuple[int, int] = (16, 16)) -> Image.Image:
    return Image.new(mode, size, colour if len(colour) > 1 else colour[0])


def corner(picture: Image.Image) -> tuple[int, ...]:
    return tuple(np.asarray(picture)[0, 0].tolist())


def oriented(picture: Image.Image, orientation: int, kind: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encoded(picture, kind, exif=exif)


def png(width: int, height: int, bits: int, colour_type: int, rows: bytes) -> bytes:
    """A PNG from its parts, for what Pillow does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def difference(left: Image.Image, right: Image.Image) -> float:
    """Mean absolute difference of two pictures, 0 to 255."""
    return float(np.abs(np.asarray(left, np.float32) - np.asarray(right, np.float32)).mean())


class TestFormats:
    @pytest.mark.parametrize(
        ("kind", "options"),
        [
            ("JPEG", {"quality": 95}),
            ("JPEG", {"quality": 95, "progressive": True}),
            ("PNG", {}),
            ("PNG", {"interlace": 1}),
            ("WEBP", {"quality": 95}),
            ("WEBP", {"lossless": True}),
        ],
    )
    def test_jpeg_png_and_webp_are_told_apart_by_content(self, kind: str, options: dict[str, Any]) -> None:
        picture = images.decode(encoded(drawn(), kind, **options))

        assert (picture.mode, picture.size) == ("RGB", (48, 64))
        assert difference(picture, drawn()) < 4

    @pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "ICO", "PPM"])
    def test_other_picture_formats_are_refused(self, kind: str) -> None:
        with pytest.raises(BadImage, match="not a JPEG, PNG or WebP"):
            images.decode(encoded(drawn(), kind))

    @pytest.mark.parametrize(
        "data",
        [
            b"<!doctype html><html><body>404</body></html>",
            b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
            b"%PDF-1.7",
            b"\x00",
            b"\xff\xd8",
            b"\x89PNG\r\n\x1a\n",
            b"RIFF\x00\x00\x00\x00WEBP",
        ],
    )
    def test_what_is_no_picture_is_refused(self, data: bytes) -> None:
        with pytest.raises(BadImage):
            images.decode(data)

    def test_empty_bytes_are_refused(self) -> None:
        with pytest.raises(BadImage, match="is empty"):
            images.decode(b"")

    def test_the_error_names_the_image_field(self) -> None:
        with pytest.raises(BadImage) as caught:
            images.decode(b"nothing")

        assert caught.value.field == "image"

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    @pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.99])
    def test_a_truncated_picture_is_refused(self, kind: str, share: float) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        data = encoded(Image.fromarray(noise), kind)

        with pytest.raises(BadImage):
            images.decode(data[: int(len(data) * share)])

    def test_a_file_above_16_mib_is_refused_before_it_is_decoded(self) -> None:
        with pytest.raises(BadImage, match="at most 16777216"):
            images.decode(encoded(drawn(), "JPEG") + bytes(images.MAX_BYTES))

    def test_a_small_file_of_100_megapixels_is_refused(self) -> None:
        bomb = png(10_000, 10_000, 1, 0, bytes(1 + 1_250) * 10_000)
        assert len(bomb) < 100_000

        with pytest.raises(BadImage, match="more than 40000000 pixels"):
            images.decode(bomb)

    @pytest.mark.parametrize("size", [(8_000, 5_001), (10_000, 10_000), (60_000, 60_000)])
    def test_more_than_40_megapixels_are_refused_by_the_header_alone(self, size: tuple[int, int]) -> None:
        with pytest.raises(BadImage, match="more than 40000000 pixels"):
            images.decode(png(*size, 1, 0, b""))

    def test_the_limit_does_not_hang_on_pillows_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)

        with pytest.raises(BadImage, match="8000x5001 pixels"):
            images.decode(png(8_000, 5_001, 1, 0, b""))

    def test_40_megapixels_are_accepted(self) -> None:
        assert images.decode(png(8_000, 5_000, 1, 0, bytes(1 + 1_000) * 5_000)).size == (8_000, 5_000)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_damage_never_raises_anything_but_bad_image(self, kind: str) -> None:
        rng = np.random.default_rng(7)
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation], exif[ExifTags.Base.ImageDescription] = 6, "shoe"
        exif.get_ifd(ExifTags.IFD.GPSInfo)[2] = (1.0, 2.0, 3.0)
        whole = encoded(drawn(), kind, exif=exif)
        for _ in range(500):
            data = bytearray(whole)
            for at in rng.integers(0, min(len(data), 400), rng.integers(1, 6)):
                data[at] = rng.integers(256)
            try:
                images.pixels(bytes(data), 32, 32)
            except BadImage:
                continue

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_damaged_metadata_does_not_cost_a_good_picture(self, kind: str) -> None:
        exif = Image.Exif()
        exif[ExifTags.Base.ImageDescription] = "a shoe"
        sound = encoded(drawn(), kind, exif=exif)
        at = sound.index(b"a shoe")
        exif_header = sound.rindex(b"\x01\x0e\x00\x02", 0, at)  # tag 270, type 2 (text)
        damaged = bytearray(sound)
        damaged[exif_header + 2 : exif_header + 4] = b"\x00\x05"  # type 5 (fraction)
        if kind == "PNG":
            start = sound.index(b"eXIf")
            length = struct.unpack(">I", sound[start - 4 : start])[0]
            end = start + 4 + length
            damaged[end : end + 4] = struct.pack(">I", zlib.crc32(bytes(damaged[start:end])))

        assert images.decode(bytes(damaged)).size == (48, 64)


class TestUprightOpaqueColour:
    @pytest.mark.parametrize(
        ("orientation", "turn"),
        [
            (1, None),
            (2, Image.Transpose.FLIP_LEFT_RIGHT),
            (3, Image.Transpose.ROTATE_180),
            (4, Image.Transpose.FLIP_TOP_BOTTOM),
            (5, Image.Transpose.TRANSPOSE),
            (6, Image.Transpose.ROTATE_90),
            (7, Image.Transpose.TRANSVERSE),
            (8, Image.Transpose.ROTATE_270),
        ],
    )
    def test_a_picture_stored_turned_is_turned_back(self, orientation: int, turn: Image.Transpose | None) -> None:
        stored = drawn() if turn is None else drawn().transpose(turn)

        picture = images.decode(oriented(stored, orientation))

        assert picture.size == (48, 64)
        assert difference(picture, drawn()) < 4

    @pytest.mark.parametrize("kind", ["PNG", "WEBP"])
    def test_png_and_webp_are_turned_as_well(self, kind: str) -> None:
        picture = images.decode(oriented(drawn().transpose(Image.Transpose.ROTATE_90), 6, kind))

        assert difference(picture, drawn()) < 4

    @pytest.mark.parametrize("orientation", [0, 9, 65_535])
    def test_an_orientation_that_does_not_exist_turns_nothing(self, orientation: int) -> None:
        assert difference(images.decode(oriented(drawn(), orientation)), drawn()) < 4

    @pytest.mark.parametrize(
        ("mode", "colour", "kind"),
        [("RGBA", (200, 0, 0, 0), "PNG"), ("LA", (0, 0), "PNG"), ("RGBA", (9, 9, 9, 0), "WEBP")],
    )
    def test_transparent_pixels_become_white(self, mode: str, colour: tuple[int, ...], kind: str) -> None:
        assert corner(images.decode(encoded(plain(colour, mode), kind))) == (255, 255, 255)

    def test_half_transparent_pixels_are_mixed_with_white(self) -> None:
        assert corner(images.decode(encoded(plain((0, 0, 0, 127), "RGBA")))) == (128, 128, 128)

    def test_a_transparent_palette_entry_becomes_white(self) -> None:
        red = plain((255, 0, 0)).quantize(2)

        assert corner(images.decode(encoded(red, transparency=red.getpixel((0, 0))))) == (255, 255, 255)

    def test_a_transparent_colour_becomes_white(self) -> None:
        assert corner(images.decode(encoded(plain((1, 2, 3)), transparency=(1, 2, 3)))) == (255, 255, 255)

    @pytest.mark.parametrize(
        ("picture", "colour"),
        [
            (plain((77,), "L"), (77, 77, 77)),
            (plain((1,), "1"), (255, 255, 255)),
            (plain((200, 30, 30)).quantize(4), (200, 30, 30)),
            (plain((77, 255), "LA"), (77, 77, 77)),
        ],
        ids=["grey", "black and white", "palette", "grey with alpha"],
    )
    def test_every_png_mode_keeps_its_colour(self, picture: Image.Image, colour: tuple[int, ...]) -> None:
        assert corner(images.decode(encoded(picture))) == colour

    def test_a_grey_jpeg_is_accepted(self) -> None:
        assert corner(images.decode(encoded(plain((77,), "L"), "JPEG"))) == (77, 77, 77)

    def test_a_cmyk_jpeg_keeps_its_colour(self) -> None:
        picture = images.decode(encoded(plain((200, 30, 30)).convert("CMYK"), "JPEG", quality=95))

        assert np.abs(np.array(corner(picture)) - (200, 30, 30)).max() <= 4

    def test_16_bit_grey_keeps_its_brightness(self) -> None:
        grey = Image.fromarray(np.full((8, 8), 0x9C40, np.uint16))

        assert corner(images.decode(encoded(grey))) == (0x9C, 0x9C, 0x9C)

    def test_16_bit_colour_keeps_its_colour(self) -> None:
        row = b"\0" + struct.pack(">HHH", 0xC800, 0x1E00, 0x1E00) * 4

        assert corner(images.decode(png(4, 4, 16, 2, row * 4))) == (0xC8, 0x1E, 0x1E)


class TestReducedScale:
    def test_a_big_jpeg_is_decoded_smaller_than_it_is(self) -> None:
        assert images.decode(encoded(drawn(800, 1000), "JPEG"), (80, 80)).size < (800, 1000)

    @pytest.mark.parametrize("size", [(800, 1000), (1000, 800), (81, 97), (79, 40), (3000, 90)])
    def test_a_reduced_picture_still_covers_the_target(self, size: tuple[int, int]) -> None:
        picture = images.decode(encoded(drawn(*size), "JPEG"), (80, 80))

        scale = min(80 / size[0], 80 / size[1], 1)
        assert picture.width >= int(size[0] * scale)
        assert picture.height >= int(size[1] * scale)

    def test_it_looks_like_the_full_decode(self) -> None:
        data = encoded(drawn(800, 1000), "JPEG", quality=90)
        full = images.letterboxed(images.decode(data), 80, 80)

        assert np.abs(images.pixels(data, 80, 80).astype(int) - full).mean() < 1.5

    def test_a_picture_that_is_small_already_keeps_every_pixel(self) -> None:
        assert images.decode(encoded(drawn(60, 80), "JPEG"), (80, 80)).size == (60, 80)


class TestLetterbox:
    def test_60_by_80_lands_in_the_middle_of_a_white_square(self) -> None:
        square = images.pixels(encoded(plain((10, 20, 30), size=(60, 80))), 80, 80)

        assert (square[:, 10:70] == (10, 20, 30)).all()
        assert (square[:, :10] == 255).all()
        assert (square[:, 70:] == 255).all()

    @pytest.mark.parametrize("size", [(60, 80), (80, 60), (1, 500), (500, 1), (7, 7), (81, 80)])
    @pytest.mark.parametrize(("height", "width"), [(80, 80), (64, 96), (3, 5)])
    def test_the_shape_is_what_was_asked_for(self, size: tuple[int, int], height: int, width: int) -> None:
        boxed = images.pixels(encoded(plain((0, 0, 0), size=size)), height, width)

        assert boxed.shape == (height, width, 3)

    @pytest.mark.parametrize("size", [(200, 100), (100, 200)])
    def test_the_picture_keeps_its_proportions(self, size: tuple[int, int]) -> None:
        boxed = images.pixels(encoded(plain((0, 0, 0), size=size)), 40, 40)

        assert int((boxed == 0).all(axis=2).sum()) == 40 * 20

    def test_the_fill_can_be_chosen(self) -> None:
        boxed = images.pixels(encoded(plain((0, 0, 0), size=(10, 20))), 20, 20, fill=(1, 2, 3))

        assert boxed[0, 0].tolist() == [1, 2, 3]


class TestCrop:
    def quadrants(self) -> bytes:
        """Black; white on the lower right."""
        picture = np.zeros((40, 60, 3), np.uint8)
        picture[20:, 30:] = 255
        return encoded(Image.fromarray(picture))

    @pytest.mark.parametrize(
        ("crop", "brightness"),
        [
            (CropBox(0, 0, 0.5, 0.5), 0),
            (CropBox(0.5, 0.5, 1, 1), 255),
            (CropBox(0.75, 0.75, 1, 1), 255),
            (CropBox(0.5, 0, 1, 0.5), 0),
        ],
    )
    def test_only_the_box_is_seen(self, crop: CropBox, brightness: int) -> None:
        assert (images.pixels(self.quadrants(), 20, 30, crop) == brightness).all()

    def test_the_whole_picture_is_a_valid_box(self) -> None:
        data = self.quadrants()

        assert (images.pixels(data, 40, 60, CropBox(0, 0, 1, 1)) == images.pixels(data, 40, 60)).all()

    def test_a_box_thinner_than_a_pixel_holds_one(self) -> None:
        picture = images.cropped(images.decode(self.quadrants()), CropBox(0.999, 0.999, 1, 1))

        assert picture.size == (1, 1)

    def test_a_small_part_of_a_large_jpeg_is_seen_in_full_detail(self) -> None:
        data = encoded(drawn(800, 1000), "JPEG", quality=95)
        part = CropBox(0.2, 0.3, 0.28, 0.36)

        in_full = images.letterboxed(images.cropped(images.decode(data), part), 80, 80)

        assert (images.pixels(data, 80, 80, part) == in_full).all()

    def test_a_large_part_of_a_large_jpeg_looks_as_it_does_at_full_scale(self) -> None:
        data = encoded(drawn(800, 1000), "JPEG", quality=95)
        part = CropBox(0.2, 0.3, 0.8, 0.9)

        in_full = images.letterboxed(images.cropped(images.decode(data), part), 80, 80)

        assert difference(Image.fromarray(images.pixels(data, 80, 80, part)), Image.fromarray(in_full)) < 2

    def test_a_part_without_a_pixel_of_its_own_is_still_a_picture(self) -> None:
        data = encoded(drawn(), "JPEG")

        assert images.pixels(data, 80, 80, CropBox(0, 0, 5e-324, 1)).shape == (80, 80, 3)

    def test_a_box_is_measured_on_the_upright_picture(self) -> None:
        upright = images.decode(self.quadrants())
        stored = oriented(upright.transpose(Image.Transpose.ROTATE_90), 6, "PNG")

        assert (images.pixels(stored, 20, 30, CropBox(0.5, 0.5, 1, 1)) == 255).all()

    @pytest.mark.parametrize(
        "crop",
        [
            (-0.1, 0, 1, 1),
            (0, 0, 1.01, 1),
            (0.5, 0, 0.5, 1),
            (0.6, 0, 0.4, 1),
            (0, 0.6, 1, 0.4),
            (0, 0, 0, 0),
            (float("nan"), 0, 1, 1),
            (0, 0, 1, float("nan")),
            (0, 0, float("inf"), 1),
            (float("-inf"), 0, 1, 1),
        ],
    )
    def test_a_box_outside_the_picture_is_refused(self, crop: tuple[float, float, float, float]) -> None:
        with pytest.raises(InvalidArgument, match="crop"):
            images.pixels(self.quadrants(), 20, 20, CropBox(*crop))

    def test_the_caller_names_the_field(self) -> None:
        with pytest.raises(InvalidArgument) as caught:
            CropBox(1, 0, 0, 1).validated("query.crop")

        assert caught.value.field == "query.crop"


class TestBehindLetterbox:
    @pytest.mark.parametrize("size", [(300, 400), (400, 300), (200, 200), (90, 700), (30, 20)])
    @pytest.mark.parametrize(("height", "width"), [(80, 80), (64, 96)])
    def test_a_region_of_the_input_is_found_in_the_picture(
        self, size: tuple[int, int], height: int, width: int
    ) -> None:
        box = CropBox(0.1, 0.4, 0.5, 0.9)
        picture = plain((200, 200, 200), size=size)
        edges = [round(share * side) for share, side in zip(box, size * 2, strict=True)]
        picture.paste((0, 0, 0), (edges[0], edges[1], edges[2], edges[3]))

        dark = images.letterboxed(picture, height, width).max(axis=2) < 100
        rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
        seen = CropBox(columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height)

        # Within one pixel of the input, which is one of the fitted picture.
        scale = min(width / size[0], height / size[1])
        across, down = 1 / (scale * size[0]), 1 / (scale * size[1])
        found = images.behind_letterbox(seen, size, height, width)
        assert found is not None
        assert (found.left, found.right) == pytest.approx((box.left, box.right), abs=across)
        assert (found.top, found.bottom) == pytest.approx((box.top, box.bottom), abs=down)

    def test_what_lies_on_the_fill_is_cut_off(self) -> None:
        assert images.behind_letterbox(CropBox(0, 0, 0.5, 1), (40, 80), 80, 80) == (0, 0, 0.5, 1)

    def test_a_region_on_the_fill_alone_is_nowhere_in_the_picture(self) -> None:
        assert images.behind_letterbox(CropBox(0, 0, 0.2, 1), (40, 80), 80, 80) is None


class TestThumbnail:
    @pytest.mark.parametrize(
        ("size", "expected"), [((1024, 512), (256, 128)), ((300, 900), (85, 256)), ((40, 30), (40, 30))]
    )
    def test_the_longer_side_is_at_most_256(self, size: tuple[int, int], expected: tuple[int, int]) -> None:
        small = Image.open(io.BytesIO(images.thumbnail(encoded(drawn(*size), "JPEG"))))

        assert (small.format, small.size) == ("WEBP", expected)

    def test_it_is_upright(self) -> None:
        stored = oriented(drawn().transpose(Image.Transpose.ROTATE_90), 6)

        assert difference(images.decode(images.thumbnail(stored)), drawn()) < 6

    def test_a_bad_picture_has_none(self) -> None:
        with pytest.raises(BadImage):
            images.thumbnail(b"GIF89a")


@pytest.mark.parametrize("act", [images.decode, images.thumbnail, lambda data: images.pixels(data, 9, 9)])
def test_every_entrance_refuses_a_bomb(act: Callable[[bytes], object]) -> None:
    with pytest.raises(BadImage):
        act(png(50_000, 50_000, 1, 0, b""))
