"""Threads that search: calls that wait while one is busy are taken together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from vitrine.runtime.batching import BatchThreads, Waiting

Work = Callable[[], None]


class Workers:
    """Runs work in threads, in the order it came."""

    def __init__(self, threads: int) -> None:
        self._waiting: list[Waiting[Work, None]] = []
        self._threads = BatchThreads("search", threads, self._take, _run_all)

    async def run(self, work: Work) -> None:
        """Returns when `work` has run in a thread, or raises what it raised."""
        waiting: Waiting[Work, None] = Waiting(work, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._threads.wake()
        await waiting.answer

    def _take(self) -> list[Waiting[Work, None]]:
        batch, self._waiting = self._waiting, []
        return batch


def _run_all(batch: Sequence[Work]) -> list[Exception | None]:
    return [_error_of(work) for work in batch]


def _error_of(work: Work) -> Exception | None:
    try:
        work()
    except Exception as error:  # noqa: BLE001  (raised again where the work was asked for)
        return error
    return None
