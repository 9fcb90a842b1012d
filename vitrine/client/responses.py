"""Messages as what the client gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from vitrine.attributes import Attributes, AttributeValue
from vitrine.client.answers import (
    Ack,
    Answer,
    Coverage,
    DuplicateGroup,
    DuplicateMember,
    DuplicatesSummary,
    FoundRegion,
    Interest,
    Look,
    LookCategory,
    Plan,
    PredictedCategory,
    Product,
    ProductImage,
    RecentQuery,
    Recommendation,
    Recommendations,
    Refusal,
    ScanSummary,
)
from vitrine.client.failures import error_of
from vitrine.facets import Facet, ValueCount
from vitrine.images import CropBox
from vitrine.runtime.errors import VitrineError
from vitrine.shards.records import Hit
from vitrine.stream.codec import position_from_message
from vitrine.v1 import catalogue_pb2, gateway_pb2, searcher_pb2


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
        _region(message.region) if message.HasField("region") else None,
        _predicted(message.predicted_category) if message.HasField("predicted_category") else None,
    )


def results(message: gateway_pb2.BatchSearchResponse) -> list[Answer | VitrineError]:
    """Each search's answer, or why it has none."""
    found = map(response_of, message.results)
    return [one if isinstance(one, VitrineError) else answer(one) for one in found]


def response_of(message: gateway_pb2.BatchSearchResult) -> gateway_pb2.SearchResponse | VitrineError:
    """One of them, not read yet."""
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


def scan_summary(message: gateway_pb2.ScanResponse) -> ScanSummary | None:
    """None unless it is the last message."""
    if not message.HasField("coverage"):
        return None
    return ScanSummary(
        products=message.products,
        coverage=coverage(message.coverage),
        index_time_us=message.index_time.ToMicroseconds(),
        model_id=message.model_id,
        query_id=message.query_id,
        rows_scored=message.cost.rows_scored,
        scoring_s=message.cost.scoring_s,
    )


def recommendations(message: gateway_pb2.RecommendResponse) -> Recommendations:
    interests = [
        Interest(found.product_id, found.weight, tuple(found.history_product_ids)) for found in message.interests
    ]
    return Recommendations(
        results=[
            Recommendation(hit(found.hit), interests[found.interest], found.because_product_id)
            for found in message.results
        ],
        coverage=coverage(message.coverage),
        index_time_us=message.index_time.ToMicroseconds(),
        model_id=message.model_id,
        query_id=message.query_id,
        interests=interests,
        unknown_product_ids=list(message.unknown_product_ids),
        recall=message.recall,
    )


def look(message: gateway_pb2.CompleteTheLookResponse) -> Look:
    return Look(
        categories=[LookCategory(found.category, list(map(hit, found.results))) for found in message.categories],
        coverage=coverage(message.coverage),
        index_time_us=message.index_time.ToMicroseconds(),
        model_id=message.model_id,
        query_id=message.query_id,
        own_category=message.own_category,
        affinity=message.affinity,
        region=_region(message.region) if message.HasField("region") else None,
    )


def duplicate_group(message: gateway_pb2.DuplicateGroup) -> DuplicateGroup:
    return tuple(
        DuplicateMember(
            member.product_id,
            member.image_id,
            member.uri,
            member.sha256,
            member.score,
            member.category,
            attributes(member.attributes),
        )
        for member in message.members
    )


def duplicates_summary(message: gateway_pb2.FindDuplicatesResponse) -> DuplicatesSummary | None:
    """None unless it is the last message."""
    if not message.HasField("coverage"):
        return None
    return DuplicatesSummary(
        message.products_compared,
        message.products_total,
        coverage(message.coverage),
        message.index_time.ToMicroseconds(),
        message.model_id,
        message.query_id,
    )


def recent_query(message: gateway_pb2.RecentQuery) -> RecentQuery:
    return RecentQuery(
        message.time.ToMicroseconds(),
        message.method,
        message.kind,
        message.surface,
        message.query_id,
        tuple(message.query_product_ids),
        [hit(found) for found in message.results],
        coverage(message.coverage),
        message.handled_ms,
    )


def product(message: searcher_pb2.Product) -> Product:
    return Product(
        product_id=message.product_id,
        category=message.category,
        attributes=attributes(message.attributes),
        images=tuple(map(_image, message.images)),
        position=position_from_message(message.position),
        live=attributes(message.live),
    )


def ack(message: catalogue_pb2.PublishAck) -> Ack:
    placed = message.WhichOneof("result") == "position"
    position = position_from_message(message.position) if placed else None
    return Ack(message.product_id, position, "" if placed else message.error.message)


def refusal(message: catalogue_pb2.DeadLetter) -> Refusal:
    return Refusal(position_from_message(message.position), message.product_id, message.reason, message.partly_indexed)


def _image(message: searcher_pb2.IndexedImage) -> ProductImage:
    vector = np.frombuffer(message.vector, "<f4") if message.vector else None
    return ProductImage(message.image_id, message.uri, message.sha256, vector)


def _region(message: gateway_pb2.FoundRegion) -> FoundRegion:
    box = message.crop
    crop = CropBox(box.left, box.top, box.right, box.bottom) if message.HasField("crop") else None
    return FoundRegion(crop, message.no_product_score if message.HasField("no_product_score") else None)


def _predicted(message: gateway_pb2.PredictedCategory) -> PredictedCategory:
    return PredictedCategory(message.category, message.confidence, message.applied)


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
