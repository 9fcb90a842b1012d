"""How pictures that wait become batches."""

from __future__ import annotations

import asyncio
import io

import pytest
from PIL import Image

from services.embedder.batcher import BULK, Batcher, BatchLimits
from services.embedder.embed import Picture
from tests.unit.embedder.painted import painted
from vitrine.model_folder import Outputs

MAX_BATCH = 8


def passes(pictures: list[Picture]) -> list[int]:
    """How many pictures the model sees in each pass, when all of `pictures` wait for one thread."""

    async def embedded() -> list[int]:
        model, passes = painted(Outputs("vector", activation="activation"))
        batcher = Batcher(model, 1, BatchLimits(MAX_BATCH, 64, 64, 1000, 1000))
        answers = await batcher.embed(pictures, BULK)
        assert [answer for answer in answers if isinstance(answer, BaseException)] == []
        return passes

    return asyncio.run(embedded())


@pytest.fixture(scope="module")
def data() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 200, 200)).save(out, "PNG")
    return out.getvalue()


def test_a_batch_is_as_large_as_is_allowed(data: bytes) -> None:
    assert passes([Picture(data)] * 16) == [MAX_BATCH, MAX_BATCH]


def test_a_batch_takes_no_longer_because_products_are_looked_for(data: bytes) -> None:
    assert passes([Picture(data, auto=True)] * 8) == [MAX_BATCH // 2] * 4


def test_pictures_as_they_are_pass_once_beside_those_with_a_product_to_find(data: bytes) -> None:
    assert passes([Picture(data), Picture(data, auto=True), Picture(data), Picture(data)]) == [3, 1, 1]
