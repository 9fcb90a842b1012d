"""Which rows are trained on, tuned on and measured on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from training.data.dataset import SPLITS
from training.data.sources import Texts
from vitrine.runtime.errors import ConfigError

_FOLDS: Final = 10
_VAL_FOLD: Final = 4
_TEST_FOLD: Final = 9


def checked(split: Texts, column: str) -> Texts:
    """Itself. Raises ConfigError naming each value that is no split, and how many rows have it."""
    wrong = Counter(value for value in split if value not in SPLITS)
    if wrong:
        found = ", ".join(f"{value!r} ({rows} rows)" for value, rows in wrong.most_common(5))
        raise ConfigError(column, f"must be {', '.join(SPLITS[:-1])} or {SPLITS[-1]}, not {found}")
    return split


def drawn(scored: Texts, shared: Sequence[npt.NDArray[np.object_]], seed: int) -> Texts:
    """A split for each row: 80/10/10 of every class, the same for the same seed.

    `scored`: the label to spread evenly. `shared`: columns of str or bytes, shape (n,); rows that share a value of one
    share a split, and "" is no value. What is alone in its class goes to train.
    """
    unit_of_row = _units(shared)
    units, first, sizes = np.unique(unit_of_row, return_index=True, return_counts=True)
    _, classes = np.unique(scored[first], return_inverse=True)
    fold = np.zeros(len(units), np.int64)
    random = np.random.default_rng(seed)
    # Counting off units of alike size, class after class, spreads classes and rows evenly over the folds.
    order = np.lexsort((random.permutation(len(units)), sizes, classes))
    order = order[np.bincount(classes)[classes[order]] > 1]
    fold[order] = (np.arange(len(order)) + random.integers(_FOLDS)) % _FOLDS
    split_of_unit = np.full(len(units), "train", dtype=object)
    split_of_unit[fold == _VAL_FOLD] = "val"
    split_of_unit[fold == _TEST_FOLD] = "test"
    return split_of_unit[unit_of_row]


def _units(shared: Sequence[npt.NDArray[np.object_]]) -> npt.NDArray[np.int64]:
    """Numbers of the sets of rows that must stay together, directly or by way of others. Shape (n,)."""
    rows = len(shared[0])
    ends, nodes = [], rows
    for values in shared:
        _, codes = np.unique(values, return_inverse=True)
        sharing = np.flatnonzero(values.astype(bool))
        ends.append(np.stack([sharing, nodes + codes[sharing]]))
        nodes += len(values)
    row, node = np.concatenate(ends, axis=1)
    graph = coo_array((np.ones(len(row), np.int8), (row, node)), shape=(nodes, nodes))
    _, component = connected_components(graph, directed=False)
    _, unit_of_row = np.unique(component[:rows], return_inverse=True)
    return unit_of_row.astype(np.int64)
