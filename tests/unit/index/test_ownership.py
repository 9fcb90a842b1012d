"""A zombie never wins, and a rightful owner never stops itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from obstore.store import MemoryStore

from vitrine.index import ownership
from vitrine.index.manifest import Manifest, ManifestLog, ShardEntry
from vitrine.index.ownership import PartitionOwner
from vitrine.index.store import Store
from vitrine.runtime.errors import CorruptManifest, Fenced, StoreUnavailable, StreamGap

ENTRY = ShardEntry("a" * 32, "fresh", 17, 0, 40_000, "0123456789abcdef")
OTHER = replace(ENTRY, shard_id="b" * 32)


class TreacherousStore(Store):
    """`tricks` are played on the next creates, one each; then it behaves."""

    def __init__(self) -> None:
        super().__init__(MemoryStore(), None)
        self.tricks: list[str] = []

    def create(self, key: str, data: bytes) -> bool:
        trick = self.tricks.pop(0) if self.tricks else "none"
        if trick == "writes, then says it existed":
            assert super().create(key, data)
            return False
        if trick == "writes nothing, and says it existed":
            return False
        if trick == "writes, then fails":
            super().create(key, data)
            raise StoreUnavailable("the answer was lost")
        if trick == "fails":
            raise StoreUnavailable("no route")
        return super().create(key, data)


@pytest.fixture
def store() -> TreacherousStore:
    return TreacherousStore()


@pytest.fixture
def log(store: Store) -> ManifestLog:
    return ManifestLog(store, "shop", 0)


def key(version: int) -> str:
    return f"shop/p00000/manifests/{version:010d}.json"


def published(owner: PartitionOwner, offset: int = 10) -> Manifest:
    return owner.publish(shards=(ENTRY,), next_offset=offset, index_time_us=5)


def test_the_first_claim_is_the_first_manifest(log: ManifestLog) -> None:
    manifest = PartitionOwner.claim(log, "log").manifest

    assert (manifest.version, manifest.writer_epoch, manifest.log_id, manifest.shards) == (1, 1, "log", ())


def test_a_claim_keeps_shards_and_offsets_and_raises_the_epoch(log: ManifestLog) -> None:
    before = published(PartitionOwner.claim(log, "log"))

    after = PartitionOwner.claim(log, "log", "me").manifest

    changes = {"version": 3, "writer_epoch": 2, "writer_id": "me", "created_us": after.created_us}
    assert after == replace(before, **changes)  # type: ignore[arg-type]


def test_shards_and_offset_move_together(log: ManifestLog) -> None:
    owner = PartitionOwner.claim(log, "log")

    manifest = owner.publish(shards=(ENTRY, OTHER), next_offset=99, index_time_us=1_234)

    assert (manifest.shards, manifest.next_offset, manifest.index_time_us) == ((ENTRY, OTHER), 99, 1_234)
    assert log.latest() == (manifest, [])


def test_an_owner_publishes_again_and_again(log: ManifestLog) -> None:
    owner = PartitionOwner.claim(log, "log")

    assert [published(owner, offset).version for offset in range(5)] == [2, 3, 4, 5, 6]


def test_a_zombie_is_fenced(log: ManifestLog) -> None:
    zombie = PartitionOwner.claim(log, "log")
    PartitionOwner.claim(log, "log")

    with pytest.raises(Fenced):
        published(zombie)


def test_a_zombie_changes_nothing(log: ManifestLog) -> None:
    zombie, owner = PartitionOwner.claim(log, "log"), PartitionOwner.claim(log, "log")
    manifest = published(owner)

    with pytest.raises(Fenced):
        zombie.publish(shards=(OTHER,), next_offset=99, index_time_us=9)

    assert log.latest() == (manifest, [])


def test_a_fenced_owner_stays_fenced(log: ManifestLog) -> None:
    zombie = PartitionOwner.claim(log, "log")
    PartitionOwner.claim(log, "log")

    for _ in range(3):
        with pytest.raises(Fenced):
            published(zombie)


def test_a_zombie_that_slept_long_is_fenced_though_its_next_number_was_collected(
    log: ManifestLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    zombie, owner = PartitionOwner.claim(log, "log"), PartitionOwner.claim(log, "log")
    manifest = published(owner)
    log.delete([1, 2])
    monkeypatch.setattr(ownership, "LIST_AFTER_PAUSE_S", 0.0)

    with pytest.raises(Fenced):
        published(zombie)

    assert log.latest() == (manifest, [])


def test_an_owner_that_slept_long_goes_on_if_nobody_came(log: ManifestLog, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = PartitionOwner.claim(log, "log")
    monkeypatch.setattr(ownership, "LIST_AFTER_PAUSE_S", 0.0)

    assert published(owner).version == 2


def test_an_owner_whose_write_was_said_to_have_existed_goes_on(store: TreacherousStore, log: ManifestLog) -> None:
    owner = PartitionOwner.claim(log, "log")
    store.tricks = ["writes, then says it existed"]

    assert published(owner) == log.get(2)
    assert published(owner).version == 3


def test_a_conflict_that_wrote_nothing_is_tried_again(store: TreacherousStore, log: ManifestLog) -> None:
    owner = PartitionOwner.claim(log, "log")
    store.tricks = ["writes nothing, and says it existed"] * 2

    assert published(owner) == log.get(2)


def test_a_store_that_never_writes_ends_in_an_error(store: TreacherousStore, log: ManifestLog) -> None:
    owner = PartitionOwner.claim(log, "log")
    store.tricks = ["writes nothing, and says it existed"] * 100

    with pytest.raises(Fenced, match="neither written nor read"):
        published(owner)


def test_a_failing_store_does_not_cost_the_partition(store: TreacherousStore, log: ManifestLog) -> None:
    owner = PartitionOwner.claim(log, "log")
    store.tricks = ["fails"]
    with pytest.raises(StoreUnavailable):
        published(owner)

    assert published(owner).version == 2


def test_an_owner_whose_write_succeeded_though_it_failed_goes_on_from_there(
    store: TreacherousStore, log: ManifestLog
) -> None:
    owner = PartitionOwner.claim(log, "log")
    store.tricks = ["writes, then fails"]
    with pytest.raises(StoreUnavailable):
        published(owner)

    # What comes next was made without it: its offsets and shards would go back to before.
    with pytest.raises(StoreUnavailable, match="was written after all"):
        owner.publish(shards=(OTHER,), next_offset=20, index_time_us=6)
    assert owner.manifest.shards == (ENTRY,)
    manifest = owner.publish(shards=(OTHER,), next_offset=20, index_time_us=6)

    assert (manifest.version, manifest.shards, manifest.next_offset) == (3, (OTHER,), 20)
    assert log.latest() == (manifest, [])


def test_a_zombie_whose_write_was_lost_is_fenced_all_the_same(store: TreacherousStore, log: ManifestLog) -> None:
    zombie = PartitionOwner.claim(log, "log")
    store.tricks = ["writes, then fails"]
    with pytest.raises(StoreUnavailable):
        published(zombie)
    PartitionOwner.claim(log, "log")

    with pytest.raises(StoreUnavailable, match="was written after all"):
        published(zombie)
    with pytest.raises(Fenced):
        published(zombie)


@pytest.mark.parametrize("trick", ["writes, then says it existed", "writes nothing, and says it existed"])
def test_a_claim_survives_an_ambiguous_answer(store: TreacherousStore, log: ManifestLog, trick: str) -> None:
    store.tricks = [trick]

    owner = PartitionOwner.claim(log, "log")

    assert owner.manifest == log.get(1)


def test_a_claim_goes_beyond_damaged_manifests(store: TreacherousStore, log: ManifestLog) -> None:
    before = published(PartitionOwner.claim(log, "log"))
    store.create(key(3), b"damaged")
    store.create(key(4), b"")

    after = PartitionOwner.claim(log, "log").manifest

    assert (after.version, after.shards, after.next_offset) == (5, before.shards, before.next_offset)
    assert after.writer_epoch == before.writer_epoch + 1


def test_a_partition_of_damaged_manifests_only_is_not_begun_anew(store: TreacherousStore, log: ManifestLog) -> None:
    store.create(key(7), b"damaged")

    with pytest.raises(CorruptManifest, match="0000000007"):
        PartitionOwner.claim(log, "log")

    assert log.highest() == 7


def test_a_partition_of_another_log_is_not_claimed(log: ManifestLog) -> None:
    published(PartitionOwner.claim(log, "log"))

    with pytest.raises(StreamGap, match="was indexed from log log, this is another"):
        PartitionOwner.claim(log, "another")


def test_of_eight_claims_at_once_the_last_owns(log: ManifestLog) -> None:
    owners: list[PartitionOwner] = []
    at_once(8, lambda: owners.append(PartitionOwner.claim(log, "log")))

    assert sorted(owner.manifest.writer_epoch for owner in owners) == list(range(1, 9))
    assert [owner.manifest.writer_epoch for owner in owners if can_publish(owner)] == [8]


def test_eight_owners_that_come_and_go_never_lose_an_offset(log: ManifestLog) -> None:
    def work() -> None:
        for _ in range(10):
            owner = PartitionOwner.claim(log, "log")
            try:
                for _ in range(3):
                    owner.publish(shards=(ENTRY,), next_offset=owner.manifest.next_offset + 1, index_time_us=5)
                    done.append(1)
            except Fenced:
                continue

    done: list[int] = []
    at_once(8, work)

    assert log.latest()[0].next_offset == len(done)


def at_once(count: int, act: Callable[[], None]) -> None:
    start = threading.Barrier(count)

    def run() -> None:
        start.wait()
        act()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def can_publish(owner: PartitionOwner) -> bool:
    try:
        published(owner)
    except Fenced:
        return False
    return True
