"""When a call that failed is made once more.

Every call that is tried again here is safe to repeat: reads, and feedback, which counts once however often it is sent.
Pauses are drawn from all of a range that doubles ("full jitter": M. Brooker, "Exponential Backoff And Jitter", AWS
Architecture Blog, 2015), so that clients which failed together do not come back together. How many calls are repeated
at all is bounded as in gRFC A6 (retry throttling): a failure takes a token, and where half of them are gone, nobody
tries again.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Final

from vitrine.runtime.errors import ResourceExhausted, Unavailable, VitrineError

MAX_TRIES: Final = 3
# As many calls may be under way at once in a busy program, and fail together when a gateway is restarted.
MAX_TOKENS: Final = 100.0
# What a call that succeeds gives back: in the long run, calls are repeated where fewer than one in ten fail.
TOKENS_A_SUCCESS: Final = 0.1

_FIRST_PAUSE_S: Final = 0.1
# A timeout of nothing is refused by gRPC in words of its own.
SHORTEST_S: Final = 0.001


class RetryBudget:
    """Of all calls of a client. Used from any number of threads.

    repeats  how many tries there were beyond the first of each call
    """

    def __init__(self) -> None:
        self.repeats = 0
        self._tokens = MAX_TOKENS
        self._lock = threading.Lock()

    def succeeded(self) -> None:
        with self._lock:
            self._tokens = min(MAX_TOKENS, self._tokens + TOKENS_A_SUCCESS)

    def failed(self) -> bool:
        """Whether a call that has failed may be repeated."""
        with self._lock:
            self._tokens = max(0.0, self._tokens - 1)
            return self._tokens > MAX_TOKENS / 2

    def repeated(self) -> None:
        with self._lock:
            self.repeats += 1


class Tries:
    """The tries of one call, which with the pauses between them end within `timeout_s`."""

    def __init__(
        self,
        budget: RetryBudget,
        timeout_s: float,
        most: int = MAX_TRIES,
        now_s: Callable[[], float] = time.monotonic,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._budget = budget
        self._left = most
        self._now_s = now_s
        self._draw = draw
        self._until_s = now_s() + timeout_s
        self._range_s = _FIRST_PAUSE_S

    @property
    def left_s(self) -> float:
        """For the next try."""
        return max(SHORTEST_S, self._until_s - self._now_s())

    def succeeded(self) -> None:
        self._budget.succeeded()

    def pause_s(self, error: VitrineError) -> float | None:
        """How long to wait before the next try; None = the failure is final."""
        if not isinstance(error, Unavailable | ResourceExhausted):
            return None
        self._left -= 1
        if not self._budget.failed() or self._left < 1:
            return None
        pause_s = self._draw(0.0, self._range_s)
        if isinstance(error, ResourceExhausted):
            pause_s += error.retry_after_s
        self._range_s *= 2
        if self._now_s() + pause_s >= self._until_s:
            return None
        self._budget.repeated()
        return pause_s
