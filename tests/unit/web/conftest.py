"""The page's server without a socket, in front of a gateway that is made up, over real gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from starlette.types import ASGIApp

from services.web.api import Api
from services.web.app import application
from services.web.gateway import Gateway
from services.web.uploads import Uploads
from tests.unit.web.shop import FakeShop
from vitrine.runtime.channels import internal_channel
from vitrine.runtime.interceptors import Edge
from vitrine.runtime.metrics import CallMetrics
from vitrine.v1 import catalogue_pb2_grpc, gateway_pb2_grpc

MOST_BYTES: Final = 1 << 20
AT_ONCE: Final = 2

# Once a process: Prometheus takes no name twice.
_METRICS: Final = CallMetrics("web_in_test")
_SHOP_METRICS: Final = CallMetrics("shop_in_test")


@pytest.fixture
async def gateway() -> AsyncIterator[tuple[FakeShop, Gateway]]:
    shop = FakeShop()  # type: ignore[abstract]  # what the page never calls is left out
    server = grpc.aio.server(interceptors=[Edge(_SHOP_METRICS)])
    gateway_pb2_grpc.add_VisualSearchServicer_to_server(shop, server)
    catalogue_pb2_grpc.add_CatalogueServicer_to_server(shop, server)
    health: Any = health_aio.HealthServicer()
    await health.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = internal_channel(f"127.0.0.1:{port}")
    try:
        yield shop, Gateway(channel, "winter", timeout_s=5)
    finally:
        await channel.close()
        await server.stop(0)


@pytest.fixture
def shop(gateway: tuple[FakeShop, Gateway]) -> FakeShop:
    return gateway[0]


@pytest.fixture
def app(gateway: tuple[FakeShop, Gateway]) -> ASGIApp:
    return page_of(gateway[1])


def page_of(gateway: Gateway, upload_timeout_s: float = 5.0, ops: bool = True) -> ASGIApp:
    api = Api(gateway, Uploads(MOST_BYTES, AT_ONCE, upload_timeout_s), ops)
    return application(api.endpoints(), _METRICS, ops)
