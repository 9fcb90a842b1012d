"""How well a model finds its like: queries from one split, answered from the catalogue of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from training import heldout
from training.cutout import can_be_cut, product_masks
from training.data import LABEL_COLUMNS, Dataset, Pictures
from training.session import Embedded, Session

SCORED_COLUMN: Final = "subcategory"
NEIGHBOURS: Final = 10
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
"""The nine subcategories that published figures for this data set are about."""

_BLOCK_QUERIES: Final = 512


@dataclass(frozen=True)
class Metrics:
    """Shares in 0..1, measured on `queries` pictures of which `queries_reference` are of a reference subcategory.

    `knn_accuracy_nine_way`: a reference query's subcategory wins the vote of its 10 nearest among the catalogue's
    pictures of the nine; `knn_accuracy_full_catalogue`: among all its pictures. Both 0 where there is no such query.
    `head_accuracy`: the classification head puts the right subcategory first, over all queries.
    `precision_at_10`: share of the 10 nearest that carry the query's own label, per label column, over all queries.
    """

    queries: int
    queries_reference: int
    knn_accuracy_nine_way: float
    knn_accuracy_full_catalogue: float
    head_accuracy: float
    precision_at_10: Mapping[str, float]

    def as_json(self) -> dict[str, object]:
        """Rounded to four digits."""
        precision = {column: round(share, 4) for column, share in self.precision_at_10.items()}
        accuracies = {
            "knn_accuracy_nine_way": round(self.knn_accuracy_nine_way, 4),
            "knn_accuracy_full_catalogue": round(self.knn_accuracy_full_catalogue, 4),
            "head_accuracy": round(self.head_accuracy, 4),
        }
        return {**asdict(self), **accuracies, "precision_at_10": precision}


@dataclass(frozen=True)
class Report:
    """The test split on white and, for the products that can be cut out, on held-out backgrounds."""

    clean: Metrics
    composed: Metrics


def evaluate(session: Session, dataset: Dataset) -> Report:
    """Queries from `test`, the catalogue is all of `train`, as it is on white."""
    catalogue, queries = dataset.splits["train"], dataset.splits["test"]
    catalogue_vectors = session.embed(catalogue.pixels).vectors
    cuttable = queries.taken(np.flatnonzero(can_be_cut(product_masks(queries.pixels))))
    composed = Pictures(heldout.composed(cuttable.pixels), cuttable.labels)
    names = dataset.names[SCORED_COLUMN]
    return Report(
        clean=measured(session.embed(queries.pixels), queries, catalogue_vectors, catalogue, names),
        composed=measured(session.embed(composed.pixels), composed, catalogue_vectors, catalogue, names),
    )


def measured(
    embedded: Embedded,
    queries: Pictures,
    catalogue_vectors: npt.NDArray[np.float32],
    catalogue: Pictures,
    names: tuple[str, ...],
) -> Metrics:
    """The metrics of `queries`, embedded, against a catalogue's vectors (rows, dim). `names` of the scored column."""
    found = nearest(embedded.vectors, catalogue_vectors, NEIGHBOURS)
    truth, kinds = queries.labels[SCORED_COLUMN], catalogue.labels[SCORED_COLUMN]
    nine = [code for code, name in enumerate(names) if name in REFERENCE_SUBCATEGORIES]
    asked, offered = np.isin(truth, nine), np.isin(kinds, nine)
    nine_way, full = 0.0, 0.0
    if asked.any():
        found_of_nine = nearest(embedded.vectors[asked], catalogue_vectors[offered], NEIGHBOURS)
        nine_way = float((voted(kinds[offered][found_of_nine], len(names)) == truth[asked]).mean())
        full = float((voted(kinds[found[asked]], len(names)) == truth[asked]).mean())
    matches = {column: catalogue.labels[column][found] == queries.labels[column][:, None] for column in LABEL_COLUMNS}
    return Metrics(
        queries=len(queries),
        queries_reference=int(asked.sum()),
        knn_accuracy_nine_way=nine_way,
        knn_accuracy_full_catalogue=full,
        head_accuracy=float((embedded.scores.argmax(axis=1) == truth).mean()),
        precision_at_10={column: float(match.mean()) for column, match in matches.items()},
    )


def nearest(queries: npt.NDArray[np.float32], catalogue: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    """Rows of the k catalogue vectors with the highest dot product, or all if fewer, best first. int64 (n, k)."""
    blocks = []
    k = min(k, len(catalogue))
    for start in range(0, len(queries), _BLOCK_QUERIES):
        scores = queries[start : start + _BLOCK_QUERIES] @ catalogue.T
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        blocks.append(np.take_along_axis(best, order, axis=1))
    return np.concatenate(blocks)


def voted(codes: npt.NDArray[np.int64], labels: int) -> npt.NDArray[np.int64]:
    """The most frequent code of each row of (n, k), the nearer one where two are as frequent. int64, shape (n,)."""
    n, k = codes.shape
    # A nearer neighbour's vote counts more, by so little that it only breaks ties, and by more than all after it.
    weights = 1 + 1e-3 * 0.5 ** np.arange(k)
    votes = np.zeros((n, labels))
    np.add.at(votes, (np.arange(n)[:, None], codes), weights)
    winners: npt.NDArray[np.int64] = votes.argmax(axis=1)
    return winners
