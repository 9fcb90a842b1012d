"""A store that cannot be written, a log that is another one, a gateway that is stopped while it is written to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from tests.integration.shop import (
    ANY_VECTOR,
    Shop,
    drawn,
    eventually,
    indexed,
    published,
    running_service,
    upsert,
)
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import StackSettings, running_stack
from vitrine.client import VisualSearchClient
from vitrine.runtime.errors import Unavailable, VitrineError
from vitrine.stream.events import Upsert
from vitrine.v1 import indexer_pb2


def test_pictures_that_cannot_be_stored_end_the_stream_as_unavailable(shop: Shop) -> None:
    client, products = shop.calls.client, shop.products[:10]
    indexed(client, published(client, [product.upsert() for product in products[:5]]))
    with in_the_way_of(_index(shop) / "images"):
        with pytest.raises(Unavailable):
            list(client.publish([product.upsert() for product in products[5:]]))
        assert len(client.search(vector=ANY_VECTOR).hits) == 5
    indexed(client, published(client, [product.upsert() for product in products[5:]]))
    assert len(client.search(vector=ANY_VECTOR).hits) == 10


def test_a_manifest_that_cannot_be_written_holds_the_offset_and_is_said(shop: Shop) -> None:
    client, products = shop.calls.client, shop.products[:10]
    indexed(client, published(client, [product.upsert() for product in products]))
    with in_the_way_of(_index(shop) / "p00000" / "manifests"), in_the_way_of(_index(shop) / "p00001" / "manifests"):
        more = published(client, [product.upsert() for product in shop.products[10:20]])
        eventually(lambda: "running" not in _states(shop), patience_s=5)
        assert len(client.search(vector=ANY_VECTOR, k=100).hits) == 10
    indexed(client, more)
    assert len(client.search(vector=ANY_VECTOR, k=100).hits) == 20
    eventually(lambda: _states(shop) == ["running", "running"])


def test_a_log_made_anew_is_not_mistaken_for_the_old_one(tmp_path: Path) -> None:
    settings = StackSettings(tmp_path / "stack", DEFAULT_MODEL)
    with running_stack(settings) as stack, VisualSearchClient(stack.gateway) as client:
        indexed(client, published(client, [drawn()[0].upsert()]))
        log_id = client.status().log_id
    for file in settings.folder.glob("stream.sqlite*"):
        file.unlink()
    with pytest.raises(VitrineError, match=f"was indexed from log {log_id}"), running_stack(settings):
        pass


def test_a_gateway_that_stops_while_it_is_written_to_says_unavailable(shop: Shop, tmp_path: Path) -> None:
    settings = shop.stack.settings
    options = ["--store", settings.store_url, "--stream", str(settings.folder / "stream.sqlite"), "--drain-s", "0.5"]
    options += ["--embedder", shop.stack.addresses["embedder"].grpc, "--topology", f"{settings.folder}/topology.json"]
    outcome: list[VitrineError | grpc.RpcError] = []
    first, stopped = threading.Event(), threading.Event()

    def events() -> Iterator[Upsert]:
        yield upsert("before", shop.products[0].pictures[0])
        stopped.wait(60)  # the stream stays open

    def publish(address: str) -> None:
        with VisualSearchClient(address) as client:
            try:
                for _ in client.publish(events()):
                    first.set()
            except (VitrineError, grpc.RpcError) as error:
                outcome.append(error)

    with running_service("gateway", options, tmp_path / "gateway.log") as gateway:
        writer = threading.Thread(target=publish, args=(gateway.grpc,))
        writer.start()
        assert first.wait(20)
    eventually(lambda: outcome)
    stopped.set()
    writer.join()
    assert [type(error) for error in outcome] == [Unavailable], outcome


@contextmanager
def in_the_way_of(folder: Path) -> Iterator[None]:
    """A file where the folder should be: nothing in it can be read or written, whoever asks."""
    kept = folder.with_suffix(".kept")
    folder.rename(kept)
    folder.touch()
    try:
        yield
    finally:
        folder.unlink()
        kept.rename(folder)


def _index(shop: Shop) -> Path:
    return Path(shop.stack.settings.store_url) / "default"


def _states(shop: Shop) -> list[str]:
    status = shop.calls.indexer.GetStatus(indexer_pb2.IndexerStatusRequest(), timeout=5)
    return [partition.state for partition in status.partitions]
