"""Plain searches that several threads ask at the same time travel together.

One that finds few calls under way goes at once and alone; those that come meanwhile leave together when a call returns.
So no thread waits for company, and a busy client costs itself and the gateway a fraction of a call a search. There is
no thread for it: the one whose call has returned hands the lead to one of those that wait.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from vitrine.runtime.errors import DeadlineExceeded, ResourceExhausted, Unavailable, VitrineError
from vitrine.v1 import gateway_pb2

# While one call is under way, the next one's answers are being read here.
CALLS: Final = 2
SEARCHES: Final = 32

Result = gateway_pb2.SearchResponse | VitrineError
# Asks the gateway, which has so many seconds; one result a search. Raises VitrineError if the call failed as a whole.
Send = Callable[[Sequence[gateway_pb2.SearchRequest], float], Sequence[Result]]


class _Waiting:
    """A search, and the thread that waits for it until `woken`: with a result, with the lead, or with neither.

    `left`: the thread has gone; nothing that is handed to it would be taken.
    """

    __slots__ = ("company", "left", "request", "result", "until_s", "woken")

    def __init__(self, request: gateway_pb2.SearchRequest, until_s: float) -> None:
        self.request = request
        self.until_s = until_s
        self.result: Result | None = None
        self.company: list[_Waiting] = []
        self.left = False
        self.woken = threading.Lock()
        self.woken.acquire()


class Together:
    """Used from any number of threads."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting] = deque()
        self._calls = 0

    def ask(self, request: gateway_pb2.SearchRequest, timeout_s: float) -> gateway_pb2.SearchResponse:
        """Raises what became of this search, whatever became of those that travelled with it."""
        mine = _Waiting(request, time.monotonic() + timeout_s)
        with self._lock:
            if self._calls < CALLS:
                self._calls += 1
                mine.company = [mine]
            else:
                self._waiting.append(mine)
        if not mine.company:
            self._wait(mine, timeout_s)
        if mine.company:
            self._lead(mine)
        # The call it travelled with has failed for a reason of its own: that must not be what this search is told.
        result = mine.result or self._send([request], mine.until_s - time.monotonic())[0]
        if isinstance(result, VitrineError):
            raise result
        return result

    def _wait(self, mine: _Waiting, timeout_s: float) -> None:
        """Until it is woken. Raises DeadlineExceeded; then, or on Ctrl-C, somebody else has the lead."""
        woken = False
        try:
            woken = mine.woken.acquire(timeout=timeout_s)
        finally:
            if not woken:
                self._leave(mine)
        if not woken:
            raise DeadlineExceeded("the gateway did not answer in time")

    def _lead(self, leader: _Waiting) -> None:
        """Asks for all of its company, for as long as it would wait itself: those with more time go on alone."""
        company, results = leader.company, list[Result | None]([None] * len(leader.company))
        try:
            timeout_s = leader.until_s - time.monotonic()
            results = list(self._send([waiting.request for waiting in company], timeout_s))
        except (ResourceExhausted, Unavailable) as error:
            # Nobody asks again at once where the gateway can do the least.
            results = [error] * len(company)
        except VitrineError as error:
            leader.result = error
        finally:
            # Whatever happened, even Ctrl-C: nobody is left waiting.
            self._hand_over()
            for waiting, result in zip(company, results, strict=True):
                waiting.result = waiting.result or result
                if waiting is not leader:
                    waiting.woken.release()

    def _hand_over(self) -> None:
        """A call is over: one of those that wait takes the others along."""
        with self._lock:
            if not self._waiting:
                self._calls -= 1
                return
            company = [self._waiting.popleft() for _ in range(min(SEARCHES, len(self._waiting)))]
            # Before anybody can look: who gives up now must know that it leads.
            company[0].company = company
        company[0].woken.release()

    def _leave(self, mine: _Waiting) -> None:
        """The thread of `mine` goes. The lead, if it came at the last moment, goes to another."""
        with self._lock:
            mine.left = True
            if mine in self._waiting:
                self._waiting.remove(mine)
            leads = bool(mine.company)
            self._waiting.extendleft(waiting for waiting in reversed(mine.company[1:]) if not waiting.left)
        if leads:
            self._hand_over()
