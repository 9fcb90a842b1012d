"""Finding products by picture, by product and by vector, in a catalogue that stands still."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.integration.shop import TIMEOUT_S, Shop
from vitrine import sample
from vitrine.client import Answer
from vitrine.images import CropBox
from vitrine.v1 import embedder_pb2, gateway_pb2, searcher_pb2
from vitrine.vectors import Vectors, to_wire

ALL = 10_000


def test_a_clean_picture_finds_its_own_product_first(shop: Shop) -> None:
    for product in shop.products[:20]:
        best = shop.calls.client.search(image=product.pictures[0]).hits[0]
        assert (best.product_id, best.category) == (product.product_id, product.category)
        assert best.score == pytest.approx(1, abs=1e-3)


def test_a_photo_mostly_finds_its_product_among_ten(shop: Shop) -> None:
    photos = sample.queries(sample.catalogue(len(shop.products)), 30)
    found = [photo.product.product_id in _ids(shop.calls.client.search(image=photo.picture)) for photo in photos]
    assert sum(found) >= 15


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_pictures_may_be_png_or_webp(shop: Shop, kind: str) -> None:
    product = shop.products[5]
    best = shop.calls.client.search(image=_encoded(_opened(product.pictures[0]), kind)).hits[0]
    assert best.product_id == product.product_id
    assert best.score > 0.99


def test_a_picture_that_lies_on_its_side_is_turned_as_its_exif_says(shop: Shop) -> None:
    product = shop.products[0]
    exif = Image.Exif()
    exif[0x0112] = 8  # to be shown turned by 90° counter-clockwise
    out = io.BytesIO()
    _opened(product.pictures[0]).rotate(-90, expand=True).save(out, "JPEG", quality=95, exif=exif)
    best = shop.calls.client.search(image=out.getvalue()).hits[0]
    assert best.product_id == product.product_id
    assert best.score > 0.98


def test_a_product_is_left_out_of_its_own_answer(shop: Shop) -> None:
    asked = shop.products[3].product_id
    found = _ids(shop.calls.client.search(product_id=asked, k=ALL))
    assert sorted([*found, asked]) == [product.product_id for product in shop.products]


def test_a_product_with_two_pictures_is_found_by_either_and_only_once(shop: Shop) -> None:
    product = next(product for product in shop.products if len(product.pictures) == 2)
    for number, picture in enumerate(product.pictures):
        answer = shop.calls.client.search(image=picture, k=ALL)
        assert answer.hits[0].product_id == product.product_id
        assert answer.hits[0].image_id == str(number)
        assert _ids(answer).count(product.product_id) == 1


def test_every_product_comes_once_best_first(shop: Shop) -> None:
    answer = shop.calls.client.search(image=shop.products[0].pictures[0], k=ALL)
    scores = [hit.score for hit in answer.hits]
    assert sorted(_ids(answer)) == [product.product_id for product in shop.products]
    assert scores == sorted(scores, reverse=True)
    assert -1 <= scores[-1] <= scores[0] <= 1


def test_a_vector_finds_what_its_picture_finds(shop: Shop) -> None:
    picture = shop.products[7].pictures[0]
    vector = _embedded(shop, picture)
    by_picture = shop.calls.client.search(image=picture, k=50)
    by_vector = shop.calls.client.search(vector=vector, k=50)
    assert _ids(by_vector) == _ids(by_picture)
    assert [hit.score for hit in by_vector.hits] == pytest.approx([hit.score for hit in by_picture.hits], abs=1e-5)


@pytest.mark.parametrize("length", [1e-38, 37, 1e38])
def test_the_length_of_a_vector_does_not_matter(shop: Shop, length: float) -> None:
    vector = _embedded(shop, shop.products[7].pictures[0])
    expected = shop.calls.client.search(vector=vector, k=50)
    scaled = shop.calls.client.search(vector=vector * np.float32(length), k=50)
    assert [hit.score for hit in scaled.hits] == pytest.approx([hit.score for hit in expected.hits], abs=1e-4)


def test_the_indexed_vector_is_the_one_the_embedder_gives(shop: Shop) -> None:
    product = next(product for product in shop.products if len(product.pictures) == 2)
    request = gateway_pb2.GetProductRequest(product_id=product.product_id, with_vectors=True)
    images = shop.calls.search.GetProduct(request, timeout=TIMEOUT_S).product.images
    assert [image.image_id for image in images] == ["0", "1"]
    for image, picture in zip(images, product.pictures, strict=True):
        vector = np.frombuffer(image.vector, "<f4")
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-3)
        assert float(vector @ _embedded(shop, picture)) > 0.999


@pytest.mark.parametrize("k", [1, 10, 119, 120, 10_000])
def test_as_many_products_come_as_are_asked_for_and_exist(shop: Shop, k: int) -> None:
    answer = shop.calls.client.search(image=shop.products[0].pictures[0], k=k)
    assert len(answer.hits) == min(k, len(shop.products))


def test_ten_products_come_if_no_number_is_said(shop: Shop) -> None:
    request = gateway_pb2.SearchRequest(product_id=shop.products[0].product_id)
    assert len(shop.calls.search.Search(request, timeout=TIMEOUT_S).results) == 10


def test_min_score_cuts_the_answer_off_and_changes_nothing_else(shop: Shop) -> None:
    picture = shop.products[0].pictures[0]
    everything = shop.calls.client.search(image=picture, k=ALL)
    limit = everything.hits[30].score
    expected = [hit.product_id for hit in everything.hits if hit.score >= limit]
    assert _ids(shop.calls.client.search(image=picture, k=ALL, min_score=limit)) == expected
    assert _ids(shop.calls.client.search(image=picture, k=ALL, min_score=-1)) == _ids(everything)


def test_an_exact_answer_is_the_same_here(shop: Shop) -> None:
    for product in shop.products[10:15]:
        usual, exact = (shop.calls.client.search(image=product.pictures[0], exact=flag) for flag in (False, True))
        assert _ids(usual) == _ids(exact)


def test_a_crop_searches_with_that_part_only(shop: Shop) -> None:
    left, right = shop.products[0], shop.products[1]
    picture = _side_by_side(left.pictures[0], right.pictures[0])
    on_left = shop.calls.client.search(image=picture, crop=CropBox(0, 0, 0.5, 1))
    on_right = shop.calls.client.search(image=picture, crop=CropBox(0.5, 0, 1, 1))
    assert (on_left.hits[0].product_id, on_right.hits[0].product_id) == (left.product_id, right.product_id)


def test_a_crop_of_everything_is_no_crop(shop: Shop) -> None:
    picture = shop.products[2].pictures[0]
    whole = shop.calls.client.search(image=picture, k=5)
    cropped = shop.calls.client.search(image=picture, k=5, crop=CropBox(0, 0, 1, 1))
    assert _ids(whole)[0] == _ids(cropped)[0]
    assert cropped.hits[0].score > 0.99


def test_an_answer_says_how_complete_it_is(shop: Shop) -> None:
    answer = shop.calls.client.search(product_id=shop.products[0].product_id)
    settings = json.loads((Path(shop.stack.settings.store_url) / "default" / "index.json").read_bytes())
    assert answer.coverage.partitions_total == settings["partitions"] == 2
    assert answer.coverage.partitions_answered == 2
    assert answer.coverage.failures == {}
    assert answer.coverage.rows_searched == shop.images


def test_an_answer_says_how_old_it_is_and_which_model_made_it(shop: Shop) -> None:
    first, second = (shop.calls.client.search(product_id=shop.products[0].product_id) for _ in range(2))
    model = shop.calls.embedder.GetModel(embedder_pb2.GetModelRequest(), timeout=TIMEOUT_S)
    assert time.time() - 60 < first.index_time_us / 1e6 <= time.time()
    assert first.model_id == model.model_id
    assert first.query_id != second.query_id != ""


def test_a_hit_carries_what_was_published(shop: Shop) -> None:
    product = shop.products[4]
    hit = shop.calls.client.search(image=product.pictures[0]).hits[0]
    assert (hit.image_id, hit.uri) == ("0", "")
    assert hit.attributes == product.upsert().attributes


def test_every_hit_has_a_small_webp(shop: Shop) -> None:
    for hit in shop.calls.client.search(product_id=shop.products[0].product_id).hits:
        with Image.open(io.BytesIO(shop.calls.client.thumbnail(hit.sha256))) as picture:
            assert picture.format == "WEBP"
            assert max(picture.size) <= 256


def test_a_batch_of_queries_is_answered_in_order(shop: Shop) -> None:
    vectors = [_embedded(shop, product.pictures[0]) for product in shop.products[:64]]
    queries = [searcher_pb2.VectorQuery(vector=to_wire(vector), k=3) for vector in vectors]
    response = shop.calls.searcher.Search(searcher_pb2.SearcherSearchRequest(queries=queries), timeout=TIMEOUT_S)
    best = [hits.hits[0].product_id for hits in response.hits]
    assert best == [product.product_id for product in shop.products[:64]]
    assert [(answer.partition, answer.version > 0) for answer in response.answers] == [(0, True), (1, True)]


def test_the_status_counts_products_and_images(shop: Shop) -> None:
    status = shop.calls.client.status()
    assert (status.index, status.metric, status.partitions_total) == ("default", "angular", 2)
    assert [partition.partition for partition in status.partitions] == [0, 1]
    assert sum(partition.products_live for partition in status.partitions) == len(shop.products)
    assert sum(partition.rows_live for partition in status.partitions) == shop.images
    assert status.coverage.partitions_answered == 2


def _ids(answer: Answer) -> list[str]:
    return [hit.product_id for hit in answer.hits]


def _embedded(shop: Shop, picture: bytes) -> Vectors:
    request = embedder_pb2.EmbedRequest(images=[embedder_pb2.ImageInput(data=picture)])
    result = shop.calls.embedder.Embed(request, timeout=TIMEOUT_S).results[0]
    return np.frombuffer(result.embedding.vector, "<f4")


def _opened(picture: bytes) -> Image.Image:
    return Image.open(io.BytesIO(picture))


def _encoded(picture: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, quality=95)
    return out.getvalue()


def _side_by_side(left: bytes, right: bytes) -> bytes:
    halves = _opened(left), _opened(right)
    sheet = Image.new("RGB", (halves[0].width * 2, halves[0].height), "white")
    for number, half in enumerate(halves):
        sheet.paste(half, (number * halves[0].width, 0))
    return _encoded(sheet, "PNG")
