"""A typed client for storefront and catalogue code.

with VisualSearchClient("127.0.0.1:7000") as client:
    answer = client.search(image=Path("shoe.jpg").read_bytes(), k=10)
    for hit in answer.hits:
        print(hit.product_id, hit.score)
    if not answer.coverage.complete:
        print("partial:", answer.coverage.failures)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

import grpc

from vitrine.attributes import Attributes
from vitrine.images import CropBox
from vitrine.runtime import errors
from vitrine.runtime.channels import CHANNEL_OPTIONS
from vitrine.runtime.errors import VitrineError
from vitrine.shards.records import Hit
from vitrine.stream.codec import (
    attribute_from_message,
    live_message,
    position_from_message,
    position_message,
    to_message,
)
from vitrine.stream.events import Event, LiveUpdate
from vitrine.stream.log import Position
from vitrine.v1 import catalogue_pb2, catalogue_pb2_grpc, embedder_pb2, gateway_pb2, gateway_pb2_grpc, searcher_pb2
from vitrine.vectors import Vectors, to_wire

DEFAULT_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Coverage:
    """How complete an answer is. `failures`: why each missing partition is missing."""

    partitions_total: int
    partitions_answered: int
    rows_searched: int
    failures: dict[int, str]

    @property
    def complete(self) -> bool:
        return self.partitions_answered == self.partitions_total


@dataclass(frozen=True, slots=True)
class Answer:
    """Products that look like the query, best first. `index_time_us`: microseconds since 1970."""

    hits: list[Hit]
    coverage: Coverage
    index_time_us: int
    model_id: str
    query_id: str


@dataclass(frozen=True, slots=True)
class Product:
    """A product as it is indexed now. `live`: what changes by the minute about it."""

    product_id: str
    category: str
    attributes: Attributes
    image_sha256s: dict[str, bytes]
    position: Position
    live: Attributes


@dataclass(frozen=True, slots=True)
class Ack:
    """What became of one published event: its place in the log, or why it was refused."""

    product_id: str
    position: Position | None
    error: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A dead letter: an event, or some images of one, that could not be indexed."""

    position: Position
    product_id: str
    reason: str
    partly_indexed: bool


class VisualSearchClient:
    """Calls one gateway. Safe to share between threads. Raises the errors of `vitrine.runtime.errors`."""

    def __init__(self, address: str, index: str = "", timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._search = gateway_pb2_grpc.VisualSearchStub(self._channel)
        self._catalogue = catalogue_pb2_grpc.CatalogueStub(self._channel)
        self._index = index
        self._timeout_s = timeout_s

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
        min_score: float | None = None,
        exact: bool = False,
        require_complete: bool = False,
        at_least: Iterable[Position] = (),
        timeout_s: float | None = None,
    ) -> Answer:
        """Products that look like exactly one of `image` (JPEG, PNG, WebP bytes), `product_id` and `vector`.

        `vector`: float32, shape (dim,).
        """
        request = gateway_pb2.SearchRequest(
            index=self._index,
            **_query(image, product_id, vector),
            crop=None if crop is None else embedder_pb2.CropBox(**crop._asdict()),
            page_size=k,
            min_score=min_score,
            exact=exact,
            require_complete=require_complete,
            at_least=_positions(at_least),
        )
        with _typed_errors():
            response = self._search.Search(request, timeout=timeout_s or self._timeout_s)
        return Answer(
            hits=[_hit(hit) for hit in response.results],
            coverage=_coverage(response.coverage),
            index_time_us=response.index_time.ToMicroseconds(),
            model_id=response.model_id,
            query_id=response.query_id,
        )

    def product(self, product_id: str, at_least: Iterable[Position] = ()) -> Product:
        """Raises UnknownProduct's kind, NotFound, if it is unknown, withdrawn or expired."""
        request = gateway_pb2.GetProductRequest(index=self._index, product_id=product_id, at_least=_positions(at_least))
        with _typed_errors():
            found = self._search.GetProduct(request, timeout=self._timeout_s).product
        return Product(
            product_id=found.product_id,
            category=found.category,
            attributes=_attributes(found.attributes),
            image_sha256s={image.image_id: image.sha256 for image in found.images},
            position=position_from_message(found.position),
            live=_attributes(found.live),
        )

    def thumbnail(self, sha256: bytes) -> bytes:
        """The WebP thumbnail of a picture. Raises NotFound."""
        with _typed_errors():
            request = gateway_pb2.GetThumbnailRequest(index=self._index, sha256=sha256)
            return bytes(self._search.GetThumbnail(request, timeout=self._timeout_s).webp)

    def status(self) -> gateway_pb2.GetIndexStatusResponse:
        """Partitions, shards, freshness."""
        with _typed_errors():
            request = gateway_pb2.GetIndexStatusRequest(index=self._index)
            return self._search.GetIndexStatus(request, timeout=self._timeout_s)

    def publish(self, events: Iterable[Event]) -> Iterator[Ack]:
        """Publishes events as they come; one acknowledgement each, in order, as they are durable.

        If it raises, events without an acknowledgement may be published again: twice has the effect of once.
        """
        with _typed_errors():
            yield from map(_ack, self._catalogue.Publish(map(self._message, events)))

    def publish_live(self, updates: Iterable[LiveUpdate]) -> Iterator[Ack]:
        """Publishes what changes by the minute (price, stock), each time the product's whole live map. As `publish`."""
        with _typed_errors():
            yield from map(_ack, self._catalogue.PublishLive(map(self._live_message, updates)))

    def refusals(self, since: Iterable[Position] = ()) -> list[Refusal]:
        """What the indexer refused at or after `since`, in those partitions; all if empty."""
        request = catalogue_pb2.ListDeadLettersRequest(index=self._index, since=_positions(since))
        with _typed_errors():
            return [
                Refusal(
                    position_from_message(letter.position),
                    letter.product_id,
                    letter.reason,
                    letter.partly_indexed,
                )
                for letter in self._catalogue.ListDeadLetters(request, timeout=self._timeout_s)
            ]

    def _message(self, event: Event) -> catalogue_pb2.CatalogueEvent:
        message = to_message(event)
        message.index = self._index
        return message

    def _live_message(self, update: LiveUpdate) -> catalogue_pb2.LiveAttributes:
        message = live_message(update)
        message.index = self._index
        return message


