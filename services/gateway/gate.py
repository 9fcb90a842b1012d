"""Where calls come in: who asks, how much is under way, and how long each takes here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import grpc
import grpc.aio
from prometheus_client import Counter

from services.gateway import metrics
from services.gateway.admission import Admission, Place
from services.gateway.callers import Callers, caller_of
from services.gateway.outcome import counting
from services.gateway.own_time import OwnTime
from services.gateway.work import Work, work_of
from vitrine.runtime.context import Context
from vitrine.runtime.errors import ResourceExhausted
from vitrine.runtime.interceptors import Handler, rewrapped
from vitrine.runtime.metrics import begin_at_zero

_SERVICE: Final = "/vitrine.v1.VisualSearch/"
# A shopper waits for each answer; batches are for jobs.
_SHOPPERS: Final = ("Search", "Recommend", "CompleteTheLook")


class Gate(grpc.aio.ServerInterceptor):
    """Around every call of VisualSearch. Raises ResourceExhausted, InvalidArgument (`vitrine-caller`)."""

    def __init__(self, callers: Callers, admission: Admission) -> None:
        self._callers = callers
        self._admission = admission
        self._let_in: dict[str, Counter] = {}

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]], details: grpc.HandlerCallDetails
    ) -> Handler:
        handler = await continuation(details)
        if handler is None or not details.method.startswith(_SERVICE):
            return handler
        method = details.method.removeprefix(_SERVICE)
        return rewrapped(handler, lambda inner: self._unary(inner, method), self._streaming)

    def _count(self, caller: str) -> None:
        counter = self._let_in.get(caller)
        if counter is None:
            counter = self._let_in[caller] = metrics.CALLS_BY_CALLER.labels(caller, "let in")
            begin_at_zero(metrics.CALLS_BY_CALLER, caller, "refused")
        counter.inc()

    def _place(self, caller: str, work: Work) -> Place:
        try:
            place = self._admission.enter(work)
        except ResourceExhausted:
            metrics.CALLS_BY_CALLER.labels(caller, "refused").inc()
            raise
        self._count(caller)
        return place

    def _unary(self, inner: Callable[..., Awaitable[Any]], method: str) -> Callable[..., Awaitable[Any]]:
        own_seconds = metrics.OWN_SECONDS.labels(method)
        is_shoppers = method in _SHOPPERS

        async def call(request: Any, context: Context) -> Any:
            with OwnTime(own_seconds):
                work = work_of(method, request)
                if work is None:
                    return await inner(request, context)
                caller = self._callers.take(caller_of(context), work.searches)
                with counting(timed=is_shoppers and work.measured) as outcome:
                    with self._place(caller, work):
                        response = await inner(request, context)
                    outcome.answered(response)
                    return response

        return call

    def _streaming(self, inner: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            caller = self._callers.take(caller_of(context), 1)
            self._count(caller)
            async for response in inner(request, context):
                yield response

        return call
