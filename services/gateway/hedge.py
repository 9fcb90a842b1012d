"""A call that takes long is sent once more, to another searcher, and the first answer counts.

J. Dean and L. A. Barroso, The Tail at Scale, CACM 56(2), 2013: a second request, sent after the 95th percentile of the
time expected, costs few more calls and takes away most of the tail that one slow replica makes.

One request's call to one searcher is hedged, not the call that a lane makes for many: what waits in a lane behind one
that hangs is late as well, and each query keeps its own patience. Those that go elsewhere travel together there again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

Answer = TypeVar("Answer")
Kind = str

_PERCENTILE: Final = 0.95
# Times that the percentile is of, and how many come in before it is worked out anew.
_WINDOW: Final = 512
_EVERY: Final = 32
# The event loop's clock ticks in milliseconds.
_SOONEST_S: Final = 0.002
# Hedges that may have been saved up: a searcher that stops for a moment makes some dozen calls late at once.
_MOST_SAVED: Final = 20.0
# With nothing saved up a call is late after so many times the percentile: the one call in twenty that always takes a
# little longer must not use up what is meant for a searcher that stops.
_THRIFT: Final = 2.0


class Hedging:
    """When a call is late, and whether one more may be sent: at most `share` of all calls, 0 = never."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._saved = 0.0
        self._paces: dict[Kind, _Pace] = {}

    def late_after_s(self, kind: Kind) -> float | None:
        """For the next call of its kind. None: there have been too few to know, or none may be sent."""
        self._saved = min(_MOST_SAVED, self._saved + self._share)
        pace = self._paces.get(kind)
        if pace is None or pace.slow_s is None or not self._share:
            return None
        return max(_SOONEST_S, pace.slow_s * (_THRIFT - (_THRIFT - 1) * self._saved / _MOST_SAVED))

    def answered(self, kind: Kind, seconds: float) -> None:
        pace = self._paces.get(kind)
        if pace is None:
            pace = self._paces[kind] = _Pace()
        pace.add(seconds)

    def take(self) -> bool:
        """Whether one more call may be sent now."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True

    def refused(self) -> None:
        """A searcher has more work than it can do: what was saved up must not add to it."""
        self._saved = 0.0


class _Pace:
    """How long one kind of call has taken lately."""

    def __init__(self) -> None:
        self.slow_s: float | None = None
        self._seconds: deque[float] = deque(maxlen=_WINDOW)
        self._new = 0

    def add(self, seconds: float) -> None:
        self._seconds.append(seconds)
        self._new += 1
        if self._new == _EVERY:
            self._new = 0
            self.slow_s = sorted(self._seconds)[int(_PERCENTILE * len(self._seconds))]


async def first_answer(
    first: Awaitable[Answer | str], again: Callable[[], Coroutine[Any, Any, Answer | str] | None], late_after_s: float
) -> tuple[Answer | str, bool]:
    """The outcome of `first` or, if that is late, of what `again` then sends; and whether it is the second one's.

    A text says why there is no answer, and counts only if neither has one. The call that is not needed is cancelled.
    """
    race = _Race(again)
    timer = asyncio.get_running_loop().call_later(late_after_s, race.send_again)
    try:
        return await race.run(first)
    finally:
        timer.cancel()
        if race.second:
            race.second.cancel()


class _Race:
    """Two calls of which one is awaited here and the other in a task. Most calls are not late and need no task."""

    def __init__(self, again: Callable[[], Coroutine[Any, Any, Any] | None]) -> None:
        self.second: asyncio.Task[Any] | None = None
        self._again = again
        # Never over by itself: ended when the second call has the answer.
        self._scope = asyncio.timeout(None)
        self._first_runs = False

    def send_again(self) -> None:
        if call := self._again():
            self.second = asyncio.get_running_loop().create_task(call)
            self.second.add_done_callback(self._second_ended)

    async def run(self, first: Awaitable[Any]) -> tuple[Any, bool]:
        try:
            async with self._scope:
                self._first_runs = True
                try:
                    outcome = await first
                finally:
                    self._first_runs = False
        except TimeoutError:
            if self.second is None or not self._scope.expired():
                raise
            return self.second.result(), True
        if isinstance(outcome, str) and self.second:
            other = await self.second
            if not isinstance(other, str):
                return other, True
        return outcome, False

    def _second_ended(self, second: asyncio.Task[Any]) -> None:
        if second.cancelled() or second.exception() or isinstance(second.result(), str):
            return
        if self._first_runs:
            self._scope.reschedule(asyncio.get_running_loop().time())
