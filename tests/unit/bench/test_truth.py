"""The truth that recall is told by."""

from __future__ import annotations

import numpy as np
import pytest

from tests.builders import scattered
from vitrine.cli.bench import truth
from vitrine.cli.bench.truth import exact_best, recalls
from vitrine.vectors import unit

RNG = np.random.default_rng(2)


def test_the_best_rows_are_those_of_one_big_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(truth, "_BLOCK_ROWS", 7)
    rows, queries = scattered(RNG, 100), scattered(RNG, 5)

    best = exact_best(rows, queries, 3)

    cosines = queries @ rows.T
    np.testing.assert_array_equal(best.rows, np.argsort(-cosines, axis=1)[:, :3])
    np.testing.assert_allclose(best.scores, -np.sort(-cosines, axis=1)[:, :3], rtol=1e-6)


def test_only_rows_that_may_be_answered_are_best() -> None:
    rows = scattered(RNG, 50)

    best = exact_best(rows, rows[:1], 3, among=np.array([40, 10]))

    assert best.rows.shape == (1, 2)
    assert set(best.rows[0]) == {10, 40}


def test_a_metric_of_distances_has_its_own_best() -> None:
    rows, queries = scattered(RNG, 60), scattered(RNG, 2)

    best = exact_best(rows, queries, 1, "manhattan")

    distances = np.abs(queries[:, None, :] - rows).sum(axis=2)
    np.testing.assert_array_equal(best.rows[:, 0], distances.argmin(axis=1))


def test_what_nobody_could_tell_from_the_kth_best_counts_as_found() -> None:
    rows = unit(np.array([[1, 0], [1, 0.01], [1, 0.0101], [1, 1]], np.float32))
    query = rows[:1]
    best = exact_best(rows, query, 2)

    assert recalls(best, [np.array([0, 2])], rows, query) == [1]
    assert recalls(best, [np.array([0, 3])], rows, query) == [0.5]


def test_a_row_that_is_named_twice_counts_once() -> None:
    rows = scattered(RNG, 20)
    best = exact_best(rows, rows[:1], 2)

    assert recalls(best, [best.rows[0, [0, 0]]], rows, rows[:1]) == [0.5]
