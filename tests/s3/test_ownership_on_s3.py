"""On a store whose answers get lost, a rightful owner goes on and a zombie stops."""

from __future__ import annotations

import threading

import pytest

from tests.s3.proxy import Fault, FaultProxy
from vitrine.index.manifest import Manifest, ManifestLog, ShardEntry
from vitrine.index.ownership import PartitionOwner
from vitrine.index.store import Store
from vitrine.runtime.errors import Fenced

ENTRY = ShardEntry("a" * 32, "fresh", 17, 0, 40_000, "0123456789abcdef")


@pytest.fixture
def log(store: Store) -> ManifestLog:
    return ManifestLog(store, "shop", 0)


@pytest.mark.parametrize("fault", ["answer lost", "500 after", "409 before", "503 before", "refused"])
def test_an_owner_publishes_once_whatever_becomes_of_the_answer(
    log: ManifestLog, proxy: FaultProxy, fault: Fault
) -> None:
    owner = PartitionOwner.claim(log, "log")
    proxy.play(fault, "PUT", "manifests")

    manifest = published(owner)

    assert manifest.version == 2
    assert log.latest() == (manifest, [])
    assert published(owner).version == 3


@pytest.mark.parametrize("fault", ["answer lost", "500 after", "409 before", "503 before", "refused"])
def test_a_claim_is_believed_or_made_again(log: ManifestLog, proxy: FaultProxy, fault: Fault) -> None:
    proxy.play(fault, "PUT", "manifests")

    owner = PartitionOwner.claim(log, "log", "me")

    assert (owner.manifest.writer_id, owner.manifest.version) == ("me", 1)
    assert published(owner).version == 2


def test_a_zombie_is_fenced_though_its_answer_was_lost_too(log: ManifestLog, proxy: FaultProxy) -> None:
    zombie, owner = PartitionOwner.claim(log, "log"), PartitionOwner.claim(log, "log")
    proxy.play("answer lost", "PUT", "manifests")

    with pytest.raises(Fenced):
        published(zombie)
    assert published(owner).version == 3


def test_of_four_claimants_at_once_the_last_one_publishes_and_the_others_are_fenced(log: ManifestLog) -> None:
    start, owners = threading.Barrier(4), list[PartitionOwner]()

    def claim() -> None:
        start.wait()
        owners.append(PartitionOwner.claim(log, "log"))

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    *zombies, last = sorted(owners, key=lambda owner: owner.manifest.version)

    manifest = published(last)
    for zombie in zombies:
        with pytest.raises(Fenced):
            published(zombie)
    assert [owner.manifest.writer_epoch for owner in (*zombies, last)] == [1, 2, 3, 4]
    assert log.latest() == (manifest, [])


def published(owner: PartitionOwner) -> Manifest:
    return owner.publish(shards=(ENTRY,), next_offset=10)
