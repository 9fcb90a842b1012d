"""Who searches when: quick work at once, the rest in threads of its own, by its turn and one piece at a time.

A shopper's query takes less than a millisecond, and Python's lock for most of it. To hand it to a thread and back cost
a third more CPU and, while other processes wanted the cores, half as much time again (docs/search.md); so it is done
where calls arrive, and more cores are used by more processes. Scoring every row takes up to seconds: that waits, and
gives way, elsewhere.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Sequence
from enum import IntEnum
from time import monotonic
from typing import Any, Final, TypeVar

from vitrine.runtime.batching import BatchThreads, Waiting
from vitrine.runtime.errors import ResourceExhausted

Answer = TypeVar("Answer")
Work = Callable[[], Any]


# More searches wait for a thread: who comes next would get its answer too late. Scans and probes are few already.
MOST_WAITING: Final = 256
_RETRY_AFTER_S: Final = 0.5
# How long a turn gives way to what came later and has the turn before it: nothing waits for ever.
_GIVES_WAY_S: Final = 0.2


class Turn(IntEnum):
    """Who goes first."""

    QUICK = 0
    LONGER = 1
    EXACT = 2
    SCAN = 3
    PROBE = 4


class SearchThreads:
    """Runs work. Used from one event loop."""

    def __init__(self, threads: int) -> None:
        self._waiting: list[tuple[float, int, Waiting[Work, Any]]] = []
        self._numbers = itertools.count()
        self._threads = BatchThreads("search", threads, self._take, _run_all)

    async def run(self, work: Callable[[], Answer], turn: Turn) -> Answer:
        """What `work` returns, or raises what it raised. What nobody waits for any more is not begun.

        Raises ResourceExhausted.
        """
        if turn is Turn.QUICK:
            return work()
        if turn <= Turn.EXACT and len(self._waiting) >= MOST_WAITING:
            self._waiting = [entry for entry in self._waiting if not entry[2].given_up]
            heapq.heapify(self._waiting)
            if len(self._waiting) >= MOST_WAITING:
                raise ResourceExhausted(f"{len(self._waiting)} searches wait for a thread", _RETRY_AFTER_S)
        waiting: Waiting[Work, Any] = Waiting(work, asyncio.get_running_loop().create_future())
        heapq.heappush(self._waiting, (monotonic() + turn * _GIVES_WAY_S, next(self._numbers), waiting))
        self._threads.wake()
        answer: Answer = await waiting.answer
        return answer

    def _take(self) -> list[Waiting[Work, Any]]:
        while self._waiting:
            waiting = heapq.heappop(self._waiting)[2]
            if not waiting.given_up:
                return [waiting]
        return []


def _run_all(batch: Sequence[Work]) -> list[Any]:
    return [work() for work in batch]
