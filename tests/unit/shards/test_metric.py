"""Each metric's scores are what its name says, and final ones depend on nothing but the query and the row."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import scattered
from vitrine.runtime.errors import ConfigError
from vitrine.shards.halves import as_float32
from vitrine.shards.metric import METRICS, metric_of
from vitrine.vectors import Vectors

DIM = 48
EACH = pytest.mark.parametrize("name", METRICS)


def by_hand(name: str, query: Vectors, rows: Any) -> npt.NDArray[np.float64]:
    """Scores by the definition, one row after the other, in float64."""
    wanted = query.astype(np.float64)
    scores = []
    for row in rows.astype(np.float64):
        if name in ("angular", "hamming"):
            scores.append(min(1.0, max(-1.0, float(sum(row * wanted)))))
        elif name == "euclidean":
            scores.append(1 / (1 + float(sum((row - wanted) ** 2)) ** 0.5))
        else:
            scores.append(1 / (1 + float(sum(abs(row - wanted)))))
    return np.array(scores)


@pytest.fixture(scope="module")
def rows() -> Vectors:
    return scattered(np.random.default_rng(1), 300, DIM)


@pytest.fixture(scope="module")
def queries() -> Vectors:
    return scattered(np.random.default_rng(2), 5, DIM)


@EACH
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
class TestScores:
    def test_of_a_block(self, name: str, dtype: Any, rows: Vectors, queries: Vectors) -> None:
        stored = rows.astype(dtype)

        scores = metric_of(name).scores(queries, stored)

        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores, [by_hand(name, query, stored) for query in queries], atol=2e-6)

    def test_of_candidates(self, name: str, dtype: Any, rows: Vectors, queries: Vectors) -> None:
        candidates = rows.astype(dtype)[: 5 * 20].reshape(5, 20, DIM)

        scores = metric_of(name).candidate_scores(queries, candidates)

        expected = [by_hand(name, query, block) for query, block in zip(queries, candidates, strict=True)]
        np.testing.assert_allclose(scores, expected, atol=2e-6)

    def test_final_ones(self, name: str, dtype: Any, rows: Vectors, queries: Vectors) -> None:
        stored = rows.astype(dtype)

        scores = metric_of(name).final_scores(queries[0], stored)

        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores, by_hand(name, queries[0], stored), atol=1e-6)


@EACH
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_final_score_does_not_depend_on_what_else_is_asked(name: str, data: st.DataObject) -> None:
    dim = data.draw(st.sampled_from([3, 8, 48, 129]))
    rng = np.random.default_rng(data.draw(st.integers(0, 1_000)))
    dtype = data.draw(st.sampled_from([np.float16, np.float32]))
    rows, query = scattered(rng, 40, dim).astype(dtype), scattered(rng, 1, dim)[0]
    alone = [metric_of(name).final_scores(query, rows[number : number + 1])[0] for number in range(40)]
    chosen = np.array(data.draw(st.lists(st.integers(0, 39), min_size=1, max_size=80)))

    together = metric_of(name).final_scores(query, as_float32(rows[chosen]))

    assert together.tolist() == [alone[number] for number in chosen]


@EACH
def test_a_vector_is_the_same_as_itself(name: str, rows: Vectors) -> None:
    itself = metric_of(name).final_scores(rows[0], rows[:1])

    assert itself.tolist() == [1.0]


@pytest.mark.parametrize("name", ["angular", "hamming"])
def test_opposite_vectors_score_no_less_than_minus_one(name: str, rows: Vectors) -> None:
    longer = rows * np.float32(1.0005)  # as float16 may leave them

    assert metric_of(name).scores(rows, -longer).min() == -1
    assert metric_of(name).final_scores(rows[0], -longer[:1])[0] == -1


@EACH
@pytest.mark.parametrize("apart", [0.0, 1e-5, 1e-3, 1e-2, 0.1, 1.0])
def test_rough_scores_are_no_further_from_final_ones_than_is_said(name: str, apart: float) -> None:
    rng = np.random.default_rng(3)
    query = scattered(rng, 1, 512)
    near = query + apart * scattered(rng, 2_000, 512)
    rows = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
    metric = metric_of(name)
    rough, final = metric.scores(query, rows)[0], metric.final_scores(query[0], rows)

    for k in (1, 10, 100):
        wanted = final >= np.sort(final)[-k]
        assert rough[wanted].min() >= metric.doubtful_from(float(np.sort(rough)[-k]))


@EACH
def test_hardly_worse_counts_as_found_and_clearly_worse_does_not(name: str) -> None:
    kth_best = np.array([0.5], np.float32)

    assert 0.5 - 1.1e-3 <= metric_of(name).as_good_as(kth_best)[0] < 0.5


def test_an_unknown_metric_is_a_setting_to_mend() -> None:
    with pytest.raises(ConfigError, match="angular, euclidean, manhattan, hamming") as caught:
        metric_of("cosine")

    assert caught.value.field == "metric"
