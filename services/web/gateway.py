"""The calls to the gateway, each with a deadline; what fails is one of the errors of `vitrine.runtime.errors`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from vitrine.client import typed_error
from vitrine.runtime.errors import PermissionDenied, Unauthenticated, VitrineError
from vitrine.v1 import catalogue_pb2, catalogue_pb2_grpc, gateway_pb2, gateway_pb2_grpc

_Answer = TypeVar("_Answer")

# Who calls, for the gateway's limits and metrics.
_METADATA: Final = (("vitrine-caller", "web"),)
_LOOK_INTERVAL_S: Final = 1.0
_LOOK_TIMEOUT_S: Final = 2.0


class Gateway:
    """`index` empty: the gateway's default one."""

    def __init__(self, channel: grpc.aio.Channel, index: str, timeout_s: float) -> None:
        self._visual = gateway_pb2_grpc.VisualSearchStub(channel)
        self._catalogue = catalogue_pb2_grpc.CatalogueStub(channel)
        self._health: Any = health_pb2_grpc.HealthStub(channel)
        self._index = index
        self._timeout_s = timeout_s
        self._reason: str | None = "the gateway has not been asked yet"
        self._let_in = False

    def not_ready(self) -> str | None:
        """Why the gateway cannot answer, as far as `watch` has seen; None if it can."""
        return self._reason

    async def watch(self) -> None:
        """Looks after the gateway for ever."""
        while True:
            self._reason = await self._looked()
            await asyncio.sleep(_LOOK_INTERVAL_S)

    async def search(self, request: gateway_pb2.SearchRequest) -> gateway_pb2.SearchResponse:
        return await self._answer(self._visual.Search, request)

    async def searches(self, requests: list[gateway_pb2.SearchRequest]) -> gateway_pb2.BatchSearchResponse:
        return await self._answer(self._visual.BatchSearch, gateway_pb2.BatchSearchRequest(searches=requests))

    async def recommend(self, request: gateway_pb2.RecommendRequest) -> gateway_pb2.RecommendResponse:
        return await self._answer(self._visual.Recommend, request)

    async def complete_the_look(
        self, request: gateway_pb2.CompleteTheLookRequest
    ) -> gateway_pb2.CompleteTheLookResponse:
        return await self._answer(self._visual.CompleteTheLook, request)

    async def send_feedback(self, request: gateway_pb2.SendFeedbackRequest) -> None:
        await self._answer(self._visual.SendFeedback, request)

    async def product(self, product_id: str) -> gateway_pb2.GetProductResponse:
        return await self._answer(self._visual.GetProduct, gateway_pb2.GetProductRequest(product_id=product_id))

    async def thumbnail(self, sha256: bytes) -> bytes:
        """WebP."""
        response = await self._answer(self._visual.GetThumbnail, gateway_pb2.GetThumbnailRequest(sha256=sha256))
        return bytes(response.webp)

    async def status(self) -> gateway_pb2.GetIndexStatusResponse:
        return await self._answer(self._visual.GetIndexStatus, gateway_pb2.GetIndexStatusRequest())

    async def recent_queries(self, count: int) -> gateway_pb2.ListRecentQueriesResponse:
        request = gateway_pb2.ListRecentQueriesRequest(count=count)
        return await self._answer(self._visual.ListRecentQueries, request)

    async def dead_letters(self, count: int) -> tuple[list[catalogue_pb2.DeadLetter], int]:
        """The newest ones, newest first, and how many there are."""
        newest: deque[catalogue_pb2.DeadLetter] = deque(maxlen=count)
        total = 0
        request = catalogue_pb2.ListDeadLettersRequest(index=self._index)
        try:
            async for letter in self._catalogue.ListDeadLetters(request, timeout=self._timeout_s, metadata=_METADATA):
                newest.appendleft(letter)
                total += 1
        except grpc.aio.AioRpcError as error:
            raise typed_error(error) from error
        return list(newest), total

    async def _answer(self, call: Callable[..., Awaitable[_Answer]], request: Any) -> _Answer:
        request.index = self._index
        try:
            return await call(request, timeout=self._timeout_s, metadata=_METADATA)
        except grpc.aio.AioRpcError as error:
            raise typed_error(error) from error

    async def _looked(self) -> str | None:
        try:
            response = await self._health.Check(health_pb2.HealthCheckRequest(), timeout=_LOOK_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            return f"the gateway does not answer: {typed_error(error)}"
        if response.status != health_pb2.HealthCheckResponse.SERVING:
            return "the gateway is not ready"
        return None if self._let_in else await self._tried()

    async def _tried(self) -> str | None:
        """Why the gateway does not let the page in, if so. Asked until it does: health is open to everybody."""
        try:
            await self.status()
        except (Unauthenticated, PermissionDenied) as error:
            return f"the gateway refuses the page: {error}"
        except VitrineError:
            pass  # another trouble, which the page tells to those who ask
        self._let_in = True
        return None
