"""Servers on a port, with the interceptors that ours have, and calls that do nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from vitrine.runtime.access import Access, token_name
from vitrine.runtime.context import Context
from vitrine.runtime.interceptors import Edge
from vitrine.runtime.metrics import CallMetrics
from vitrine.v1 import catalogue_pb2, gateway_pb2, indexer_pb2

SERVICES: Final[dict[str, list[ServiceDescriptor]]] = {
    "gateway": [
        gateway_pb2.DESCRIPTOR.services_by_name["VisualSearch"],
        catalogue_pb2.DESCRIPTOR.services_by_name["Catalogue"],
    ],
    "indexer": [indexer_pb2.DESCRIPTOR.services_by_name["Indexer"]],
}
_METRICS: Final = CallMetrics("access_test")


def calls_of(service: str) -> list[str]:
    """Every call of a service, in full."""
    return [
        f"/{descriptor.full_name}/{method.name}" for descriptor in SERVICES[service] for method in descriptor.methods
    ]


@asynccontextmanager
async def answering(service: str, access: Access) -> AsyncIterator[grpc.Channel]:
    """A server whose calls answer with the name of the token that came, and a plain channel to it."""
    server = grpc.aio.server(interceptors=[Edge(_METRICS), access], options=[("grpc.so_reuseport", 0)])
    for descriptor in SERVICES[service]:
        handlers = {method.name: _handler(method) for method in descriptor.methods}
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(descriptor.full_name, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(None)


async def asked(channel: grpc.Channel, call: str, *authorization: str) -> str:
    """What the call ends with: the token's name, or the status and its words. All calls are streams on the wire."""
    metadata = [("authorization", value) for value in authorization]

    def answers() -> str:
        method: Any = channel.stream_stream(call)
        try:
            return b"".join(method(iter([b""]), metadata=metadata, timeout=5)).decode()
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"

    return await asyncio.to_thread(answers)


def _handler(method: MethodDescriptor) -> Any:
    async def unary(request: bytes, context: Context) -> bytes:
        return token_name().encode()

    async def streaming(request: Any, context: Context) -> AsyncIterator[bytes]:
        yield token_name().encode()

    if method.client_streaming:
        return grpc.stream_stream_rpc_method_handler(streaming)
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(streaming)
    return grpc.unary_unary_rpc_method_handler(unary)
