"""What the gateway says → what callers are told."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from services.web import answers
from vitrine.client.failures import error_of
from vitrine.stream.codec import attribute_from_message
from vitrine.v1 import catalogue_pb2, gateway_pb2, searcher_pb2

_STREAMS: Final = {catalogue_pb2.STREAM_CATALOGUE: "catalogue", catalogue_pb2.STREAM_LIVE: "live"}
# Where a price may stand, the fresher first; and fields of few words that shops often have, the more telling first.
_PRICES: Final = ("live.price", "attributes.price")
_CHOICES: Final = ("colour", "color", "brand", "pattern", "gender", "season", "material", "article_type")
_CHOICE_FIELDS: Final = 3


def search_answer(message: gateway_pb2.SearchResponse) -> answers.SearchAnswer:
    predicted = message.predicted_category
    return answers.SearchAnswer(
        results=_hits(message.results),
        coverage=_coverage(message.coverage),
        index_time=_iso(message.index_time),
        model_id=message.model_id,
        query_id=message.query_id,
        next_page_token=message.next_page_token,
        recall=message.recall,
        facets=[_facet(facet) for facet in message.facets],
        region=_region(message.region) if message.HasField("region") else None,
        predicted_category=answers.PredictedCategory(predicted.category, predicted.confidence, predicted.applied)
        if message.HasField("predicted_category")
        else None,
    )


def samples_answer(message: gateway_pb2.BatchSearchResponse, count: int) -> answers.Samples:
    """The first of each category, then the second of each, … as far as `count`.

    Raises the first search's error that there is (VitrineError) where no search found anything.
    """
    columns = [_hits(one.response.results) for one in message.results]
    deepest = max(map(len, columns), default=0)
    failed = next((one.error for one in message.results if one.HasField("error")), None)
    if failed and not deepest:
        raise error_of(failed.code, failed.message)
    rows = [column[depth] for depth in range(deepest) for column in columns if depth < len(column)]
    return answers.Samples(rows[:count])


def recommend_answer(message: gateway_pb2.RecommendResponse) -> answers.RecommendAnswer:
    return answers.RecommendAnswer(
        results=[
            answers.Recommendation(_hit(one.hit), one.interest, one.because_product_id) for one in message.results
        ],
        coverage=_coverage(message.coverage),
        index_time=_iso(message.index_time),
        model_id=message.model_id,
        query_id=message.query_id,
        interests=[
            answers.Interest(one.product_id, one.weight, list(one.history_product_ids)) for one in message.interests
        ],
        unknown_product_ids=list(message.unknown_product_ids),
        recall=message.recall,
    )


def look_answer(message: gateway_pb2.CompleteTheLookResponse) -> answers.LookAnswer:
    return answers.LookAnswer(
        categories=[answers.LookCategory(one.category, _hits(one.results)) for one in message.categories],
        coverage=_coverage(message.coverage),
        index_time=_iso(message.index_time),
        model_id=message.model_id,
        query_id=message.query_id,
        own_category=message.own_category,
        affinity=message.affinity,
        region=_region(message.region) if message.HasField("region") else None,
    )


def product_answer(message: gateway_pb2.GetProductResponse) -> answers.Product:
    product = message.product
    return answers.Product(
        product_id=product.product_id,
        category=product.category,
        attributes=_attributes(product.attributes),
        live=_attributes(product.live),
        images=[answers.ProductImage(image.image_id, _thumbnail(image.sha256)) for image in product.images],
    )


def catalogue_answer(message: gateway_pb2.GetIndexStatusResponse, ops: bool) -> answers.Catalogue:
    kinds: dict[str, set[str]] = {}
    for partition in message.partitions:
        for facts in partition.fields:
            kinds.setdefault(facts.field, set()).update(facts.kinds)
    choices = [f"attributes.{name}" for name in _CHOICES]
    return answers.Catalogue(
        index=message.index,
        images=sum(partition.rows_live for partition in message.partitions),
        ops=ops,
        categories=categories_of(message.partitions),
        price_field=next((field for field in _PRICES if kinds.get(field) == {"number"}), ""),
        choice_fields=[field for field in choices if kinds.get(field) == {"string"}][:_CHOICE_FIELDS],
    )


def status_answer(message: gateway_pb2.GetIndexStatusResponse) -> answers.Status:
    now_s = time.time()
    return answers.Status(
        index=message.index,
        dim=message.dim,
        metric=message.metric,
        model_id=message.model_id,
        log_id=message.log_id,
        coverage=_coverage(message.coverage),
        partitions=[_partition(partition, now_s) for partition in message.partitions],
        categories=categories_of(message.partitions),
    )


def recent_answer(message: gateway_pb2.ListRecentQueriesResponse) -> answers.RecentQueries:
    return answers.RecentQueries(
        [
            answers.RecentQuery(
                time=_iso(query.time),
                method=query.method,
                kind=query.kind,
                surface=query.surface,
                query_id=query.query_id,
                query_product_ids=list(query.query_product_ids),
                results=_hits(query.results),
                coverage=_coverage(query.coverage),
                handled_ms=query.handled_ms,
            )
            for query in message.queries
        ]
    )


def letters_answer(letters: Iterable[catalogue_pb2.DeadLetter], total: int) -> answers.DeadLetters:
    return answers.DeadLetters(
        [
            answers.DeadLetter(
                partition=letter.position.partition,
                offset=letter.position.offset,
                stream=_STREAMS.get(letter.position.stream, ""),
                product_id=letter.product_id,
                reason=letter.reason,
                partly_indexed=letter.partly_indexed,
                time=_iso(letter.time),
            )
            for letter in letters
        ],
        total,
    )


def _hits(messages: Iterable[searcher_pb2.Hit]) -> list[answers.Hit]:
    return [_hit(message) for message in messages]


def _hit(message: searcher_pb2.Hit) -> answers.Hit:
    return answers.Hit(
        product_id=message.product_id,
        image_id=message.image_id,
        thumbnail=_thumbnail(message.sha256),
        score=message.score,
        category=message.category,
        attributes=_attributes(message.attributes),
        live=_attributes(message.live),
    )


def _attributes(messages: Mapping[str, catalogue_pb2.AttributeValue]) -> dict[str, answers.Value]:
    return {name: attribute_from_message(messages[name], name) for name in sorted(messages)}


def _thumbnail(sha256: bytes) -> str:
    return f"/thumbs/{sha256.hex()}"


def _coverage(message: gateway_pb2.Coverage) -> answers.Coverage:
    return answers.Coverage(
        message.partitions_total,
        message.partitions_answered,
        message.rows_searched,
        [answers.PartitionFailure(failure.partition, failure.reason) for failure in message.failures],
    )


def _facet(message: gateway_pb2.Facet) -> answers.Facet:
    counts = [
        answers.FacetCount(attribute_from_message(one.value, message.field), one.products) for one in message.counts
    ]
    return answers.Facet(message.field, counts, message.products, message.products_without, message.values_left_out)


def _region(message: gateway_pb2.FoundRegion) -> answers.FoundRegion:
    crop = message.crop
    return answers.FoundRegion(
        answers.Box(crop.left, crop.top, crop.right, crop.bottom) if message.HasField("crop") else None,
        message.no_product_score if message.HasField("no_product_score") else None,
    )


def categories_of(partitions: Iterable[searcher_pb2.PartitionStatus]) -> list[answers.CategoryCount]:
    """Over all partitions, the largest first; products without one are not counted."""
    images: dict[str, int] = {}
    for partition in partitions:
        for one in partition.categories:
            if one.category:
                images[one.category] = images.get(one.category, 0) + one.rows
    largest_first = sorted(images.items(), key=lambda item: (-item[1], item[0]))
    return [answers.CategoryCount(category, count) for category, count in largest_first]


def _partition(message: searcher_pb2.PartitionStatus, now_s: float) -> answers.Partition:
    shards = [
        answers.Shard(
            shard_id=shard.shard_id,
            kind=shard.kind,
            rows=shard.rows,
            rows_live=shard.rows_live,
            tombstones=shard.tombstones,
            method=shard.method,
            recall_at_10=shard.recall_at_10,
            recall_at_100=shard.recall_at_100,
            target_reached=shard.target_reached,
        )
        for shard in message.shards
    ]
    return answers.Partition(
        partition=message.partition,
        version=message.version,
        next_offset=message.next_offset,
        next_live_offset=message.next_live_offset,
        rows_live=message.rows_live,
        products_live=message.products_live,
        index_time=_iso(message.index_time),
        behind_s=round(max(0.0, now_s - message.index_time.ToMicroseconds() / 1e6), 3),
        paused=message.paused,
        recall_at_10=min((shard.recall_at_10 for shard in shards if shard.rows), default=1.0),
        probed_recall=message.probed_recall if message.probed_queries else None,
        probed_queries=message.probed_queries,
        shards=shards,
    )


def _iso(time: Timestamp) -> str:
    """RFC 3339, in UTC."""
    return time.ToJsonString()
