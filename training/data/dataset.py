"""Labelled pictures in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from training.data.skipped import Skipped

SPLITS: Final = ("train", "val", "test")

UNSEEN: Final = -1
"""The code of a label that train lacks, and of a missing one."""


@dataclass(frozen=True)
class Pictures:
    """One split."""

    pixels: npt.NDArray[np.uint8]
    """Shape (n, px, px, 3), letterboxed on white."""
    labels: Mapping[str, npt.NDArray[np.int64]]
    """Codes by column, shape (n,): places in the data set's `names`, or UNSEEN."""
    rows: npt.NDArray[np.int64]
    """Where each picture stands in its source, shape (n,), ascending: the row of a table, counted from 0; the place
    of a file among a folder's pictures in the order of their paths."""
    words: npt.NDArray[np.float32]
    """Shape (n, words of the data set). A row sums to 1, or to 0 where a title has none of the words."""

    def __len__(self) -> int:
        return len(self.pixels)

    def taken(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Pictures:
        """The pictures at places int64 (m,), or where bool (n,) is true."""
        labels = {column: codes[rows] for column, codes in self.labels.items()}
        return Pictures(self.pixels[rows], labels, self.rows[rows], self.words[rows])


@dataclass(frozen=True)
class Dataset:
    """All splits of a source. None is empty, and each label column has two classes or more in train."""

    splits: Mapping[str, Pictures]
    """By the names in SPLITS."""
    names: Mapping[str, tuple[str, ...]]
    """Label names by column, in code order: those of train, sorted."""
    words: tuple[str, ...]
    """The words of train's titles, the most frequent first; none where no column of titles was asked for."""
    skipped: Skipped
    px: int

    @property
    def columns(self) -> tuple[str, ...]:
        """The label columns, the scored one first."""
        return tuple(self.names)

    @property
    def scored_column(self) -> str:
        """The label column that a model's category scores are about."""
        return self.columns[0]

    @property
    def rows(self) -> int:
        """Pictures in all splits together."""
        return sum(len(pictures) for pictures in self.splits.values())
