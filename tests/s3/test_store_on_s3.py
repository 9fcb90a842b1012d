"""What an index asks of a store, over HTTP from an S3 server, and through what goes wrong on the way."""

from __future__ import annotations

import hashlib
import threading
import time
import tracemalloc
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from tests.s3.proxy import Fault, FaultProxy
from tests.s3.server import environment
from vitrine.index.store import Store
from vitrine.runtime.errors import StoreUnavailable

MIB = 1 << 20


def test_the_second_writer_is_told_so(store: Store, url: str) -> None:
    assert store.create("manifests/1", b"first")

    assert not Store.open(url).create("manifests/1", b"second")
    assert store.get("manifests/1") == b"first"


def test_of_eight_writers_at_once_exactly_one_creates(store: Store) -> None:
    for number in range(5):
        start, won = threading.Barrier(8), list[int]()

        def write(writer: int, number: int = number, start: threading.Barrier = start, won: list[int] = won) -> None:
            start.wait()
            if store.create(f"manifests/{number}", b"%d" % writer):
                won.append(writer)

        threads = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [store.get(f"manifests/{number}")] == [b"%d" % writer for writer in won]


@pytest.mark.parametrize("fault", ["500 before", "503 before", "refused"])
def test_a_create_that_wrote_nothing_is_tried_again(store: Store, proxy: FaultProxy, fault: Fault) -> None:
    proxy.play(fault, "PUT", times=2)

    assert store.create("a", b"contents")
    assert store.get("a") == b"contents"


@pytest.mark.parametrize("fault", ["answer lost", "500 after"])
def test_a_create_whose_answer_was_lost_meets_its_own_object(store: Store, proxy: FaultProxy, fault: Fault) -> None:
    proxy.play(fault, "PUT")

    assert not store.create("a", b"contents")
    assert store.get("a") == b"contents"


def test_a_conflict_that_wrote_nothing_reads_as_taken(store: Store, proxy: FaultProxy) -> None:
    proxy.play("409 before", "PUT")

    assert not store.create("a", b"contents")
    assert store.get("a") is None


@pytest.mark.parametrize("fault", ["500 before", "503 before", "refused", "answer lost", "cut short"])
def test_a_read_that_failed_is_tried_again(store: Store, proxy: FaultProxy, fault: Fault) -> None:
    store.create("a", b"contents" * 1000)
    proxy.play(fault, "GET", times=2)

    assert store.get("a") == b"contents" * 1000


@pytest.mark.thorough
def test_no_call_to_a_store_that_hangs_or_refuses_takes_longer_than_ten_seconds(
    store: Store, proxy: FaultProxy
) -> None:
    faults: list[Fault] = ["hangs", "refused"]
    for fault, method in product(faults, ("GET", "PUT", "HEAD")):
        proxy.play(fault, method, fault, times=100)
    calls: list[Callable[[str], object]] = [
        store.get,
        lambda key: store.create(key, b"x"),
        store.exists,
        store.names,
    ]
    unavailable: list[str] = []

    def run(call: Callable[[str], object], key: str) -> None:
        try:
            call(key)
        except StoreUnavailable:
            unavailable.append(key)

    threads = [threading.Thread(target=run, args=each, daemon=True) for each in product(calls, faults)]
    deadline_s = time.monotonic() + 10
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline_s - time.monotonic()))

    assert sorted(unavailable) == sorted(faults * len(calls))


def test_a_big_file_goes_up_in_parts_and_what_readers_look_for_comes_last(
    store: Store, proxy: FaultProxy, tmp_path: Path
) -> None:
    built = tmp_path / "built"
    big_file(built, "vectors.npy", 20 * MIB)
    (built / "shard.json").write_bytes(b"{}")

    store.adopt_folder(built, "shards/s1", last="shard.json")

    parts = [request for request in proxy.forwarded if request.startswith("PUT") and "partNumber" in request]
    assert len(parts) == 3
    assert "shard.json" in proxy.forwarded[-1]
    assert store.requests["put"] == len(proxy.forwarded)


def test_a_big_file_comes_down_without_ever_being_in_memory(
    s3_port: int, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Past the proxy, whose memory would be counted too.
    for name, value in environment(s3_port).items():
        monkeypatch.setenv(name, value)
    store = Store.open(url)
    digest = big_file(tmp_path / "built", "vectors.npy", 32 * MIB)
    store.adopt_folder(tmp_path / "built", "s1", last="vectors.npy")
    tracemalloc.start()

    assert store.download("s1/vectors.npy", tmp_path / "copy") == digest

    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 8 * MIB
    assert hashlib.sha256((tmp_path / "copy").read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("fault", ["cut short", "500 before", "answer lost"])
def test_a_download_that_broke_off_is_whole_all_the_same(
    store: Store, proxy: FaultProxy, tmp_path: Path, fault: Fault
) -> None:
    digest = big_file(tmp_path / "built", "vectors.npy", 5 * MIB)
    store.adopt_folder(tmp_path / "built", "s1", last="vectors.npy")
    proxy.play(fault, "GET", "vectors.npy")

    assert store.download("s1/vectors.npy", tmp_path / "copy") == digest


def test_requests_are_counted_by_operation(store: Store) -> None:
    store.create("p/a", b"x")
    store.get("p/a")
    store.get("p/none")
    store.exists("p/a")
    store.names("p")
    store.folders("p")
    store.delete(["p/a"])

    assert store.requests == {"put": 1, "get": 2, "head": 1, "list": 2, "delete": 1}


def big_file(folder: Path, name: str, size_bytes: int) -> str:
    """Writes noise. Returns its sha256."""
    folder.mkdir()
    data = np.random.default_rng(0).bytes(size_bytes)
    (folder / name).write_bytes(data)
    return hashlib.sha256(data).hexdigest()
