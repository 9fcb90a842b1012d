"""The arithmetic of the figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

from training.evaluation.classes import confusion, per_class
from training.evaluation.distances import DISTANCES, label_precision, nearest
from training.evaluation.index_recall import index_recall
from training.evaluation.metrics import aligned, column_figures, hits, vote_shares
from training.evaluation.ranking import average_precision, ranked
from training.evaluation.reference import Reference, reference_answers, reference_column
from training.evaluation.scenes_found import auto_crop, no_product, overlap


def unit(angles_deg: Sequence[float]) -> npt.NDArray[np.float32]:
    """Unit vectors float32 (n, 2)."""
    radians = np.deg2rad(angles_deg)
    vectors: npt.NDArray[np.float32] = np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)
    return vectors


def random_unit(n: int, dim: int, seed: int) -> npt.NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    normed: npt.NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normed


def test_the_nearest_come_best_first() -> None:
    assert nearest(unit([10]), unit([90, 12, 40, 9]), k=3).tolist() == [[3, 1, 2]]


@pytest.mark.parametrize("name", DISTANCES)
def test_every_distance_is_what_its_name_says(name: str) -> None:
    queries, catalogue = random_unit(3, 8, 1), random_unit(5, 8, 2)
    apart = queries[:, None] - catalogue[None]
    expected = {
        "angular": 1 - np.einsum("qd,cd->qc", queries, catalogue),
        "euclidean": np.linalg.norm(apart, axis=2),
        "manhattan": np.abs(apart).sum(axis=2),
    }
    np.testing.assert_allclose(DISTANCES[name](queries, catalogue), expected[name], atol=1e-5)


def test_unlabelled_queries_do_not_count_in_the_precision_of_a_distance() -> None:
    figures = label_precision(unit([0, 90]), unit([0, 1]), {"kind": np.array([0, -1])}, {"kind": np.array([0, 1])}, 1)
    assert figures["manhattan"]["kind"].value == 0.5
    assert figures["manhattan"]["kind"].queries == 1


def test_average_precision_is_the_mean_precision_at_the_right_ranks() -> None:
    matches = np.array([[True, False, True, False], [False, False, False, True], [False] * 4])
    np.testing.assert_allclose(average_precision(matches), [(1 + 2 / 3) / 2, 1 / 4, np.nan])


def test_a_ranking_is_of_the_whole_catalogue() -> None:
    codes = np.array([1, 0, 1])
    ranking = ranked(unit([0]), unit([30, 10, 20]), {"kind": np.array([1])}, {"kind": codes}, k=2)
    assert ranking.nearest.tolist() == [[1, 2]]
    assert ranking.average_precision["kind"][0] == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_the_majority_wins_the_vote_and_the_nearer_a_tie() -> None:
    assert vote_shares(np.array([[0, 1, 1], [2, 2, 0]]), 3).argmax(axis=1).tolist() == [1, 2]
    assert vote_shares(np.array([[1, 0, 0, 1], [0, 1, 0, 1]]), 2).argmax(axis=1).tolist() == [1, 0]


def test_pictures_without_a_label_abstain() -> None:
    assert vote_shares(np.array([[-1, -1, 2]]), 3)[0].argmax() == 2


def test_a_label_is_among_the_top_by_its_score_and_never_without_one() -> None:
    scores, truth = np.array([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]]), np.array([0, 2])
    assert [hits(scores, truth, k).tolist() for k in (1, 2, 3)] == [[False, False], [False, False], [True, False]]


def test_scores_follow_the_names_of_the_data() -> None:
    scores = aligned(np.array([[0.1, 0.7, 0.2]]), ("Bags", "Belts", "Shoes"), ("Belts", "Hats", "Bags"))
    np.testing.assert_allclose(scores, [[0.7, 0, 0.1]])


def test_queries_without_a_label_are_left_out_and_counted() -> None:
    neighbours = np.array([[0, 0], [1, 0], [1, 1]])
    figures = column_figures(np.array([0, 0, -1]), neighbours, np.array([1.0, 0.5, np.nan]), None, 2, seed=1)
    assert figures
    assert (figures.precision_at[1].value, figures.precision_at[10].value) == (0.5, 0.75)
    assert (figures.mean_average_precision.value, figures.unlabelled) == (0.75, 1)
    assert figures.top_by_head == {}
    assert (figures.top_by_vote[1].value, figures.top_by_vote[3].value) == (0.5, 1)


def test_a_column_without_any_label_has_no_figures() -> None:
    assert column_figures(np.array([-1]), np.array([[0]]), np.array([np.nan]), None, 1, seed=1) is None


def test_only_reference_subcategories_are_asked_and_offered() -> None:
    names = ("Belts", "Shoes", "Socks")
    queries, catalogue = unit([80, 0, 90]), unit([90] * 10 + [0] * 10 + [60])
    truth, offered = np.array([0, 1, 1]), np.array([0] * 10 + [1] * 10 + [2])
    neighbours = offered[nearest(queries, catalogue)]
    scores = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.9, 0.1, 0]])
    answers = reference_answers(queries, catalogue, truth, offered, neighbours, scores, names)
    assert answers
    figures = Reference.of(answers)
    assert (figures.vote.value, figures.vote.queries) == (1, 2)
    assert figures.vote_whole_catalogue.value == 0.5
    assert figures.head
    assert figures.head_all_labels
    assert (figures.head.value, figures.head_all_labels.value) == (1, 0.5)


def test_the_reference_column_is_the_one_whose_labels_are_subcategories() -> None:
    columns = {"colour": ("Red", "Blue"), "kind": ("Bags", "Belts", "Shoes")}
    assert reference_column(columns) == "kind"
    assert reference_column({"colour": columns["colour"]}) == ""


def test_a_class_has_precision_recall_and_their_mean() -> None:
    truth, predicted = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    bags, belts = per_class(truth, predicted, np.array([[True], [False], [True], [True]]), ("Bags", "Belts", "Hats"), 1)
    assert (bags.label, bags.queries, belts.label, belts.queries) == ("Bags", 3, "Belts", 1)
    assert bags.precision
    assert bags.recall
    assert bags.f1
    assert bags.precision_at_10
    assert bags.precision.value == 1
    assert bags.recall.value == pytest.approx(2 / 3)
    assert bags.f1.value == pytest.approx(0.8)
    assert bags.precision_at_10.value == pytest.approx(2 / 3)
    assert bags.f1.low <= 0.8 <= bags.f1.high


def test_a_class_that_is_never_predicted_has_no_precision() -> None:
    (bags,) = per_class(np.array([0]), np.array([1]), np.array([[True]]), ("Bags", "Belts"), 1)
    assert bags.precision is None
    assert bags.recall
    assert bags.recall.value == 0


def test_small_classes_are_one_in_a_short_confusion_matrix() -> None:
    confused = confusion(np.array([0, 0, 1, 2, 2, 2]), np.array([0, 2, 3, 2, 2, 1]), ("A", "B", "C", "D"))
    short = confused.largest(2)
    assert short.labels == ("C", "A", "other")
    assert short.counts.tolist() == [[2, 0, 1], [1, 1, 0], [0, 0, 1]]
    assert short.counts.sum() == confused.counts.sum()


def test_the_index_is_asked_and_measured() -> None:
    catalogue, queries = random_unit(1_500, 16, 1), random_unit(40, 16, 2)
    tenth = np.sort(queries @ catalogue.T, axis=1)[:, -10]
    recall = index_recall(queries, catalogue, tenth, seed=1)
    assert recall.recall_at_10.value > 0.95
    assert (recall.rows, recall.recall_at_10.queries) == (1_500, 40)


def test_a_catalogue_of_fewer_than_ten_is_wholly_found() -> None:
    catalogue = random_unit(4, 8, 1)
    tenth = (catalogue @ catalogue.T).min(axis=1)
    assert index_recall(catalogue, catalogue, tenth, seed=1).recall_at_10.value == 1


def test_overlap_is_intersection_over_union() -> None:
    boxes = np.array([[0, 0, 0.5, 1], [0, 0, 1, 1], [0, 0, 0.2, 0.2], [0, 0, 0, 0]])
    truth = np.array([[0.25, 0, 0.75, 1], [0, 0, 1, 1], [0.5, 0.5, 1, 1], [0, 0, 1, 1]])
    np.testing.assert_allclose(overlap(boxes, truth), [1 / 3, 1, 0, 0])


def test_a_scene_without_a_proposal_counts_as_missed() -> None:
    activation = np.zeros((2, 8, 8), np.float32)
    activation[0, 2:6, 2:6] = 1
    figures = auto_crop(activation, np.full((2, 4), (0.25, 0.25, 0.75, 0.75)), seed=1)
    assert (figures.found.value, figures.without_proposal) == (0.5, 1)
    assert figures.whole_picture_mean_iou.value == pytest.approx(0.25)
    assert sum(figures.iou_counts) == 2


def test_presence_is_judged_by_its_order() -> None:
    figures = no_product(np.array([0.9, 0.8], np.float32), np.array([0.1, 0.85], np.float32))
    assert figures.area_under_roc.value == 0.75
    assert sum(figures.scene_counts) == sum(figures.empty_counts) == 2
