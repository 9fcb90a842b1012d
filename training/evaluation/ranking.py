"""Queries against a catalogue: the nearest of it, and how early the pictures of the same label come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

NEIGHBOURS: Final = 10

# Queries ranked at a time: with 32,000 catalogue pictures their order takes 32 MB.
_BLOCK_QUERIES: Final = 128

Codes = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Ranking:
    """What a catalogue answers to n queries.

    `nearest` int64 (n, k): catalogue rows of the highest cosine, best first; `scores` float32 (n, k): their cosines;
    `average_precision` float64 (n,) by label column, NaN where the catalogue has nothing of the query's label.
    """

    nearest: Codes
    scores: Vectors
    average_precision: Mapping[str, npt.NDArray[np.float64]]


def ranked(
    queries: Vectors,
    catalogue: Vectors,
    asked: Mapping[str, Codes],
    offered: Mapping[str, Codes],
    k: int = NEIGHBOURS,
) -> Ranking:
    """The whole catalogue in order of cosine for each query, unit vectors (n, dim) and (rows, dim).

    `asked` int64 (n,) and `offered` int64 (rows,): label codes by column. Average precision is the mean, over all
    catalogue pictures of the query's label, of the precision at their ranks (Manning, Raghavan and Schütze,
    "Introduction to Information Retrieval", 2008, 8.4).
    """
    nearest, scores = [], []
    precision: dict[str, list[npt.NDArray[np.float64]]] = {column: [] for column in asked}
    # Narrow codes keep the gather below in the processor's cache.
    narrow = {column: codes.astype(np.int32) for column, codes in offered.items()}
    for start in range(0, len(queries), _BLOCK_QUERIES):
        cosines = queries[start : start + _BLOCK_QUERIES] @ catalogue.T
        order = np.argsort(-cosines, axis=1)
        nearest.append(order[:, :k])
        scores.append(np.take_along_axis(cosines, order[:, :k], axis=1))
        for column, codes in asked.items():
            wanted = codes[start : start + _BLOCK_QUERIES, None].astype(np.int32)
            precision[column].append(average_precision(narrow[column][order] == wanted))
    by_column = {column: np.concatenate(blocks) for column, blocks in precision.items()}
    return Ranking(np.concatenate(nearest), np.concatenate(scores), by_column)


def average_precision(matches: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Of each row of (n, rows), whose entry says whether the picture at that rank is right. NaN where none is."""
    query, rank = np.nonzero(matches)
    totals = np.count_nonzero(matches, axis=1)
    found = np.arange(1, len(query) + 1) - np.repeat(np.cumsum(totals) - totals, totals)
    sums = np.bincount(query, weights=found / (rank + 1), minlength=len(matches))
    precision = np.full(len(matches), np.nan)
    np.divide(sums, totals, out=precision, where=totals > 0)
    return precision
