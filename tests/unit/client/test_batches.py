"""Searches are sent in as many calls as the gateway wants them in."""

from __future__ import annotations

import numpy as np
import pytest

from vitrine.client import Answer, Coverage, Example, Examples, OrderBy, Search
from vitrine.client.batches import MAX_PAGED, Paging, batches
from vitrine.shards.records import Hit

VECTOR = np.ones(4, np.float32)
HIT = Hit("p", "0", "", b"", 1.0, "", {})
TWO_PICTURES = Examples([b"jpeg", Example(b"another"), "p"], ["q", VECTOR])


@pytest.mark.parametrize(
    ("searches", "sizes"),
    [
        ([Search(vector=VECTOR)] * 600, [256, 256, 88]),
        ([Search(image=b"jpeg")] * 100, [64, 36]),
        ([Search(examples=TWO_PICTURES)] * 40, [32, 8]),
        ([Search(vector=VECTOR, k=1_000)] * 25, [10, 10, 5]),
        ([Search(vector=VECTOR, facets=("category",))] * 12, [10, 2]),
        ([Search(vector=VECTOR, diversity=0.5, k=40)] * 60, [50, 10]),
        ([Search(vector=VECTOR, order_by=OrderBy("live.price"), min_score=0.5)] * 12, [10, 2]),
        ([Search(vector=VECTOR, k=10_000)] * 2, [1, 1]),
        ([], []),
    ],
)
def test_a_call_holds_as_many_as_the_gateway_takes(searches: list[Search], sizes: list[int]) -> None:
    assert [len(batch) for batch in batches(searches)] == sizes


def test_they_stay_in_order() -> None:
    searches = [Search(vector=VECTOR, k=number % 700 + 1) for number in range(900)]

    assert [search.k for batch in batches(searches) for search in batch] == [search.k for search in searches]


def test_the_next_page_is_asked_for_with_the_last_ones_token() -> None:
    paging = Paging(Search(vector=VECTOR, k=10))
    assert paging.next is not None
    assert paging.next.page_token == ""

    paging.took(_page(10, "second"))

    assert paging.next is not None
    assert (paging.next.page_token, paging.next.k) == ("second", 10)


def test_a_page_without_a_token_is_the_last() -> None:
    paging = Paging(Search(vector=VECTOR))

    paging.took(_page(3, ""))

    assert paging.next is None


def test_pages_hold_no_more_together_than_the_gateway_gives() -> None:
    paging = Paging(Search(vector=VECTOR, k=300))
    asked = []
    while paging.next:
        asked.append(paging.next.k)
        paging.took(_page(paging.next.k, "more"))

    assert asked == [300, 300, 300, 100]
    assert sum(asked) == MAX_PAGED


def _page(hits: int, token: str) -> Answer:
    return Answer([HIT] * hits, Coverage(1, 1, 1, {}), 0, "", "", token)
