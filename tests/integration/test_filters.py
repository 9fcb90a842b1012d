"""Filters, facets and plans in a catalogue that stands still, and live fields in one that moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.integration.shop import ANY_VECTOR, Drawn, Shop, indexed, published, upsert
from vitrine.client import Answer
from vitrine.filters import Filter, any_string, is_bool, number
from vitrine.runtime.errors import InvalidArgument
from vitrine.stream.events import LiveUpdate

ALL = 10_000

CASES: dict[str, tuple[Filter, Callable[[Drawn], bool]]] = {
    "category": (
        Filter(all_of=(any_string("category", "Shoes", "Watches"),)),
        lambda p: p.category in ("Shoes", "Watches"),
    ),
    "number": (Filter(all_of=(number("attributes.price", gte=20, lt=50),)), lambda p: 20 <= p.price < 50),
    "bool": (Filter(all_of=(is_bool("attributes.cheap", True),)), lambda p: p.price < 50),
    "list": (Filter(all_of=(any_string("attributes.tags", "Pink", "Blue"),)), lambda p: p.colour in ("Pink", "Blue")),
    "none of": (Filter(none_of=(any_string("attributes.colour", "Black"),)), lambda p: p.colour != "Black"),
    "any of": (
        Filter(any_of=(any_string("attributes.colour", "Pink"), number("attributes.price", gt=80))),
        lambda p: p.colour == "Pink" or p.price > 80,
    ),
    "all together": (
        Filter(
            all_of=(is_bool("attributes.cheap", True),),
            any_of=(any_string("attributes.colour", "Pink", "Black"), any_string("category", "Shoes")),
            none_of=(number("attributes.price", lt=15),),
        ),
        lambda p: 15 <= p.price < 50 and (p.colour in ("Pink", "Black") or p.category == "Shoes"),
    ),
    "nobody": (Filter(all_of=(any_string("category", "Spaceships"),)), lambda p: False),
}


@pytest.mark.parametrize("case", CASES)
def test_exactly_the_products_that_meet_a_filter_are_answered(shop: Shop, case: str) -> None:
    wanted, meets = CASES[case]
    expected = [product.product_id for product in shop.products if meets(product)]
    assert bool(expected) == (case != "nobody")
    assert len(expected) < len(shop.products)
    assert sorted(_ids(shop.calls.client.search(vector=ANY_VECTOR, k=ALL, filter=wanted))) == sorted(expected)


def test_a_filter_leaves_the_order_as_it_is(shop: Shop) -> None:
    picture = shop.products[0].pictures[0]
    everything = shop.calls.client.search(image=picture, k=ALL)
    cheap = shop.calls.client.search(image=picture, k=ALL, filter=CASES["bool"][0])
    kept = {hit.product_id for hit in cheap.hits}
    assert _ids(cheap) == [product_id for product_id in _ids(everything) if product_id in kept]


def test_an_empty_filter_is_no_filter(shop: Shop) -> None:
    assert len(shop.calls.client.search(vector=ANY_VECTOR, k=ALL, filter=Filter()).hits) == len(shop.products)


def test_a_typo_in_a_field_is_named(shop: Shop) -> None:
    with pytest.raises(InvalidArgument, match=r'^filter\.all_of\[0\]\.field: no product has "attributes\.colr"'):
        shop.calls.client.search(vector=ANY_VECTOR, filter=Filter(all_of=(any_string("attributes.colr", "Pink"),)))


def test_a_condition_of_another_type_than_its_field_is_named(shop: Shop) -> None:
    with pytest.raises(InvalidArgument, match=r'^filter\.any_of\[0\]\.range: "attributes\.colour" is a string, not a'):
        shop.calls.client.search(vector=ANY_VECTOR, filter=Filter(any_of=(number("attributes.colour", lt=1),)))


def test_facets_count_values_over_the_best_products(shop: Shop) -> None:
    answer = shop.calls.client.search(
        vector=ANY_VECTOR, k=1, facets=["category", "attributes.colour", "attributes.tags"]
    )
    category, colour, tags = answer.facets
    assert [facet.field for facet in answer.facets] == ["category", "attributes.colour", "attributes.tags"]
    assert dict(category.counts) == Counter(product.category for product in shop.products)
    assert dict(colour.counts) == Counter(product.colour for product in shop.products)
    assert dict(tags.counts) == Counter(tag for product in shop.products for tag in {product.category, product.colour})
    assert {facet.products for facet in answer.facets} == {len(shop.products)}
    assert len(answer.hits) == 1


def test_facets_do_not_change_the_page(shop: Shop) -> None:
    plain = shop.calls.client.search(vector=ANY_VECTOR, k=7)
    counted = shop.calls.client.search(vector=ANY_VECTOR, k=7, facets=["category"])
    assert counted.hits == plain.hits


def test_facets_count_only_what_meets_the_filter(shop: Shop) -> None:
    answer = shop.calls.client.search(vector=ANY_VECTOR, k=1, facets=["category"], filter=CASES["category"][0])
    assert {count.value for count in answer.facets[0].counts} <= {"Shoes", "Watches"}


def test_explain_says_how_each_shard_was_searched(shop: Shop) -> None:
    answer = shop.calls.client.search(vector=ANY_VECTOR, filter=CASES["bool"][0], explain=True)
    matching = sum(len(product.pictures) for product in shop.products if product.price < 50)
    assert {plan.partition for plan in answer.plans} == {0, 1}
    assert sum(plan.rows_matching for plan in answer.plans) == matching
    assert sum(plan.rows_live for plan in answer.plans) == shop.images
    assert {plan.method for plan in answer.plans} <= {"tree", "projected", "exact", "none"}
    assert shop.calls.client.search(vector=ANY_VECTOR).plans == []


def test_exact_means_recall_1(shop: Shop) -> None:
    assert shop.calls.client.search(vector=ANY_VECTOR, exact=True).recall == 1
    assert 0.5 <= shop.calls.client.search(vector=ANY_VECTOR, recall_target=0.6).recall <= 1


def test_a_live_price_counts_from_the_moment_it_is_indexed(open_shop: Shop) -> None:
    client = open_shop.calls.client
    names = ["filtered-1", "filtered-2"]
    indexed(client, published(client, [upsert(name, open_shop.products[0].pictures[0]) for name in names]))
    for cheap, dear in (names, reversed(names)):
        acks = list(
            client.publish_live([LiveUpdate(cheap, {"filter_price": 5.0}), LiveUpdate(dear, {"filter_price": 500.0})])
        )
        positions = [ack.position for ack in acks if ack.position]
        wanted = Filter(all_of=(number("live.filter_price", lt=50),))
        answer = client.search(vector=ANY_VECTOR, k=ALL, filter=wanted, at_least=positions)
        assert _ids(answer) == [cheap]


def _ids(answer: Answer) -> list[str]:
    return [hit.product_id for hit in answer.hits]
