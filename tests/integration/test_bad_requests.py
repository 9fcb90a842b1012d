"""Requests that are wrong: each is refused by the name of its field, and the service goes on answering."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from tests.integration import hostile
from tests.integration.shop import DIM, TIMEOUT_S, Shop, channel_to, refused
from vitrine.v1 import catalogue_pb2, embedder_pb2, filter_pb2, gateway_pb2, indexer_pb2, searcher_pb2

GOOD_VECTOR = np.ones(DIM, "<f4").tobytes()
CROP = embedder_pb2.CropBox
NAN = float("nan")
NO_MESSAGE = b"\xff\xff\xff"


@pytest.fixture(autouse=True)
def _goes_on_answering(shop: Shop) -> Iterator[None]:
    yield
    picture = shop.products[0].pictures[0]
    assert shop.calls.client.search(image=picture, k=1).hits[0].product_id == shop.products[0].product_id


@pytest.mark.parametrize("name", hostile.NAMES)
def test_a_query_that_is_no_picture(shop: Shop, name: str) -> None:
    with refused("INVALID_ARGUMENT", "image: "):
        _search(shop, image=hostile.pictures()[name])


def test_a_query_picture_of_more_than_16_mib(shop: Shop) -> None:
    with refused("INVALID_ARGUMENT", "image: ", str(16 * 1024 * 1024)):
        _search(shop, image=bytes(16 * 1024 * 1024 + 1))


@pytest.mark.parametrize("page_size", [0, 10_001, 2**32 - 1])
def test_a_page_size_out_of_range(shop: Shop, page_size: int) -> None:
    with refused("INVALID_ARGUMENT", "page_size: "):
        _search(shop, vector=GOOD_VECTOR, page_size=page_size)


@pytest.mark.parametrize(
    "vector",
    [
        b"",
        GOOD_VECTOR[:-4],
        GOOD_VECTOR[:-1],
        GOOD_VECTOR + bytes(4),
        bytes(DIM * 4),
        np.full(DIM, np.nan, "<f4").tobytes(),
        np.full(DIM, np.inf, "<f4").tobytes(),
    ],
    ids=["empty", "short", "cut", "long", "zero", "nan", "infinite"],
)
def test_a_vector_without_a_direction(shop: Shop, vector: bytes) -> None:
    with refused("INVALID_ARGUMENT", "vector: "):
        _search(shop, vector=vector)
    with refused("INVALID_ARGUMENT", "queries[0].vector: "):
        _ask_searcher(shop, searcher_pb2.VectorQuery(vector=vector, k=1))


@pytest.mark.parametrize(
    "crop",
    [
        CROP(left=0.5, top=0, right=0.5, bottom=1),
        CROP(left=0.6, top=0, right=0.5, bottom=1),
        CROP(left=-0.1, top=0, right=1, bottom=1),
        CROP(left=0, top=0, right=1, bottom=1.01),
        CROP(left=NAN, top=0, right=1, bottom=1),
        CROP(),
    ],
    ids=["no width", "inside out", "left of it", "below it", "nan", "nothing"],
)
def test_a_crop_that_is_not_inside_the_picture(shop: Shop, crop: embedder_pb2.CropBox) -> None:
    picture = shop.products[0].pictures[0]
    with refused("INVALID_ARGUMENT", "crop: "):
        _search(shop, image=picture, crop=crop)
    result = _embed(shop, embedder_pb2.ImageInput(data=picture, crop=crop)).results[0]
    assert result.error.code == "INVALID_ARGUMENT"
    assert "images[0].crop: " in result.error.message


def test_a_crop_without_a_picture(shop: Shop) -> None:
    with refused("INVALID_ARGUMENT", "crop: "):
        _search(shop, vector=GOOD_VECTOR, crop=CROP(left=0, top=0, right=1, bottom=1))


@pytest.mark.parametrize("min_score", [-1.1, 1.1, NAN])
def test_a_min_score_out_of_range(shop: Shop, min_score: float) -> None:
    with refused("INVALID_ARGUMENT", "min_score: "):
        _search(shop, vector=GOOD_VECTOR, min_score=min_score)


CONDITION = filter_pb2.Condition
RED = filter_pb2.AnyString(values=["red"])


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (CONDITION(field="attributes.colr", any_string=RED), '.field: no product has "attributes.colr"'),
        (CONDITION(field="colour", any_string=RED), ".field: "),
        (CONDITION(field="attributes.", any_string=RED), ".field: "),
        (CONDITION(any_string=RED), ".field: "),
        (CONDITION(field="category"), ".test: "),
        (CONDITION(field="category", any_string=filter_pb2.AnyString()), ".any_string.values: "),
        (CONDITION(field="category", any_string=filter_pb2.AnyString(values=["x"] * 1_025)), ".any_string.values: "),
        (CONDITION(field="attributes.colour", range=filter_pb2.NumberRange(lt=1)), '.range: "attributes.colour"'),
        (CONDITION(field="attributes.price", any_string=RED), '.any_string: "attributes.price" is a number'),
        (CONDITION(field="attributes.price", bool=True), '.bool: "attributes.price" is a number, not a bool'),
        (CONDITION(field="attributes.price", range=filter_pb2.NumberRange()), ".range: "),
        (CONDITION(field="attributes.price", range=filter_pb2.NumberRange(gte=NAN)), ".range.gte: is NaN"),
        (CONDITION(field="attributes.price", range=filter_pb2.NumberRange(gt=5, lt=5)), ".range: "),
    ],
    ids=[
        *("unknown field", "no namespace", "no name", "no field", "no test", "empty any-of", "1,025 values"),
        *("range of a string", "string of a number", "bool of a number", "no bound", "nan", "nothing between"),
    ],
)
@pytest.mark.parametrize("part", ["all_of", "any_of", "none_of"])
def test_a_condition_that_no_product_can_meet(
    shop: Shop, condition: filter_pb2.Condition, words: str, part: str
) -> None:
    good = CONDITION(field="category", any_string=RED)
    wanted = filter_pb2.Filter(**{part: [good, condition]})
    with refused("INVALID_ARGUMENT", f"filter.{part}[1]{words}"):
        _search(shop, vector=GOOD_VECTOR, filter=wanted)
    with refused("INVALID_ARGUMENT", f"filter.{part}[1]{words}"):
        list(shop.calls.search.Scan(gateway_pb2.ScanRequest(vector=GOOD_VECTOR, min_score=-1, filter=wanted)))


def test_a_filter_of_10_000_conditions(shop: Shop) -> None:
    many = filter_pb2.Filter(all_of=[CONDITION(field="category", any_string=RED)] * 10_000)
    with refused("INVALID_ARGUMENT", "filter: ", "10,000"):
        _search(shop, vector=GOOD_VECTOR, filter=many)


@pytest.mark.parametrize("recall_target", [0.49, 1.0, -1, NAN])
def test_a_recall_target_out_of_range(shop: Shop, recall_target: float) -> None:
    with refused("INVALID_ARGUMENT", "recall_target: "):
        _search(shop, vector=GOOD_VECTOR, recall_target=recall_target)


def test_a_recall_target_of_an_exact_search(shop: Shop) -> None:
    with refused("INVALID_ARGUMENT", "recall_target: "):
        _search(shop, vector=GOOD_VECTOR, recall_target=0.9, exact=True)


def test_a_facet_that_cannot_be_counted(shop: Shop) -> None:
    with refused("INVALID_ARGUMENT", "facets: "):
        _search(shop, vector=GOOD_VECTOR, facets=["category"] * 17)
    with refused("INVALID_ARGUMENT", "facets[1]: "):
        _search(shop, vector=GOOD_VECTOR, facets=["category", "colour"])
    with refused("INVALID_ARGUMENT", 'facets[0]: no product has "attributes.colr"'):
        _search(shop, vector=GOOD_VECTOR, facets=["attributes.colr"])


def test_a_page_token_that_is_damaged_or_of_another_query(shop: Shop) -> None:
    token = _search(shop, vector=GOOD_VECTOR).next_page_token
    for damaged in ("x", token[:-1], token[:20], token[1:], token + "A", token.swapcase()):
        with refused("INVALID_ARGUMENT", "page_token: is damaged"):
            _search(shop, vector=GOOD_VECTOR, page_token=damaged)
    with refused("INVALID_ARGUMENT", "page_token: belongs to another query"):
        _search(shop, vector=GOOD_VECTOR, page_token=token, min_score=0)
    with refused("INVALID_ARGUMENT", "page_size: "):
        _search(shop, vector=GOOD_VECTOR, page_token=token, page_size=10_001)


@pytest.mark.parametrize("count", [0, 257])
def test_too_few_or_too_many_searches_at_once(shop: Shop, count: int) -> None:
    searches = [gateway_pb2.SearchRequest(vector=GOOD_VECTOR)] * count
    with refused("INVALID_ARGUMENT", "searches: "):
        shop.calls.search.BatchSearch(gateway_pb2.BatchSearchRequest(searches=searches), timeout=TIMEOUT_S)


def test_a_scan_without_a_score(shop: Shop) -> None:
    with refused("INVALID_ARGUMENT", "min_score: "):
        list(shop.calls.search.Scan(gateway_pb2.ScanRequest(vector=GOOD_VECTOR), timeout=TIMEOUT_S))


def test_no_query_at_all(shop: Shop) -> None:
    with refused("INVALID_ARGUMENT", "query: "):
        _search(shop)


def test_a_product_that_does_not_exist(shop: Shop) -> None:
    with refused("NOT_FOUND", "product_id: ", "no-such-product"):
        _search(shop, product_id="no-such-product")
    with refused("NOT_FOUND", "product_id: ", "no-such-product"):
        _get_product(shop, product_id="no-such-product")


@pytest.mark.parametrize("product_id", ["", "x" * 257])
def test_a_product_id_of_a_wrong_length(shop: Shop, product_id: str) -> None:
    with refused("INVALID_ARGUMENT", "product_id: "):
        _search(shop, product_id=product_id)
    with refused("INVALID_ARGUMENT", "product_id: "):
        _get_product(shop, product_id=product_id)


def test_a_place_in_a_partition_that_does_not_exist(shop: Shop) -> None:
    places = [catalogue_pb2.LogPosition(partition=partition) for partition in (0, 2)]
    with refused("INVALID_ARGUMENT", "at_least[1].partition: "):
        _search(shop, vector=GOOD_VECTOR, at_least=places)
    with refused("INVALID_ARGUMENT", "at_least[1].partition: "):
        _get_product(shop, product_id="any", at_least=places)
    with refused("INVALID_ARGUMENT", "at_least[1].partition: "):
        query = searcher_pb2.VectorQuery(vector=GOOD_VECTOR, k=1)
        _ask_searcher(shop, query, at_least=places)


def test_an_index_that_does_not_exist(shop: Shop) -> None:
    calls, index = shop.calls, "other"
    with refused("NOT_FOUND", "index: ", index):
        _search(shop, vector=GOOD_VECTOR, index=index)
    with refused("NOT_FOUND", "index: ", index):
        calls.search.BatchSearch(gateway_pb2.BatchSearchRequest(index=index), timeout=TIMEOUT_S)
    with refused("NOT_FOUND", "index: ", index):
        list(calls.search.Scan(gateway_pb2.ScanRequest(index=index), timeout=TIMEOUT_S))
    with refused("NOT_FOUND", "index: ", index):
        _get_product(shop, product_id="any", index=index)
    with refused("NOT_FOUND", "index: ", index):
        calls.search.GetThumbnail(gateway_pb2.GetThumbnailRequest(index=index, sha256=bytes(32)), timeout=TIMEOUT_S)
    with refused("NOT_FOUND", "index: ", index):
        calls.search.GetIndexStatus(gateway_pb2.GetIndexStatusRequest(index=index), timeout=TIMEOUT_S)
    with refused("NOT_FOUND", "index: ", index):
        list(calls.catalogue.ListDeadLetters(catalogue_pb2.ListDeadLettersRequest(index=index), timeout=TIMEOUT_S))
    with refused("NOT_FOUND", "index: ", index):
        _ask_searcher(shop, searcher_pb2.VectorQuery(vector=GOOD_VECTOR, k=1), index=index)
    with refused("NOT_FOUND", "index: ", index):
        calls.searcher.GetStatus(searcher_pb2.SearcherStatusRequest(index=index), timeout=TIMEOUT_S)
    with refused("NOT_FOUND", "index: ", index):
        calls.indexer.GetStatus(indexer_pb2.IndexerStatusRequest(index=index), timeout=TIMEOUT_S)
    with refused("NOT_FOUND", "index: ", index):
        calls.indexer.Roll(indexer_pb2.RollRequest(index=index), timeout=TIMEOUT_S)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_the_thumbnail_of_a_hash_of_a_wrong_length(shop: Shop, length: int) -> None:
    with refused("INVALID_ARGUMENT", "sha256: "):
        _thumbnail(shop, bytes(length))


def test_the_thumbnail_of_an_unknown_picture(shop: Shop) -> None:
    with refused("NOT_FOUND", "sha256: "):
        _thumbnail(shop, b"\x07" * 32)


@pytest.mark.parametrize("count", [0, 65])
def test_too_few_or_too_many_pictures_to_embed(shop: Shop, count: int) -> None:
    image = embedder_pb2.ImageInput(data=shop.products[0].pictures[0])
    with refused("INVALID_ARGUMENT", "images: "):
        _embed(shop, *[image] * count)


def test_more_than_8_mib_of_pictures_to_embed(shop: Shop) -> None:
    half = embedder_pb2.ImageInput(data=bytes(4 * 1024 * 1024 + 1))
    with refused("INVALID_ARGUMENT", "images: "):
        _embed(shop, half, half)


def test_a_bad_picture_does_not_fail_the_others(shop: Shop) -> None:
    good = [embedder_pb2.ImageInput(data=product.pictures[0]) for product in shop.products[:3]]
    bad = [embedder_pb2.ImageInput(data=hostile.pictures()[name]) for name in hostile.NAMES]
    results = _embed(shop, good[0], *bad, good[1], good[2]).results
    alone = [_embed(shop, image).results[0].embedding for image in good]
    for result, expected in zip((results[0], results[-2], results[-1]), alone, strict=True):
        cosine = np.frombuffer(result.embedding.vector, "<f4") @ np.frombuffer(expected.vector, "<f4")
        assert float(cosine) > 0.999
    for number, result in enumerate(results[1:-2], 1):
        assert result.error.code == "INVALID_ARGUMENT"
        assert f"images[{number}].image: " in result.error.message


@pytest.mark.parametrize("count", [0, 65])
def test_too_few_or_too_many_queries_at_once(shop: Shop, count: int) -> None:
    with refused("INVALID_ARGUMENT", "queries: "):
        _ask_searcher(shop, *[searcher_pb2.VectorQuery(vector=GOOD_VECTOR, k=1)] * count)


@pytest.mark.parametrize("k", [0, 10_001])
def test_a_k_out_of_range(shop: Shop, k: int) -> None:
    good, bad = (searcher_pb2.VectorQuery(vector=GOOD_VECTOR, k=number) for number in (1, k))
    with refused("INVALID_ARGUMENT", "queries[1].k: "):
        _ask_searcher(shop, good, bad)


@pytest.mark.parametrize("count", [0, 101])
def test_too_few_or_too_many_products_to_get(shop: Shop, count: int) -> None:
    with refused("INVALID_ARGUMENT", "product_ids: "):
        request = searcher_pb2.GetProductsRequest(product_ids=["any"] * count)
        shop.calls.searcher.GetProducts(request, timeout=TIMEOUT_S)


def test_unknown_products_are_left_out_of_what_a_searcher_gets(shop: Shop) -> None:
    known = [product.product_id for product in shop.products[:5]]
    request = searcher_pb2.GetProductsRequest(product_ids=[*known, "no-such-product"])
    found = shop.calls.searcher.GetProducts(request, timeout=TIMEOUT_S).products
    assert sorted(product.product_id for product in found) == known


def test_a_partition_that_a_searcher_does_not_serve_is_a_failure_of_that_partition(shop: Shop) -> None:
    query = searcher_pb2.VectorQuery(vector=GOOD_VECTOR, k=1)
    response = _ask_searcher(shop, query, partitions=[0, 9])
    assert [answer.partition for answer in response.answers] == [0]
    assert [failure.partition for failure in response.failures] == [9]


def test_a_partition_that_an_indexer_does_not_own(shop: Shop) -> None:
    with refused("INVALID_ARGUMENT", "partitions: ", "9"):
        shop.calls.indexer.Roll(indexer_pb2.RollRequest(partitions=[9]), timeout=TIMEOUT_S)


def test_bytes_that_are_no_message(shop: Shop) -> None:
    with refused("UNKNOWN"):  # gRPC's own answer, before any of our code
        _raw_call(shop, "/vitrine.v1.VisualSearch/Search", NO_MESSAGE)


def test_bytes_that_are_no_message_end_a_stream_at_once(shop: Shop) -> None:
    with channel_to(shop.stack.gateway) as channel:
        publish: Any = channel.stream_stream("/vitrine.v1.Catalogue/Publish")
        with pytest.raises(grpc.RpcError) as caught:
            list(publish(iter([NO_MESSAGE]), timeout=2))
    assert caught.value.code().name != "DEADLINE_EXCEEDED"


def test_a_call_that_does_not_exist(shop: Shop) -> None:
    with refused("UNIMPLEMENTED"):
        _raw_call(shop, "/vitrine.v1.VisualSearch/NoSuchCall", b"")


def _raw_call(shop: Shop, method: str, request: bytes) -> None:
    with channel_to(shop.stack.gateway) as channel:
        call: Any = channel.unary_unary(method)
        call(request, timeout=TIMEOUT_S)


def _search(shop: Shop, **fields: object) -> gateway_pb2.SearchResponse:
    return shop.calls.search.Search(gateway_pb2.SearchRequest(**fields), timeout=TIMEOUT_S)  # type: ignore[arg-type]


def _get_product(shop: Shop, **fields: object) -> gateway_pb2.GetProductResponse:
    request = gateway_pb2.GetProductRequest(**fields)  # type: ignore[arg-type]
    return shop.calls.search.GetProduct(request, timeout=TIMEOUT_S)


def _thumbnail(shop: Shop, sha256: bytes) -> gateway_pb2.GetThumbnailResponse:
    return shop.calls.search.GetThumbnail(gateway_pb2.GetThumbnailRequest(sha256=sha256), timeout=TIMEOUT_S)


def _embed(shop: Shop, *images: embedder_pb2.ImageInput) -> embedder_pb2.EmbedResponse:
    return shop.calls.embedder.Embed(embedder_pb2.EmbedRequest(images=images), timeout=TIMEOUT_S)


def _ask_searcher(
    shop: Shop, *queries: searcher_pb2.VectorQuery, **fields: object
) -> searcher_pb2.SearcherSearchResponse:
    request = searcher_pb2.SearcherSearchRequest(queries=queries, **fields)  # type: ignore[arg-type]
    return shop.calls.searcher.Search(request, timeout=TIMEOUT_S)
