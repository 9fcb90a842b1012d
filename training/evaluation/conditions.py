"""The same queries under several conditions: as they are, on busy backgrounds, cropped, and of other catalogues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from training.data import Pictures
from training.evaluation.intervals import Figure, Resamples
from training.evaluation.metrics import ColumnFigures, Scores, column_figures
from training.evaluation.ranking import Ranking, Vectors, ranked
from training.evaluation.reference import Reference, ReferenceAnswers, reference_answers, reference_column
from vitrine.images import CropBox, cropped, letterboxed

CROPPED_AREA: Final = (0.6, 1.0)
"""How much of the area of a product's bounding box a crop keeps."""


@dataclass(frozen=True)
class Catalogue:
    """Pictures to search among, and their unit vectors, float32 (rows, dim)."""

    pictures: Pictures
    vectors: Vectors


@dataclass(frozen=True)
class Answers:
    """What a catalogue answered to queries. `rows` int64 (n,): which pictures of the test split they come from.

    `scores` by label column: a head's scores (n, labels) in the order of the data's label names.
    """

    rows: npt.NDArray[np.int64]
    queries: Pictures
    vectors: Vectors
    scores: Mapping[str, Scores]
    catalogue: Catalogue
    ranking: Ranking
    reference: ReferenceAnswers | None

    def neighbours(self, column: str) -> npt.NDArray[np.int64]:
        """Label codes of the nearest, int64 (n, k)."""
        return self.catalogue.pictures.labels[column][self.ranking.nearest]

    def matches(self, column: str) -> npt.NDArray[np.bool_]:
        """Which of the nearest carry the query's label, bool (n, k). Meaningless for queries without a label."""
        matches: npt.NDArray[np.bool_] = self.neighbours(column) == self.queries.labels[column][:, None]
        return matches


@dataclass(frozen=True)
class ConditionFigures:
    """One condition. `change`: figures less those of the same queries as they are, in shares, by name."""

    queries: int
    catalogue_rows: int
    reference: Reference | None
    columns: Mapping[str, ColumnFigures]
    change: Mapping[str, Figure]

    def as_json(self) -> dict[str, Any]:
        reference = {"reference_subcategories": self.reference.as_json()} if self.reference else {}
        return {
            "queries": self.queries,
            "catalogue_rows": self.catalogue_rows,
            **reference,
            "columns": {column: figures.as_json() for column, figures in self.columns.items()},
            "change_from_clean": {name: figure.as_json() for name, figure in self.change.items()},
        }


def answered(
    queries: Pictures,
    rows: npt.NDArray[np.int64],
    vectors: Vectors,
    scores: Mapping[str, Scores],
    catalogue: Catalogue,
    names: Mapping[str, tuple[str, ...]],
) -> Answers:
    """Asks `catalogue` every query. `names`: label names by column in code order."""
    ranking = ranked(vectors, catalogue.vectors, queries.labels, catalogue.pictures.labels)
    answers = Answers(rows, queries, vectors, scores, catalogue, ranking, None)
    column = reference_column(names)
    if not column:
        return answers
    reference = reference_answers(
        vectors,
        catalogue.vectors,
        queries.labels[column],
        catalogue.pictures.labels[column],
        answers.neighbours(column),
        scores.get(column),
        names[column],
    )
    return replace(answers, reference=reference)


def measured(
    answers: Answers, names: Mapping[str, tuple[str, ...]], seed: int, clean: Answers | None = None
) -> ConditionFigures:
    """The figures of a condition; `clean`: the answers to the same pictures as they are, to compare with."""
    columns = {
        column: column_figures(
            answers.queries.labels[column],
            answers.neighbours(column),
            answers.ranking.average_precision[column],
            answers.scores.get(column),
            len(labels),
            seed,
        )
        for column, labels in names.items()
    }
    return ConditionFigures(
        queries=len(answers.queries),
        catalogue_rows=len(answers.catalogue.pictures),
        reference=Reference.of(answers.reference) if answers.reference else None,
        columns={column: figures for column, figures in columns.items() if figures},
        change=_change(answers, clean, tuple(names), seed) if clean else {},
    )


def cropped_queries(queries: Pictures, boxes: npt.NDArray[np.float32], seed: int) -> Pictures:
    """Queries cut to a random part of their product that keeps 60 to 100 % of its box, letterboxed as a service does.

    `boxes` float32 (n, 4): left, top, right, bottom of the products, as fractions.
    """
    random = np.random.default_rng(seed)
    crops = _parts_of(boxes, random)
    height, width = queries.pixels.shape[1:3]
    pixels = [
        letterboxed(cropped(Image.fromarray(picture), CropBox(*crop)), height, width)
        for picture, crop in zip(queries.pixels, crops.tolist(), strict=True)
    ]
    return replace(queries, pixels=np.stack(pixels))


def _parts_of(boxes: npt.NDArray[np.float32], random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Random boxes (n, 4) of CROPPED_AREA inside `boxes`, wider or narrower than those."""
    n = len(boxes)
    area, split = random.uniform(*CROPPED_AREA, (n, 1)), random.uniform(size=(n, 1))
    size = (boxes[:, 2:] - boxes[:, :2]) * np.concatenate([area**split, area ** (1 - split)], axis=1)
    corner = boxes[:, :2] + (boxes[:, 2:] - boxes[:, :2] - size) * random.uniform(size=(n, 2))
    return np.concatenate([corner, np.minimum(corner + size, 1)], axis=1)


def _change(answers: Answers, clean: Answers, columns: tuple[str, ...], seed: int) -> dict[str, Figure]:
    """Paired by query, so that the interval is of the change itself."""
    before, after = (_values(one, columns) for one in (clean, answers))
    figures = {}
    for name in before.keys() & after.keys():
        differences = after[name] - before[name][answers.rows]
        differences = differences[~np.isnan(differences)]
        if len(differences):
            figures[name] = Resamples.of(len(differences), seed).mean(differences)
    return dict(sorted(figures.items()))


def _values(answers: Answers, columns: tuple[str, ...]) -> dict[str, npt.NDArray[np.float64]]:
    """What a query scores, (n,) by name of the figure; NaN where it was not asked."""
    values = {}
    for column in columns:
        known = answers.queries.labels[column] >= 0
        values[f"precision_at_10.{column}"] = np.where(known, answers.matches(column).mean(axis=1), np.nan)
    if answers.reference:
        told = {"vote": answers.reference.vote, "head": answers.reference.head}
        for way, right in told.items():
            if right is not None:
                values[f"reference.{way}"] = np.full(len(answers.queries), np.nan)
                values[f"reference.{way}"][answers.reference.asked] = right
    return values
