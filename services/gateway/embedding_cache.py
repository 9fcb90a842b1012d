"""What the embedder made of pictures lately, so that the same picture is not embedded twice.

Only a picture's hash is kept, never the picture. Those who ask for the same one at the same time share one call.
"""

from __future__ import annotations

import asyncio
import hashlib
import struct
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Generic, NamedTuple, TypeVar

from services.gateway import metrics
from services.gateway.own_time import awaiting
from vitrine.runtime.errors import DeadlineExceeded, VitrineError
from vitrine.v1 import embedder_pb2

Value = TypeVar("Value")
# Values at some places of a request, or why there are none.
Make = Callable[[Sequence[int]], Coroutine[Any, Any, list[Value | VitrineError]]]

DEFAULT_BOUND_BYTES: Final = 64 * 1024 * 1024
DEFAULT_TTL_S: Final = 3600.0
# What an entry takes beside its value: the key, the time, and Python's own.
_ENTRY_BYTES: Final = 400
_WHAT: Final = struct.Struct("<??4f")


def key_of(data: bytes, crop: embedder_pb2.CropBox | None, auto: bool, model_id: str) -> bytes:
    """32 bytes that name what a model makes of (this part of) a picture. 16 MiB take 10 to 40 ms."""
    box = crop or embedder_pb2.CropBox()
    what = _WHAT.pack(auto, crop is not None, box.left, box.top, box.right, box.bottom)
    return hashlib.sha256(hashlib.sha256(data).digest() + what + model_id.encode()).digest()


class _Kept(NamedTuple, Generic[Value]):
    """`until_s`: on the monotonic clock."""

    value: Value
    size_bytes: int
    until_s: float


@dataclass(eq=False)
class _Flight(Generic[Value]):
    """A call under way. `keys`: in the order of its answers. `waited_for`: how many callers have not left."""

    keys: Sequence[bytes]
    task: asyncio.Task[list[Value | VitrineError]]
    waited_for: int = 0

    def value(self, key: bytes) -> Value | VitrineError:
        return self.task.result()[self.keys.index(key)]


class EmbeddingCache(Generic[Value]):
    """The last used values, at most `bound_bytes` of them, each for `ttl_s`. `bound_bytes` 0: only calls are shared.

    `weigh`: the bytes of a value. Used from one event loop.
    """

    def __init__(self, bound_bytes: int, ttl_s: float, weigh: Callable[[Value], int]) -> None:
        self._bound_bytes = bound_bytes
        self._ttl_s = ttl_s
        self._weigh = weigh
        self._kept: OrderedDict[bytes, _Kept[Value]] = OrderedDict()
        self._flights: dict[bytes, _Flight[Value]] = {}
        self._size_bytes = 0

    async def get_or(self, keys: Sequence[bytes], make: Make[Value], until_s: float) -> list[Value | VitrineError]:
        """A value a key, in order, or why there is none; DeadlineExceeded where it is not there at `until_s`.

        `make` is called once, with the places of those that are neither kept nor under way. It goes on if this caller
        leaves and another waits for one of them. Errors are not kept. `until_s`: on the monotonic clock.
        """
        found = {key: value for key in keys if (value := self._get(key)) is not None}
        joined = {key: self._flights[key] for key in keys if key not in found and key in self._flights}
        missing = {key: place for place, key in enumerate(keys) if key not in found and key not in joined}
        _count(hit=len(found), joined=len(joined), miss=len(missing))
        if missing:
            flight = self._take_off(list(missing), make(list(missing.values())))
            joined |= dict.fromkeys(missing, flight)
        landed: dict[bytes, Value | VitrineError] = {**found, **await self._landed(joined, until_s)}
        # Somebody else's call has ended at a deadline that was not this caller's.
        lost = [place for place, key in enumerate(keys) if key not in missing and _is_late(landed[key])]
        if lost and monotonic() < until_s:
            again = await self.get_or(
                [keys[place] for place in lost], lambda places: make([lost[place] for place in places]), until_s
            )
            landed |= zip((keys[place] for place in lost), again, strict=True)
        return [landed[key] for key in keys]

    def _take_off(self, keys: Sequence[bytes], call: Coroutine[Any, Any, list[Value | VitrineError]]) -> _Flight[Value]:
        # A task of its own: the caller that happens to be first may leave.
        flight = _Flight(keys, asyncio.get_running_loop().create_task(call))
        self._flights |= dict.fromkeys(keys, flight)
        flight.task.add_done_callback(lambda _: self._land(flight))
        return flight

    def _land(self, flight: _Flight[Value]) -> None:
        self._close(flight)
        if flight.task.cancelled() or flight.task.exception():
            return
        for key, value in zip(flight.keys, flight.task.result(), strict=True):
            if not isinstance(value, VitrineError):
                self._keep(key, value)

    def _close(self, flight: _Flight[Value]) -> None:
        """Nobody joins it any more."""
        for key in flight.keys:
            if self._flights.get(key) is flight:
                del self._flights[key]

    async def _landed(self, joined: dict[bytes, _Flight[Value]], until_s: float) -> dict[bytes, Value | VitrineError]:
        flights = list(dict.fromkeys(joined.values()))
        for flight in flights:
            flight.waited_for += 1
        try:
            if flights:
                with awaiting():
                    await asyncio.wait([flight.task for flight in flights], timeout=max(0.0, until_s - monotonic()))
            return {
                key: flight.value(key)
                if flight.task.done()
                else DeadlineExceeded("the embedder did not answer in time")
                for key, flight in joined.items()
            }
        finally:
            for flight in flights:
                flight.waited_for -= 1
                if flight.waited_for == 0 and not flight.task.done():
                    # What nobody waits for any more costs the embedder no more work.
                    self._close(flight)
                    flight.task.cancel()

    def _get(self, key: bytes) -> Value | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.until_s <= monotonic():
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return kept.value

    def _keep(self, key: bytes, value: Value) -> None:
        size_bytes = self._weigh(value) + _ENTRY_BYTES
        if size_bytes > self._bound_bytes:
            return
        if key in self._kept:
            self._drop(key)
        self._kept[key] = _Kept(value, size_bytes, monotonic() + self._ttl_s)
        self._size_bytes += size_bytes
        while self._size_bytes > self._bound_bytes:
            self._drop(next(iter(self._kept)))
        metrics.EMBEDDING_CACHE_BYTES.set(self._size_bytes)

    def _drop(self, key: bytes) -> None:
        self._size_bytes -= self._kept.pop(key).size_bytes


def _is_late(value: object) -> bool:
    return isinstance(value, DeadlineExceeded)


def _count(**looked_up: int) -> None:
    for result, pictures in looked_up.items():
        metrics.EMBEDDINGS_LOOKED_UP.labels(result).inc(pictures)
