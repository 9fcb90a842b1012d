"""Batches of events under way: fetched and embedded beside each other, handed on in the order they were read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from services.indexer.embed import Embedding, Outcome
from services.indexer.source import Incoming
from vitrine.shards.records import ProductVersion
from vitrine.stream.events import Upsert

# While one is at the GPU the next is fetched.
_UNDER_WAY: Final = 2

Known = Callable[[Sequence[str]], Mapping[str, ProductVersion]]
"""Those of some products that have images in the index. Blocks."""


class Embedded(NamedTuple):
    """One batch. `reached`: first offset beyond it. `reading`: what it was put in with. `last`: none is after it."""

    outcomes: Sequence[Outcome]
    reached: int
    reading: int
    last: bool


class Batches:
    """`changed`: called when what is waited for has changed."""

    def __init__(self, embedding: Embedding, known: Known, changed: Callable[[str], None]) -> None:
        self._embedding = embedding
        self._known = known
        self._changed = changed
        self._queue: asyncio.Queue[tuple[asyncio.Task[Sequence[Outcome]], int, int]] = asyncio.Queue(_UNDER_WAY)
        self._begun = 0
        self._ended = 0
        self._waits: dict[int, str] = {}

    @property
    def waiting_for(self) -> str:
        """What holds one of them up; empty if nothing does."""
        return next(iter(self._waits.values()), "")

    @property
    def full(self) -> bool:
        return self._queue.full()

    def put(self, incoming: Sequence[Incoming], reached: int, reading: int) -> None:
        """Begins a batch. Only where there is room."""
        self._begun += 1
        self._queue.put_nowait((asyncio.create_task(self._embed(self._begun, incoming)), reached, reading))

    async def hand_on(self, take: Callable[[Embedded], Awaitable[None]]) -> None:
        """Gives each to `take`, in order, until cancelled."""
        while True:
            task, reached, reading = await self._queue.get()
            outcomes = await task
            self._ended += 1
            await take(Embedded(outcomes, reached, reading, self._ended == self._begun))

    def cancel(self) -> None:
        while not self._queue.empty():
            self._queue.get_nowait()[0].cancel()

    async def _embed(self, number: int, incoming: Sequence[Incoming]) -> Sequence[Outcome]:
        changed = [entry.event.product_id for entry in incoming if isinstance(entry.event, Upsert)]
        known = await asyncio.to_thread(self._known, changed)
        return await self._embedding.outcomes(incoming, known, partial(self._wait, number))

    def _wait(self, number: int, reason: str) -> None:
        if reason:
            self._waits[number] = reason
        else:
            self._waits.pop(number, None)
        self._changed(self.waiting_for)
