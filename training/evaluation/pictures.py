"""The best and the worst queries as grids of pictures, for a local report: they show the data set's own pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from training.evaluation.conditions import Answers
from training.evaluation.findings import Report

QUERIES_SHOWN: Final = 8
_QUALITY: Final = 80


@dataclass(frozen=True)
class Shown:
    """One picture: a data URI, its label, and whether that is the query's."""

    uri: str
    label: str
    right: bool


@dataclass(frozen=True)
class GridRow:
    """A query and what was found for it, the nearest first."""

    query: Shown
    found: tuple[Shown, ...]


@dataclass(frozen=True)
class Grid:
    """Queries of one condition: those that found the most pictures of their label, or the fewest."""

    condition: str
    best: tuple[GridRow, ...]
    worst: tuple[GridRow, ...]


def grids(report: Report, column: str, names: Sequence[str], seed: int) -> tuple[Grid, ...]:
    """A grid a condition, by label `column`, whose label names in code order are `names`.

    Queries that did equally well are drawn by chance, so that a grid is not all of one kind.
    """
    return tuple(_grid(condition, answers, column, names, seed) for condition, answers in report.answers.items())


def _grid(condition: str, answers: Answers, column: str, names: Sequence[str], seed: int) -> Grid:
    codes, matches = answers.queries.labels[column], answers.matches(column)
    known = np.random.default_rng(seed).permutation(np.flatnonzero(codes >= 0))
    order = known[np.argsort(-matches[known].mean(axis=1), kind="stable")]
    best, worst = order[:QUERIES_SHOWN], order[::-1][:QUERIES_SHOWN]
    return Grid(
        condition, *(tuple(_row(answers, row, column, names) for row in rows.tolist()) for rows in (best, worst))
    )


def _row(answers: Answers, row: int, column: str, names: Sequence[str]) -> GridRow:
    catalogue, nearest = answers.catalogue.pictures, answers.ranking.nearest[row].tolist()
    code = int(answers.queries.labels[column][row])
    found = [(catalogue.pixels[place], int(catalogue.labels[column][place])) for place in nearest]
    return GridRow(
        query=Shown(_data_uri(answers.queries.pixels[row]), names[code], True),
        found=tuple(
            Shown(_data_uri(pixels), names[label] if label >= 0 else "no label", label == code)
            for pixels, label in found
        ),
    )


def _data_uri(pixels: npt.NDArray[np.uint8]) -> str:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "WEBP", quality=_QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}"
