"""A gateway that answers what it is told to, and both clients behind one face."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from vitrine.client import AsyncVisualSearchClient, VisualSearchClient
from vitrine.runtime.channels import MESSAGE_OPTIONS
from vitrine.v1 import catalogue_pb2, gateway_pb2

TIMEOUT_S = 10.0
COVERAGE = gateway_pb2.Coverage(partitions_total=2, partitions_answered=2, rows_searched=40)


class Asked(NamedTuple):
    """A call as it arrived."""

    method: str
    request: Any
    metadata: dict[str, str]
    left_s: float


class Failure(NamedTuple):
    """`code`: a status by name."""

    code: str
    details: str = "failed on purpose"
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass
class Script:
    """What the gateway does.

    answers   by method: a message, or the messages of a stream, where a Failure ends it; or what makes them
    failures  of the next calls, one each
    """

    answers: dict[str, Any] = field(default_factory=dict)
    failures: deque[Failure] = field(default_factory=deque)
    asked: list[Asked] = field(default_factory=list)

    def answer(self, method: str, request: Any, context: grpc.ServicerContext) -> Any:
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        self.asked.append(Asked(method, request, metadata, context.time_remaining() or 0.0))
        if self.failures:
            code, details, trailing = self.failures.popleft()
            context.set_trailing_metadata(trailing)
            context.abort(grpc.StatusCode[code], details)
        answer = self.answers[method]
        return answer(request) if callable(answer) else answer

    def requests(self, method: str) -> list[Any]:
        return [asked.request for asked in self.asked if asked.method == method]


def _unary(script: Script, name: str) -> Callable[[Any, grpc.ServicerContext], Any]:
    return lambda request, context: script.answer(name, request, context)


def _streaming(script: Script, name: str) -> Callable[[Any, grpc.ServicerContext], Iterator[Any]]:
    def stream(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        for message in script.answer(name, request, context):
            if isinstance(message, Failure):
                context.abort(grpc.StatusCode[message.code], message.details)
            yield message

    return stream


def _acknowledging(script: Script, name: str) -> Callable[[Iterator[Any], grpc.ServicerContext], Iterator[Any]]:
    def acknowledge(events: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        for number, event in enumerate(events):
            script.answer(name, event, context)
            position = catalogue_pb2.LogPosition(partition=1, offset=number)
            yield catalogue_pb2.PublishAck(product_id=event.product_id, position=position)

    return acknowledge


def _handler(script: Script, method: MethodDescriptor) -> grpc.RpcMethodHandler[Any, Any]:
    makes: tuple[Any, Any]
    if method.client_streaming:
        script.answers[method.name] = None
        makes = (grpc.stream_stream_rpc_method_handler, _acknowledging)
    elif method.server_streaming:
        makes = (grpc.unary_stream_rpc_method_handler, _streaming)
    else:
        makes = (grpc.unary_unary_rpc_method_handler, _unary)
    make, behaviour = makes
    handler: grpc.RpcMethodHandler[Any, Any] = make(
        behaviour(script, method.name),
        GetMessageClass(method.input_type).FromString,
        GetMessageClass(method.output_type).SerializeToString,
    )
    return handler


@contextmanager
def running(script: Script) -> Iterator[str]:
    """The gateway's address."""
    server = grpc.server(ThreadPoolExecutor(8), options=MESSAGE_OPTIONS)
    for service in (
        gateway_pb2.DESCRIPTOR.services_by_name["VisualSearch"],
        catalogue_pb2.DESCRIPTOR.services_by_name["Catalogue"],
    ):
        handlers = {method.name: _handler(script, method) for method in service.methods}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


class Blocking:
    def __init__(self, address: str, **options: Any) -> None:
        self.client = VisualSearchClient(address, **options)

    def call(self, name: str, *args: Any, **fields: Any) -> Any:
        return getattr(self.client, name)(*args, **fields)

    def listed(self, name: str, *args: Any, **fields: Any) -> list[Any]:
        """All that a generator brings."""
        return list(self.call(name, *args, **fields))

    def streamed(self, name: str, *args: Any, **fields: Any) -> tuple[list[Any], Any]:
        """All that a stream brings, and its summary."""
        stream = self.call(name, *args, **fields)
        return list(stream), stream.summary

    def close(self) -> None:
        self.client.close()


class Awaiting:
    """The client for asyncio, in a loop of its own."""

    def __init__(self, address: str, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self.client = self._runner.run(_made(address, options))

    def call(self, name: str, *args: Any, **fields: Any) -> Any:
        return self._runner.run(getattr(self.client, name)(*args, **fields))

    def listed(self, name: str, *args: Any, **fields: Any) -> list[Any]:
        return self._runner.run(_all(getattr(self.client, name)(*args, **fields)))

    def streamed(self, name: str, *args: Any, **fields: Any) -> tuple[list[Any], Any]:
        stream = getattr(self.client, name)(*args, **fields)
        return self._runner.run(_all(stream)), stream.summary

    def close(self) -> None:
        self._runner.run(self.client.close())
        self._runner.close()


Client = Blocking | Awaiting


async def _made(address: str, options: dict[str, Any]) -> AsyncVisualSearchClient:
    return AsyncVisualSearchClient(address, **options)


async def _all(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]
