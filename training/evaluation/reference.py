"""The nine subcategories that published figures for *Fashion Product Images* are about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from training.evaluation.distances import nearest
from training.evaluation.intervals import Figure, share
from training.evaluation.metrics import Scores, vote_shares
from training.evaluation.ranking import Codes, Vectors

REFERENCE_SUBCATEGORIES: Final = (
    "Topwear",
    "Shoes",
    "Bags",
    "Bottomwear",
    "Watches",
    "Innerwear",
    "Jewellery",
    "Eyewear",
    "Socks",
)

Right = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ReferenceAnswers:
    """Which queries are of the nine, bool (n,), and for those m whether each way of telling is right, bool (m,).

    `vote`: the ten nearest of the catalogue's pictures of the nine; `vote_whole_catalogue`: the ten nearest of all;
    `head`: the highest score among the nine; `head_all_labels`: among all. None without a head.
    """

    asked: Right
    vote: Right
    vote_whole_catalogue: Right
    head: Right | None
    head_all_labels: Right | None


@dataclass(frozen=True)
class Reference:
    """Shares of right answers on the queries of the nine, as `ReferenceAnswers` tells them apart."""

    vote: Figure
    vote_whole_catalogue: Figure
    head: Figure | None
    head_all_labels: Figure | None

    @staticmethod
    def of(answers: ReferenceAnswers) -> Reference:
        """The shares of at least one query."""
        vote, whole = share(answers.vote), share(answers.vote_whole_catalogue)
        assert vote
        assert whole
        head = None if answers.head is None else share(answers.head)
        head_all = None if answers.head_all_labels is None else share(answers.head_all_labels)
        return Reference(vote, whole, head, head_all)

    def as_json(self) -> dict[str, Any]:
        figures = {
            "vote": self.vote,
            "vote_whole_catalogue": self.vote_whole_catalogue,
            "head": self.head,
            "head_all_labels": self.head_all_labels,
        }
        return {name: figure.as_json() for name, figure in figures.items() if figure}


def reference_column(names: Mapping[str, tuple[str, ...]]) -> str:
    """The label column, of label names by column, that the nine are labels of; "" where none has two of them."""
    known = {column: len(set(labels) & set(REFERENCE_SUBCATEGORIES)) for column, labels in names.items()}
    best = max(known, key=lambda column: known[column])
    return best if known[best] > 1 else ""


def reference_answers(
    queries: Vectors,
    catalogue: Vectors,
    truth: Codes,
    offered: Codes,
    neighbours: Codes,
    scores: Scores | None,
    names: tuple[str, ...],
) -> ReferenceAnswers | None:
    """None where no query, or nothing of the catalogue, is of the nine.

    `truth` (n,) and `offered` (rows,): codes of `names`; `neighbours` (n, k): codes of the nearest of the whole
    catalogue; `scores` (n, labels).
    """
    nine = np.array([code for code, name in enumerate(names) if name in REFERENCE_SUBCATEGORIES], np.int64)
    asked, among = np.isin(truth, nine), np.isin(offered, nine)
    if not asked.any() or not among.any():
        return None
    wanted = truth[asked]
    found = offered[among][nearest(queries[asked], catalogue[among])]
    return ReferenceAnswers(
        asked=asked,
        vote=vote_shares(found, len(names)).argmax(axis=1) == wanted,
        vote_whole_catalogue=vote_shares(neighbours[asked], len(names)).argmax(axis=1) == wanted,
        head=None if scores is None else nine[scores[asked][:, nine].argmax(axis=1)] == wanted,
        head_all_labels=None if scores is None else scores[asked].argmax(axis=1) == wanted,
    )
