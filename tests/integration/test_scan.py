"""Scan: every product above a score."""

from __future__ import annotations

import pytest

from tests.integration.shop import ANY_VECTOR, Shop
from vitrine.filters import Filter, is_bool, number
from vitrine.runtime.errors import InvalidArgument


def test_a_scan_brings_every_product_above_the_score_once(shop: Shop) -> None:
    client = shop.calls.client
    picture = shop.products[0].pictures[0]
    whole = client.search(image=picture, k=10_000, exact=True)
    limit = whole.hits[40].score
    scan = client.scan(image=picture, min_score=limit)
    found = {hit.product_id: hit.score for hit in scan}
    expected = {hit.product_id: hit.score for hit in whole.hits if hit.score >= limit}
    assert found == pytest.approx(expected, abs=1e-5)
    assert scan.summary is not None
    assert scan.summary.products == len(expected)
    assert scan.summary.coverage == whole.coverage
    assert scan.summary.rows_scored == shop.images
    assert scan.summary.scoring_s > 0


def test_a_scan_keeps_to_its_filter_and_leaves_out_the_product_that_asks(shop: Shop) -> None:
    asking = next(product for product in shop.products if product.price < 50)
    cheap = Filter(all_of=(is_bool("attributes.cheap", True),))
    scan = shop.calls.client.scan(product_id=asking.product_id, min_score=-1, filter=cheap)
    expected = {product.product_id for product in shop.products if product.price < 50} - {asking.product_id}
    found = [hit.product_id for hit in scan]
    assert sorted(found) == sorted(expected)


def test_a_scan_that_is_ended_early_makes_room_for_others(shop: Shop) -> None:
    for _ in range(5):
        hits = iter(shop.calls.client.scan(vector=ANY_VECTOR, min_score=-1))
        next(hits)
        hits.close()
    assert len(list(shop.calls.client.scan(vector=ANY_VECTOR, min_score=-1))) == len(shop.products)


def test_a_typo_in_the_filter_of_a_scan_is_named(shop: Shop) -> None:
    typo = Filter(all_of=(number("attributes.prise", lt=1),))
    with pytest.raises(InvalidArgument, match=r'^filter\.all_of\[0\]\.field: no product has "attributes\.prise"'):
        list(shop.calls.client.scan(vector=ANY_VECTOR, min_score=-1, filter=typo))
