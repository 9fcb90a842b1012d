"""One list out of several, and one less alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.ranking import diversified, merged, rank
from vitrine.vectors import unit


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


def test_without_diversity_the_order_is_that_of_the_scores() -> None:
    vectors = unit(np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32))
    scores = np.sort(np.random.default_rng(1).random(20).astype(np.float32))[::-1].copy()

    assert diversified(scores, vectors, 6, 0.0) == [0, 1, 2, 3, 4, 5]


def test_the_second_pick_is_the_best_that_is_not_the_first_one_again() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    scores = np.array([0.9, 0.89, 0.8], np.float32)

    assert diversified(scores, vectors, 3, 0.5) == [0, 2, 1]


def test_no_more_are_picked_than_there_are() -> None:
    assert diversified(np.ones(2, np.float32), np.eye(2, dtype=np.float32), 5, 0.9) == [0, 1]
    assert diversified(np.ones(0, np.float32), np.ones((0, 2), np.float32), 5, 0.9) == []
