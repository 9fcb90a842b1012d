"""What comes in as JSON goes to the gateway as it was meant, or is refused by name."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from starlette.types import ASGIApp

from tests.unit.web.asking import get, post, post_form
from tests.unit.web.shop import FakeShop
from vitrine.v1 import embedder_pb2, feedback_pb2
from vitrine.v1 import gateway_pb2 as pb

# In UTC.
BEFORE_THE_YEAR_1 = "0001-01-01T00:00:00+14:00"
AFTER_THE_YEAR_9999 = "9999-12-31T23:59:59-14:00"

BOX = {"left": 0.25, "top": 0.0, "right": 0.75, "bottom": 1.0}


async def test_a_search_by_product_says_all_that_a_page_can_say(app: ASGIApp, shop: FakeShop) -> None:
    query = {
        "product_id": "shoe-1",
        "page_size": 24,
        "page_token": "abc",
        "min_score": 0.25,
        "facets": ["category"],
        "filter": {
            "all_of": [{"field": "category", "any_string": ["Shoes"]}, {"field": "live.price", "range": {"lte": 50}}],
            "none_of": [{"field": "attributes.used", "bool": True}],
        },
        "history": [{"product_id": "bag-1", "time": "2026-11-21T10:00:00Z", "weight": 2.0}, {"product_id": "bag-2"}],
        "history_weight": 0.5,
        "diversity": 0.25,
        "order_by": {"field": "attributes.price", "descending": True},
        "require_complete": True,
        "surface": "product-page",
    }
    assert (await post(app, "/api/search", query)).status == 200
    asked: pb.SearchRequest = shop.last
    assert (asked.index, asked.product_id, asked.page_size, asked.page_token) == ("winter", "shoe-1", 24, "abc")
    assert (asked.min_score, list(asked.facets), asked.require_complete) == (0.25, ["category"], True)
    assert [condition.field for condition in asked.filter.all_of] == ["category", "live.price"]
    assert list(asked.filter.all_of[0].any_string.values) == ["Shoes"]
    assert asked.filter.all_of[1].range.lte == 50
    assert not asked.filter.all_of[1].range.HasField("gte")
    assert asked.filter.none_of[0].bool
    assert [item.product_id for item in asked.history] == ["bag-1", "bag-2"]
    assert asked.history[0].time.seconds == 1_795_255_200
    assert not asked.history[1].HasField("time")
    assert not asked.history[1].HasField("weight")
    assert (asked.history_weight, asked.diversity, asked.surface) == (0.5, 0.25, "product-page")
    assert (asked.order_by.field, asked.order_by.descending) == ("attributes.price", True)


async def test_what_is_not_said_is_left_to_the_gateway(app: ASGIApp, shop: FakeShop) -> None:
    await post(app, "/api/search", {"product_id": "shoe-1"})
    assert shop.last == pb.SearchRequest(index="winter", product_id="shoe-1", surface="page")


async def test_a_search_by_picture_is_a_form(app: ASGIApp, shop: FakeShop) -> None:
    query = {"crop": BOX, "category_mode": "predict", "category_threshold": 0.75}
    assert (await post_form(app, "/api/search", query, image=b"picture")).status == 200
    asked: pb.SearchRequest = shop.last
    assert asked.image == b"picture"
    assert asked.crop == embedder_pb2.CropBox(**BOX)
    assert (asked.category_mode, asked.category_threshold) == (pb.CATEGORY_MODE_PREDICT, 0.75)


async def test_a_picture_needs_no_query(app: ASGIApp, shop: FakeShop) -> None:
    await post_form(app, "/api/search", image=b"picture")
    assert shop.last == pb.SearchRequest(index="winter", image=b"picture", surface="page")


async def test_a_picture_larger_than_a_megabyte_arrives_whole(app: ASGIApp, shop: FakeShop) -> None:
    picture = bytes(range(256)) * 4096
    await post_form(app, "/api/search", image=picture)
    assert shop.last.image == picture


async def test_examples_name_pictures_of_the_form(app: ASGIApp, shop: FakeShop) -> None:
    positive = [{"image": "image", "crop_mode": "auto"}, {"product_id": "shoe-1", "weight": 2.0}]
    query = {"examples": {"positive": positive, "negative": [{"product_id": "shoe-2"}]}}
    assert (await post_form(app, "/api/search", query, image=b"picture")).status == 200
    examples: pb.Examples = shop.last.examples
    assert examples.positive[0] == pb.Example(image=b"picture", crop_mode=pb.CROP_MODE_AUTO)
    assert examples.positive[1] == pb.Example(product_id="shoe-1", weight=2.0)
    assert examples.negative[0] == pb.Example(product_id="shoe-2")


async def test_examples_that_are_empty_are_still_a_query_by_examples(app: ASGIApp, shop: FakeShop) -> None:
    await post(app, "/api/search", {"examples": {}})
    assert shop.last.WhichOneof("query") == "examples"


async def test_a_recommendation_is_asked_for_with_a_history(app: ASGIApp, shop: FakeShop) -> None:
    query = {"history": [{"product_id": "bag-9"}], "max_interests": 2, "half_life_days": 7.0, "page_size": 5}
    answer = await post(app, "/api/recommend", query)
    asked: pb.RecommendRequest = shop.last
    assert (asked.history[0].product_id, asked.max_interests, asked.half_life_days, asked.page_size) == (
        "bag-9",
        2,
        7,
        5,
    )
    assert answer.json["results"][0]["because_product_id"] == "bag-9"
    assert answer.json["unknown_product_ids"] == ["gone"]


async def test_a_look_is_asked_for_with_a_product_or_a_picture(app: ASGIApp, shop: FakeShop) -> None:
    query = {"own_category": "Shoes", "categories": ["Bags"], "per_category": 2}
    assert (await post(app, "/api/look", {"product_id": "shoe-1", **query})).json["affinity"] == "style"
    asked: pb.CompleteTheLookRequest = shop.last
    assert (asked.product_id, asked.own_category, asked.per_category) == ("shoe-1", "Shoes", 2)
    assert list(asked.categories) == ["Bags"]
    await post_form(app, "/api/look", {"crop_mode": "auto"}, image=b"picture")
    assert (shop.last.image, shop.last.crop_mode) == (b"picture", pb.CROP_MODE_AUTO)


async def test_feedback_goes_on_and_nothing_is_answered(app: ASGIApp, shop: FakeShop) -> None:
    event = {"query_id": "0f" * 16, "product_id": "shoe-1", "kind": "ADD_TO_CART", "rank": 3}
    said = await post(app, "/api/feedback", event)
    assert (said.status, said.body) == (204, b"")
    asked: feedback_pb2.Feedback = shop.last.feedback
    assert (asked.kind, asked.rank, asked.surface) == (feedback_pb2.FEEDBACK_KIND_ADD_TO_CART, 3, "page")


@pytest.mark.parametrize("product_id", ["plain", "folder/shoe 1.jpg", "50 % off?", "ü"])
async def test_any_product_id_can_be_asked_for(app: ASGIApp, shop: FakeShop, product_id: str) -> None:
    assert (await get(app, f"/api/products/{quote(product_id)}")).json["product_id"] == product_id
    assert shop.last.product_id == product_id


async def test_samples_are_of_every_large_category(app: ASGIApp, shop: FakeShop) -> None:
    answer = await get(app, "/api/samples?seed=7&count=5")
    searches = shop.last.searches
    assert [list(search.filter.all_of[0].any_string.values) for search in searches] == [["Bags"], ["Shoes"]]
    assert {len(search.vector) for search in searches} == {4 * 4}
    assert [one["product_id"] for one in answer.json["results"]] == ["0-0", "1-0", "0-1", "1-1", "0-2"]


async def test_samples_are_of_those_categories_that_answered(app: ASGIApp, shop: FakeShop) -> None:
    shop.refused = [0]
    answer = await get(app, "/api/samples?count=2")
    assert [one["product_id"] for one in answer.json["results"]] == ["1-0"]


async def test_samples_that_could_not_be_had_are_not_called_none(app: ASGIApp, shop: FakeShop) -> None:
    shop.refused = [0, 1]
    said = await get(app, "/api/samples")
    assert (said.status, said.error["code"], said.error["message"]) == (503, "UNAVAILABLE", "partition 0: away")


async def test_other_samples_for_another_seed(app: ASGIApp, shop: FakeShop) -> None:
    await get(app, "/api/samples?seed=1")
    first = shop.last.searches[0].vector
    await get(app, "/api/samples?seed=1")
    assert shop.last.searches[0].vector == first
    await get(app, "/api/samples?seed=2")
    assert shop.last.searches[0].vector != first


async def test_the_gateway_is_told_who_asks(app: ASGIApp, shop: FakeShop) -> None:
    await post(app, "/api/search", {"product_id": "shoe-1"})
    assert shop.metadata[-1]["vitrine-caller"] == "web"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"product_id": 7}, "product_id"),
        ({"page_size": "5"}, "page_size"),
        ({"page_size": -1}, "page_size"),
        ({"page_size": 10**12}, "page_size"),
        ({"crop": {"left": 0.0}}, "crop.top"),
        ({"crop_mode": "somehow"}, "crop_mode"),
        ({"colour": "red"}, "colour"),
        ({"history": [{"product_id": "a"}, {"product_id": "b", "weight": "much"}]}, "history[1].weight"),
        ({"history": [{"product_id": "a", "time": "yesterday"}]}, "history[0].time"),
        ({"history": [{"product_id": "a", "time": "2026-11-21T10:00:00"}]}, "history[0].time"),
        ({"history": [{"product_id": "a"}, {"product_id": "b", "time": BEFORE_THE_YEAR_1}]}, "history[1].time"),
        ({"history": [{"product_id": "a", "time": AFTER_THE_YEAR_9999}]}, "history[0].time"),
        ({"examples": {"positive": [{"product_id": "a", "image": "image"}]}}, "examples.positive[0].image"),
        ({"examples": {"positive": [{"image": "other"}]}}, "examples.positive[0].image"),
        ({"examples": {"positive": []}, "product_id": "a"}, "examples"),
        ({"filter": {"all_of": [{"field": "a", "bool": True, "any_string": ["b"]}]}}, "filter.all_of[0]"),
        ({"filter": {"all_of": [{"any_string": ["b"]}]}}, "filter.all_of[0].field"),
        (b'{"min_score": NaN}', "min_score"),
        (b'{"min_score": 1e999}', "min_score"),
        (b'{"product_id": "\\ud800"}', "body"),
        (b'{"product_id": "\xff"}', "body"),
        (b"[" * 100_000, "body"),
        (b"[]", "body"),
        (b"null", "body"),
        (b"", "body"),
        (b"not json", "body"),
    ],
)
async def test_a_bad_search_is_refused_by_name(app: ASGIApp, shop: FakeShop, query: Any, field: str) -> None:
    said = await post(app, "/api/search", query)
    assert (said.status, said.error["code"], said.error["field"]) == (400, "INVALID_ARGUMENT", field)
    assert said.error["message"]
    assert shop.asked == []


async def test_a_recommendation_names_the_time_that_is_no_time(app: ASGIApp, shop: FakeShop) -> None:
    said = await post(app, "/api/recommend", {"history": [{"product_id": "a", "time": BEFORE_THE_YEAR_1}]})
    assert (said.status, said.error["field"]) == (400, "history[0].time")
    assert shop.asked == []


@pytest.mark.parametrize("kind", ["UNSPECIFIED", "click", 1, None])
async def test_feedback_of_an_unknown_kind_is_refused(app: ASGIApp, kind: Any) -> None:
    said = await post(app, "/api/feedback", {"query_id": "q", "product_id": "p", "kind": kind})
    assert (said.status, said.error["field"]) == (400, "kind")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/thumbs/" + "0" * 63, "sha256"),
        ("/thumbs/" + "Z" * 64, "sha256"),
        ("/api/samples?count=49", "count"),
        ("/api/samples?count=0", "count"),
        ("/api/samples?seed=-1", "seed"),
        ("/api/samples?seed=" + "9" * 5000, "seed"),
        ("/api/samples?seed=%D9%A3", "seed"),
    ],
)
async def test_a_bad_address_is_refused_by_name(app: ASGIApp, path: str, field: str) -> None:
    said = await get(app, path)
    assert (said.status, said.error["field"]) == (400, field)
