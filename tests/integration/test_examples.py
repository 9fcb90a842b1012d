"""More like these, less like those."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.integration.asking import examples, named, one_of, scores, search, unit_of, vector_by_id
from tests.integration.shop import DIM, Shop, refused
from vitrine.v1 import embedder_pb2
from vitrine.v1 import gateway_pb2 as pb
from vitrine.vectors import to_wire

NAN = float("nan")
ALL = 1_000


def test_several_likes_find_what_lies_between_them(shop: Shop) -> None:
    shoe, bag = one_of(shop, "Shoes"), one_of(shop, "Bags")

    found = search(shop, examples=examples([shoe, bag]), page_size=20)

    assert {"Shoes", "Bags"} <= {hit.category for hit in found.results}


def test_examples_are_left_out_of_the_answer(shop: Shop) -> None:
    likes, dislikes = shop.products[:3], shop.products[3:5]

    found = search(shop, examples=examples(likes, dislikes), page_size=ALL)

    named = {product.product_id for product in (*likes, *dislikes)}
    assert {hit.product_id for hit in found.results} == {product.product_id for product in shop.products} - named


def test_a_dislike_pushes_what_looks_like_it_down(shop: Shop) -> None:
    liked = one_of(shop, "Topwear")
    before = [hit.product_id for hit in search(shop, examples=examples([liked]), page_size=ALL).results]
    disliked = before[4]
    like_it = [hit.product_id for hit in search(shop, product_id=disliked, page_size=8).results]

    after = [
        hit.product_id
        for hit in search(
            shop,
            examples=pb.Examples(positive=[named(liked)], negative=[pb.Example(product_id=disliked)]),
            page_size=ALL,
        ).results
    ]

    ranks = [(before.index(name), after.index(name)) for name in like_it if name in before and name in after]
    assert np.mean([late - early for early, late in ranks]) > 0


def test_the_vector_asked_with_is_rocchios(shop: Shop) -> None:
    vectors = [vector_by_id(shop, product.product_id) for product in shop.products[:3]]
    likes = [pb.Example(vector=to_wire(vectors[0]), weight=3), pb.Example(vector=to_wire(vectors[1]))]
    towards = unit_of(3 * vectors[0] + vectors[1])
    expected = unit_of(towards - 0.5 * vectors[2])

    found = search(shop, examples=pb.Examples(positive=likes, negative=[pb.Example(vector=to_wire(vectors[2]))]))

    plain = search(shop, vector=to_wire(expected))
    assert scores(found) == pytest.approx(scores(plain), abs=1e-5)


def test_one_example_is_a_search_by_it(shop: Shop) -> None:
    product = shop.products[11]
    picture = search(shop, examples=pb.Examples(positive=[pb.Example(image=product.pictures[0])]), page_size=5)

    assert picture.results[0].product_id == product.product_id
    assert scores(picture) == pytest.approx(scores(search(shop, image=product.pictures[0], page_size=5)), abs=1e-4)


def test_pages_of_examples_go_on_where_they_ended(shop: Shop) -> None:
    asked: dict[str, Any] = {"examples": examples(shop.products[:2], shop.products[2:3]), "page_size": 30}
    whole = [hit.product_id for hit in search(shop, **{**asked, "page_size": 90}).results]

    pages, token = [], ""
    for _ in range(3):
        page = search(shop, **asked, page_token=token)
        pages += [hit.product_id for hit in page.results]
        token = page.next_page_token

    assert pages == whole


@pytest.mark.parametrize(
    ("examples", "words"),
    [
        (pb.Examples(), ["examples.positive"]),
        (pb.Examples(negative=[pb.Example(product_id="p")]), ["examples.positive"]),
        (pb.Examples(positive=[pb.Example()]), ["examples.positive[0]"]),
        (pb.Examples(positive=[pb.Example(product_id="nobody")]), ["examples.positive[0].product_id", "nobody"]),
        (pb.Examples(positive=[pb.Example(product_id="p", weight=0)]), ["examples.positive[0].weight"]),
        (pb.Examples(positive=[pb.Example(product_id="p", weight=NAN)]), ["examples.positive[0].weight"]),
        (pb.Examples(positive=[pb.Example(product_id="p", weight=-1)]), ["examples.positive[0].weight"]),
        (pb.Examples(positive=[pb.Example(vector=b"12")]), ["examples.positive[0].vector"]),
        (pb.Examples(positive=[pb.Example(image=b"<svg/>")]), ["examples.positive[0].image"]),
        (pb.Examples(positive=[pb.Example(image=b"")]), ["examples.positive[0].image"]),
        (
            pb.Examples(positive=[pb.Example(product_id="p", crop=embedder_pb2.CropBox(right=1, bottom=1))]),
            ["examples.positive[0].crop"],
        ),
        (
            pb.Examples(positive=[pb.Example(product_id="p")], negative=[pb.Example(product_id="p", weight=2)]),
            ["examples.negative[0]", "examples.positive[0]"],
        ),
        (pb.Examples(positive=[pb.Example(product_id="p")] * 33), ["examples"]),
    ],
)
def test_wrong_examples_are_refused_by_name(shop: Shop, examples: pb.Examples, words: list[str]) -> None:
    with refused("NOT_FOUND" if "nobody" in words else "INVALID_ARGUMENT", *words):
        search(shop, examples=examples)


def test_examples_that_cancel_each_other_out(shop: Shop) -> None:
    vector = np.ones(DIM, np.float32)
    both = [pb.Example(vector=to_wire(vector)), pb.Example(vector=to_wire(-vector))]
    with refused("INVALID_ARGUMENT", "examples.positive", "cancel"):
        search(shop, examples=pb.Examples(positive=both))
