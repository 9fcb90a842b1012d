"""Threads that search. What waits while one is busy is taken together: one change of threads serves several calls."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple


class _Waiting(NamedTuple):
    work: Callable[[], None]
    done: asyncio.Future[None]


class Workers:
    """Runs work in threads, in the order it came. Used from one event loop."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="search")
        self._idle = threads
        self._waiting: deque[_Waiting] = deque()

    async def run(self, work: Callable[[], None]) -> None:
        """Returns when `work` has run in a thread, or raises what it raised."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append(_Waiting(work, done))
        self._start(loop)
        await done

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hands everything that waits to one idle thread, or leaves it for the first that becomes idle."""
        if self._idle and self._waiting:
            self._idle -= 1
            batch, self._waiting = self._waiting, deque()
            self._pool.submit(self._work, batch, loop)

    def _work(self, batch: deque[_Waiting], loop: asyncio.AbstractEventLoop) -> None:
        """Runs in a thread."""
        errors = [_error_of(waiting.work) for waiting in batch]
        loop.call_soon_threadsafe(self._deliver, batch, errors, loop)

    def _deliver(
        self, batch: deque[_Waiting], errors: list[BaseException | None], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._idle += 1
        self._start(loop)
        for waiting, error in zip(batch, errors, strict=True):
            if waiting.done.done():
                continue  # the caller has gone away
            if error is None:
                waiting.done.set_result(None)
            else:
                waiting.done.set_exception(error)


def _error_of(work: Callable[[], None]) -> BaseException | None:
    try:
        work()
    except Exception as error:  # noqa: BLE001  (raised again where the work was asked for)
        return error
    return None
