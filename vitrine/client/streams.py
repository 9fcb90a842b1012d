"""Answers that come bit by bit, with how complete they are at the end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from typing import Any, Generic, TypeVar

from vitrine.client.gateway import Streaming
from vitrine.runtime.errors import Unavailable

T = TypeVar("T")
S = TypeVar("S")


class Stream(Generic[T, S]):
    """Items as they come; once all have come, `summary` says how complete they are and what they cost.

    To be gone through once. Ending early ends the call itself.
    """

    def __init__(self, call: Streaming[T, S], messages: Generator[Any]) -> None:
        self._call = call
        self._messages = messages
        self.summary: S | None = None

    def __iter__(self) -> Generator[T]:
        """Raises what `search` does, ResourceExhausted where too many run, Unavailable where it breaks off."""
        with closing(self._messages):
            for message in self._messages:
                self.summary = self._call.summary(message)
                yield from self._call.items(message)
        _check_whole(self._call.name, self.summary)


class AsyncStream(Generic[T, S]):
    """The same for asyncio: `async for`."""

    def __init__(self, call: Streaming[T, S], messages: AsyncGenerator[Any]) -> None:
        self._call = call
        self._messages = messages
        self.summary: S | None = None

    async def __aiter__(self) -> AsyncGenerator[T]:
        async with aclosing(self._messages):
            async for message in self._messages:
                self.summary = self._call.summary(message)
                for item in self._call.items(message):
                    yield item
        _check_whole(self._call.name, self.summary)


def _check_whole(name: str, summary: object) -> None:
    """Raises Unavailable where the last message has not come."""
    if summary is None:
        raise Unavailable(f"{name} was cut short")
