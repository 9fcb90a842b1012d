"""A store that cannot be written, a log that is another one, a gateway that is stopped while it is written to."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from tests.integration.shop import (
    HOST,
    Shop,
    all_found,
    eventually,
    http,
    indexed,
    metric,
    published,
    running_service,
    upsert,
)
from vitrine.cli.stack import Address
from vitrine.client import VisualSearchClient
from vitrine.runtime.errors import Unavailable, VitrineError
from vitrine.runtime.ports import free_port
from vitrine.stream.events import Upsert
from vitrine.v1 import indexer_pb2


def test_pictures_that_cannot_be_stored_end_the_stream_as_unavailable(shop: Shop) -> None:
    client, before, after = shop.calls.client, _events(shop, "stored"), _events(shop, "not-stored-at-first")
    indexed(client, published(client, before))
    with in_the_way_of(_index(shop) / "images"):
        with pytest.raises(Unavailable):
            list(client.publish(after))
        assert _ids(before) <= set(all_found(client))
    indexed(client, published(client, after))
    assert _ids(after) <= set(all_found(client))


def test_a_manifest_that_cannot_be_written_holds_the_offset_and_is_said(shop: Shop) -> None:
    client, before, after = shop.calls.client, _events(shop, "listed"), _events(shop, "not-listed-at-first")
    indexed(client, published(client, before))
    with in_the_way_of(_index(shop) / "p00000" / "manifests"), in_the_way_of(_index(shop) / "p00001" / "manifests"):
        positions = published(client, after)
        eventually(lambda: "running" not in _states(shop), patience_s=5)
        assert _ids(before) <= set(all_found(client))
    indexed(client, positions)
    assert _ids(after) <= set(all_found(client))
    eventually(lambda: _states(shop) == ["running", "running"])


def test_a_log_made_anew_is_not_mistaken_for_the_old_one(shop: Shop, tmp_path: Path) -> None:
    log_id = shop.calls.client.status().log_id
    with _indexer_on(shop, tmp_path / "new.sqlite", tmp_path / "second.log") as second:
        eventually(lambda: f"was indexed from log {log_id}" in http(second.http, "/readyz")[1])
        assert http(second.http, "/readyz")[0] == 503
        assert metric(second.http, "vitrine_indexer_partition_running") == 0
    assert _states(shop) == ["running", "running"]


def test_a_log_with_other_partitions_is_not_read(shop: Shop) -> None:
    log = shop.stack.settings.folder / "stream.sqlite"
    assert _refusal_to_start(shop, log, "--partitions", "3").startswith("indexer: partitions: ")
    assert _states(shop) == ["running", "running"]


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


@contextmanager
def _indexer_on(shop: Shop, stream: Path, log: Path) -> Iterator[Address]:
    """A second indexer, that need not become ready, once it answers over HTTP."""
    address = Address(f"{HOST}:{free_port()}", f"{HOST}:{free_port()}")
    ports = ["--port", address.grpc.split(":")[1], "--http-port", address.http.split(":")[1]]
    upstream = ["--store", shop.stack.settings.store_url, "--embedder", shop.stack.addresses["embedder"].grpc]
    command = [sys.executable, "-m", "services.indexer", *upstream, *ports, "--stream", str(stream)]
    with log.open("wb") as said, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said) as run:
        try:
            eventually(lambda: b"listening" in log.read_bytes())
            yield address
        finally:
            run.terminate()
            run.wait(timeout=20)


def _refusal_to_start(shop: Shop, log: Path, *options: str) -> str:
    """The one line with which a second indexer on this log ends."""
    upstream = ["--store", shop.stack.settings.store_url, "--embedder", shop.stack.addresses["embedder"].grpc]
    ports = ["--port", "1", "--http-port", "1"]
    command = [sys.executable, "-m", "services.indexer", *upstream, *ports, "--stream", str(log), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    return line


def _index(shop: Shop) -> Path:
    return Path(shop.stack.settings.store_url) / "default"


def _events(shop: Shop, prefix: str) -> list[Upsert]:
    return [upsert(f"{prefix}-{number}", shop.products[number].pictures[0]) for number in range(8)]


def _ids(events: list[Upsert]) -> set[str]:
    return {event.product_id for event in events}


def _states(shop: Shop) -> list[str]:
    status = shop.calls.indexer.GetStatus(indexer_pb2.IndexerStatusRequest(), timeout=5)
    return [partition.state for partition in status.partitions]
