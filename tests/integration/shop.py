"""A shop to test with: drawn products, the events that publish them, and the calls of every service."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from vitrine import sample
from vitrine.attributes import AttributeValue
from vitrine.cli.stack import Address, Stack
from vitrine.client import Answer, VisualSearchClient
from vitrine.runtime.channels import CHANNEL_OPTIONS
from vitrine.runtime.ports import free_ports
from vitrine.stream.events import Event, ImageRef, Upsert
from vitrine.stream.log import Position
from vitrine.v1 import catalogue_pb2_grpc, embedder_pb2_grpc, gateway_pb2_grpc, indexer_pb2_grpc, searcher_pb2_grpc

HOST: Final = "127.0.0.1"
TIMEOUT_S: Final = 20.0
DIM: Final = 512
ANY_VECTOR: Final = np.ones(DIM, np.float32)

_PATIENCE_S: Final = 30.0
_POLL_S: Final = 0.05


@dataclass(frozen=True)
class Drawn:
    """A product of the sample catalogue with its pictures, one or two."""

    product_id: str
    category: str
    colour: str
    price: float
    pictures: tuple[bytes, ...]

    def upsert(self) -> Upsert:
        attributes: dict[str, AttributeValue] = {
            "colour": self.colour,
            "price": self.price,
            "cheap": self.price < 50,
            "tags": (self.category, self.colour),
        }
        return upsert(self.product_id, *self.pictures, category=self.category, attributes=attributes)


@lru_cache(maxsize=1)
def drawn(count: int = 120) -> tuple[Drawn, ...]:
    """Sample products; every fourth one has two pictures."""
    return tuple(
        Drawn(
            product.product_id,
            product.category,
            product.colour,
            product.price,
            tuple(sample.draw(product, view) for view in range(1 if number % 4 else 2)),
        )
        for number, product in enumerate(sample.catalogue(count))
    )


def upsert(
    product_id: str,
    *pictures: bytes,
    category: str = "",
    attributes: dict[str, AttributeValue] | None = None,
    expires_at_us: int | None = None,
) -> Upsert:
    """An event with inline pictures, their image ids left to their places."""
    images = tuple(ImageRef("", data=picture) for picture in pictures)
    return Upsert(product_id, images, category, attributes or {}, expires_at_us=expires_at_us)


def published(client: VisualSearchClient, events: Iterable[Event]) -> list[Position]:
    """Where each event stands in the log, in order; none may be refused. Fit for `at_least`."""
    acks = list(client.publish(events))
    assert [ack.error for ack in acks if ack.error] == []
    return [ack.position for ack in acks if ack.position]


def indexed(client: VisualSearchClient, positions: Collection[Position]) -> Answer:
    """Waits until these places can be found. Returns an answer that holds them."""
    return client.search(vector=ANY_VECTOR, k=1, at_least=positions, require_complete=True, timeout_s=60)


def all_found(client: VisualSearchClient) -> list[str]:
    """Every product that an exact search finds, sorted; twice if it is there twice."""
    answer = client.search(vector=ANY_VECTOR, k=10_000, exact=True, require_complete=True)
    return sorted(hit.product_id for hit in answer.hits)


@dataclass(frozen=True)
class Calls:
    """The services of a stack, called directly."""

    client: VisualSearchClient
    search: gateway_pb2_grpc.VisualSearchStub
    catalogue: catalogue_pb2_grpc.CatalogueStub
    embedder: embedder_pb2_grpc.EmbedderStub
    searcher: searcher_pb2_grpc.SearcherStub
    indexer: indexer_pb2_grpc.IndexerStub


@dataclass(frozen=True)
class Shop:
    """A running stack, how to call it, and what it sells."""

    stack: Stack
    calls: Calls
    products: tuple[Drawn, ...]

    @property
    def images(self) -> int:
        return sum(len(product.pictures) for product in self.products)


@contextmanager
def calls_to(stack: Stack) -> Iterator[Calls]:
    with ExitStack() as opened:
        channels = {name: opened.enter_context(channel_to(address.grpc)) for name, address in stack.addresses.items()}
        yield Calls(
            opened.enter_context(VisualSearchClient(stack.gateway, timeout_s=TIMEOUT_S)),
            gateway_pb2_grpc.VisualSearchStub(channels["gateway"]),
            catalogue_pb2_grpc.CatalogueStub(channels["gateway"]),
            embedder_pb2_grpc.EmbedderStub(channels["embedder"]),
            searcher_pb2_grpc.SearcherStub(channels["searcher"]),
            indexer_pb2_grpc.IndexerStub(channels["indexer"]),
        )


def channel_to(address: str) -> grpc.Channel:
    return grpc.insecure_channel(address, options=CHANNEL_OPTIONS)


@contextmanager
def refused(code: str, *words: str) -> Iterator[None]:
    """The block's call fails with the status `code` and says each of `words`, and nothing of how it is made inside."""
    with pytest.raises(grpc.RpcError) as caught:
        yield
    details = str(caught.value.details())
    assert caught.value.code().name == code, details
    assert [word for word in words if word not in details] == [], details
    assert "Traceback" not in details
    assert '.py"' not in details


def eventually(condition: Callable[[], object], patience_s: float = _PATIENCE_S) -> None:
    """Waits until `condition` holds; a call refused meanwhile counts as "not yet". Fails if it takes too long."""
    deadline_s = time.monotonic() + patience_s
    while True:
        try:
            if condition():
                return
            last = "it does not hold"
        except grpc.RpcError as error:
            last = f"{error.code().name}: {error.details()}"
        assert time.monotonic() < deadline_s, f"after {patience_s} s: {last}"
        time.sleep(_POLL_S)


def serving(address: str, service: str = "") -> bool:
    """What the health of a server says about one of its services, or about all of it."""
    with channel_to(address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        response = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=2)
    return bool(response.status == health_pb2.HealthCheckResponse.SERVING)


def http(address: str, path: str) -> tuple[int, str]:
    """Status and body of a GET."""
    try:
        with build_opener(ProxyHandler({})).open(f"http://{address}{path}", timeout=5) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def metric(address: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples that carry `labels`; 0 if it has none."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    lines = http(address, "/metrics")[1].splitlines()
    samples = [line for line in lines if line.startswith((f"{name}{{", f"{name} "))]
    return sum(float(line.rsplit(" ", 1)[1]) for line in samples if all(label in line for label in wanted))


@contextmanager
def running_service(name: str, options: Sequence[str], log: Path) -> Iterator[Address]:
    """One service as a process of its own, ready, and stopped at the end."""
    # Neighbours too: a searcher's workers have a port each, beginning with these.
    grpc_port, http_port = free_ports(6)[::3]
    address = Address(f"{HOST}:{grpc_port}", f"{HOST}:{http_port}")
    ports = ["--port", str(grpc_port), "--http-port", str(http_port)]
    command = [sys.executable, "-m", f"services.{name}", *ports, "--parent-pid", str(os.getpid()), *options]
    with log.open("ab") as said, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said) as run:
        try:
            eventually(lambda: serving(address.grpc))
            yield address
        finally:
            run.terminate()
            try:
                run.wait(timeout=20)
            except subprocess.TimeoutExpired:
                run.kill()
