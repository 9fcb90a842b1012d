"""How long a call takes here: its time without what it waits for other services."""

from __future__ import annotations

import time
from contextvars import ContextVar
from types import TracebackType

from prometheus_client import Histogram


class OwnTime:
    """Around one call. What `awaiting` is around within it is left out, once where several wait at the same time."""

    __slots__ = ("_awaited_s", "_began_s", "_seconds", "_waits", "_waits_since_s")

    def __init__(self, seconds: Histogram) -> None:
        self._seconds = seconds
        self._awaited_s = 0.0
        self._waits = 0
        self._waits_since_s = 0.0

    def __enter__(self) -> None:
        # Tasks that the call makes find it too. The call has a context of its own, which ends with it.
        _current.set(self)
        self._began_s = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._seconds.observe(time.perf_counter() - self._began_s - self._awaited_s)

    def wait_begins(self) -> None:
        if self._waits == 0:
            self._waits_since_s = time.perf_counter()
        self._waits += 1

    def wait_ends(self) -> None:
        self._waits -= 1
        if self._waits == 0:
            self._awaited_s += time.perf_counter() - self._waits_since_s


class awaiting:  # noqa: N801  (used like a function)
    """Around an await for another service's answer."""

    __slots__ = ("_own",)

    def __enter__(self) -> None:
        self._own = _current.get()
        if self._own:
            self._own.wait_begins()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own:
            self._own.wait_ends()


_current: ContextVar[OwnTime | None] = ContextVar("own_time", default=None)
