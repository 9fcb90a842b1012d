"""Accuracy and precision, per label column and per class, from a ranking and a model's scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from training.evaluation.intervals import Figure, Resamples, share
from training.evaluation.ranking import Codes

PRECISION_AT: Final = (1, 5, 10)
TOP: Final = (1, 3, 5)

Scores = npt.NDArray[np.floating]


@dataclass(frozen=True)
class ColumnFigures:
    """How well one label column is found and told.

    `precision_at`: share of the 1, 5 and 10 nearest with the query's label; `mean_average_precision` over the whole
    ranking; `top_by_head`: the head has the label among its 1, 3 and 5 highest scores ({} without a head);
    `top_by_vote`: so has the vote of the ten nearest. `unlabelled`: queries left out because they have no label, or
    one that the training split lacks.
    """

    precision_at: Mapping[int, Figure]
    mean_average_precision: Figure
    top_by_head: Mapping[int, Figure]
    top_by_vote: Mapping[int, Figure]
    unlabelled: int

    def as_json(self) -> dict[str, Any]:
        return {
            **{f"precision_at_{k}": figure.as_json() for k, figure in self.precision_at.items()},
            "mean_average_precision": self.mean_average_precision.as_json(),
            "top_by_head": {str(k): figure.as_json() for k, figure in self.top_by_head.items()},
            "top_by_vote": {str(k): figure.as_json() for k, figure in self.top_by_vote.items()},
            "unlabelled": self.unlabelled,
        }


def column_figures(
    truth: Codes,
    neighbours: Codes,
    average_precision: npt.NDArray[np.float64],
    scores: Scores | None,
    labels: int,
    seed: int,
) -> ColumnFigures | None:
    """Figures of one label column; None where no query has a label.

    `truth` int64 (n,); `neighbours` int64 (n, k): the labels of the nearest; `average_precision` (n,) as `Ranking` has
    it; `scores` (n, labels) of a head, if there is one.
    """
    known = truth >= 0
    if not known.any():
        return None
    truth, neighbours, average_precision = truth[known], neighbours[known], average_precision[known]
    draws = Resamples.of(len(truth), seed)
    matches = neighbours == truth[:, None]
    votes = vote_shares(neighbours, labels)
    rankable = ~np.isnan(average_precision)
    return ColumnFigures(
        precision_at={k: draws.mean(matches[:, :k].mean(axis=1)) for k in PRECISION_AT},
        mean_average_precision=draws.ratio(np.where(rankable, average_precision, 0), np.maximum(rankable, 0))
        if rankable.any()
        else Figure(0, 0, 0, 0),
        top_by_head={} if scores is None else _top(scores[known], truth),
        top_by_vote=_top(votes, truth),
        unlabelled=int(np.count_nonzero(~known)),
    )


def vote_shares(neighbours: Codes, labels: int) -> npt.NDArray[np.float64]:
    """How much each label is voted for by codes (n, k), nearest first. float64 (n, labels), 0 where by nobody.

    The nearer neighbour's vote counts for a little more, so little that it only breaks ties. Negative codes abstain.
    """
    n, k = neighbours.shape
    # Halving makes each vote's excess more than all after it together.
    weights = np.broadcast_to(1 + 1e-3 * 0.5 ** np.arange(k), (n, k))
    cast = neighbours >= 0
    cells = (neighbours + labels * np.arange(n)[:, None])[cast]
    votes = np.bincount(cells, weights=weights[cast], minlength=n * labels).astype(np.float64)
    return votes.reshape(n, labels)


def hits(scores: Scores, truth: Codes, k: int) -> npt.NDArray[np.bool_]:
    """Whether the label `truth` (n,) has one of the k highest of scores (n, labels); one of 0 never has. bool (n,)."""
    own = np.take_along_axis(scores, truth[:, None], axis=1)
    hit: npt.NDArray[np.bool_] = ((scores > own).sum(axis=1) < k) & (own[:, 0] > 0)
    return hit


def aligned(scores: Scores, model_labels: tuple[str, ...], names: tuple[str, ...]) -> Scores:
    """Scores (n, model labels) in the order of `names`; 0 for a name that the model does not know."""
    column_of = {label: column for column, label in enumerate(model_labels)}
    ordered = np.zeros((len(scores), len(names)), np.float32)
    for code, name in enumerate(names):
        if name in column_of:
            ordered[:, code] = scores[:, column_of[name]]
    return ordered


def _top(scores: Scores, truth: Codes) -> dict[int, Figure]:
    figures = {k: share(hits(scores, truth, k)) for k in TOP}
    return {k: figure for k, figure in figures.items() if figure is not None}
