"""Click-through@k and mean rank, with the interval that the number of answers allows."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.cli.shoppers import act, display, shown
from vitrine.cli.click_figures import figures_by_surface, mean_of_groups, share
from vitrine.stream.feedback import FeedbackKind


def test_click_through_counts_answers_with_a_click_among_the_first_k() -> None:
    displays = [
        display(shown(1), act(1, "a"), act(1, "b")),
        display(shown(2), act(2, "f")),
        display(shown(3), act(3, "a", FeedbackKind.PURCHASE)),
        display(shown(4)),
    ]
    [page] = figures_by_surface(displays)
    assert (page.surface, page.answers) == ("page", 4)
    assert {k: figure.value for k, figure in page.click_through.items()} == {1: 0.25, 5: 0.25, 10: 0.5}
    assert page.acts == {"click": 3, "add_to_cart": 0, "purchase": 1, "dismiss": 0}


def test_the_mean_rank_is_that_of_clicks() -> None:
    displays = [display(shown(1), act(1, "a"), act(1, "c"), act(1, "f", FeedbackKind.DISMISS)), display(shown(2))]
    [page] = figures_by_surface(displays)
    assert page.mean_rank is not None
    assert page.mean_rank.value == 2.0


def test_without_clicks_there_is_no_mean_rank() -> None:
    [page] = figures_by_surface([display(shown(1))])
    assert page.mean_rank is None


def test_surfaces_are_told_apart_by_name() -> None:
    displays = [
        display(shown(1, surface="search")),
        display(shown(2, surface="home")),
        display(shown(3, surface="home")),
    ]
    assert [(one.surface, one.answers) for one in figures_by_surface(displays)] == [("home", 2), ("search", 1)]


def test_the_interval_of_a_share_is_wilsons() -> None:
    figure = share(10, 100)
    # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, gives 0.0552 to 0.1744.
    assert (figure.value, figure.low, figure.high) == pytest.approx((0.1, 0.0552, 0.1744), abs=1e-4)


def test_a_share_of_nothing_clicked_may_still_be_above_zero() -> None:
    assert share(0, 20).low == 0.0
    assert 0.1 < share(0, 20).high < 0.2


def test_the_interval_of_the_mean_rank_holds_the_truth_in_95_of_100_cases() -> None:
    random = np.random.default_rng(4)
    held = 0
    for _ in range(400):
        # A shopper clicks one to four times, around a rank of their own: clicks of one are alike.
        groups = [
            random.integers(low, low + 3, size=random.integers(1, 5)).tolist()
            for low in random.integers(1, 18, size=60)
        ]
        figure = mean_of_groups(groups)
        assert figure is not None
        held += figure.low <= 10.0 <= figure.high
    assert 0.91 < held / 400 < 0.98


def test_of_one_answer_nothing_is_known_but_its_own_mean() -> None:
    figure = mean_of_groups([[2, 4]])
    assert figure is not None
    assert (figure.value, figure.low, figure.high) == (3.0, 1.0, 10_000.0)
