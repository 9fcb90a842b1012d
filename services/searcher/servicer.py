"""The Searcher service: checks, waits for what the caller has written, searches in threads, merges partitions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np

from services.searcher import metrics
from services.searcher.partition_reader import View, now_us
from services.searcher.shard_set import ShardSet
from services.searcher.workers import Workers
from vitrine.attributes import Attributes
from vitrine.index.settings import IndexSettings
from vitrine.runtime.context import Context, remaining_s
from vitrine.runtime.errors import InvalidArgument, Unavailable, UnknownIndex
from vitrine.shards.records import Hit, ProductVersion
from vitrine.shards.snapshot import best_hits
from vitrine.stream.codec import position_from_message, set_attributes, timestamp
from vitrine.stream.log import Position, Source
from vitrine.stream.partitioning import partition_of
from vitrine.v1 import catalogue_pb2, searcher_pb2_grpc
from vitrine.v1 import searcher_pb2 as pb
from vitrine.vectors import Vectors, from_wire, to_wire

MAX_QUERIES: Final = 64
MAX_K: Final = 10_000
MAX_PRODUCT_IDS: Final = 100
# Left of a caller's deadline for the way back, so that "partition 3 is behind" still arrives.
DEADLINE_MARGIN_S: Final = 0.05
_NO_DEADLINE_S: Final = 30.0


class Query(NamedTuple):
    """One checked query. `vector`: float32, shape (dim,), unit length."""

    vector: Vectors
    k: int
    exact: bool
    min_score: float | None
    exclude_product_id: str


class SearcherServicer(searcher_pb2_grpc.SearcherServicer):
    def __init__(self, shard_set: ShardSet, workers: Workers) -> None:
        self._shard_set = shard_set
        self._workers = workers

    async def Search(self, request: pb.SearcherSearchRequest, context: Context) -> pb.SearcherSearchResponse:
        index = self._index(request.index)
        queries = _queries(request.queries, index.dim)
        response = pb.SearcherSearchResponse(model_id=index.model_id)
        wanted = request.partitions or self._shard_set.partitions
        views, failures = await self._views(wanted, request.at_least, index, context)
        response.failures.extend(failures)
        await self._workers.run(partial(self._search, list(views), queries, response))
        return response

    async def GetProducts(self, request: pb.GetProductsRequest, context: Context) -> pb.GetProductsResponse:
        index = self._index(request.index)
        if not 1 <= len(request.product_ids) <= MAX_PRODUCT_IDS:
            raise InvalidArgument("product_ids", f"has {len(request.product_ids)}, 1 to {MAX_PRODUCT_IDS} are accepted")
        homes = {product_id: partition_of(product_id, index.partitions) for product_id in request.product_ids}
        response = pb.GetProductsResponse(model_id=index.model_id)
        views, failures = await self._views(sorted(set(homes.values())), request.at_least, index, context)
        response.failures.extend(failures)
        for product_id, partition in homes.items():
            version = views[partition].snapshot.product(product_id) if partition in views else None
            if version is not None and not (version.expires_at_us and version.expires_at_us <= now_us()):
                live = views[partition].snapshot.live_attributes(product_id)
                response.products.append(_product(version, live, partition, request.with_vectors))
        return response

    async def GetStatus(self, request: pb.SearcherStatusRequest, context: Context) -> pb.SearcherStatusResponse:
        index = self._index(request.index)
        response = pb.SearcherStatusResponse(model_id=index.model_id)
        for partition in self._shard_set.partitions:
            view = self._shard_set.view(partition)
            if isinstance(view, str):
                response.failures.add(partition=partition, reason=view)
            else:
                response.partitions.append(_status(partition, view))
                # It answers, and still something is wrong: a newer manifest is damaged, or the store is away.
                if reason := self._shard_set.failure(partition):
                    response.failures.add(partition=partition, reason=reason)
        return response

    def _search(self, partitions: Sequence[int], queries: Sequence[Query], response: pb.SearcherSearchResponse) -> None:
        """Fills `response` from the partitions' newest views. Runs in a thread: what has expired is taken out here."""
        found = {partition: self._shard_set.current(partition) for partition in partitions}
        _fill({partition: view for partition, view in found.items() if isinstance(view, View)}, queries, response)

    def _index(self, name: str) -> IndexSettings:
        index = self._shard_set.index
        if index is None:
            raise Unavailable("the index does not exist yet")
        if name not in ("", index.name):
            raise UnknownIndex(name)
        return index

    async def _views(
        self,
        partitions: Iterable[int],
        at_least: Sequence[catalogue_pb2.LogPosition],
        index: IndexSettings,
        context: Context,
    ) -> tuple[dict[int, View], list[pb.PartitionFailure]]:
        """A view of each partition that can answer, and why the others cannot."""
        behind = await self._behind(at_least, set(partitions), index, context) if at_least else {}
        views, failures = {}, []
        for partition in partitions:
            view: View | str = behind.get(partition) or self._shard_set.view(partition)
            if isinstance(view, str):
                failures.append(pb.PartitionFailure(partition=partition, reason=view))
            else:
                views[partition] = view
        return views, failures

    async def _behind(
        self,
        at_least: Sequence[catalogue_pb2.LogPosition],
        partitions: set[int],
        index: IndexSettings,
        context: Context,
    ) -> dict[int, str]:
        """Why partitions that did not reach `at_least` in time cannot answer."""
        places: dict[Source, Position] = {}
        for number, place in enumerate(at_least):
            if place.partition >= index.partitions:
                raise InvalidArgument(f"at_least[{number}].partition", f"is not below {index.partitions}")
            position = position_from_message(place)
            source = Source(position.partition, position.stream)
            if place.partition in partitions:
                places[source] = max(places.get(source, position), position)
        timeout_s = max(0.0, remaining_s(context, _NO_DEADLINE_S) - DEADLINE_MARGIN_S)
        reached = await asyncio.gather(*(self._shard_set.reached(place, timeout_s) for place in places.values()))
        return {
            place.partition: f"{place.stream} offset {place.offset} is not indexed yet"
            for place, there in zip(places.values(), reached, strict=True)
            if not there
        }


