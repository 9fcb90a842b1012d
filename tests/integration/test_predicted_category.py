"""The category that the model sees in a picture narrows the search, where it is sure enough."""

from __future__ import annotations

from typing import Any

from tests.integration.asking import search
from tests.integration.shop import Drawn, Shop, refused
from vitrine.v1 import filter_pb2
from vitrine.v1 import gateway_pb2 as pb

ALL = 1_000


def test_a_clear_picture_is_searched_within_its_category(shop: Shop) -> None:
    hits = []
    for product in shop.products[:18]:
        found = search(shop, image=product.pictures[0], category_mode=pb.CATEGORY_MODE_PREDICT, page_size=8)
        guess = found.predicted_category
        assert 0 < guess.confidence <= 1
        if guess.applied:
            assert {hit.category for hit in found.results} == {guess.category}
        hits.append(guess.applied and guess.category == product.category)
    assert sum(hits) >= 9


def test_a_guess_that_is_not_sure_enough_filters_nothing(shop: Shop) -> None:
    picture = shop.products[0].pictures[0]

    sure = search(shop, image=picture, category_mode=pb.CATEGORY_MODE_PREDICT, category_threshold=1, page_size=ALL)

    assert not sure.predicted_category.applied
    assert len(sure.results) == len(shop.products)


def test_a_category_with_nothing_in_it_hides_nothing(shop: Shop) -> None:
    product = _applied(shop)
    other = filter_pb2.Condition(field="category", any_string=filter_pb2.AnyString(values=[product.category]))

    found = search(
        shop,
        image=product.pictures[0],
        category_mode=pb.CATEGORY_MODE_PREDICT,
        filter=filter_pb2.Filter(none_of=[other]),
    )

    assert not found.predicted_category.applied
    assert found.results


def test_later_pages_stay_within_the_category(shop: Shop) -> None:
    asked: dict[str, Any] = {
        "image": _applied(shop).pictures[0],
        "category_mode": pb.CATEGORY_MODE_PREDICT,
        "page_size": 4,
    }
    first = search(shop, **asked)

    second = search(shop, **asked, page_token=first.next_page_token)

    assert {hit.category for hit in second.results} == {first.predicted_category.category}
    assert not {hit.product_id for hit in first.results} & {hit.product_id for hit in second.results}


def test_only_a_picture_can_be_judged(shop: Shop) -> None:
    with refused("INVALID_ARGUMENT", "category_mode"):
        search(shop, product_id=shop.products[0].product_id, category_mode=pb.CATEGORY_MODE_PREDICT)
    with refused("INVALID_ARGUMENT", "category_threshold"):
        search(shop, image=shop.products[0].pictures[0], category_threshold=0.5)


def _applied(shop: Shop) -> Drawn:
    """A product whose category the model is sure of, and right about."""
    for product in shop.products:
        found = search(shop, image=product.pictures[0], category_mode=pb.CATEGORY_MODE_PREDICT, page_size=1)
        if found.predicted_category.applied and found.predicted_category.category == product.category:
            return product
    raise AssertionError("the model is sure of no product")
