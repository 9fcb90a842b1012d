"""Which rows of a shard may be answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

# Up to so many selected rows keep a copy of what is scored for them: beyond, it would crowd out the masks.
BLOCK_ROWS: Final = 32_768

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Selection:
    """The rows of a shard (or of all fresh ones together) that may be answered: live, and passing the filter.

    `mask`: bool, shape (rows,); None = every row. `count`: how many.
    """

    def __init__(self, mask: Mask, count: int, grown: Callable[[Selection, int], None]) -> None:
        """`grown` is told of every byte that the selection keeps beside its mask."""
        self.mask = None if count == len(mask) else mask
        self.count = count
        self._grown = grown
        self._rows: Rows | None = None
        self._block: npt.NDArray[Any] | None = None

    @property
    def rows(self) -> Rows:
        """Their numbers, ascending."""
        if self._rows is None:
            rows = np.arange(self.count) if self.mask is None else np.flatnonzero(self.mask)
            self._rows = rows
            self._grown(self, rows.nbytes)
        return self._rows

    def block(self, make: Callable[[Rows], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """`make(rows)`, kept with the selection if it has at most BLOCK_ROWS. `make` must make the same each time."""
        if self.count > BLOCK_ROWS:
            return make(self.rows)
        if self._block is None:
            self._block = block = make(self.rows)
            self._grown(self, block.nbytes)
        return self._block
