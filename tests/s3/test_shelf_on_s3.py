"""Shards in an S3 store: whole or not at all, and gone once nothing needs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.builders import MODEL, scattered, singles
from tests.s3.proxy import Fault, FaultProxy
from vitrine.index import retention
from vitrine.index.manifest import ManifestLog, ShardEntry
from vitrine.index.ownership import PartitionOwner
from vitrine.index.retention import Collector
from vitrine.index.shelf import Shelf
from vitrine.index.store import Store
from vitrine.runtime.errors import CorruptShard
from vitrine.shards.build import TreeSettings, write_fresh, write_rolled
from vitrine.shards.table import table_of


@pytest.fixture
def shelf(store: Store, tmp_path: Path) -> Shelf:
    return Shelf(store, "shop", 0, tmp_path / "cache")


@pytest.mark.parametrize("kind", ["fresh", "rolled"])
def test_a_shard_comes_out_as_it_went_in(shelf: Shelf, kind: str) -> None:
    entry = put(shelf, kind)

    assert (shelf.open(entry).rows, shelf.stored()) == (20, [entry.shard_id])


@pytest.mark.parametrize("fault", ["answer lost", "500 after", "503 before", "refused"])
def test_a_shard_is_put_whole_whatever_becomes_of_the_answers(shelf: Shelf, proxy: FaultProxy, fault: Fault) -> None:
    proxy.play(fault, "PUT", "shards", times=3)

    assert shelf.open(put(shelf, "rolled")).rows == 20


def test_a_shard_half_put_is_not_opened(shelf: Shelf, store: Store) -> None:
    entry = put(shelf)
    store.delete([f"shop/p00000/shards/{entry.shard_id}/shard.json"])

    with pytest.raises(CorruptShard, match=r"shard\.json .* is missing"):
        shelf.open(entry)


def test_what_no_manifest_needs_is_collected(shelf: Shelf, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "GRACE_S", -1.0)  # S3 tells time in whole seconds
    log = ManifestLog(store, "shop", 0)
    owner, old, new = PartitionOwner.claim(log, "log"), put(shelf), put(shelf)
    for shards in ((old,), (old, new), (new,)):
        owner.publish(shards=shards)

    collected = Collector(log, shelf).collect(writer_epoch=99)

    assert collected == (3, 1)
    assert (list(log.written_s()), shelf.stored()) == ([4], [new.shard_id])


def put(shelf: Shelf, kind: str = "fresh") -> ShardEntry:
    table = table_of(singles(scattered(np.random.default_rng(0), 20)), [], 8)
    if kind == "fresh":
        return shelf.put(write_fresh(table, MODEL, shelf.scratch))
    return shelf.put(write_rolled(table, MODEL, shelf.scratch, TreeSettings()))
