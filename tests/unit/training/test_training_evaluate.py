"""The arithmetic of the figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch")

from training.data import Pictures
from training.evaluate import measured, nearest, voted
from training.session import Embedded

NAMES = ("Belts", "Shoes")


def unit(angles_deg: Sequence[float]) -> npt.NDArray[np.float32]:
    """Unit vectors float32 (n, 2)."""
    radians = np.deg2rad(angles_deg)
    vectors: npt.NDArray[np.float32] = np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)
    return vectors


def pictures(codes: list[int]) -> Pictures:
    labels = {column: np.array(codes) for column in ("subcategory", "article_type", "colour")}
    return Pictures(np.zeros((len(codes), 80, 80, 3), np.uint8), labels)


def test_the_nearest_come_best_first() -> None:
    assert nearest(unit([10]), unit([90, 12, 40, 9]), 3).tolist() == [[3, 1, 2]]


def test_the_majority_wins_the_vote() -> None:
    assert voted(np.array([[0, 1, 1], [2, 2, 0]]), 3).tolist() == [1, 2]


def test_a_tied_vote_goes_to_the_nearer() -> None:
    assert voted(np.array([[1, 0, 0, 1], [0, 1, 0, 1]]), 2).tolist() == [1, 0]


def test_only_reference_subcategories_count_in_the_vote_accuracy() -> None:
    catalogue, queries = pictures([0] * 10 + [1] * 10), pictures([0, 1, 1])
    embedded = Embedded(unit([80, 0, 90]), np.array([[0.9, 0.1], [0.2, 0.8], [0.9, 0.1]], np.float32))
    metrics = measured(embedded, queries, unit([90] * 10 + [0] * 10), catalogue, NAMES)
    assert (metrics.queries, metrics.queries_reference) == (3, 2)
    assert metrics.knn_accuracy_full_catalogue == pytest.approx(1 / 2)
    assert metrics.knn_accuracy_nine_way == pytest.approx(1)
    assert metrics.head_accuracy == pytest.approx(2 / 3)
    assert metrics.precision_at_10["colour"] == pytest.approx(2 / 3)
