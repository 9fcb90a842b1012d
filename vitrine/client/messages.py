"""Values ↔ messages, as the client needs them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from vitrine.attributes import Attributes, AttributeValue
from vitrine.client.failures import error_of
from vitrine.client.values import Ack, Answer, Coverage, Plan, Product, Refusal, ScanSummary, Search
from vitrine.facets import Facet, ValueCount
from vitrine.filters_codec import filter_message
from vitrine.runtime.errors import InvalidArgument, VitrineError
from vitrine.shards.records import Hit
from vitrine.stream.codec import position_from_message, position_message
from vitrine.stream.log import Position
from vitrine.v1 import catalogue_pb2, embedder_pb2, gateway_pb2, searcher_pb2
from vitrine.vectors import to_wire


def search_message(search: Search, index: str) -> gateway_pb2.SearchRequest:
    """Raises InvalidArgument where not exactly one query is given."""
    message = gateway_pb2.SearchRequest(
        index=index, page_size=search.k, page_token=search.page_token, exact=search.exact, **query_fields(search)
    )
    # Set where there is something to say: a message with every field given takes twice the time.
    if search.crop is not None:
        message.crop.CopyFrom(embedder_pb2.CropBox(**search.crop._asdict()))
    if search.filter:
        message.filter.CopyFrom(filter_message(search.filter))
    if search.min_score is not None:
        message.min_score = search.min_score
    if search.recall_target is not None:
        message.recall_target = search.recall_target
    if search.explain:
        message.explain = True
    if search.require_complete:
        message.require_complete = True
    message.facets.extend(search.facets)
    message.at_least.extend(map(position_message, search.at_least))
    return message


def scan_message(search: Search, index: str) -> gateway_pb2.ScanRequest:
    """Raises InvalidArgument where not exactly one query is given."""
    return gateway_pb2.ScanRequest(
        index=index,
        **query_fields(search),
        crop=None if search.crop is None else embedder_pb2.CropBox(**search.crop._asdict()),
        min_score=search.min_score,
        filter=filter_message(search.filter) if search.filter else None,
        require_complete=search.require_complete,
        at_least=map(position_message, search.at_least),
    )


def query_fields(search: Search) -> dict[str, Any]:
    """The one query that is given. Raises InvalidArgument for none or several."""
    given = {"image": search.image, "product_id": search.product_id, "vector": search.vector}
    chosen = {name: value for name, value in given.items() if value is not None}
    if len(chosen) != 1:
        raise InvalidArgument("query", f"exactly one of image, product_id, vector is needed, not {list(chosen)}")
    return chosen if search.vector is None else {"vector": to_wire(search.vector)}


def answer(message: gateway_pb2.SearchResponse) -> Answer:
    return Answer(
        [hit(found) for found in message.results],
        coverage(message.coverage),
        message.index_time.ToMicroseconds(),
        message.model_id,
        message.query_id,
        message.next_page_token,
        message.recall,
        [_facet(found) for found in message.facets],
        [_plan(found) for found in message.plans],
    )


def result(message: gateway_pb2.BatchSearchResult) -> Answer | VitrineError:
    """One search's answer, or why it has none."""
    found = response_of(message)
    return found if isinstance(found, VitrineError) else answer(found)


def response_of(message: gateway_pb2.BatchSearchResult) -> gateway_pb2.SearchResponse | VitrineError:
    """The same, not read yet."""
    if message.WhichOneof("result") == "error":
        return error_of(message.error.code, message.error.message)
    return message.response


def hit(message: searcher_pb2.Hit) -> Hit:
    return Hit(
        message.product_id,
        message.image_id,
        message.uri,
        message.sha256,
        message.score,
        message.category,
        attributes(message.attributes),
        attributes(message.live),
    )


def attributes(messages: Mapping[str, catalogue_pb2.AttributeValue]) -> Attributes:
    """Not checked again: the gateway takes in nothing that is wrong."""
    # Looked up by name: `items` takes twice the time.
    return {name: _value(messages[name]) for name in messages} if messages else {}


def coverage(message: gateway_pb2.Coverage) -> Coverage:
    return Coverage(
        message.partitions_total,
        message.partitions_answered,
        message.rows_searched,
        {failure.partition: failure.reason for failure in message.failures},
    )


def scan_summary(message: gateway_pb2.ScanResponse) -> ScanSummary:
    return ScanSummary(
        products=message.products,
        coverage=coverage(message.coverage),
        index_time_us=message.index_time.ToMicroseconds(),
        model_id=message.model_id,
        query_id=message.query_id,
        rows_scored=message.cost.rows_scored,
        scoring_s=message.cost.scoring_s,
    )


def product(message: searcher_pb2.Product) -> Product:
    return Product(
        product_id=message.product_id,
        category=message.category,
        attributes=attributes(message.attributes),
        image_sha256s={image.image_id: image.sha256 for image in message.images},
        position=position_from_message(message.position),
        live=attributes(message.live),
    )


def ack(message: catalogue_pb2.PublishAck) -> Ack:
    placed = message.WhichOneof("result") == "position"
    position = position_from_message(message.position) if placed else None
    return Ack(message.product_id, position, "" if placed else message.error.message)


def refusal(message: catalogue_pb2.DeadLetter) -> Refusal:
    return Refusal(position_from_message(message.position), message.product_id, message.reason, message.partly_indexed)


def positions(places: Iterable[Position]) -> list[catalogue_pb2.LogPosition]:
    return [position_message(place) for place in places]


def _value(message: catalogue_pb2.AttributeValue) -> AttributeValue:
    kind = message.WhichOneof("kind")
    if kind is None:
        return ""
    if kind == "string_list":
        return tuple(message.string_list.values)
    value: AttributeValue = getattr(message, kind)
    return value


def _facet(message: gateway_pb2.Facet) -> Facet:
    counts = tuple(ValueCount(cast("str | float | bool", _value(one.value)), one.products) for one in message.counts)
    return Facet(message.field, counts, message.products, message.products_without, message.values_left_out)


def _plan(message: searcher_pb2.ShardPlan) -> Plan:
    return Plan(
        message.partition,
        message.shard_id,
        message.method,
        message.rows_live,
        message.rows_matching,
        message.nodes_inspected,
        message.rows_scored,
        message.fell_back,
        message.search_us,
        message.mask_us,
        message.mask_cached,
    )
