"""What was found, and what is served, on the wire."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from services.searcher.partition_reader import View, now_us
from services.searcher.query import Asked
from vitrine.attributes import Attributes
from vitrine.filters import ATTRIBUTES, CATEGORY, LIVE, Filter
from vitrine.shards.listing import products_of
from vitrine.shards.masks import Masks, all_fields, fields_of
from vitrine.shards.query import Answer, Found, ShardPlan
from vitrine.shards.records import ProductVersion
from vitrine.stream.codec import set_attributes, timestamp
from vitrine.v1 import catalogue_pb2
from vitrine.v1 import filter_pb2 as filters
from vitrine.v1 import searcher_pb2 as pb
from vitrine.vectors import to_wire


def add_answer(target: pb.Hits, answer: Answer, asked: Asked, views: Mapping[int, View]) -> None:
    """`views`: what was searched, by partition, in the order in which it was searched."""
    whole = asked.whole_hits or len(answer.found)
    add_hits(target, answer.found[:whole])
    for entry in answer.found[whole:]:
        _add_part(target, entry, asked.facet_fields)
    if asked.with_vectors:
        target.vectors.extend(to_wire(entry.vector()) for entry in answer.found)
    target.recall = answer.recall
    if asked.explain:
        for partition, plans in zip(views, answer.plans, strict=True):
            target.plans.extend(_plan(partition, plan) for plan in plans)
    if names := asked.fields:
        target.fields.extend(field_facts(views.values(), names))


def add_hits(target: pb.Hits | pb.SearcherScanResponse, found: Iterable[Found]) -> None:
    """Whole ones: all that is known of the product and the picture."""
    add = target.hits.add
    for entry in found:
        hit = entry.hit()
        message = add(
            product_id=hit.product_id,
            image_id=hit.image_id,
            uri=hit.uri,
            sha256=hit.sha256,
            score=hit.score,
            category=hit.category,
        )
        if hit.attributes:
            set_attributes(message.attributes, hit.attributes)
        if hit.live:
            set_attributes(message.live, hit.live)


def field_facts(views: Iterable[View], names: Iterable[str]) -> list[filters.FieldFacts]:
    """What the partitions searched know of each field."""
    facts: dict[str, set[str]] = {name: set() for name in names}
    for view in views:
        for name, kinds in fields_of(view.snapshot, facts).items():
            facts[name] |= kinds
    return _facts(facts)


def answer_of(partition: int, view: View) -> pb.PartitionAnswer:
    return pb.PartitionAnswer(
        partition=partition,
        version=view.manifest.version,
        rows_searched=view.snapshot.rows_live,
        index_time=timestamp(view.manifest.index_time_us),
    )


def product_of(version: ProductVersion, live: Attributes, partition: int, with_vectors: bool) -> pb.Product:
    product = pb.Product(
        product_id=version.product_id,
        category=version.category,
        event_time=timestamp(version.event_time_us),
        position=catalogue_pb2.LogPosition(partition=partition, offset=version.log_offset),
    )
    set_attributes(product.attributes, version.attributes)
    set_attributes(product.live, live)
    for image in version.images:
        vector = to_wire(image.vector) if with_vectors else b""
        product.images.add(image_id=image.image_id, uri=image.uri, sha256=image.sha256, vector=vector)
    if version.expires_at_us is not None:
        product.expires_at.CopyFrom(timestamp(version.expires_at_us))
    return product


def listed(partition: int, view: View, wanted: Filter | None, with_vectors: bool, masks: Masks) -> Iterator[pb.Product]:
    """Every product of the partition that meets the filter and has not expired meanwhile."""
    for version in products_of(view.snapshot, wanted, masks):
        if not has_expired(version):
            live = view.snapshot.live_attributes(version.product_id)
            yield product_of(version, live, partition, with_vectors)


def has_expired(version: ProductVersion) -> bool:
    """Whether it has, since the view was made that it was found in."""
    return version.expires_at_us is not None and version.expires_at_us <= now_us()


def status_of(partition: int, view: View, probed_recall: float, probed_queries: int) -> pb.PartitionStatus:
    status = pb.PartitionStatus(
        partition=partition,
        version=view.manifest.version,
        next_offset=view.manifest.next_offset,
        next_live_offset=view.manifest.next_live_offset,
        paused=view.manifest.paused,
        rows_live=view.snapshot.rows_live,
        products_live=view.snapshot.products_live,
        index_time=timestamp(view.manifest.index_time_us),
        fields=_facts(all_fields(view.snapshot)),
        probed_recall=probed_recall,
        probed_queries=probed_queries,
        categories=(
            pb.CategoryCount(category=category, rows=rows) for category, rows in view.snapshot.rows_by_category
        ),
    )
    for entry in view.snapshot.shards:
        facts = entry.shard.facts
        status.shards.add(
            shard_id=facts.shard_id,
            kind=facts.kind,
            rows=facts.rows,
            rows_live=entry.rows_live,
            tombstones=facts.tombstones,
            method=facts.plan.method,
            recall_at_10=facts.plan.recall_at(10),
            recall_at_100=facts.plan.recall_at(100),
            target_reached=facts.plan.reached,
            live_rows=facts.live_rows,
        )
    return status


def _add_part(target: pb.Hits, entry: Found, fields: Sequence[str]) -> None:
    """Only what counting facets needs."""
    hit = entry.hit()
    message = target.hits.add(product_id=hit.product_id, score=hit.score)
    if CATEGORY in fields:
        message.category = hit.category
    set_attributes(message.attributes, _named(hit.attributes, ATTRIBUTES, fields))
    set_attributes(message.live, _named(hit.live, LIVE, fields))


def _named(attributes: Attributes, prefix: str, fields: Sequence[str]) -> Attributes:
    return {name: value for name, value in attributes.items() if prefix + name in fields}


def _plan(partition: int, plan: ShardPlan) -> pb.ShardPlan:
    return pb.ShardPlan(
        partition=partition,
        shard_id=plan.shard_id,
        method=plan.method,
        rows_live=plan.rows_live,
        rows_matching=plan.rows_matching,
        nodes_inspected=plan.nodes_inspected,
        rows_scored=plan.rows_scored,
        fell_back=plan.fell_back,
        search_us=plan.search_us,
        mask_us=plan.mask_us,
        mask_cached=plan.mask_cached,
    )


def _facts(facts: Mapping[str, set[str]]) -> list[filters.FieldFacts]:
    return [filters.FieldFacts(field=name, kinds=sorted(kinds)) for name, kinds in facts.items()]
