"""A gateway on a port and searchers beside it that a test holds back, breaks and looks into."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import grpc
import grpc.aio
import numpy as np
from prometheus_client import REGISTRY

from services.gateway.coalesce import Limits
from services.gateway.directory import Directory
from services.gateway.fanout import HEDGE_SHARE, Fanout
from services.gateway.feedback import ShopperFeedback
from services.gateway.feedback_writer import FeedbackWriter
from services.gateway.resolve import Resolver
from services.gateway.servicer import VisualSearchServicer
from vitrine.filters_codec import filter_from_message
from vitrine.index.pictures import Pictures
from vitrine.index.settings import IndexSettings
from vitrine.index.store import Store
from vitrine.ranking import rank
from vitrine.runtime.channels import internal_channel
from vitrine.runtime.context import Context
from vitrine.runtime.interceptors import Edge
from vitrine.runtime.metrics import CallMetrics
from vitrine.stream.embedded import EmbeddedLog
from vitrine.stream.partitioning import partition_of
from vitrine.v1 import embedder_pb2, embedder_pb2_grpc, filter_pb2, gateway_pb2_grpc, searcher_pb2_grpc
from vitrine.v1 import searcher_pb2 as pb
from vitrine.vectors import Vectors, from_wire, to_wire

DIM: Final = 4
MODEL: Final = "m" * 64
PARTITIONS: Final = 2
# A picture that the embedder was not made for.
BREAKS: Final = b"breaks"
# What the gateway gives callers that set no deadline.
NO_DEADLINE_S: Final = 0.5
LOG_FILE: Final = "log.sqlite"
# Prometheus takes each metric once.
_CALLS: Final = CallMetrics("gateway_test")

Kinds = Mapping[str, Sequence[str]]


@dataclass
class StubSearcher(searcher_pb2_grpc.SearcherServicer):
    """Holds a catalogue of its partitions and ranks it exactly. `free`: cleared, it keeps its callers waiting.

    searches   what it was asked, in order
    failing    the status it fails with
    missing    partitions it says it cannot answer
    hits_fit   how many hits it can send in one message
    kinds      what it knows of fields
    silent     it leaves status calls without an answer
    withdrawn  products that it has no more when they are asked for by name
    unread     partitions whose products it cannot look up, though it can search them
    """

    partitions: Sequence[int]
    catalogue: dict[str, Vectors]
    kinds: Kinds = field(default_factory=dict)
    free: asyncio.Event = field(default_factory=asyncio.Event)
    searches: list[pb.SearcherSearchRequest] = field(default_factory=list)
    failing: grpc.StatusCode | None = None
    missing: set[int] = field(default_factory=set)
    cancelled: int = 0
    scans: int = 0
    hits_fit: int | None = None
    breaks_after: int | None = None
    withdrawn: set[str] = field(default_factory=set)
    unread: set[int] = field(default_factory=set)
    silent: bool = False

    def __post_init__(self) -> None:
        self.free.set()

    @property
    def batch_sizes(self) -> list[int]:
        return [len(request.queries) for request in self.searches]

    async def Search(self, request: pb.SearcherSearchRequest, context: Context) -> pb.SearcherSearchResponse:  # noqa: N802
        self.searches.append(request)
        await self._let_go(context)
        if self.hits_fit and sum(query.k for query in request.queries) > self.hits_fit:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Sent message larger than max (9 vs. 8)")
        response = pb.SearcherSearchResponse(model_id=MODEL, hits=[self._hits(query) for query in request.queries])
        self._say_partitions(request.partitions or self.partitions, response)
        return response

    async def Scan(self, request: pb.SearcherScanRequest, context: Context) -> AsyncIterator[pb.SearcherScanResponse]:  # noqa: N802
        self.scans += 1
        query = pb.VectorQuery(vector=request.vector, min_score=request.min_score, k=10_000)
        query.exclude_product_ids.append(request.exclude_product_id)
        for number, hit in enumerate(self._hits(query).hits):
            if number == self.breaks_after:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
            yield pb.SearcherScanResponse(hits=[hit])
            await self._let_go(context)
        last = pb.SearcherScanResponse(model_id=MODEL, fields=self._facts(request.filter, ()))
        last.cost.rows_scored = len(self.catalogue)
        self._say_partitions(request.partitions or self.partitions, last)
        yield last

    async def ListProducts(  # noqa: N802
        self, request: pb.ListProductsRequest, context: Context
    ) -> AsyncIterator[pb.ListProductsResponse]:
        self.scans += 1
        for number, (product_id, vector) in enumerate(self.catalogue.items()):
            if number == self.breaks_after:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
            await self._let_go(context)
            product = pb.Product(product_id=product_id)
            product.images.add(image_id="0", vector=to_wire(vector))
            yield pb.ListProductsResponse(products=[product])
        last = pb.ListProductsResponse(model_id=MODEL, fields=self._facts(request.filter, ()))
        self._say_partitions(request.partitions or self.partitions, last)
        yield last

    async def GetProducts(self, request: pb.GetProductsRequest, context: Context) -> pb.GetProductsResponse:  # noqa: N802
        response = pb.GetProductsResponse(model_id=MODEL)
        for product_id in request.product_ids:
            partition = partition_of(product_id, PARTITIONS)
            if partition not in self.partitions or partition in self.missing | self.unread:
                response.failures.add(partition=partition, reason="not served here")
            elif product_id in self.catalogue and product_id not in self.withdrawn:
                product = response.products.add(product_id=product_id)
                product.images.add(image_id="0", vector=to_wire(self.catalogue[product_id]))
        return response

    async def GetStatus(self, request: pb.SearcherStatusRequest, context: Context) -> pb.SearcherStatusResponse:  # noqa: N802
        if self.silent:
            await asyncio.Event().wait()
        partitions = [pb.PartitionStatus(partition=partition, version=1) for partition in self.partitions]
        return pb.SearcherStatusResponse(partitions=partitions, model_id=MODEL)

    async def _let_go(self, context: Context) -> None:
        try:
            await self.free.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failing:
            await context.abort(self.failing, "min_score: as the test wants it")

    def _hits(self, query: pb.VectorQuery) -> pb.Hits:
        vector = from_wire(query.vector, DIM)
        hits = [
            pb.Hit(
                product_id=product_id,
                image_id="0",
                score=float(vector @ other),
                category=product_id.rstrip("0123456789"),
            )
            for product_id, other in self.catalogue.items()
            if product_id not in query.exclude_product_ids
        ]
        if query.HasField("min_score"):
            hits = [hit for hit in hits if hit.score >= query.min_score]
        if query.HasField("after"):
            hits = [hit for hit in hits if rank(hit) > rank(query.after)]
        best = pb.Hits(hits=sorted(hits, key=rank)[: query.k], recall=0.99)
        best.fields.extend(self._facts(query.filter, query.facet_fields))
        if query.with_vectors:
            best.vectors.extend(to_wire(self.catalogue[hit.product_id]) for hit in best.hits)
        if query.explain:
            best.plans.add(partition=self.partitions[0], method="exact", rows_scored=len(hits))
        return best

    def _facts(self, wanted: filter_pb2.Filter, facets: Iterable[str]) -> list[filter_pb2.FieldFacts]:
        known = filter_from_message(wanted)
        names = {condition.field for _, condition in known.conditions()} if known else set()
        return [filter_pb2.FieldFacts(field=name, kinds=self.kinds.get(name, ())) for name in {*names, *facets}]

    def _say_partitions(
        self,
        partitions: Iterable[int],
        response: pb.SearcherSearchResponse | pb.SearcherScanResponse | pb.ListProductsResponse,
    ) -> None:
        for partition in partitions:
            if partition in self.missing:
                response.failures.add(partition=partition, reason="not opened yet")
            else:
                rows = sum(partition_of(product_id, PARTITIONS) == partition for product_id in self.catalogue)
                response.answers.add(partition=partition, version=1, rows_searched=rows)


@dataclass
class StubEmbedder(embedder_pb2_grpc.EmbedderServicer):
    """A picture is DIM numbers in text; anything else is a bad one, and BREAKS makes the whole call fail.

    failing  how the next calls fail, one each
    """

    calls: list[int] = field(default_factory=list)
    failing: list[grpc.StatusCode] = field(default_factory=list)

    async def GetModel(self, request: embedder_pb2.GetModelRequest, context: Context) -> embedder_pb2.GetModelResponse:  # noqa: N802
        return embedder_pb2.GetModelResponse(model_id=MODEL, dim=DIM)

    async def Embed(self, request: embedder_pb2.EmbedRequest, context: Context) -> embedder_pb2.EmbedResponse:  # noqa: N802
        self.calls.append(len(request.images))
        if self.failing:
            await context.abort(self.failing.pop(), "as the test wants it")
        if any(image.data == BREAKS for image in request.images):
            await context.abort(grpc.StatusCode.INTERNAL, "internal error 1")
        response = embedder_pb2.EmbedResponse(model_id=MODEL)
        for number, image in enumerate(request.images):
            result = response.results.add()
            try:
                result.embedding.vector = to_wire(np.array(json.loads(image.data), np.float32))
            except ValueError:
                result.error.code, result.error.message = "INVALID_ARGUMENT", f"images[{number}].image: is no picture"
        return response


@dataclass(frozen=True)
class Running:
    address: str
    stub: gateway_pb2_grpc.VisualSearchAsyncStub
    embedder: StubEmbedder
    searchers: Sequence[StubSearcher]
    topology: Path
    fanout: Fanout


def calls_in_flight() -> float:
    """Calls that gateway and stubs are answering."""
    return REGISTRY.get_sample_value("vitrine_gateway_test_calls_in_flight") or 0.0


@asynccontextmanager
async def running(
    folder: Path,
    groups: Sequence[Sequence[StubSearcher]],
    limits: Limits | None = None,
    scans: int = 2,
    gates: Sequence[grpc.aio.ServerInterceptor] = (),
    hedge_share: float = HEDGE_SHARE,
    status_interval_s: float = 60.0,
) -> AsyncIterator[Running]:
    """A gateway over `groups` of searchers, each a group of replicas."""
    (folder / "default").mkdir()
    (folder / "default" / "index.json").write_text(json.dumps(asdict(IndexSettings("default", DIM, MODEL, PARTITIONS))))
    async with AsyncExitStack() as opened:
        addresses = [[await opened.enter_async_context(served(searcher)) for searcher in group] for group in groups]
        embedder = StubEmbedder()
        embedder_address = await opened.enter_async_context(served(embedder))
        topology = folder / "topology.json"
        listed = [
            {"partitions": list(group[0].partitions), "addresses": places}
            for group, places in zip(groups, addresses, strict=True)
        ]
        topology.write_text(json.dumps({"groups": listed}))
        fanout = Fanout(topology, status_interval_s, limits or Limits(), hedge_share)
        channel = await opened.enter_async_context(internal_channel(embedder_address))
        store = Store.open(str(folder))
        directory = Directory(store, "default")
        resolver = Resolver(channel, fanout)
        pictures = Pictures(store, "default")
        log = EmbeddedLog.open(folder / LOG_FILE, PARTITIONS)
        opened.callback(log.close)
        writer = FeedbackWriter(log)
        feedback = ShopperFeedback(writer)
        servicer = VisualSearchServicer(directory, resolver, fanout, pictures, "log", NO_DEADLINE_S, scans, feedback)
        background = [asyncio.ensure_future(work()) for work in (directory.look, fanout.watch, writer.write)]
        opened.push_async_callback(_ended, background)
        while not (directory.known and fanout.serving() == set(range(PARTITIONS))):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        address = await opened.enter_async_context(served(servicer, *gates))
        caller = await opened.enter_async_context(internal_channel(address))
        stub = gateway_pb2_grpc.VisualSearchStub(caller)
        searchers = [searcher for group in groups for searcher in group]
        yield Running(address, stub, embedder, searchers, topology, fanout)


async def _ended(background: Sequence[asyncio.Future[None]]) -> None:
    for task in background:
        task.cancel()
    await asyncio.gather(*background, return_exceptions=True)


@asynccontextmanager
async def served(servicer: object, *gates: grpc.aio.ServerInterceptor) -> AsyncIterator[str]:
    server = grpc.aio.server(interceptors=[Edge(_CALLS), *gates], options=[("grpc.so_reuseport", 0)])
    match servicer:
        case StubSearcher():
            searcher_pb2_grpc.add_SearcherServicer_to_server(servicer, server)
        case StubEmbedder():
            embedder_pb2_grpc.add_EmbedderServicer_to_server(servicer, server)
        case VisualSearchServicer():
            gateway_pb2_grpc.add_VisualSearchServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
