"""What happens around every call: timing, counting, and errors turned into statuses. The only place that knows both."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, NoReturn

import grpc
import grpc.aio

from vitrine.runtime.context import Context
from vitrine.runtime.errors import ResourceExhausted, VitrineError, status_name
from vitrine.runtime.logs import logger
from vitrine.runtime.metrics import CallMetrics

RETRY_AFTER_METADATA = "retry-after-ms"

Handler = Any  # grpc's RpcMethodHandler: a named tuple of behaviours, untyped in grpcio


def rewrapped(handler: Handler, unary: Callable[..., Any], streaming: Callable[..., Any]) -> Handler:
    """The same handler with something around its behaviour: one of the two, by what it answers with."""
    if not handler.response_streaming:
        return grpc.unary_unary_rpc_method_handler(
            unary(handler.unary_unary), handler.request_deserializer, handler.response_serializer
        )
    inner, make = (
        (handler.stream_stream, grpc.stream_stream_rpc_method_handler)
        if handler.request_streaming
        else (handler.unary_stream, grpc.unary_stream_rpc_method_handler)
    )
    return make(streaming(inner), handler.request_deserializer, handler.response_serializer)


class Edge(grpc.aio.ServerInterceptor):
    """Wraps every handler of one server. An unknown failure becomes INTERNAL with an id that is in the log."""

    def __init__(self, metrics: CallMetrics, arrived: Callable[[Context], None] | None = None) -> None:
        """`arrived`: told of each call before anything else happens."""
        self._metrics = metrics
        self._arrived = arrived or (lambda context: None)
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]], details: grpc.HandlerCallDetails
    ) -> Handler:
        # Asked at every call; a method's handler never changes.
        known = self._wrapped.get(details.method)
        if known is None:
            handler = await continuation(details)
            if handler is None or not details.method.startswith("/vitrine."):
                return handler
            known = self._wrapped[details.method] = self._wrap(handler, details.method.rsplit("/", 1)[1])
        return known

    def _wrap(self, handler: Handler, method: str) -> Handler:
        return rewrapped(handler, partial(self._unary, method=method), partial(self._streaming, method=method))

    def _unary(self, inner: Callable[..., Awaitable[Any]], method: str) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, context: Context) -> Any:
            started, code = time.perf_counter(), "OK"
            self._arrived(context)
            self._metrics.in_flight.inc()
            try:
                return await inner(request, context)
            except BaseException as error:  # noqa: BLE001  (becomes a status, or is raised again)
                code = code_of(error)
                await _abort(error, method, context)
            finally:
                self._metrics.in_flight.dec()
                self._metrics.observe(method, code, time.perf_counter() - started)

        return call

    def _streaming(self, inner: Callable[..., AsyncIterator[Any]], method: str) -> Callable[..., AsyncIterator[Any]]:
        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            started, code = time.perf_counter(), "OK"
            self._arrived(context)
            self._metrics.in_flight.inc()
            try:
                async for response in inner(request, context):
                    yield response
            except GeneratorExit:
                code = "CANCELLED"
                raise
            except BaseException as error:  # noqa: BLE001  (becomes a status, or is raised again)
                code = code_of(error)
                await _abort(error, method, context)
            finally:
                self._metrics.in_flight.dec()
                self._metrics.observe(method, code, time.perf_counter() - started)

        return call


def code_of(error: BaseException) -> str:
    """The name of the status that `error` becomes."""
    if isinstance(error, VitrineError):
        return status_name(error)
    if isinstance(error, grpc.RpcError):
        return str(error.code().name)
    if isinstance(error, asyncio.CancelledError):
        return "CANCELLED"
    if isinstance(error, TimeoutError):
        return "DEADLINE_EXCEEDED"
    return "INTERNAL"


async def _abort(error: BaseException, method: str, context: Context) -> NoReturn:
    if isinstance(error, asyncio.CancelledError | grpc.aio.AbortError | KeyboardInterrupt | SystemExit):
        raise error
    code = grpc.StatusCode[code_of(error)]
    if isinstance(error, ResourceExhausted):
        context.set_trailing_metadata(((RETRY_AFTER_METADATA, str(int(error.retry_after_s * 1000))),))
    if code is grpc.StatusCode.INTERNAL:
        error_id = uuid.uuid4().hex[:12]
        logger().error("call failed", method=method, error_id=error_id, exc_info=error)
        await context.abort(code, f"internal error {error_id}")
    if isinstance(error, grpc.RpcError):
        # A service behind this one has refused: its words name the field already.
        await context.abort(code, error.details() or "")
    await context.abort(code, str(error) or code.name.lower())
