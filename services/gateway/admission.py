"""How much is answered at once: less when it makes everybody wait, and what comes on top is refused at once.

Work is counted by what it costs. Until there is too much of it nobody is refused: sixteen callers that each wait for
their answer take what there is, and slow only each other. There is too much when the bound is reached, or when a
service behind refuses. From then on the limit follows the time that calls take, beside what they take where little else
is under way: it falls in proportion where that is exceeded, and rises by one at a time (as in TCP Vegas: L. Brakmo,
S. O'Malley, L. Peterson, SIGCOMM 1994). Once nobody has been refused for a second, it is over.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Final

from services.gateway import metrics
from services.gateway.work import Work
from vitrine.runtime.errors import ResourceExhausted

DEFAULT_BOUND: Final = 256.0
# Always let in, however slow: less would leave the searchers idle while the gateway works on other calls.
LEAST: Final = 3.0
# What calls may take while there is too much: so many times what they usually take.
SLOW: Final = 2.0
STEP_S: Final = 0.1
OVER_AFTER_S: Final = 1.0

# The limit falls to no less than this share of itself in one step.
_STEEPEST: Final = 0.3
# A call that begins beside no more work than this takes what it usually takes.
_LITTLE: Final = 2.0
_SMOOTHING: Final = 0.05
_RETRY_AFTER_S: Final = (0.1, 0.4)


class Admission:
    """`bound`: what may be under way in all, in costs of a plain search. Used from one event loop.

    `relieve`: ends calls that wait for what hangs; whether there were any.
    """

    def __init__(
        self,
        bound: float = DEFAULT_BOUND,
        relieve: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._bound = bound
        self._relieve = relieve
        self._clock = clock
        self._usual_s: dict[str, float] = {}
        # None: there is not too much.
        self._pressed_s: float | None = None
        self._step_ends_s = 0.0
        self._peak = 0.0
        self._slowness: list[float] = []
        self._places = 0
        self.limit = bound
        self.in_flight = 0.0

    def enter(self, work: Work) -> Place:
        """Room for `work`, given back when the place is left. Raises ResourceExhausted."""
        self._step()
        if self._places and self.in_flight + work.cost > self.limit and not self._relieve():
            self.overflow()
            # Spread out: those who are refused together shall not come back together.
            raise ResourceExhausted("there is more to answer than can be", random.uniform(*_RETRY_AFTER_S))
        place = Place(self, work, self._clock(), self.in_flight)
        self._places += 1
        self.in_flight += work.cost
        self._peak = max(self._peak, self.in_flight)
        return place

    def leave(self, place: Place, answered: bool) -> None:
        self._places -= 1
        # Sums of tenths leave a rest: with nobody there, nothing is under way.
        self.in_flight = self.in_flight - place.work.cost if self._places else 0.0
        if answered and place.work.measured:
            self._learn(place, self._clock() - place.began_s)
        self._step()

    def overflow(self) -> None:
        """There is more than can be answered in time."""
        if self._pressed_s is None:
            self._step_ends_s = 0.0
        self._pressed_s = self._clock()
        self._step()

    def _learn(self, place: Place, seconds: float) -> None:
        kind = place.work.kind
        usual_s = self._usual_s.setdefault(kind, seconds)
        self._slowness.append(seconds / usual_s)
        if self._pressed_s is None and place.beside <= _LITTLE:
            self._usual_s[kind] += _SMOOTHING * (seconds - usual_s)

    def _step(self) -> None:
        """At times: what has been seen since the last one becomes the new limit."""
        now_s = self._clock()
        if now_s < self._step_ends_s:
            return
        self._step_ends_s = now_s + STEP_S
        if self._pressed_s is not None:
            self.limit = self._next_limit(now_s - self._pressed_s)
            if now_s - self._pressed_s > OVER_AFTER_S:
                self._pressed_s, self.limit = None, self._bound
        self._slowness.clear()
        self._peak = self.in_flight
        metrics.WORK_LIMIT.set(self.limit)
        metrics.WORK_IN_FLIGHT.set(self.in_flight)

    def _next_limit(self, since_pressed_s: float) -> float:
        slowness = sum(self._slowness) / len(self._slowness) if self._slowness else 0.0
        if slowness > SLOW:
            return max(LEAST, min(self.limit, self._peak) * max(_STEEPEST, SLOW / slowness))
        # What nobody asks for must not be promised.
        return min(self._bound, self.limit + 1) if since_pressed_s < STEP_S else self.limit


@dataclass(slots=True)
class Place:
    """Around the answering of one call. `beside`: what was under way when it began."""

    admission: Admission
    work: Work
    began_s: float
    beside: float

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ResourceExhausted):
            self.admission.overflow()
        self.admission.leave(self, answered=error is None)
