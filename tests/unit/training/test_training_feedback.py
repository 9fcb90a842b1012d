"""A model that has learnt from simulated shoppers answers the next ones better."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks.feedback import Plan, ndcg, run


def test_ndcg_is_1_where_all_that_was_clicked_comes_first() -> None:
    clicked = np.array([[True, True, False, False]])
    assert ndcg(np.array([[4.0, 3.0, 2.0, 1.0]]), clicked) == pytest.approx([1.0])
    assert ndcg(np.array([[1.0, 4.0, 3.0, 2.0]]), clicked) == pytest.approx(
        [(1 + 1 / np.log2(5)) / (1 + 1 / np.log2(3))]
    )


def test_ndcg_forgives_what_does_not_fit_among_the_ten() -> None:
    scores = -np.arange(30.0)[None]
    assert ndcg(scores, scores > -20) == pytest.approx([1.0])
    assert ndcg(scores, scores <= -10) == pytest.approx([0.0])


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_ndcg_of_held_out_clicks_rises() -> None:
    outcome = run(Plan())
    gain = outcome.learned - outcome.without
    error = gain.std(ddof=1) / len(gain) ** 0.5
    assert gain.mean() > 3 * error
