"""The embedder finds the product in a picture, and embeds that alone."""

from __future__ import annotations

import io
import random
from functools import lru_cache
from typing import Final

import numpy as np
import pytest
from PIL import Image

from tests.integration.shop import TIMEOUT_S, Shop
from vitrine import sample
from vitrine.images import CropBox
from vitrine.sample.scenes import HEIGHT, WIDTH
from vitrine.sample.studio import cut_out
from vitrine.v1 import embedder_pb2 as pb
from vitrine.vectors import Vectors

SCENES: Final = 40
FOUND_MIN: Final = 0.8
IN_ONE_PIECE: Final = ("Topwear", "Shoes", "Bags", "Bottomwear", "Watches", "Innerwear")
"""Of a pair of socks or earrings one is found, and glasses are thinner than what the model can see."""

IOU_MIN: Final = 0.5
"""What counts as found: as in the evaluation of a model."""


@lru_cache(maxsize=1)
def scenes() -> tuple[tuple[bytes, CropBox], ...]:
    """Photos (JPEG) of drawn products, each with the box that the product fills."""
    products = [product for product in sample.catalogue(2 * SCENES) if product.category in IN_ONE_PIECE][:SCENES]
    return tuple(_photo(product, random.Random(f"auto crop {n}")) for n, product in enumerate(products))


@lru_cache(maxsize=1)
def empty_scenes() -> tuple[bytes, ...]:
    """What they lie on."""
    return tuple(_jpeg(_ground(random.Random(f"nothing {n}"))) for n in range(SCENES))


def embedded(shop: Shop, *images: pb.ImageInput) -> list[pb.Embedding]:
    """The answers, all of which must be good."""
    results = shop.calls.embedder.Embed(pb.EmbedRequest(images=images), timeout=TIMEOUT_S).results
    assert [result.error.message for result in results if result.HasField("error")] == []
    return [result.embedding for result in results]


def box_of(embedding: pb.Embedding) -> CropBox:
    crop = embedding.crop
    return CropBox(crop.left, crop.top, crop.right, crop.bottom)


def vector_of(embedding: pb.Embedding) -> Vectors:
    return np.frombuffer(embedding.vector, "<f4")


def overlap(one: CropBox, other: CropBox) -> float:
    """Intersection over union."""
    wide = min(one.right, other.right) - max(one.left, other.left)
    high = min(one.bottom, other.bottom) - max(one.top, other.top)
    shared = max(wide, 0) * max(high, 0)
    return shared / (_area(one) + _area(other) - shared)


def test_products_are_found_in_scenes(shop: Shop) -> None:
    photos = [pb.ImageInput(data=data, auto_crop=True) for data, _ in scenes()]
    found = [
        overlap(box_of(answer), box) if answer.HasField("crop") else 0.0
        for answer, (_, box) in zip(embedded(shop, *photos), scenes(), strict=True)
    ]
    assert np.mean(np.array(found) >= IOU_MIN) >= FOUND_MIN


def test_what_is_embedded_is_the_part_that_is_said(shop: Shop) -> None:
    photos = [pb.ImageInput(data=data, auto_crop=True) for data, _ in scenes()]
    answers = embedded(shop, *photos)
    cut = [
        pb.ImageInput(data=data, crop=answer.crop if answer.HasField("crop") else None)
        for answer, (data, _) in zip(answers, scenes(), strict=True)
    ]
    for answer, again in zip(answers, embedded(shop, *cut), strict=True):
        assert again.crop == answer.crop
        # Not quite the same pixels: the scale at which a JPEG is decoded follows from what is asked.
        assert float(vector_of(answer) @ vector_of(again)) > 0.97


def test_a_search_by_picture_says_with_which_part_it_was_done(shop: Shop) -> None:
    data, box = scenes()[0]
    answer = shop.calls.client.search(image=data, crop="auto")
    assert answer.region is not None
    assert answer.region.crop is not None
    assert overlap(answer.region.crop, box) > IOU_MIN
    assert answer.region.no_product_score is not None
    by_hand = shop.calls.client.search(image=data, crop=answer.region.crop)
    assert by_hand.region is None
    assert answer.hits[0].product_id == by_hand.hits[0].product_id


def test_the_model_says_when_there_is_no_product(shop: Shop) -> None:
    shown = [pb.ImageInput(data=data, auto_crop=True) for data, _ in scenes()]
    empty = [pb.ImageInput(data=data, auto_crop=True) for data in empty_scenes()]
    with_product = [answer.no_product_score for answer in embedded(shop, *shown)]
    without = [answer.no_product_score for answer in embedded(shop, *empty)]
    assert min([*with_product, *without]) >= 0
    assert max([*with_product, *without]) <= 1
    assert np.median(without) > np.median(with_product)


def test_a_picture_that_does_not_ask_is_told_nothing_of_products(shop: Shop) -> None:
    (answer,) = embedded(shop, pb.ImageInput(data=scenes()[0][0]))
    assert not answer.HasField("crop")
    assert not answer.HasField("no_product_score")


def test_a_box_and_auto_crop_contradict_each_other(shop: Shop) -> None:
    data, box = scenes()[0]
    both = pb.ImageInput(data=data, crop=pb.CropBox(**box._asdict()), auto_crop=True)
    request = pb.EmbedRequest(images=[pb.ImageInput(data=data), both])
    good, bad = shop.calls.embedder.Embed(request, timeout=TIMEOUT_S).results
    assert good.HasField("embedding")
    assert bad.error.code == "INVALID_ARGUMENT"
    assert bad.error.message.startswith("images[1].crop: ")


def test_parts_say_what_the_numbers_of_a_vector_stand_for(shop: Shop) -> None:
    model = shop.calls.embedder.GetModel(pb.GetModelRequest(), timeout=TIMEOUT_S)
    assert [part.name for part in model.parts] == ["kind", "colour", "look"]
    assert sum(part.dim for part in model.parts) == model.dim
    # A part's share of the cosine is the square of its length.
    (answer,) = embedded(shop, pb.ImageInput(data=scenes()[0][0]))
    parts = np.split(vector_of(answer), np.cumsum([part.dim for part in model.parts])[:-1])
    assert [float(part @ part) for part in parts] == pytest.approx([part.weight for part in model.parts], abs=1e-3)


def _photo(product: sample.SampleProduct, dice: random.Random) -> tuple[bytes, CropBox]:
    """The product takes 40 to 90 % of one side of the picture, and lies anywhere in it."""
    item = cut_out(product, 1)
    item = item.crop(item.getchannel("A").getbbox())
    share = dice.uniform(0.4, 0.9) * min(WIDTH / item.width, HEIGHT / item.height)
    item = item.resize((round(item.width * share), round(item.height * share)), Image.Resampling.BICUBIC)
    left, top = dice.randint(0, WIDTH - item.width), dice.randint(0, HEIGHT - item.height)
    picture = _ground(dice)
    picture.paste(item, (left, top), item.getchannel("A"))
    return _jpeg(picture), CropBox(
        left / WIDTH, top / HEIGHT, (left + item.width) / WIDTH, (top + item.height) / HEIGHT
    )


def _ground(dice: random.Random) -> Image.Image:
    """One colour that turns into another from top to bottom."""
    above, below = (Image.new("RGB", (WIDTH, HEIGHT), tuple(dice.randbytes(3))) for _ in range(2))
    return Image.composite(above, below, Image.linear_gradient("L").resize((WIDTH, HEIGHT)))


def _jpeg(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=88)
    return out.getvalue()


def _area(box: CropBox) -> float:
    return (box.right - box.left) * (box.bottom - box.top)
