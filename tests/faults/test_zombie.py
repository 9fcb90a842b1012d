"""An indexer that stands still past its session, and wakes after another has taken its partition: it must lose."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.faults.on_kafka import indexer_options, kafka_shop, stream_options
from tests.integration.shop import (
    Shop,
    all_found,
    calls_to,
    channel_to,
    drawn,
    eventually,
    indexed,
    published,
    running_service,
)
from tests.kafka.broker import Broker
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import StackSettings, running_stack
from vitrine.v1 import indexer_pb2, indexer_pb2_grpc

BEATS = ("--commit-interval-s", "0.1", "--heartbeat-s", "0.5")


@pytest.mark.thorough
@pytest.mark.usefixtures("kafka")
class TestOnKafka:
    @pytest.fixture
    def shop(self, kafka: Broker, tmp_path: Path) -> Iterator[Shop]:
        with kafka_shop(tmp_path / "stack", kafka, "zombie", 1, "--heartbeat-s", "0.5") as shop:
            yield shop

    def test_it_loses_its_partition_and_the_second_goes_on(self, shop: Shop, kafka: Broker, tmp_path: Path) -> None:
        options = [*stream_options(kafka, "zombie"), *indexer_options("zombie", "--heartbeat-s", "0.5")]
        the_first_loses(shop, [*options, "--partitions", "1"], tmp_path)
        # The second has left in good order, so the group gives the partition back.
        eventually(lambda: states(shop.calls.indexer) == ["running"])


class TestOnTheEmbeddedLog:
    @pytest.fixture
    def shop(self, tmp_path: Path) -> Iterator[Shop]:
        settings = StackSettings(tmp_path / "stack", DEFAULT_MODEL, partitions=1, indexer_options=BEATS)
        with running_stack(settings) as stack, calls_to(stack) as calls:
            yield Shop(stack, calls, drawn())

    def test_it_is_fenced_and_the_second_goes_on(self, shop: Shop, tmp_path: Path) -> None:
        options = ["--stream", str(shop.stack.settings.folder / "stream.sqlite"), *BEATS, "--partitions", "1"]
        the_first_loses(shop, options, tmp_path)
        # Nobody takes it away from it there: it has stopped by itself, and says why.
        assert ["another owner" in state for state in states(shop.calls.indexer)] == [True]


def the_first_loses(shop: Shop, options: list[str], tmp_path: Path) -> None:
    """Publishes before it is stopped, while it is, and after it is resumed. `options`: of a second indexer."""
    client, products = shop.calls.client, shop.products
    indexed(client, published(client, [product.upsert() for product in products[:20]]))
    upstream = ["--store", shop.stack.settings.store_url, "--embedder", shop.stack.addresses["embedder"].grpc]
    with stopped(shop.stack.pid("indexer")) as resume:
        # Read by nobody yet: the first has them still to read when it wakes.
        waiting = published(client, [product.upsert() for product in products[20:40]])
        with running_service("indexer", [*upstream, *options], tmp_path / "second.log") as second:
            with channel_to(second.grpc) as channel:
                calls = indexer_pb2_grpc.IndexerStub(channel)
                eventually(lambda: states(calls) == ["running"], patience_s=60)
                indexed(client, waiting)
                taken = manifests(shop)[-1]
                assert taken["writer_epoch"] == 2

                resume()
                eventually(lambda: "running" not in states(shop.calls.indexer))
                later = published(client, [product.upsert() for product in products[40:60]])
                indexed(client, later)
                time.sleep(1)  # two heartbeats, if it still had any

            assert all_found(client) == sorted(product.product_id for product in products[:60])
            assert client.search(product_id=products[0].product_id).coverage.rows_searched == sum(
                len(product.pictures) for product in products[:60]
            )
            assert client.refusals() == []
            written = [manifest for manifest in manifests(shop) if manifest["version"] > taken["version"]]
            assert {manifest["writer_id"] for manifest in written} == {taken["writer_id"]}


@contextmanager
def stopped(pid: int) -> Iterator[Any]:
    """A process that stands still until the yielded function is called, or the block ends."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield lambda: os.kill(pid, signal.SIGCONT)
    finally:
        os.kill(pid, signal.SIGCONT)


def states(indexer: indexer_pb2_grpc.IndexerStub) -> list[str]:
    try:
        status = indexer.GetStatus(indexer_pb2.IndexerStatusRequest(), timeout=5)
    except grpc.RpcError as error:
        return [f"{error.code().name}: {error.details()}"]
    return [partition.state for partition in status.partitions]


def manifests(shop: Shop) -> list[dict[str, Any]]:
    """Oldest first."""
    paths = sorted(Path(shop.stack.settings.store_url).glob("default/p00000/manifests/*.json"))
    return [json.loads(path.read_bytes()) for path in paths]
