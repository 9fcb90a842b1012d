"""Many searches in one call: each answered as if it were alone."""

from __future__ import annotations

import numpy as np

from tests.integration.shop import ANY_VECTOR, DIM, Shop
from vitrine.client import Answer, Search
from vitrine.filters import Filter, any_string
from vitrine.runtime.errors import InvalidArgument, NotFound


def test_a_batch_says_what_each_search_alone_says(shop: Shop) -> None:
    client = shop.calls.client
    picture, product_id = shop.products[2].pictures[0], shop.products[8].product_id
    wanted = Filter(all_of=(any_string("category", shop.products[0].category),))
    batch = client.search_batch(
        [
            Search(vector=ANY_VECTOR, k=5),
            Search(image=picture, k=3),
            Search(product_id=product_id, k=4),
            Search(vector=ANY_VECTOR, k=10, filter=wanted, exact=True, explain=True, facets=["category"]),
        ]
    )
    alone = [
        client.search(vector=ANY_VECTOR, k=5),
        client.search(image=picture, k=3),
        client.search(product_id=product_id, k=4),
        client.search(vector=ANY_VECTOR, k=10, filter=wanted, exact=True, facets=["category"]),
    ]
    assert [_ids(answer) for answer in batch] == [_ids(answer) for answer in alone]
    last = batch[3]
    assert isinstance(last, Answer)
    assert last.facets == alone[3].facets
    assert last.plans
    assert last.coverage == alone[3].coverage


def test_bad_searches_have_an_error_of_their_own_among_good_ones(shop: Shop) -> None:
    typo = Filter(all_of=(any_string("attributes.colr", "red"),))
    good = Search(vector=ANY_VECTOR, k=2)
    bad = [
        Search(image=b"no picture"),
        Search(product_id="no-such-product"),
        Search(vector=ANY_VECTOR[:3]),
        Search(vector=ANY_VECTOR, filter=typo),
        Search(vector=ANY_VECTOR, page_token="damaged"),  # noqa: S106  (no password)
        Search(vector=ANY_VECTOR, recall_target=1.5),
    ]
    answers = shop.calls.client.search_batch([good, *bad, good])
    assert _ids(answers[0]) == _ids(answers[-1]) == _ids(shop.calls.client.search(vector=ANY_VECTOR, k=2))
    refused = answers[1:-1]
    fields = [error.field for error in refused if isinstance(error, InvalidArgument)]
    assert fields == ["image", "vector", "filter.all_of[0].field", "page_token", "recall_target"]
    assert isinstance(refused[1], NotFound)


def test_vectors_are_searched_in_bulk(shop: Shop) -> None:
    vectors = np.random.default_rng(1).normal(size=(300, DIM)).astype(np.float32)
    answers = shop.calls.client.search_batch(vectors, k=3)
    assert len(answers) == 300
    for number in (0, 64, 255, 256, 299):
        assert _ids(answers[number]) == _ids(shop.calls.client.search(vector=vectors[number], k=3))


def _ids(answer: object) -> list[str]:
    assert isinstance(answer, Answer), answer
    return [hit.product_id for hit in answer.hits]
