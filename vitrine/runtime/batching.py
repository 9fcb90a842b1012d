"""Work done in threads, a batch at a time: what arrives while all of them are busy is taken together.

One change of threads then serves many calls, and no call waits for company when a thread is idle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(eq=False, slots=True)
class Waiting(Generic[Item, Answer]):
    """One item and who waits for its answer."""

    item: Item
    answer: asyncio.Future[Answer]

    @property
    def given_up(self) -> bool:
        """The caller has gone away; the item costs no work any more."""
        return self.answer.done()


class BatchThreads(Generic[Item, Answer]):
    """Threads that share a queue. Used from one event loop.

    take   called in the event loop: removes and returns the next batch, empty if nothing waits
    work   called in a thread: an answer an item, or the exception that its caller gets
    """

    def __init__(
        self,
        name: str,
        threads: int,
        take: Callable[[], Sequence[Waiting[Item, Answer]]],
        work: Callable[[Sequence[Item]], Sequence[Answer | Exception]],
    ) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._idle = threads
        self._take = take
        self._work = work

    def wake(self) -> None:
        """Hands what waits to an idle thread; without one, the first that becomes idle takes it."""
        if self._idle and (batch := self._take()):
            self._idle -= 1
            self._pool.submit(self._run, batch, asyncio.get_running_loop())

    def _run(self, batch: Sequence[Waiting[Item, Answer]], loop: asyncio.AbstractEventLoop) -> None:
        """Runs in a thread."""
        answers: Sequence[Answer | Exception]
        try:
            answers = self._work([waiting.item for waiting in batch])
        except Exception as error:  # noqa: BLE001  (raised again where each answer is awaited)
            answers = [error] * len(batch)
        loop.call_soon_threadsafe(self._deliver, batch, answers)

    def _deliver(self, batch: Sequence[Waiting[Item, Answer]], answers: Sequence[Answer | Exception]) -> None:
        self._idle += 1
        self.wake()
        for waiting, answer in zip(batch, answers, strict=True):
            if waiting.given_up:
                continue
            if isinstance(answer, Exception):
                waiting.answer.set_exception(answer)
            else:
                waiting.answer.set_result(answer)
