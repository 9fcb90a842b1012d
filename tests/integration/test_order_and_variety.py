"""The best products in another order, or as different from each other as can be."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from tests.integration.asking import search, vector_by_id
from tests.integration.shop import Shop, refused
from vitrine.v1 import gateway_pb2 as pb

NAN = float("nan")
ALL = 1_000


@pytest.mark.parametrize("descending", [False, True])
def test_the_best_are_ordered_by_price(shop: Shop, descending: bool) -> None:
    asked = shop.products[0].product_id
    order = pb.OrderBy(field="attributes.price", descending=descending)
    alike = {hit.product_id for hit in search(shop, product_id=asked, min_score=0.3, page_size=ALL).results}
    expected = sorted((product.price for product in shop.products if product.product_id in alike), reverse=descending)[
        :10
    ]

    found = search(shop, product_id=asked, min_score=0.3, order_by=order)

    assert [hit.attributes["price"].number for hit in found.results] == pytest.approx(expected)
    assert found.next_page_token == ""


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("min_score", {"order_by": pb.OrderBy(field="attributes.price")}),
        ("order_by.field", {"order_by": pb.OrderBy(), "min_score": 0}),
        ("order_by.field", {"order_by": pb.OrderBy(field="category"), "min_score": 0}),
        ("order_by.field", {"order_by": pb.OrderBy(field="attributes.prise"), "min_score": 0}),
        ("order_by.field", {"order_by": pb.OrderBy(field="attributes.colour"), "min_score": 0}),
        ("page_size", {"order_by": pb.OrderBy(field="attributes.price"), "min_score": 0, "page_size": 1001}),
        ("page_token", {"order_by": pb.OrderBy(field="attributes.price"), "min_score": 0, "page_token": "x"}),
        ("diversity", {"order_by": pb.OrderBy(field="attributes.price"), "min_score": 0, "diversity": 0.5}),
        ("diversity", {"diversity": 1.1}),
        ("diversity", {"diversity": NAN}),
        ("page_size", {"diversity": 0.5, "page_size": 101}),
        ("page_token", {"diversity": 0.5, "page_token": "x"}),
        ("surface", {"surface": "Product Page"}),
        ("crop_mode", {"crop_mode": pb.CROP_MODE_AUTO}),
    ],
)
def test_wrong_wishes_are_refused_by_name(shop: Shop, field: str, fields: dict[str, Any]) -> None:
    with refused("INVALID_ARGUMENT", f"{field}: "):
        search(shop, product_id=shop.products[0].product_id, **fields)


def test_diversity_makes_an_answer_less_alike_and_keeps_the_best(shop: Shop) -> None:
    alikeness = []
    for diversity in (0.0, 0.3, 0.7):
        likeness = []
        for product in shop.products[::12]:
            found = search(shop, product_id=product.product_id, diversity=diversity)
            assert found.results[0].product_id == search(shop, product_id=product.product_id).results[0].product_id
            vectors = [vector_by_id(shop, hit.product_id) for hit in found.results]
            likeness.append(np.mean([float(one @ other) for one, other in combinations(vectors, 2)]))
        alikeness.append(float(np.mean(likeness)))
    assert alikeness[0] > alikeness[1] + 0.01 > alikeness[2] + 0.02
