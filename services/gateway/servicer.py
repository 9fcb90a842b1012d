"""The VisualSearch service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from services.gateway.answered import Answered
from services.gateway.blend import fill_coverage
from services.gateway.checks import check_at_least, check_product_id
from services.gateway.directory import Directory
from services.gateway.duplicates import Duplicates
from services.gateway.fanout import DEADLINE_MARGIN_S, Fanout
from services.gateway.feedback import ShopperFeedback
from services.gateway.look import Completing
from services.gateway.recent import Recent
from services.gateway.recommend import Recommending
from services.gateway.resolve import Resolver
from services.gateway.scan import Scanning
from services.gateway.search import Searching
from vitrine.affinity import Learned
from vitrine.index.pictures import Pictures
from vitrine.runtime.context import Context, remaining_s
from vitrine.runtime.errors import InvalidArgument, NotFound
from vitrine.v1 import gateway_pb2 as pb
from vitrine.v1 import gateway_pb2_grpc, searcher_pb2

SHA256_BYTES: Final = 32


class VisualSearchServicer(gateway_pb2_grpc.VisualSearchServicer):
    def __init__(
        self,
        directory: Directory,
        resolver: Resolver,
        fanout: Fanout,
        pictures: Pictures,
        log_id: str,
        default_timeout_s: float,
        scans: int,
        feedback: ShopperFeedback,
        learned: Learned | None = None,
    ) -> None:
        self._searching = Searching(resolver, fanout)
        self._scanning = Scanning(resolver, fanout, scans)
        self._duplicates = Duplicates(resolver, fanout)
        self._recommending = Recommending(resolver, fanout)
        self._completing = Completing(resolver, fanout, learned)
        self._feedback = feedback
        self._recent = Recent()
        self._answered = Answered(feedback, self._recent)
        self._log_id = log_id
        self._directory = directory
        self._resolver = resolver
        self._fanout = fanout
        self._pictures = pictures
        self._default_timeout_s = default_timeout_s

    async def Search(self, request: pb.SearchRequest, context: Context) -> pb.SearchResponse:
        began_s = time.perf_counter()
        index = self._directory.get(request.index)
        response = await self._searching.one(request, index, self._timeout_s(context))
        self._answered.note(request, response, began_s)
        return response

    async def BatchSearch(self, request: pb.BatchSearchRequest, context: Context) -> pb.BatchSearchResponse:
        index = self._directory.get(request.index)
        response = await self._searching.many(request.searches, index, self._timeout_s(context))
        self._answered.note_batch(request.searches, response)
        return response

    async def Scan(self, request: pb.ScanRequest, context: Context) -> AsyncGenerator[pb.ScanResponse]:
        index = self._directory.get(request.index)
        async with aclosing(self._scanning.scan(request, index, self._timeout_s(context))) as found:
            async for response in found:
                yield response

    async def Recommend(self, request: pb.RecommendRequest, context: Context) -> pb.RecommendResponse:
        began_s = time.perf_counter()
        index = self._directory.get(request.index)
        response = await self._recommending.recommend(request, index, self._timeout_s(context))
        self._answered.note(request, response, began_s)
        return response

    async def CompleteTheLook(self, request: pb.CompleteTheLookRequest, context: Context) -> pb.CompleteTheLookResponse:
        began_s = time.perf_counter()
        index = self._directory.get(request.index)
        response = await self._completing.complete(request, index, self._timeout_s(context))
        self._answered.note(request, response, began_s)
        return response

    async def SendFeedback(self, request: pb.SendFeedbackRequest, context: Context) -> pb.SendFeedbackResponse:
        self._directory.get(request.index)
        return await self._feedback.send(request)

    async def ListRecentQueries(
        self, request: pb.ListRecentQueriesRequest, context: Context
    ) -> pb.ListRecentQueriesResponse:
        self._directory.get(request.index)
        return self._recent.listed(request)

    async def FindDuplicates(
        self, request: pb.FindDuplicatesRequest, context: Context
    ) -> AsyncGenerator[pb.FindDuplicatesResponse]:
        index = self._directory.get(request.index)
        async with aclosing(self._duplicates.find(request, index, self._timeout_s(context))) as found:
            async for response in found:
                yield response

    async def GetProduct(self, request: pb.GetProductRequest, context: Context) -> pb.GetProductResponse:
        index = self._directory.get(request.index)
        check_product_id(request.product_id)
        check_at_least(request.at_least, index)
        product = await self._resolver.product(
            request.product_id, index, self._timeout_s(context), request.at_least, request.with_vectors
        )
        return pb.GetProductResponse(product=product)

    async def GetThumbnail(self, request: pb.GetThumbnailRequest, context: Context) -> pb.GetThumbnailResponse:
        self._directory.get(request.index)
        if len(request.sha256) != SHA256_BYTES:
            raise InvalidArgument("sha256", f"has {len(request.sha256)} bytes, expected {SHA256_BYTES}")
        webp = await asyncio.to_thread(self._pictures.get_thumbnail, request.sha256)
        if webp is None:
            raise NotFound(f"sha256: no thumbnail of {request.sha256.hex()}")
        return pb.GetThumbnailResponse(webp=webp)

    async def GetIndexStatus(self, request: pb.GetIndexStatusRequest, context: Context) -> pb.GetIndexStatusResponse:
        index = self._directory.get(request.index)
        await self._fanout.refresh(self._timeout_s(context) - DEADLINE_MARGIN_S)
        newest: dict[int, searcher_pb2.PartitionStatus] = {}
        failures: list[searcher_pb2.PartitionFailure] = []
        for status in self._fanout.statuses():
            failures += status.failures
            for partition in status.partitions:
                # Replicas may be a manifest apart; the one that is behind says what every answer holds at least.
                known = newest.get(partition.partition)
                if known is None or partition.version < known.version:
                    newest[partition.partition] = partition
        answered = [
            searcher_pb2.PartitionAnswer(partition=partition.partition, rows_searched=partition.rows_live)
            for partition in newest.values()
        ]
        response = pb.GetIndexStatusResponse(
            index=index.name,
            dim=index.dim,
            metric=index.metric,
            model_id=index.model_id,
            partitions_total=index.partitions,
            partitions=[newest[partition] for partition in sorted(newest)],
            log_id=self._log_id,
        )
        fill_coverage(response.coverage, answered, failures, index)
        return response

    def _timeout_s(self, context: Context) -> float:
        return remaining_s(context, self._default_timeout_s)
