"""Intervals: as wide as the number of queries allows."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from training.evaluation.intervals import Resamples, area_under_roc, share, share_of


def test_the_share_of_nothing_is_no_figure() -> None:
    assert share(np.zeros(0, np.bool_)) is None


def test_wilsons_interval_agrees_with_the_textbook() -> None:
    # Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 1998, table I.
    figure = share_of(81, 263)
    assert figure
    assert (figure.low, figure.high) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    none_right = share_of(0, 20)
    assert none_right
    assert (none_right.low, none_right.high) == pytest.approx((0, 0.1611), abs=1e-4)


def test_the_bootstrap_of_a_mean_agrees_with_its_standard_error() -> None:
    values = np.random.default_rng(1).normal(5, 2, 2_000)
    figure = Resamples.of(2_000, seed=3).mean(values)
    assert figure.value == pytest.approx(values.mean())
    assert figure.high - figure.low == pytest.approx(2 * 1.96 * values.std() / 2_000**0.5, rel=0.1)


def test_every_draw_has_as_many_queries_as_were_asked() -> None:
    assert (Resamples.of(17, seed=1).counts.sum(axis=1) == 17).all()


def test_the_same_seed_draws_the_same() -> None:
    np.testing.assert_array_equal(Resamples.of(9, seed=4).counts, Resamples.of(9, seed=4).counts)


def test_a_ratio_counts_only_the_queries_below_the_line() -> None:
    figure = Resamples.of(4, seed=1).ratio(np.array([1.0, 0, 0, 0]), np.array([1.0, 1, 0, 0]))
    assert (figure.value, figure.queries) == (0.5, 2)


def test_scores_apart_have_the_whole_area_and_equal_ones_half() -> None:
    assert area_under_roc(np.array([0.8, 0.9]), np.array([0.1, 0.2, 0.3])).value == 1
    assert area_under_roc(np.full(5, 0.4), np.full(7, 0.4)).value == 0.5


def test_the_area_is_the_chance_of_the_right_order() -> None:
    random = np.random.default_rng(2)
    positive, negative = random.normal(1, 1, 400), random.normal(0, 1, 300)
    figure = area_under_roc(positive, negative)
    assert figure.value == pytest.approx((positive[:, None] > negative).mean())
    assert figure.low < 0.7602 < figure.high  # of two normal distributions one standard deviation apart
    assert figure.queries == 700
