"""Who calls, and how often each may."""

from __future__ import annotations

import re
from collections.abc import Mapping
from time import monotonic
from typing import Final

from services.gateway import metrics
from vitrine.runtime.access import token_name
from vitrine.runtime.context import Context
from vitrine.runtime.errors import ConfigError, InvalidArgument, ResourceExhausted

CALLER_METADATA: Final = "vitrine-caller"
# What a limit is for, whose name is none of the others.
OTHERS: Final = "*"
_UNKNOWN: Final = "unknown"
_NAME: Final = re.compile(r"[a-z0-9_.-]{1,64}", re.ASCII)
# Names seen first that have numbers, and a limit, of their own; those after them share both.
_MOST_NAMES: Final = 64
_LATECOMERS: Final = "other"
# What a caller may ask for at once after a pause, in seconds of its limit.
_BURST_S: Final = 1.0


def caller_of(context: Context) -> str:
    """The name of its token or, where none is needed, the one in its metadata. Raises InvalidArgument.

    Whoever has a token cannot call itself by another's name.
    """
    if proven := token_name():
        return proven
    for key, value in context.invocation_metadata() or ():
        if key == CALLER_METADATA:
            if not (isinstance(value, str) and _NAME.fullmatch(value)):
                raise InvalidArgument(CALLER_METADATA, "is not 1 to 64 of a-z, 0-9, -, _ and .")
            return value
    return _UNKNOWN


class Callers:
    """Limits by name, in searches a second; `OTHERS`: for each that is not named. Without one there is no limit.

    Raises ConfigError (`caller_limits`).
    """

    def __init__(self, limits: Mapping[str, float]) -> None:
        for name, per_s in limits.items():
            if name != OTHERS and not _NAME.fullmatch(name):
                raise ConfigError("caller_limits", f"{name!r} is not 1 to 64 of a-z, 0-9, -, _ and .")
            if not 0 < per_s < float("inf"):
                raise ConfigError("caller_limits", f"{name}: {per_s} is no number of searches a second")
        self._limits = limits
        self._buckets = {name: _Bucket(per_s) for name, per_s in limits.items() if name != OTHERS}
        self._seen: set[str] = set(self._buckets)
        self._most_seen = len(self._seen) + _MOST_NAMES

    def take(self, name: str, searches: float) -> str:
        """Counts them against the caller's limit. Returns the name for its numbers. Raises ResourceExhausted."""
        known = self._known(name)
        bucket = self._buckets.get(known)
        if bucket is None and OTHERS in self._limits:
            bucket = self._buckets[known] = _Bucket(self._limits[OTHERS])
        if bucket and (wait_s := bucket.take(searches)):
            metrics.CALLS_BY_CALLER.labels(known, "limited").inc()
            raise ResourceExhausted(f"{name} may ask for {bucket.per_s:g} searches a second", wait_s)
        return known

    def _known(self, name: str) -> str:
        if name not in self._seen:
            if len(self._seen) >= self._most_seen:
                return _LATECOMERS
            self._seen.add(name)
        return name


class _Bucket:
    """A token bucket that may go into debt, so that a batch larger than it can pass after a pause."""

    def __init__(self, per_s: float) -> None:
        self.per_s = per_s
        self._most = max(1.0, per_s * _BURST_S)
        self._tokens = self._most
        self._filled_s = monotonic()

    def take(self, tokens: float) -> float:
        """0, or the seconds until there is one."""
        now_s = monotonic()
        self._tokens = min(self._most, self._tokens + (now_s - self._filled_s) * self.per_s)
        self._filled_s = now_s
        if self._tokens < 1:
            return (1 - self._tokens) / self.per_s
        self._tokens -= tokens
        return 0.0
