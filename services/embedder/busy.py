"""How busy the embedder's threads are: what embedders are scaled by."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from math import exp
from types import TracebackType
from typing import Final

TIME_CONSTANT_S: Final = 15.0
"""A pod that has just become busy counts as 63 % busy after so long, as 95 % after three times as long."""


class Busy:
    """The share of `threads` threads that are within its `with` block, 0 to 1, as an exponential mean over time.

    A long batch counts while it runs, not only when it ends. Entered from any thread.
    """

    def __init__(self, threads: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._threads = threads
        self._clock = clock
        self._lock = threading.Lock()
        self._running = 0
        self._mean = 0.0
        self._updated_s = clock()

    def ratio(self) -> float:
        with self._lock:
            self._update()
            return self._mean

    def __enter__(self) -> None:
        self._change(1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._change(-1)

    def _change(self, batches: int) -> None:
        with self._lock:
            self._update()
            self._running += batches

    def _update(self) -> None:
        now_s = self._clock()
        now_share = self._running / self._threads
        kept = exp((self._updated_s - now_s) / TIME_CONSTANT_S)
        self._mean = now_share + (self._mean - now_share) * kept
        self._updated_s = now_s
