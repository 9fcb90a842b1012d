"""The Searcher service: checks, waits for what the caller has written, searches in threads, merges partitions."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import Final, get_args

from services.searcher import metrics
from services.searcher.codec import (
    add_answer,
    add_hits,
    answer_of,
    field_facts,
    has_expired,
    listed,
    product_of,
    status_of,
)
from services.searcher.partition_reader import View
from services.searcher.probe import RecallProbe
from services.searcher.query import Asked, checked, checked_scan
from services.searcher.scan import PartitionScan, Scans
from services.searcher.shard_set import ShardSet
from services.searcher.threads import SearchThreads, Turn
from vitrine.filters_codec import filter_from_message
from vitrine.index.settings import IndexSettings
from vitrine.runtime.context import Context, remaining_s
from vitrine.runtime.errors import InvalidArgument, Unavailable, UnknownIndex
from vitrine.shards import search
from vitrine.shards.masks import Masks
from vitrine.shards.planning import Method
from vitrine.shards.query import Answer, Found
from vitrine.stream.codec import position_from_message
from vitrine.stream.log import Position, Source
from vitrine.stream.partitioning import partition_of
from vitrine.v1 import catalogue_pb2, searcher_pb2_grpc
from vitrine.v1 import searcher_pb2 as pb

MAX_PRODUCT_IDS: Final = 100
# Left of a caller's deadline for the way back, so that "partition 3 is behind" still arrives.
DEADLINE_MARGIN_S: Final = 0.05
# What a gateway sends together of what shoppers ask.
QUICK_QUERIES: Final = 32
# Ranked for all of them together.
QUICK_PRODUCTS: Final = 500
# Far more than there are partitions and streams.
MAX_AT_LEAST: Final = 1_024
# Each may have 64 KB of attributes.
MESSAGE_HITS: Final = 256
# Of a listing. A product may be larger: up to 1.5 MB, with all its vectors.
MESSAGE_PRODUCTS: Final = 256
MESSAGE_BYTES: Final = 1 << 20
_NO_DEADLINE_S: Final = 30.0

# Looked up once: by name it takes longer than counting does.
_SECONDS_OF: Final = {turn: metrics.SEARCH_SECONDS.labels(turn.name.lower()) for turn in Turn}
_SEARCHES_BY: Final = {method: metrics.SEARCHES.labels(method) for method in get_args(Method)}


class SearcherServicer(searcher_pb2_grpc.SearcherServicer):
    def __init__(
        self, shard_set: ShardSet, threads: SearchThreads, masks: Masks, scans: Scans, probe: RecallProbe
    ) -> None:
        self._shard_set = shard_set
        self._threads = threads
        self._masks = masks
        self._scans = scans
        self._probe = probe

    async def Search(self, request: pb.SearcherSearchRequest, context: Context) -> pb.SearcherSearchResponse:
        index = self._index(request.index)
        asked = checked(request.queries, index.dim)
        metrics.BATCH_QUERIES.observe(len(asked))
        response = pb.SearcherSearchResponse(model_id=index.model_id)
        wanted = request.partitions or self._shard_set.partitions
        partitions, failures = await self._answering(wanted, request.at_least, index, context)
        response.failures.extend(failures)
        turn = self._turn(asked, partitions)
        await self._threads.run(partial(self._search, partitions, asked, turn, response), turn)
        self._probe.offer([query for query in asked if query.turn is Turn.QUICK])
        return response

    async def Scan(self, request: pb.SearcherScanRequest, context: Context) -> AsyncIterator[pb.SearcherScanResponse]:
        index = self._index(request.index)
        asked = checked_scan(request, index.dim)
        with self._scans.admitted():
            wanted = request.partitions or self._shard_set.partitions
            partitions, failures = await self._answering(wanted, request.at_least, index, context)
            last = pb.SearcherScanResponse(model_id=index.model_id, failures=failures)
            views = await self._threads.run(partial(self._views, partitions), Turn.SCAN)
            for partition, view in views.items():
                scan = PartitionScan(view.snapshot, asked, self._masks)
                while (messages := await self._threads.run(partial(_scanned, scan), Turn.SCAN)) is not None:
                    for message in messages:
                        yield message
                last.answers.append(answer_of(partition, view))
                last.cost.rows_scored += scan.rows_scored
                last.cost.scoring_s += scan.scoring_s
                metrics.SCANNED_ROWS.inc(scan.rows_scored)
            last.fields.extend(field_facts(views.values(), asked.filter.fields if asked.filter else ()))
            yield last

    async def ListProducts(
        self, request: pb.ListProductsRequest, context: Context
    ) -> AsyncIterator[pb.ListProductsResponse]:
        index = self._index(request.index)
        wanted = filter_from_message(request.filter)
        with self._scans.admitted():
            chosen = request.partitions or self._shard_set.partitions
            partitions, failures = await self._answering(chosen, request.at_least, index, context)
            last = pb.ListProductsResponse(model_id=index.model_id, failures=failures)
            views = await self._threads.run(partial(self._views, partitions), Turn.SCAN)
            for partition, view in views.items():
                products = listed(partition, view, wanted, request.with_vectors, self._masks)
                while message := await self._threads.run(partial(_next_products, products), Turn.SCAN):
                    yield message
                last.answers.append(answer_of(partition, view))
            last.fields.extend(field_facts(views.values(), wanted.fields if wanted else ()))
            yield last

    async def GetProducts(self, request: pb.GetProductsRequest, context: Context) -> pb.GetProductsResponse:
        index = self._index(request.index)
        if not 1 <= len(request.product_ids) <= MAX_PRODUCT_IDS:
            raise InvalidArgument("product_ids", f"has {len(request.product_ids)}, 1 to {MAX_PRODUCT_IDS} are accepted")
        homes = {product_id: partition_of(product_id, index.partitions) for product_id in request.product_ids}
        response = pb.GetProductsResponse(model_id=index.model_id)
        answering, failures = await self._answering(sorted(set(homes.values())), request.at_least, index, context)
        response.failures.extend(failures)
        views = {partition: self._shard_set.view(partition) for partition in answering}
        for product_id, partition in homes.items():
            view = views.get(partition)
            version = view.snapshot.product(product_id) if isinstance(view, View) else None
            if version is not None and not has_expired(version):
                assert isinstance(view, View)
                live = view.snapshot.live_attributes(product_id)
                response.products.append(product_of(version, live, partition, request.with_vectors))
        return response

    async def GetStatus(self, request: pb.SearcherStatusRequest, context: Context) -> pb.SearcherStatusResponse:
        index = self._index(request.index)
        response = pb.SearcherStatusResponse(model_id=index.model_id)
        for partition in self._shard_set.partitions:
            view = self._shard_set.view(partition)
            if isinstance(view, str):
                response.failures.add(partition=partition, reason=view)
            else:
                response.partitions.append(status_of(partition, view, *self._probe.probed(partition)))
                # It answers, and still something is wrong: a newer manifest is damaged, or the store is away.
                if reason := self._shard_set.failure(partition):
                    response.failures.add(partition=partition, reason=reason)
        return response

    def _search(
        self, partitions: Iterable[int], asked: Sequence[Asked], turn: Turn, response: pb.SearcherSearchResponse
    ) -> None:
        """Fills `response` from the partitions' newest views, without what has expired by now."""
        with _SECONDS_OF[turn].time():
            views = self._views(partitions)
            snapshots = [view.snapshot for view in views.values()]
            answers = search.answers(snapshots, [query.query for query in asked], self._masks)
            for query, answer in zip(asked, answers, strict=True):
                add_answer(response.hits.add(), answer, query, views)
            response.answers.extend(answer_of(partition, view) for partition, view in views.items())
        _count(asked, answers)

    def _turn(self, asked: Sequence[Asked], partitions: Iterable[int]) -> Turn:
        """Many quick queries in one call are somebody's bulk; and what has expired may take a while to be taken out."""
        is_small = len(asked) <= QUICK_QUERIES and sum(query.query.depth for query in asked) <= QUICK_PRODUCTS
        is_quick = is_small and self._shard_set.settled(partitions)
        return max(Turn.QUICK if is_quick else Turn.LONGER, *(query.turn for query in asked))

    def _views(self, partitions: Iterable[int]) -> dict[int, View]:
        """The partitions' views as of now. Blocks where something has expired."""
        found = {partition: self._shard_set.current(partition) for partition in partitions}
        return {partition: view for partition, view in found.items() if isinstance(view, View)}

    def _index(self, name: str) -> IndexSettings:
        index = self._shard_set.index
        if index is None:
            raise Unavailable("the index does not exist yet")
        if name not in ("", index.name):
            raise UnknownIndex(name)
        return index

    async def _answering(
        self,
        partitions: Iterable[int],
        at_least: Sequence[catalogue_pb2.LogPosition],
        index: IndexSettings,
        context: Context,
    ) -> tuple[list[int], list[pb.PartitionFailure]]:
        """The partitions that can answer, and why the others cannot. One that can never loses its view again."""
        behind = await self._behind(at_least, set(partitions), index, context) if at_least else {}
        answering, failures = [], []
        for partition in dict.fromkeys(partitions):
            view = behind.get(partition) or self._shard_set.view(partition)
            if isinstance(view, str):
                failures.append(pb.PartitionFailure(partition=partition, reason=view))
            else:
                answering.append(partition)
        return answering, failures

    async def _behind(
        self,
        at_least: Sequence[catalogue_pb2.LogPosition],
        partitions: set[int],
        index: IndexSettings,
        context: Context,
    ) -> dict[int, str]:
        """Why partitions that did not reach `at_least` in time cannot answer."""
        if len(at_least) > MAX_AT_LEAST:
            raise InvalidArgument("at_least", f"has {len(at_least):,}, at most {MAX_AT_LEAST:,} are accepted")
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