class RemoteError(VitrineError):
    """A status with no kind of its own here, such as INTERNAL; the message holds the id that is in the log."""


_KINDS: Final[dict[str, type[VitrineError]]] = {
    "NOT_FOUND": errors.NotFound,
    "FAILED_PRECONDITION": errors.FailedPrecondition,
    "DEADLINE_EXCEEDED": errors.DeadlineExceeded,
    "UNAVAILABLE": errors.Unavailable,
    "DATA_LOSS": errors.DataLoss,
}


def typed_error(error: grpc.RpcError) -> VitrineError:
    """A failed call as one of the errors of `vitrine.runtime.errors`."""
    code, details = error.code().name, error.details() or ""
    if code == "INVALID_ARGUMENT":
        field, _, reason = details.partition(": ")
        return errors.InvalidArgument(field, reason)
    if code == "RESOURCE_EXHAUSTED":
        return errors.ResourceExhausted(details, _retry_after_s(error))
    kind = _KINDS.get(code)
    return kind(details) if kind else RemoteError(f"{code}: {details}")


def _retry_after_s(error: grpc.RpcError) -> float:
    metadata: Any = error.trailing_metadata() or ()
    return float(dict(metadata).get("retry-after-ms", 100)) / 1000


@contextmanager
def _typed_errors() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise typed_error(error) from error


def _query(image: bytes | None, product_id: str | None, vector: Vectors | None) -> dict[str, Any]:
    """The one query that is given. Raises InvalidArgument for none or several."""
    given = {"image": image, "product_id": product_id, "vector": None if vector is None else to_wire(vector)}
    chosen = {name: value for name, value in given.items() if value is not None}
    if len(chosen) != 1:
        raise errors.InvalidArgument("query", f"exactly one of image, product_id, vector is needed, not {list(chosen)}")
    return chosen


def _positions(positions: Iterable[Position]) -> Sequence[catalogue_pb2.LogPosition]:
    return [position_message(position) for position in positions]


def _ack(ack: catalogue_pb2.PublishAck) -> Ack:
    placed = ack.WhichOneof("result") == "position"
    position = position_from_message(ack.position) if placed else None
    return Ack(ack.product_id, position, "" if placed else ack.error.message)


def _hit(hit: searcher_pb2.Hit) -> Hit:
    return Hit(
        product_id=hit.product_id,
        image_id=hit.image_id,
        uri=hit.uri,
        sha256=hit.sha256,
        score=hit.score,
        category=hit.category,
        attributes=_attributes(hit.attributes),
        live=_attributes(hit.live),
    )


def _attributes(messages: Any) -> Attributes:
    return {name: attribute_from_message(value, name) for name, value in messages.items()}


def _coverage(coverage: gateway_pb2.Coverage) -> Coverage:
    return Coverage(
        partitions_total=coverage.partitions_total,
        partitions_answered=coverage.partitions_answered,
        rows_searched=coverage.rows_searched,
        failures={failure.partition: failure.reason for failure in coverage.failures},
    )
