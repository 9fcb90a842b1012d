"""The bench of recommendations: histories whose making is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.bench.tiny_set import write_tiny_set
from vitrine.cli.bench.recommend import History, histories
from vitrine.cli.bench.vector_set import VectorSet


@pytest.fixture
def source(tmp_path: Path) -> VectorSet:
    return VectorSet.open(write_tiny_set(tmp_path, 300), 300)


@pytest.mark.parametrize("kinds", [1, 2, 3])
def test_a_history_is_of_as_many_article_types_as_wanted(source: VectorSet, kinds: int) -> None:
    types = source.labels["article_type"].to_numpy()
    for history in histories(source, kinds, items=9, count=20):
        (rows,) = source.rows_of([list(history.product_ids)])
        found, counts = np.unique(types[rows], return_counts=True)
        assert set(found) == set(history.types)
        assert max(counts) - min(counts) <= 1
        assert len(set(history.product_ids)) == 9


def test_histories_differ_and_are_the_same_every_time(source: VectorSet) -> None:
    first, second = (histories(source, 2, items=9, count=20) for _ in range(2))
    assert first == second
    assert len(set(first)) == 20


def test_a_history_is_asked_with_its_times(source: VectorSet) -> None:
    request = History(("Shirts",), ("0-0", "1-0"), (0, 86_400)).request(diversity=0.25)
    newer, older = (item.time.seconds for item in request.history)
    assert newer - older == 86_400
    assert request.diversity == 0.25