def _queries(messages: Sequence[pb.VectorQuery], dim: int) -> list[Query]:
    if not 1 <= len(messages) <= MAX_QUERIES:
        raise InvalidArgument("queries", f"has {len(messages)}, 1 to {MAX_QUERIES} are accepted")
    queries = []
    for number, message in enumerate(messages):
        if not 1 <= message.k <= MAX_K:
            raise InvalidArgument(f"queries[{number}].k", f"is {message.k}, 1 to {MAX_K} are accepted")
        vector = from_wire(message.vector, dim, f"queries[{number}].vector")
        min_score = message.min_score if message.HasField("min_score") else None
        queries.append(Query(vector, message.k, message.exact, min_score, message.exclude_product_id))
    return queries


def _fill(views: dict[int, View], queries: Sequence[Query], response: pb.SearcherSearchResponse) -> None:
    """Fills `response` from every view. Runs in a thread."""
    with metrics.SEARCH_SECONDS.labels("exact" if any(query.exact for query in queries) else "tree").time():
        for query in queries:
            _add_hits(response.hits.add(), _hits(views.values(), query))
    for partition, view in views.items():
        response.answers.add(
            partition=partition,
            version=view.manifest.version,
            rows_searched=view.snapshot.rows_live,
            index_time=timestamp(view.manifest.index_time_us),
        )


def _hits(views: Iterable[View], query: Query) -> list[Hit]:
    """The best products of all partitions together."""
    spare = 1 if query.exclude_product_id else 0
    queries = query.vector[np.newaxis, :]
    found = [entry for view in views for entry in view.snapshot.find(queries, query.k + spare, query.exact)[0]]
    if query.min_score is not None:
        found = [entry for entry in found if entry.score >= query.min_score]
    hits = best_hits(found, query.k + spare)
    return [hit for hit in hits if hit.product_id != query.exclude_product_id][: query.k] if spare else hits


def _add_hits(target: pb.Hits, hits: Iterable[Hit]) -> None:
    for hit in hits:
        message = target.hits.add(
            product_id=hit.product_id,
            image_id=hit.image_id,
            uri=hit.uri,
            sha256=hit.sha256,
            score=hit.score,
            category=hit.category,
        )
        set_attributes(message.attributes, hit.attributes)
        set_attributes(message.live, hit.live)


def _product(version: ProductVersion, live: Attributes, partition: int, with_vectors: bool) -> pb.Product:
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


def _status(partition: int, view: View) -> pb.PartitionStatus:
    status = pb.PartitionStatus(
        partition=partition,
        version=view.manifest.version,
        next_offset=view.manifest.next_offset,
        next_live_offset=view.manifest.next_live_offset,
        paused=view.manifest.paused,
        rows_live=view.snapshot.rows_live,
        products_live=view.snapshot.products_live,
        index_time=timestamp(view.manifest.index_time_us),
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
            live_rows=facts.live_rows,
        )
    return status
