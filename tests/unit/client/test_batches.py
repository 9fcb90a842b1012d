"""Searches are sent in as many calls as the gateway wants them in."""

from __future__ import annotations

import numpy as np
import pytest

from vitrine.client import Search
from vitrine.client.calls import _batches

VECTOR = np.ones(4, np.float32)


@pytest.mark.parametrize(
    ("searches", "sizes"),
    [
        ([Search(vector=VECTOR)] * 600, [256, 256, 88]),
        ([Search(image=b"jpeg")] * 100, [64, 36]),
        ([Search(vector=VECTOR, k=1_000)] * 25, [10, 10, 5]),
        ([Search(vector=VECTOR, facets=("category",))] * 12, [10, 2]),
        ([Search(vector=VECTOR, k=10_000)] * 2, [1, 1]),
        ([], []),
    ],
)
def test_a_call_holds_as_many_as_the_gateway_takes(searches: list[Search], sizes: list[int]) -> None:
    assert [len(batch) for batch in _batches(searches)] == sizes


def test_they_stay_in_order() -> None:
    searches = [Search(vector=VECTOR, k=number % 700 + 1) for number in range(900)]

    assert [search.k for batch in _batches(searches) for search in batch] == [search.k for search in searches]
