"""No room is left for what the indexer writes: it says so, loses nothing, and goes on once there is room again.

RLIMIT_FSIZE stands for the full disk: writes beyond it fail, for this one process and without a mount.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.indexer.publish import Commit, Publisher
from tests.faults.one_partition import OnePartition, answered, commit, roll, version
from tests.integration.shop import (
    Shop,
    all_found,
    calls_to,
    drawn,
    eventually,
    indexed,
    metric,
    published,
    upsert,
)
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import StackSettings, running_stack
from vitrine.runtime.errors import StoreUnavailable
from vitrine.shards.records import Change, Tombstone
from vitrine.stream.events import Upsert
from vitrine.v1 import indexer_pb2

# Less than a fresh shard of 64 products takes, and more than the indexer's log has by then.
ROOM_BYTES = 64 * 1024
PRODUCTS = 64


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    settings = StackSettings(tmp_path_factory.mktemp("full"), DEFAULT_MODEL, partitions=1)
    with running_stack(settings) as stack, calls_to(stack) as calls:
        yield Shop(stack, calls, drawn())


def test_an_indexer_without_room_says_so_and_catches_up_once_there_is_some(shop: Shop) -> None:
    client, indexer = shop.calls.client, shop.stack.addresses["indexer"].http
    indexed(client, published(client, events(shop, "before")))
    before, running = all_found(client), shop.stack.pid("indexer")

    with room_for(running, ROOM_BYTES):
        positions = published(client, events(shop, "after"))
        eventually(lambda: state(shop).startswith("waiting: store: cannot build a shard"))
        eventually(lambda: metric(indexer, "vitrine_indexer_failed_commits_total", partition="0") > 2)
        assert "File too large" in state(shop)
        assert all_found(client) == before
        assert "File too large" in log_of(shop, "indexer")
        eventually(lambda: scratch_bytes(shop) == 0)  # no retry leaves what it could not finish

    indexed(client, positions)
    assert all_found(client) == sorted({*before, *(event.product_id for event in events(shop, "after"))})
    eventually(lambda: state(shop) == "running")
    assert shop.stack.pid("indexer") == running
    assert shop.stack.watch() == [], "it has died of it"


def test_a_roll_without_room_fails_alone_and_is_done_once_there_is_some(shop: Shop) -> None:
    client = shop.calls.client
    indexed(client, published(client, events(shop, "rolled")))
    before, running = all_found(client), shop.stack.pid("indexer")

    with room_for(running, ROOM_BYTES):
        # Its worker process has the same limit.
        assert roll_all(shop) == 0
        one = published(client, [upsert("a small commit", shop.products[0].pictures[0])])
        indexed(client, one)
        assert all_found(client) == sorted([*before, "a small commit"])
        eventually(lambda: scratch_bytes(shop) == 0)

    assert roll_all(shop) > 0
    assert all_found(client) == sorted([*before, "a small commit"])
    assert shop.stack.watch() == []


class TestEachWrite:
    """As a library, where every single write can be the one that finds no room."""

    @pytest.fixture
    def partition(self, tmp_path: Path) -> OnePartition:
        return OnePartition(tmp_path)

    @pytest.fixture
    def owner(self, partition: OnePartition) -> Publisher:
        owner = partition.claim()
        commit(owner, *(version(f"p{number}", number) for number in range(40)))
        return owner

    @pytest.mark.parametrize("room_bytes", [300, 1_000, 3_000, 5_000])
    def test_a_commit_that_finds_no_room_changes_nothing_and_can_be_tried_again(
        self, partition: OnePartition, owner: Publisher, room_bytes: int
    ) -> None:
        changes: list[Change] = [Tombstone("p0", 40), *(version(f"q{number}", 41 + number) for number in range(40))]
        before = owner.manifest

        with room_here(room_bytes), pytest.raises(StoreUnavailable):
            commit(owner, *changes)

        assert owner.manifest == before
        assert partition.log.latest() == (before, [])
        assert list(owner._shelf.scratch.iterdir()) == []
        commit(owner, *changes)
        expected = {f"p{number}": number for number in range(1, 40)} | {
            f"q{number}": 41 + number for number in range(40)
        }
        assert answered(partition.view()) == expected

    def test_a_manifest_that_finds_no_room_is_not_there_and_its_number_is_free(
        self, partition: OnePartition, owner: Publisher
    ) -> None:
        before, change = owner.manifest, version("q", 40)
        longer_than_its_shard = Commit([change], next_offset=41, sampled_append_us=tuple(range(5_000)))

        with room_here(12_000), pytest.raises(StoreUnavailable, match="manifests"):
            owner.commit(longer_than_its_shard)

        assert partition.log.latest() == (before, [])
        commit(owner, change)
        assert owner.manifest.version == before.version + 1
        assert answered(partition.view())["q"] == 40

    def test_a_roll_that_finds_no_room_changes_nothing(self, partition: OnePartition, owner: Publisher) -> None:
        before = owner.manifest

        with room_here(1_000), pytest.raises(StoreUnavailable):
            roll(owner)

        assert owner.manifest == before
        assert list(owner._shelf.scratch.iterdir()) == []
        assert roll(owner) > 0
        assert answered(partition.view()) == {f"p{number}": number for number in range(40)}

    def test_a_claim_that_finds_no_room_leaves_the_partition_with_its_owner(
        self, partition: OnePartition, owner: Publisher
    ) -> None:
        with room_here(300), pytest.raises(StoreUnavailable):
            partition.claim()

        commit(owner, version("p0", 40))
        assert answered(partition.view())["p0"] == 40


@contextmanager
def room_for(pid: int, room_bytes: int) -> Iterator[None]:
    """No file of the process may grow beyond `room_bytes`."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE, (room_bytes, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def room_here(room_bytes: int) -> Iterator[None]:
    with room_for(0, room_bytes):
        yield


def events(shop: Shop, prefix: str) -> list[Upsert]:
    pictures = [product.pictures[0] for product in shop.products[:PRODUCTS]]
    return [upsert(f"{prefix}-{number:02d}", picture) for number, picture in enumerate(pictures)]


def state(shop: Shop) -> str:
    [partition] = shop.calls.indexer.GetStatus(indexer_pb2.IndexerStatusRequest(), timeout=5).partitions
    return partition.state


def roll_all(shop: Shop) -> int:
    return shop.calls.indexer.Roll(indexer_pb2.RollRequest(), timeout=60).rows_rolled


def log_of(shop: Shop, service: str) -> str:
    return (shop.stack.settings.folder / "logs" / f"{service}.log").read_text()


def scratch_bytes(shop: Shop) -> int:
    """What lies about of shards that were not finished."""
    scratch = Path(shop.stack.settings.store_url) / ".scratch"
    return sum(path.stat().st_size for path in scratch.rglob("*") if path.is_file())
