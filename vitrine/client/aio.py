"""The same client for asyncio: what the other waits for is awaited here, and what it goes through is `async for`."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Iterable, Sequence
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from vitrine.client import calls, requests, responses
from vitrine.client.answers import Ack, Answer, Refusal
from vitrine.client.batches import Paging
from vitrine.client.failures import typed_errors
from vitrine.client.gateway import DEFAULT_TIMEOUT_S, Call, Gateway, Streaming, metadata_of
from vitrine.client.questions import Search
from vitrine.client.retrying import MAX_TRIES, RetryBudget, Tries
from vitrine.client.streams import AsyncStream
from vitrine.runtime.channels import NOTHING, Credentials, internal_channel
from vitrine.runtime.errors import DeadlineExceeded, Unavailable, VitrineError
from vitrine.stream.events import Event, LiveUpdate
from vitrine.stream.log import Position
from vitrine.v1 import catalogue_pb2_grpc, gateway_pb2_grpc
from vitrine.vectors import Vectors

# What gRPC's asyncio client makes of a call that the server ends while a message is being sent (1.85).
_REASON_LOST: Final = "INTERNAL: Internal error from Core"
_WHY_TIMEOUT_S: Final = 1.0

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")


def _call(
    build: Callable[Concatenate[Gateway, P], Call[T]],
) -> Callable[Concatenate[AsyncVisualSearchClient, P], Coroutine[Any, Any, T]]:
    @functools.wraps(build)
    async def method(self: AsyncVisualSearchClient, /, *args: P.args, **fields: P.kwargs) -> T:
        return await self._made(build(self._gateway, *args, **fields))

    return method


def _stream(
    build: Callable[Concatenate[Gateway, P], Streaming[T, S]],
) -> Callable[Concatenate[AsyncVisualSearchClient, P], AsyncStream[T, S]]:
    @functools.wraps(build)
    def method(self: AsyncVisualSearchClient, /, *args: P.args, **fields: P.kwargs) -> AsyncStream[T, S]:
        call = build(self._gateway, *args, **fields)
        return AsyncStream(call, self._messages(call))

    return method


class AsyncVisualSearchClient:
    """Calls one gateway from one event loop, in which it has to be made. Otherwise as `VisualSearchClient`."""

    def __init__(
        self,
        address: str,
        index: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
        caller: str = "",
        max_tries: int = MAX_TRIES,
        credentials: Credentials = NOTHING,
    ) -> None:
        self._metadata = metadata_of(caller)
        self._channel = internal_channel(address, credentials)
        search = gateway_pb2_grpc.VisualSearchStub(self._channel)
        catalogue = catalogue_pb2_grpc.CatalogueStub(self._channel)
        self._gateway = Gateway(search, catalogue, search.Search, index, timeout_s)
        self._budget = RetryBudget()
        self._max_tries = max_tries

    async def __aenter__(self) -> AsyncVisualSearchClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def repeats(self) -> int:
        """How many tries of calls there were beyond the first, since this client was made."""
        return self._budget.repeats

    async def close(self) -> None:
        await self._channel.close()

    search = _call(calls.search)
    recommend = _call(calls.recommend)
    complete_the_look = _call(calls.complete_the_look)
    send_feedback = _call(calls.send_feedback)
    recent_queries = _call(calls.recent_queries)
    product = _call(calls.product)
    thumbnail = _call(calls.thumbnail)
    status = _call(calls.status)
    scan = _stream(calls.scan)
    find_duplicates = _stream(calls.find_duplicates)

    async def pages(self, search: Search) -> AsyncGenerator[Answer]:
        """As `VisualSearchClient.pages`."""
        paging = Paging(search)
        while paging.next:
            page = await self._made(calls.searching(self._gateway, paging.next))
            paging.took(page)
            yield page

    async def search_batch(
        self, searches: Vectors | Sequence[Search], k: int = 10, timeout_s: float | None = None
    ) -> list[Answer | VitrineError]:
        """As `VisualSearchClient.search_batch`."""
        parts = calls.search_batch(self._gateway, searches, k, timeout_s)
        return [answer for call in parts for answer in await self._made(call)]

    async def refusals(self, since: Iterable[Position] = (), timeout_s: float | None = None) -> list[Refusal]:
        """As `VisualSearchClient.refusals`."""
        call = calls.refusals(self._gateway, since, timeout_s)
        return [refusal async for message in self._messages(call) for refusal in call.items(message)]

    def publish(
        self, events: Iterable[Event] | AsyncIterable[Event], timeout_s: float | None = None
    ) -> AsyncGenerator[Ack]:
        """As `VisualSearchClient.publish`."""
        messages = (requests.event(event, self._gateway.index) async for event in _each(events))
        return self._acknowledged(self._gateway.catalogue.Publish, messages, timeout_s)

    def publish_live(
        self, updates: Iterable[LiveUpdate] | AsyncIterable[LiveUpdate], timeout_s: float | None = None
    ) -> AsyncGenerator[Ack]:
        """As `VisualSearchClient.publish_live`."""
        messages = (requests.live_update(update, self._gateway.index) async for update in _each(updates))
        return self._acknowledged(self._gateway.catalogue.PublishLive, messages, timeout_s)

    async def _acknowledged(
        self, method: Callable[..., Any], messages: AsyncGenerator[Any], timeout_s: float | None
    ) -> AsyncGenerator[Ack]:
        failures: list[Exception] = []
        stream = method(_remembering(messages, failures), timeout=timeout_s, metadata=self._metadata)
        try:
            with typed_errors():
                async for message in stream:
                    yield responses.ack(message)
        except (VitrineError, asyncio.CancelledError) as error:
            # What the caller's own events raise is not a failure of the call, nor does it cancel this task.
            if failures:
                raise failures[0] from None
            if str(error) == _REASON_LOST:
                await self._ask_why(method)
                raise Unavailable("the call ended while events were being sent") from error
            raise
        finally:
            stream.cancel()

    async def _ask_why(self, method: Callable[..., Any]) -> None:
        """Raises what the gateway says to a stream that brings nothing, if that is why it has ended another early."""
        silent = method(metadata=self._metadata, timeout=_WHY_TIMEOUT_S)
        try:
            with typed_errors():
                await silent.read()
        except DeadlineExceeded:
            return  # it is patient now
        finally:
            silent.cancel()

    async def _made(self, call: Call[T]) -> T:
        tries = Tries(self._budget, call.timeout_s, self._max_tries)
        while True:
            try:
                with typed_errors():
                    response = await call.method(call.request, timeout=tries.left_s, metadata=self._metadata)
            except VitrineError as error:
                if (pause_s := tries.pause_s(error)) is None:
                    raise
                await asyncio.sleep(pause_s)
            else:
                tries.succeeded()
                return call.read(response)

    async def _messages(self, call: Streaming[T, S]) -> AsyncGenerator[Any]:
        tries = Tries(self._budget, call.timeout_s, self._max_tries)
        while True:
            stream, came = call.method(call.request, timeout=tries.left_s, metadata=self._metadata), False
            try:
                with typed_errors():
                    async for message in stream:
                        came = True
                        yield message
                tries.succeeded()
                return
            except VitrineError as error:
                if came or (pause_s := tries.pause_s(error)) is None:
                    raise
            finally:
                stream.cancel()
            await asyncio.sleep(pause_s)


async def _each(items: Iterable[T] | AsyncIterable[T]) -> AsyncGenerator[T]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


async def _remembering(messages: AsyncGenerator[T], failures: list[Exception]) -> AsyncGenerator[T]:
    try:
        async for message in messages:
            yield message
    except Exception as error:
        failures.append(error)
        raise
