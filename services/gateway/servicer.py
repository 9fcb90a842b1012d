"""The VisualSearch service."""

from __future__ import annotations

import asyncio
from typing import Final

from services.gateway.blend import blended, coverage_of
from services.gateway.directory import Directory
from services.gateway.fanout import Fanout
from services.gateway.query import QueryResolver
from vitrine.index.pictures import Pictures
from vitrine.index.settings import IndexSettings
from vitrine.runtime.context import Context, remaining_s
from vitrine.runtime.errors import InvalidArgument, NotFound
from vitrine.v1 import gateway_pb2 as pb
from vitrine.v1 import gateway_pb2_grpc, searcher_pb2
from vitrine.vectors import to_wire

SHA256_BYTES: Final = 32


class VisualSearchServicer(gateway_pb2_grpc.VisualSearchServicer):
    def __init__(
        self,
        directory: Directory,
        resolver: QueryResolver,
        fanout: Fanout,
        pictures: Pictures,
        log_id: str,
        default_timeout_s: float,
    ) -> None:
        self._log_id = log_id
        self._directory = directory
        self._resolver = resolver
        self._fanout = fanout
        self._pictures = pictures
        self._default_timeout_s = default_timeout_s

    async def Search(self, request: pb.SearchRequest, context: Context) -> pb.SearchResponse:
        index = self._directory.get(request.index)
        _check_at_least(request.at_least, index)
        query = await self._resolver.resolved(request, index, self._timeout_s(context))
        wire_query = searcher_pb2.VectorQuery(
            vector=to_wire(query.vector), k=query.k, exact=request.exact, exclude_product_id=query.exclude_product_id
        )
        if request.HasField("min_score"):
            wire_query.min_score = request.min_score
        call = searcher_pb2.SearcherSearchRequest(index=index.name, queries=[wire_query], at_least=request.at_least)
        answers, failures = await self._fanout.search(call, range(index.partitions), self._timeout_s(context))
        return blended(answers, failures, index, query.k, request.require_complete)

    async def GetProduct(self, request: pb.GetProductRequest, context: Context) -> pb.GetProductResponse:
        index = self._directory.get(request.index)
        _check_at_least(request.at_least, index)
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
        await self._fanout.refresh()
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
        return pb.GetIndexStatusResponse(
            index=index.name,
            dim=index.dim,
            metric=index.metric,
            model_id=index.model_id,
            partitions_total=index.partitions,
            partitions=[newest[partition] for partition in sorted(newest)],
            coverage=coverage_of(answered, failures, index),
            log_id=self._log_id,
        )

    def _timeout_s(self, context: Context) -> float:
        return remaining_s(context, self._default_timeout_s)


def _check_at_least(positions: object, index: IndexSettings) -> None:
    for number, position in enumerate(positions):  # type: ignore[arg-type, var-annotated]  # repeated LogPosition
        if position.partition >= index.partitions:
            raise InvalidArgument(
                f"at_least[{number}].partition", f"is {position.partition}, not below {index.partitions}"
            )
