"""One list out of several."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.ranking import merged, rank


class Scored(NamedTuple):
    score: float
    product_id: str


def names(hits: list[Scored]) -> str:
    return "".join(hit.product_id for hit in hits)


def test_lists_are_merged_best_first() -> None:
    left = [Scored(0.9, "a"), Scored(0.1, "b")]
    right = [Scored(0.5, "c")]

    assert names(merged([left, right], 10)) == "acb"


def test_equal_scores_come_in_the_order_of_their_ids() -> None:
    left = [Scored(0.5, "b"), Scored(0.5, "d")]
    right = [Scored(0.5, "a"), Scored(0.5, "c")]

    assert names(merged([left, right], 10)) == "abcd"


@pytest.mark.parametrize(("k", "expected"), [(0, ""), (1, "a"), (2, "ab"), (9, "abc")])
def test_at_most_k_come_back(k: int, expected: str) -> None:
    lists = [[Scored(0.9, "a"), Scored(0.1, "c")], [Scored(0.5, "b")]]

    assert names(merged(lists, k)) == expected


def test_a_single_list_is_cut_too() -> None:
    assert names(merged([[Scored(0.9, "a"), Scored(0.5, "b")]], 1)) == "a"


@pytest.mark.parametrize("lists", [[], [[]], [[], []]])
def test_nothing_merges_to_nothing(lists: list[list[Scored]]) -> None:
    assert merged(lists, 5) == []


def test_no_more_is_read_than_needed() -> None:
    def endless(prefix: str) -> Iterator[Scored]:
        number = 0
        while True:
            yield Scored(-number, f"{prefix}{number}")
            number += 1

    assert [hit.product_id for hit in merged([endless("a"), endless("b")], 3)] == ["a0", "b0", "a1"]


@given(
    st.lists(st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5]), st.uuids().map(str))), max_size=5), st.integers(0, 9)
)
def test_it_is_the_head_of_the_whole_list_sorted(lists: list[list[tuple[float, str]]], k: int) -> None:
    ranked = [sorted((Scored(*hit) for hit in hits), key=rank) for hits in lists]

    assert merged(ranked, k) == sorted((hit for hits in ranked for hit in hits), key=rank)[:k]
