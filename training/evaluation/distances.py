"""Does the distance matter? The nearest by each, and how many of them carry the query's label."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from training.evaluation.intervals import Figure, Resamples
from training.evaluation.ranking import NEIGHBOURS, Codes, Vectors

Distance = Callable[[Vectors, Vectors], Vectors]
"""Vectors (n, dim) and (rows, dim) → float32 (n, rows), smaller is nearer."""

_BLOCK_QUERIES: Final = 128


def angular(queries: Vectors, catalogue: Vectors) -> Vectors:
    """One less the cosine of unit vectors."""
    return 1 - queries @ catalogue.T


def euclidean(queries: Vectors, catalogue: Vectors) -> Vectors:
    """The length of the difference, by |q|² - 2 q·c + |c|²."""
    squares = np.square(queries).sum(axis=1)[:, None] + np.square(catalogue).sum(axis=1)
    distances: Vectors = np.sqrt(np.maximum(squares - 2 * (queries @ catalogue.T), 0))
    return distances


def manhattan(queries: Vectors, catalogue: Vectors) -> Vectors:
    """The sum of absolute differences."""
    distances: Vectors = torch.cdist(torch.from_numpy(queries), torch.from_numpy(catalogue), p=1).numpy()
    return distances


DISTANCES: Final[Mapping[str, Distance]] = {"angular": angular, "euclidean": euclidean, "manhattan": manhattan}


def nearest(queries: Vectors, catalogue: Vectors, distance: Distance = angular, k: int = NEIGHBOURS) -> Codes:
    """Rows of the k nearest catalogue vectors, or all if fewer, nearest first, by exact search. int64 (n, k)."""
    k = min(k, len(catalogue))
    blocks = []
    for start in range(0, len(queries), _BLOCK_QUERIES):
        distances = distance(queries[start : start + _BLOCK_QUERIES], catalogue)
        best = np.argpartition(distances, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(distances, best, axis=1), axis=1, kind="stable")
        blocks.append(np.take_along_axis(best, order, axis=1))
    return np.concatenate(blocks)


def label_precision(
    queries: Vectors, catalogue: Vectors, asked: Mapping[str, Codes], offered: Mapping[str, Codes], seed: int
) -> dict[str, dict[str, Figure]]:
    """Share of the ten nearest with the query's label, by distance and label column.

    `asked` int64 (n,) and `offered` int64 (rows,): label codes by column; queries of a negative code are left out.
    """
    figures: dict[str, dict[str, Figure]] = {}
    for name, distance in DISTANCES.items():
        rows = nearest(queries, catalogue, distance)
        figures[name] = {}
        for column, codes in asked.items():
            known = codes >= 0
            if known.any():
                figures[name][column] = _precision(offered[column][rows[known]] == codes[known, None], seed)
    return figures


def _precision(matches: npt.NDArray[np.bool_], seed: int) -> Figure:
    return Resamples.of(len(matches), seed).mean(matches.mean(axis=1))
