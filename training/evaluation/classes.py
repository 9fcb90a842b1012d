"""Class by class: how often each label is met, told apart and found, and what it is taken for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.evaluation.intervals import Figure, Resamples, share_of
from training.evaluation.ranking import Codes


@dataclass(frozen=True)
class ClassFigures:
    """One label. `queries` carry it; a figure is None where nothing was predicted or asked.

    `precision`: share of those predicted to carry it that do; `recall`: share of those that carry it predicted to;
    `f1`: their harmonic mean; `precision_at_10`: share of the ten nearest that carry it too.
    """

    label: str
    queries: int
    precision: Figure | None
    recall: Figure | None
    f1: Figure | None
    precision_at_10: Figure | None

    def as_json(self) -> dict[str, Any]:
        figures = {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "precision_at_10": self.precision_at_10,
        }
        shown = {name: figure.as_json() if figure else None for name, figure in figures.items()}
        return {"label": self.label, "queries": self.queries, **shown}


@dataclass(frozen=True)
class Confusion:
    """`counts[truth][predicted]` over `labels`, int64 (labels, labels)."""

    labels: tuple[str, ...]
    counts: npt.NDArray[np.int64]

    def largest(self, labels_max: int) -> Confusion:
        """The labels met most often, the most frequent first, and all others as one, "other", if there are any."""
        met = self.counts.sum(axis=1)
        order = np.argsort(-met, kind="stable")[: np.count_nonzero(met)]
        if len(order) <= labels_max and np.isin(np.flatnonzero(self.counts.sum(axis=0)), order).all():
            kept, names = order, tuple(self.labels[code] for code in order)
        else:
            kept, names = order[:labels_max], (*(self.labels[code] for code in order[:labels_max]), "other")
        place = np.full(len(self.labels), len(names) - 1)
        place[kept] = np.arange(len(kept))
        counts = np.zeros((len(names), len(names)), np.int64)
        np.add.at(counts, (place[:, None], place[None, :]), self.counts)
        return Confusion(names, counts)

    def as_json(self) -> dict[str, Any]:
        return {"labels": list(self.labels), "counts": self.counts.tolist()}


def confusion(truth: Codes, predicted: Codes, names: tuple[str, ...]) -> Confusion:
    """What labels (n,) were taken for, both int64 codes of `names`."""
    labels = len(names)
    counts = np.bincount(truth * labels + predicted, minlength=labels * labels).reshape(labels, labels)
    return Confusion(names, counts)


def per_class(
    truth: Codes, predicted: Codes, matches: npt.NDArray[np.bool_], names: tuple[str, ...], seed: int
) -> tuple[ClassFigures, ...]:
    """Figures of every label that a query carries, the most frequent first.

    `truth`, `predicted` int64 (n,) codes of `names`; `matches` bool (n, 10): which of the nearest carry the label.
    """
    draws = Resamples.of(len(truth), seed)
    precision_at_10 = matches.mean(axis=1)
    counts = np.bincount(truth, minlength=len(names))
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    return tuple(
        _class_figures(names[code], truth == code, predicted == code, precision_at_10, draws) for code in order.tolist()
    )


def _class_figures(
    label: str,
    is_it: npt.NDArray[np.bool_],
    said_so: npt.NDArray[np.bool_],
    precision_at_10: npt.NDArray[np.float64],
    draws: Resamples,
) -> ClassFigures:
    right, met, said = (int(np.count_nonzero(mask)) for mask in (is_it & said_so, is_it, said_so))
    return ClassFigures(
        label=label,
        queries=met,
        precision=share_of(right, said),
        recall=share_of(right, met),
        # F1 = 2 tp / (2 tp + fp + fn), and the lower part is the sum of both masks.
        f1=draws.ratio(2.0 * (is_it & said_so), is_it.astype(float) + said_so),
        precision_at_10=draws.ratio(precision_at_10 * is_it, is_it.astype(float)),
    )
