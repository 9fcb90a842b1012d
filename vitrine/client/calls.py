"""The calls of one gateway."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Final

import grpc
import numpy as np

from vitrine.client import messages
from vitrine.client.failures import typed_errors
from vitrine.client.scan import Scan
from vitrine.client.together import Result, Together
from vitrine.client.values import Ack, Answer, Product, Refusal, Search
from vitrine.filters import Filter
from vitrine.images import CropBox
from vitrine.runtime.channels import CHANNEL_OPTIONS
from vitrine.runtime.errors import VitrineError
from vitrine.stream.codec import live_message, to_message
from vitrine.stream.events import Event, LiveUpdate
from vitrine.stream.log import Position
from vitrine.v1 import catalogue_pb2, catalogue_pb2_grpc, gateway_pb2, gateway_pb2_grpc
from vitrine.vectors import Vectors

DEFAULT_TIMEOUT_S: Final = 10.0
SCAN_TIMEOUT_S: Final = 120.0
# The pages of one search hold no more products than these together.
MAX_PAGED: Final = 1_000

# A timeout of nothing is refused by gRPC in words of its own.
_SHORTEST_S: Final = 0.001
# What the gateway takes in one call: searches, searches by image, and products wanted by all of them.
_BATCH: Final = 256
_BATCH_BY_IMAGE: Final = 64
_BATCH_PRODUCTS: Final = 10_000
_FACET_PRODUCTS: Final = 1_000


class VisualSearchClient:
    """Calls one gateway. Safe to share between threads. Raises the errors of `vitrine.runtime.errors`.

    One client for all threads of a program is best: what they ask at the same time travels together.
    """

    def __init__(self, address: str, index: str = "", timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._search = gateway_pb2_grpc.VisualSearchStub(self._channel)
        self._catalogue = catalogue_pb2_grpc.CatalogueStub(self._channel)
        self._index = index
        self._timeout_s = timeout_s
        self._together = Together(self._asked)

    def __enter__(self) -> VisualSearchClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def search(
        self,
        *,
        image: bytes | None = None,
        product_id: str | None = None,
        vector: Vectors | None = None,
        k: int = 10,
        crop: CropBox | None = None,
        filter: Filter | None = None,  # noqa: A002  (the contract's name)
        min_score: float | None = None,
        exact: bool = False,
        recall_target: float | None = None,
        page_token: str = "",
        explain: bool = False,
        facets: Sequence[str] = (),
        require_complete: bool = False,
        at_least: Iterable[Position] = (),
        timeout_s: float | None = None,
    ) -> Answer:
        """Products that look like exactly one of `image`, `product_id` and `vector`. For each field see `Search`."""
        search = Search(
            image=image,
            product_id=product_id,
            vector=vector,
            k=k,
            crop=crop,
            filter=filter,
            min_score=min_score,
            exact=exact,
            recall_target=recall_target,
            page_token=page_token,
            explain=explain,
            facets=facets,
            require_complete=require_complete,
            at_least=tuple(at_least),
        )
        return self._answer(search, timeout_s)

    def pages(self, search: Search, timeout_s: float | None = None) -> Iterator[Answer]:
        """Pages of `search.k` products, each strictly after the one before, up to 1,000 products in all.

        What is published meanwhile is on later pages where its rank puts it there. No product comes twice, but one that
        is published anew meanwhile and ranks lower since.
        """
        answered = 0
        while answered < MAX_PAGED:
            page = self._answer(replace(search, k=min(search.k, MAX_PAGED - answered)), timeout_s)
            yield page
            if not page.next_page_token:
                return
            answered += len(page.hits)
            search = replace(search, page_token=page.next_page_token)

    def search_batch(
        self, searches: Vectors | Sequence[Search], k: int = 10, timeout_s: float | None = None
    ) -> list[Answer | VitrineError]:
        """One answer a search, in order, or what `search` would have raised for it. Many cost less than one by one.

        `searches`: float32 vectors, shape (n, dim), each asked for `k` products; or searches, with a `k` of their own.
        """
        if isinstance(searches, np.ndarray):
            searches = [Search(vector=vector, k=k) for vector in searches]
        answers: list[Answer | VitrineError] = []
        for part in _batches(searches):
            asked = [messages.search_message(search, "") for search in part]
            request = gateway_pb2.BatchSearchRequest(index=self._index, searches=asked)
            with typed_errors():
                response = self._search.BatchSearch(request, timeout=timeout_s or self._timeout_s)
            answers += map(messages.result, response.results)
        return answers

    def scan(
        self,
        *,
        min_score: float,
        image: bytes | None = None,
        product_id: str | None = None,
        vector: Vectors | None = None,
        crop: CropBox | None = None,
        filter: Filter | None = None,  # noqa: A002  (the contract's name)
        require_complete: bool = False,
        at_least: Iterable[Position] = (),
        timeout_s: float = SCAN_TIMEOUT_S,
    ) -> Scan:
        """Every product that scores at least `min_score`. It costs as much as hundreds of searches; few run at once."""
        search = Search(
            image=image,
            product_id=product_id,
            vector=vector,
            crop=crop,
            filter=filter,
            min_score=min_score,
            require_complete=require_complete,
            at_least=tuple(at_least),
        )
        return Scan(self._search.Scan(messages.scan_message(search, self._index), timeout=timeout_s))

    def product(self, product_id: str, at_least: Iterable[Position] = ()) -> Product:
        """Raises UnknownProduct's kind, NotFound, if it is unknown, withdrawn or expired."""
        request = gateway_pb2.GetProductRequest(
            index=self._index, product_id=product_id, at_least=messages.positions(at_least)
        )
        with typed_errors():
            return messages.product(self._search.GetProduct(request, timeout=self._timeout_s).product)

    def thumbnail(self, sha256: bytes) -> bytes:
        """The WebP thumbnail of a picture. Raises NotFound."""
        with typed_errors():
            request = gateway_pb2.GetThumbnailRequest(index=self._index, sha256=sha256)
            return bytes(self._search.GetThumbnail(request, timeout=self._timeout_s).webp)

    def status(self) -> gateway_pb2.GetIndexStatusResponse:
        """Partitions, shards, freshness."""
        with typed_errors():
            request = gateway_pb2.GetIndexStatusRequest(index=self._index)
            return self._search.GetIndexStatus(request, timeout=self._timeout_s)

    def publish(self, events: Iterable[Event]) -> Iterator[Ack]:
        """Publishes events as they come; one acknowledgement each, in order, as they are durable.

        If it raises, events without an acknowledgement may be published again: twice has the effect of once.
        """
        with typed_errors():
            yield from map(messages.ack, self._catalogue.Publish(map(self._message, events)))

    def publish_live(self, updates: Iterable[LiveUpdate]) -> Iterator[Ack]:
        """Publishes what changes by the minute (price, stock), each time the product's whole live map. As `publish`."""
        with typed_errors():
            yield from map(messages.ack, self._catalogue.PublishLive(map(self._live_message, updates)))

    def refusals(self, since: Iterable[Position] = ()) -> list[Refusal]:
        """What the indexer refused at or after `since`, in those partitions; all if empty."""
        request = catalogue_pb2.ListDeadLettersRequest(index=self._index, since=messages.positions(since))
        with typed_errors():
            return list(map(messages.refusal, self._catalogue.ListDeadLetters(request, timeout=self._timeout_s)))

    def _answer(self, search: Search, timeout_s: float | None) -> Answer:
        request, timeout_s = messages.search_message(search, self._index), timeout_s or self._timeout_s
        if search.is_plain:
            return messages.answer(self._together.ask(request, timeout_s))
        with typed_errors():
            return messages.answer(self._search.Search(request, timeout=timeout_s))

    def _asked(self, requests: Sequence[gateway_pb2.SearchRequest], timeout_s: float) -> Sequence[Result]:
        with typed_errors():
            if len(requests) == 1:
                return [self._search.Search(requests[0], timeout=max(_SHORTEST_S, timeout_s))]
            together = gateway_pb2.BatchSearchRequest(index=self._index, searches=requests)
            response = self._search.BatchSearch(together, timeout=max(_SHORTEST_S, timeout_s))
        return list(map(messages.response_of, response.results))

    def _message(self, event: Event) -> catalogue_pb2.CatalogueEvent:
        message = to_message(event)
        message.index = self._index
        return message

    def _live_message(self, update: LiveUpdate) -> catalogue_pb2.LiveAttributes:
        message = live_message(update)
        message.index = self._index
        return message


def _batches(searches: Sequence[Search]) -> Iterator[list[Search]]:
    """`searches` in order, as many at a time as the gateway takes in one call."""
    batch: list[Search] = []
    images = products = 0
    for search in searches:
        image, wanted = search.image is not None, max(search.k, _FACET_PRODUCTS if search.facets else 1)
        is_full = len(batch) == _BATCH or images + image > _BATCH_BY_IMAGE or products + wanted > _BATCH_PRODUCTS
        if batch and is_full:
            yield batch
            batch, images, products = [], 0, 0
        batch.append(search)
        images, products = images + image, products + wanted
    if batch:
        yield batch