def _scanned(scan: PartitionScan) -> list[pb.SearcherScanResponse] | None:
    """What the next step finds, in messages; None at the end. Runs in a thread."""
    found = scan.step()
    if found is None:
        return None
    return [_hits_message(found[begin : begin + MESSAGE_HITS]) for begin in range(0, len(found), MESSAGE_HITS)]


def _hits_message(found: Sequence[Found]) -> pb.SearcherScanResponse:
    message = pb.SearcherScanResponse()
    add_hits(message, found)
    return message


def _next_products(products: Iterator[pb.Product]) -> pb.ListProductsResponse | None:
    """The next of them in one message; None at the end. Runs in a thread."""
    message, size_bytes = pb.ListProductsResponse(), 0
    for product in islice(products, MESSAGE_PRODUCTS):
        message.products.append(product)
        size_bytes += product.ByteSize()
        if size_bytes >= MESSAGE_BYTES:
            break
    return message if message.products else None


def _count(asked: Sequence[Asked], answers: Sequence[Answer]) -> None:
    plans = [plan for answer in answers for plan in chain.from_iterable(answer.plans)]
    for method, searches in Counter(plan.method for plan in plans).items():
        _SEARCHES_BY[method].inc(searches)
    if fallbacks := sum(plan.fell_back for plan in plans):
        metrics.FALLBACKS.inc(fallbacks)
    for query, answer in zip(asked, answers, strict=True):
        if query.query.filter:
            for plan in chain.from_iterable(answer.plans):
                metrics.MASKS.labels("yes" if plan.mask_cached else "no").inc()
