"""Titles as a bag of words."""

from __future__ import annotations

import numpy as np

from training import words

TITLES = ("Red Cotton T-Shirt", "Blue cotton shirt", "Blue Jeans 2024", "!!!")


def test_frequent_words_come_first_and_rare_ones_not_at_all() -> None:
    assert words.vocabulary(TITLES, in_titles_min=2, words_max=10) == ("blue", "cotton")
    assert words.vocabulary(TITLES, in_titles_min=1, words_max=2) == ("blue", "cotton")


def test_a_word_counts_once_a_title() -> None:
    assert words.vocabulary(("red red red", "blue", "blue"), in_titles_min=2, words_max=10) == ("blue",)


def test_the_words_of_a_title_share_one() -> None:
    shares = words.shares(TITLES, ("blue", "cotton", "jeans"))
    assert shares.tolist() == [[0, 1, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0, 0]]
    assert shares.dtype == np.float32
