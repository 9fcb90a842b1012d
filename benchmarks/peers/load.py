"""One load: so many threads in one process, each asking the next query as soon as it has an answer."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Load:
    """`seconds`: from the first question to the last answer. Percentiles are of calls, which carry `batch` queries."""

    queries: int
    seconds: float
    p50_ms: float
    p99_ms: float


def run_load(search: Callable[[Vectors], Any], queries: Vectors, threads: int, batch: int, seconds: float) -> Load:
    """Goes round `queries`, float32 (n, dim), `batch` at a time. An error ends the load: it must not look fast."""
    numbers = itertools.count()
    batches = len(queries) // batch
    times_ms: list[list[float]] = [[] for _ in range(threads)]
    errors: list[Exception] = []
    together = threading.Barrier(threads + 1)

    def ask(mine: list[float]) -> None:
        together.wait()
        ends_s = time.perf_counter() + seconds
        while time.perf_counter() < ends_s and not errors:
            first = next(numbers) % batches * batch
            began = time.perf_counter()
            try:
                search(queries[first : first + batch])
            except Exception as error:  # noqa: BLE001  (raised below, in the thread that asked for the load)
                errors.append(error)
                return
            mine.append((time.perf_counter() - began) * 1000)

    workers = [threading.Thread(target=ask, args=(mine,)) for mine in times_ms]
    for worker in workers:
        worker.start()
    together.wait()
    started = time.perf_counter()
    for worker in workers:
        worker.join()
    took_s = time.perf_counter() - started
    if errors:
        raise errors[0]
    all_ms = np.concatenate(times_ms)
    p50_ms, p99_ms = np.percentile(all_ms, (50, 99))
    return Load(len(all_ms) * batch, took_s, float(p50_ms), float(p99_ms))
