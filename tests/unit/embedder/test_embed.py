"""What becomes of a batch of pictures: some as they are, some cropped, in some the product is looked for."""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np
import pytest
from PIL import ExifTags, Image

from services.embedder.embed import Embedded, Embedding, Picture
from tests.unit.embedder.painted import painted
from vitrine.images import CropBox
from vitrine.model_folder import Outputs
from vitrine.runtime.errors import BadImage, InvalidArgument

PRODUCT = (255, 255, 128)
"""Bright: the model takes what is bright for the product, as sure as it is bright."""
FLOOR = (20, 0, 40)
BOX = CropBox(0.25, 0.5, 0.75, 0.875)
ALL: Final = Outputs("vector", "scores", "activation", "presence")


def embedding(outputs: Outputs = ALL) -> Embedding:
    return Embedding(painted(outputs)[0])


def floor(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), FLOOR)


def with_product(width: int = 64, height: int = 64) -> Image.Image:
    """A product in BOX of a dark floor."""
    picture = floor(width, height)
    edges = [round(share * side) for share, side in zip(BOX, (width, height) * 2, strict=True)]
    picture.paste(PRODUCT, (edges[0], edges[1], edges[2], edges[3]))
    return picture


def png(picture: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", **options)
    return out.getvalue()


def unit(colour: tuple[int, ...]) -> list[float]:
    return list(np.array(colour) / np.linalg.norm(colour))


def answered(embedding: Embedding, *pictures: Picture) -> list[Embedded]:
    """The answers, all of which must be good."""
    answers = embedding.embedded(pictures)
    assert [answer for answer in answers if isinstance(answer, Exception)] == []
    return [answer for answer in answers if isinstance(answer, Embedded)]


@pytest.mark.parametrize("size", [(64, 64), (48, 96), (96, 48), (800, 1000)])
def test_the_product_is_found_and_embedded_alone(size: tuple[int, int]) -> None:
    (answer,) = answered(embedding(), Picture(png(with_product(*size)), auto=True))
    assert answer.crop == pytest.approx(BOX, abs=0.06)
    # A little of the floor may be seen at the edges.
    assert float(answer.vector @ unit(PRODUCT)) > 0.999


def test_the_box_is_measured_on_the_upright_picture() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    stored = png(with_product(48, 64).transpose(Image.Transpose.ROTATE_90), exif=exif)
    (answer,) = answered(embedding(), Picture(stored, auto=True))
    assert answer.crop == pytest.approx(BOX, abs=0.06)


def test_where_nothing_stands_out_all_of_the_picture_is_embedded() -> None:
    (answer,) = answered(embedding(), Picture(png(floor(64, 64)), auto=True))
    assert answer.crop is None
    assert answer.vector == pytest.approx(unit(FLOOR), abs=1e-5)


def test_an_empty_picture_is_more_surely_without_product() -> None:
    pictures = [Picture(png(picture), auto=True) for picture in (floor(64, 64), with_product())]
    empty, shown = answered(embedding(), *pictures)
    assert empty.no_product == pytest.approx(1 - 20 / 255, abs=1e-3)
    assert shown.no_product is not None
    assert shown.no_product < 0.9


def test_a_model_that_does_not_know_where_the_product_is_sees_the_whole_picture() -> None:
    blind = embedding(Outputs("vector"))
    whole, found = answered(blind, Picture(png(with_product())), Picture(png(with_product()), auto=True))
    assert (found.crop, found.no_product) == (None, None)
    assert found.vector == pytest.approx(whole.vector, abs=1e-6)
    assert found.scores.shape == (0,)


def test_a_model_may_know_where_but_not_whether() -> None:
    unsure = embedding(Outputs("vector", activation="activation"))
    (answer,) = answered(unsure, Picture(png(with_product()), auto=True))
    assert answer.crop == pytest.approx(BOX, abs=0.06)
    assert answer.no_product is None


def test_a_model_may_know_whether_but_not_where() -> None:
    blurred = embedding(Outputs("vector", presence="presence"))
    (answer,) = answered(blurred, Picture(png(floor(8, 8)), auto=True))
    assert answer.crop is None
    assert answer.no_product == pytest.approx(1 - 20 / 255, abs=1e-3)


def test_a_picture_is_not_changed_by_what_is_asked_of_others_in_its_batch() -> None:
    model = embedding()
    plain, cropped = Picture(png(with_product())), Picture(png(with_product()), BOX)
    apart = answered(model, plain) + answered(model, cropped)
    together = answered(model, plain, Picture(png(with_product()), auto=True), cropped)
    for alone, among in zip(apart, together[::2], strict=True):
        assert among.vector == pytest.approx(alone.vector, abs=1e-6)
        assert among.scores == pytest.approx(alone.scores, abs=1e-6)
        assert (among.crop, among.no_product) == (alone.crop, None)
    assert [answer.crop for answer in apart] == [None, BOX]


def test_only_pictures_that_ask_pass_twice() -> None:
    model, passes = painted(ALL)
    shown, empty = png(with_product()), png(floor(64, 64))
    answered(Embedding(model), Picture(shown), Picture(shown, BOX))
    assert passes == [2]
    answered(
        Embedding(model), Picture(shown), Picture(shown, auto=True), Picture(empty, auto=True), Picture(shown, BOX)
    )
    assert passes == [2, 4, 1]


def test_a_bad_picture_fails_alone() -> None:
    pictures = [Picture(b"no picture", auto=True), Picture(png(with_product()), auto=True), Picture(b"")]
    first, second, third = embedding().embedded(pictures)
    assert isinstance(first, BadImage)
    assert isinstance(second, Embedded)
    assert second.crop is not None
    assert isinstance(third, BadImage)


def test_a_box_and_the_wish_to_find_one_contradict_each_other() -> None:
    (answer,) = embedding().embedded([Picture(png(with_product()), BOX, auto=True)])
    assert isinstance(answer, InvalidArgument)
    assert answer.field == "crop"
    assert "auto_crop" in answer.reason
