"""The client that waits for each answer."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from vitrine.client import calls, requests, responses
from vitrine.client.answers import Ack, Answer, Refusal
from vitrine.client.batches import Paging
from vitrine.client.failures import typed_errors
from vitrine.client.gateway import DEFAULT_TIMEOUT_S, Call, Gateway, Streaming, metadata_of
from vitrine.client.questions import Search
from vitrine.client.retrying import MAX_TRIES, SHORTEST_S, RetryBudget, Tries
from vitrine.client.streams import Stream
from vitrine.client.together import Result, Together
from vitrine.runtime.channels import NOTHING, Credentials, blocking_channel
from vitrine.runtime.errors import VitrineError
from vitrine.stream.events import Event, LiveUpdate
from vitrine.stream.log import Position
from vitrine.v1 import catalogue_pb2_grpc, gateway_pb2, gateway_pb2_grpc
from vitrine.vectors import Vectors

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")


def _call(build: Callable[Concatenate[Gateway, P], Call[T]]) -> Callable[Concatenate[VisualSearchClient, P], T]:
    @functools.wraps(build)
    def method(self: VisualSearchClient, /, *args: P.args, **fields: P.kwargs) -> T:
        return self._made(build(self._gateway, *args, **fields))

    return method


def _stream(
    build: Callable[Concatenate[Gateway, P], Streaming[T, S]],
) -> Callable[Concatenate[VisualSearchClient, P], Stream[T, S]]:
    @functools.wraps(build)
    def method(self: VisualSearchClient, /, *args: P.args, **fields: P.kwargs) -> Stream[T, S]:
        call = build(self._gateway, *args, **fields)
        return Stream(call, self._messages(call))

    return method


class VisualSearchClient:
    """Calls one gateway. Safe to share between threads. Raises the errors of `vitrine.runtime.errors`.

    One client for all threads of a program is best: what they ask at the same time travels together.

    index      empty = the gateway's own
    timeout_s  for a call with all its tries, unless the call says otherwise
    caller     what this program is called, for limits and metrics: 1 to 64 of a-z, 0-9, -, _ and .
    max_tries  of a call that may be sent again; 1 = never again
    credentials  certificates and token, as `Credentials.of` finds them; when the files change, no call is lost
    """

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
        self._channel = blocking_channel(address, credentials)
        self._closed = False
        self._gateway = Gateway(
            gateway_pb2_grpc.VisualSearchStub(self._channel),
            catalogue_pb2_grpc.CatalogueStub(self._channel),
            self._asked_with_others,
            index,
            timeout_s,
        )
        self._together = Together(self._asked)
        self._budget = RetryBudget()
        self._max_tries = max_tries

    def __enter__(self) -> VisualSearchClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def repeats(self) -> int:
        """How many tries of calls there were beyond the first, since this client was made."""
        return self._budget.repeats

    def close(self) -> None:
        self._closed = True
        self._channel.close()

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

    def pages(self, search: Search) -> Iterator[Answer]:
        """Pages of `search.k` products, each strictly after the one before, up to 1,000 products in all.

        What is published meanwhile is on later pages where its rank puts it there. No product comes twice, but one that
        is published anew meanwhile and ranks lower since.
        """
        paging = Paging(search)
        while paging.next:
            page = self._made(calls.searching(self._gateway, paging.next))
            paging.took(page)
            yield page

    def search_batch(
        self, searches: Vectors | Sequence[Search], k: int = 10, timeout_s: float | None = None
    ) -> list[Answer | VitrineError]:
        """One answer a search, in order, or what `search` would have raised for it. Many cost less than one by one.

        `searches`: float32 vectors, shape (n, dim), each asked for `k` products; or searches, with a `k` of their own.
        `timeout_s`: for all of them; what a search says of it does not count here.
        """
        parts = calls.search_batch(self._gateway, searches, k, timeout_s)
        return [answer for call in parts for answer in self._made(call)]

    def refusals(self, since: Iterable[Position] = (), timeout_s: float | None = None) -> list[Refusal]:
        """What the indexer refused at or after `since`, in those partitions; all if empty."""
        call = calls.refusals(self._gateway, since, timeout_s)
        return [refusal for message in self._messages(call) for refusal in call.items(message)]

    def publish(self, events: Iterable[Event], timeout_s: float | None = None) -> Iterator[Ack]:
        """Publishes events as they come; one acknowledgement each, in order, as they are durable.

        If it raises, events without an acknowledgement may be published again: twice has the effect of once. It is not
        done here: only the caller has them still. `timeout_s`: for all of them; None = as long as they come.
        """
        messages = (requests.event(event, self._gateway.index) for event in events)
        return self._acknowledged(self._gateway.catalogue.Publish, messages, timeout_s)

    def publish_live(self, updates: Iterable[LiveUpdate], timeout_s: float | None = None) -> Iterator[Ack]:
        """Publishes what changes by the minute (price, stock), each time the product's whole live map. As `publish`."""
        messages = (requests.live_update(update, self._gateway.index) for update in updates)
        return self._acknowledged(self._gateway.catalogue.PublishLive, messages, timeout_s)

    def _acknowledged(
        self, method: Callable[..., Any], messages: Iterator[Any], timeout_s: float | None
    ) -> Iterator[Ack]:
        failures: list[Exception] = []
        stream = method(_remembering(messages, failures), timeout=timeout_s, metadata=self._metadata)
        try:
            with typed_errors():
                yield from map(responses.ack, stream)
        except VitrineError:
            # What the caller's own events raise is not a failure of the call.
            if failures:
                raise failures[0] from None
            raise
        finally:
            stream.cancel()

    def _made(self, call: Call[T]) -> T:
        tries = Tries(self._budget, call.timeout_s, self._max_tries)
        while True:
            try:
                with typed_errors():
                    response = call.method(call.request, timeout=tries.left_s, metadata=self._metadata)
            except VitrineError as error:
                # Closed by another thread meanwhile: there is nobody left to ask.
                if self._closed or (pause_s := tries.pause_s(error)) is None:
                    raise
                time.sleep(pause_s)
            else:
                tries.succeeded()
                return call.read(response)

    def _messages(self, call: Streaming[T, S]) -> Generator[Any]:
        tries = Tries(self._budget, call.timeout_s, self._max_tries)
        while True:
            stream, came = call.method(call.request, timeout=tries.left_s, metadata=self._metadata), False
            try:
                with typed_errors():
                    for message in stream:
                        came = True
                        yield message
                tries.succeeded()
                return
            except VitrineError as error:
                if came or (pause_s := tries.pause_s(error)) is None:
                    raise
            finally:
                stream.cancel()
            time.sleep(pause_s)

    def _asked_with_others(
        self, request: gateway_pb2.SearchRequest, timeout: float, metadata: object
    ) -> gateway_pb2.SearchResponse:
        """As a stub's method. What goes with a call goes with the one that they travel in."""
        return self._together.ask(request, timeout)

    def _asked(self, asked: Sequence[gateway_pb2.SearchRequest], timeout_s: float) -> Sequence[Result]:
        timeout_s = max(SHORTEST_S, timeout_s)
        stub = self._gateway.search
        with typed_errors():
            if len(asked) == 1:
                return [stub.Search(asked[0], timeout=timeout_s, metadata=self._metadata)]
            together = gateway_pb2.BatchSearchRequest(index=self._gateway.index, searches=asked)
            response = stub.BatchSearch(together, timeout=timeout_s, metadata=self._metadata)
        return list(map(responses.response_of, response.results))


def _remembering(messages: Iterator[T], failures: list[Exception]) -> Iterator[T]:
    try:
        yield from messages
    except Exception as error:
        failures.append(error)
        raise
