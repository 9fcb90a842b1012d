"""Scan: every product above a score, as it is found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import Final

from services.gateway import metrics
from services.gateway.blend import fill_coverage, new_query_id, oldest, refuse_if_too_little
from services.gateway.checks import check_at_least, check_min_score
from services.gateway.fanout import Fanout
from services.gateway.fields import check_known
from services.gateway.query import check_query
from services.gateway.resolve import Item, Picture, Resolver
from vitrine.filters import Filter
from vitrine.filters_codec import filter_from_message
from vitrine.index.settings import IndexSettings
from vitrine.runtime.errors import InvalidArgument, ResourceExhausted, VitrineError
from vitrine.v1 import gateway_pb2 as pb
from vitrine.v1 import searcher_pb2

# Few scans run at once: a caller with a far deadline, or one that stops reading, does not keep its place for ever.
MAX_SCAN_S: Final = 600.0
_RETRY_AFTER_S: Final = 1.0


class Scanning:
    """Answers scans, at most `most` at once."""

    def __init__(self, resolver: Resolver, fanout: Fanout, most: int) -> None:
        self._resolver = resolver
        self._fanout = fanout
        self._most = most
        self._running = 0

    async def scan(
        self, request: pb.ScanRequest, index: IndexSettings, timeout_s: float
    ) -> AsyncGenerator[pb.ScanResponse]:
        """Results, then one message that says how complete they are. Raises as Search; ResourceExhausted."""
        timeout_s = min(timeout_s, MAX_SCAN_S)
        until_s = asyncio.get_running_loop().time() + timeout_s
        wanted, kind = _checked(request, index)
        async with asyncio.timeout(MAX_SCAN_S):
            with self._place():
                vector = await self._vector(request, kind, index, timeout_s)
                call = searcher_pb2.SearcherScanRequest(
                    index=index.name, vector=vector, min_score=request.min_score, at_least=request.at_least
                )
                if wanted:
                    call.filter.CopyFrom(request.filter)
                if kind == "product_id":
                    call.exclude_product_id = request.product_id
                summary, last = searcher_pb2.SearcherScanResponse(), pb.ScanResponse(model_id=index.model_id)
                left_s = until_s - asyncio.get_running_loop().time()
                async with aclosing(self._fanout.scan(call, range(index.partitions), left_s)) as arriving:
                    async for message in arriving:
                        if message.hits:
                            last.products += len(message.hits)
                            yield pb.ScanResponse(results=message.hits)
                            message.ClearField("hits")
                        _add(summary, message)
                _complete(last, summary, wanted, request, index)
                yield last

    async def _vector(self, request: pb.ScanRequest, kind: str, index: IndexSettings, timeout_s: float) -> bytes:
        if kind == "vector":
            return request.vector
        crop = request.crop if request.HasField("crop") else None
        thing = Picture(request.image, crop) if kind == "image" else request.product_id
        found = (await self._resolver.items([Item(thing, kind, request.at_least)], index, timeout_s))[0]
        if isinstance(found, VitrineError):
            raise found
        return found.vector

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._running >= self._most:
            raise ResourceExhausted(f"{self._running} scans are running, as many as may at once", _RETRY_AFTER_S)
        self._running += 1
        metrics.SCANS.set(self._running)
        try:
            yield
        finally:
            self._running -= 1
            metrics.SCANS.set(self._running)


def _checked(request: pb.ScanRequest, index: IndexSettings) -> tuple[Filter | None, str]:
    """The filter, and which query it is. Raises InvalidArgument."""
    kind = check_query(request, index)
    if not request.HasField("min_score"):
        raise InvalidArgument("min_score", "is needed: every product that scores as much is answered")
    check_min_score(request.min_score)
    check_at_least(request.at_least, index)
    return filter_from_message(request.filter) if request.HasField("filter") else None, kind


def _add(summary: searcher_pb2.SearcherScanResponse, message: searcher_pb2.SearcherScanResponse) -> None:
    """What one searcher says at the end, to what the others have said."""
    summary.answers.extend(message.answers)
    summary.failures.extend(message.failures)
    summary.fields.extend(message.fields)
    summary.cost.rows_scored += message.cost.rows_scored
    summary.cost.scoring_s += message.cost.scoring_s


def _complete(
    last: pb.ScanResponse,
    summary: searcher_pb2.SearcherScanResponse,
    wanted: Filter | None,
    request: pb.ScanRequest,
    index: IndexSettings,
) -> None:
    fill_coverage(last.coverage, summary.answers, summary.failures, index)
    refuse_if_too_little(last.coverage, request.require_complete)
    check_known(wanted, (), summary.fields, last.coverage)
    last.index_time.CopyFrom(oldest(summary.answers))
    last.query_id = new_query_id()
    last.cost.CopyFrom(summary.cost)
