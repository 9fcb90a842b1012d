"""One module a system: how it is filled, set and asked, as its documentation says. Each runs in a process of its own.

Those of the peers are imported with the peers' interpreter only, so nothing here but `vitrine_gateway` imports vitrine.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Settings = dict[str, Any]


class Backend(Protocol):
    """A filled index and its client, to be asked from several threads at once.

    grid      ways to trade time for recall, in the order in which they are tried: the cheaper first
    batches   whether many queries travel in one call
    """

    grid: Sequence[Settings]
    batches: bool

    def use(self, settings: Settings) -> None:
        """What comes next is searched with these."""

    def search(self, queries: Vectors, k: int) -> Sequence[Sequence[Any]]:
        """Rows (numbers, or their text) of the k nearest of each of `queries`, unit float32 (n, dim)."""


def opened(name: str, vectors: Vectors, folder: Path, address: str) -> Backend:
    """The system's index over `vectors`, unit float32 (n, dim): in `folder`, or in the server at `address`."""
    backend: Backend = importlib.import_module(f"benchmarks.peers.backends.{name}").opened(vectors, folder, address)
    return backend
