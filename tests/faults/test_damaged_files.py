"""Each file of a shard, cut short at several lengths and with bits turned: refused, counted, and the rest still served.

Here the parts of searcher and indexer that read shards are called as a library; test_damage.py has the processes.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from prometheus_client import REGISTRY

from services.indexer.compact import Run
from services.searcher.partition_reader import PartitionReader
from tests.builders import fresh, rolled, scattered, singles
from tests.faults.one_partition import DIM, OnePartition, answered, commit, version
from vitrine.index.manifest import Manifest, ShardEntry
from vitrine.runtime.errors import CorruptShard
from vitrine.shards import files, tree
from vitrine.shards.records import LiveVersion, Tombstone

ROWS: Final = 1_100  # enough for a tree
FLIPS: Final = 6
FILES: Final = [
    *(("fresh", name) for name in (files.FRESH_FILE, files.LIVE_FILE, files.FACTS_FILE)),
    *(("rolled", name) for name in (files.ROWS_FILE, files.KEYS_FILE, files.VECTORS_FILE, files.TOMBSTONES_FILE)),
    *(("rolled", name) for name in (files.TREE_FILE, files.PROJECTION_FILE, files.PROJECTED_FILE)),
    *(("rolled", name) for name in (files.LIVE_FILE, files.FACTS_FILE)),
]
every_file = pytest.mark.parametrize(("kind", "name"), FILES)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two partitions. Manifest 1 of the first names shards of both kinds; manifest 2 names others in their places."""
    folder = tmp_path_factory.mktemp("sound")
    vectors = scattered(np.random.default_rng(0), ROWS, DIM)
    first, other = OnePartition(folder, 0), OnePartition(folder, 1)
    other.log.create(Manifest(1, 1, shards=_put(other, vectors[:3], 0)))
    first.log.create(Manifest(0, 1, shards=_put(first, vectors, 0)))
    first.log.create(Manifest(0, 2, shards=_put(first, vectors, ROWS)))
    return folder


@pytest.fixture
def partition(sound: Path, tmp_path: Path) -> OnePartition:
    shutil.copytree(sound, tmp_path, dirs_exist_ok=True)
    return OnePartition(tmp_path)


def test_every_file_of_a_shard_is_tried_here(partition: OnePartition) -> None:
    assert tree.available()
    for kind in ("fresh", "rolled"):
        assert {path.name for path in _folder(partition, kind).iterdir()} == {name for of, name in FILES if of == kind}


@every_file
def test_a_searcher_that_starts_refuses_it_counts_it_and_serves_the_other_partition(
    partition: OnePartition, kind: str, name: str
) -> None:
    path = _folder(partition, kind) / name
    for spoilt in _damages(path):
        _replace(path, spoilt)
        reader, counted = partition.reader(), _refused_shards()

        assert not reader.refresh()
        assert not reader.refresh()

        assert reader.view is None
        assert name in reader.failure or "not the facts" in reader.failure
        assert _refused_shards() == counted + 1
    other = OnePartition(partition.folder, 1).reader()
    assert other.refresh()
    assert _offsets(other) == {"p0": 0, "p1": 1, "p2": 2}


@every_file
def test_a_searcher_that_runs_goes_on_with_what_it_has_until_the_file_is_mended(
    partition: OnePartition, kind: str, name: str
) -> None:
    path = _folder(partition, kind) / name
    whole = path.read_bytes()
    newer = partition.folder / "store" / "default" / "p00000" / "manifests" / "0000000002.json"
    kept = newer.with_suffix(".kept")
    for spoilt in _damages(path)[::2]:
        newer.rename(kept)
        reader = partition.reader()
        assert reader.refresh()
        before = _offsets(reader)
        kept.rename(newer)
        _replace(path, spoilt)

        assert not reader.refresh()

        assert _offsets(reader) == before
        assert reader.failure
        _replace(path, whole)
        assert reader.refresh()
        assert reader.failure == ""
        assert _offsets(reader) == {product_id: offset + ROWS for product_id, offset in before.items()}


@pytest.mark.parametrize(
    ("kind", "name"), [("fresh", files.FRESH_FILE), ("rolled", files.VECTORS_FILE), ("rolled", files.FACTS_FILE)]
)
def test_an_owner_commits_beside_it_and_never_rolls_it(partition: OnePartition, kind: str, name: str) -> None:
    path = _folder(partition, kind) / name
    whole = path.read_bytes()
    last = 3 * ROWS
    for spoilt in _damages(path)[2::4]:
        _replace(path, spoilt)
        owner = partition.claim()
        shards = owner.manifest.shards
        last += 1
        assert REGISTRY.get_sample_value("vitrine_indexer_unreadable_shards", {"partition": "0"}) == 1

        commit(owner, version("new", last))
        with pytest.raises(CorruptShard):
            owner.roll(Run(owner.manifest.shards))
        with pytest.raises(CorruptShard):
            # Published again: without the damaged shard it cannot be told whether it is the newest.
            commit(owner, version("p1", 1))

        assert owner.manifest.shards[: len(shards)] == shards
    _replace(path, whole)
    assert answered(partition.view())["new"] == last


def test_a_damaged_manifest_is_passed_over_and_counted_and_an_owner_goes_beyond_it(partition: OnePartition) -> None:
    path = partition.folder / "store" / "default" / "p00000" / "manifests" / "0000000002.json"
    for spoilt in _damages(path):
        _replace(path, spoilt)
        reader, counted = partition.reader(), _refused_manifests()

        assert reader.refresh()

        assert reader.view is not None
        assert reader.view.manifest.version == 1
        assert _refused_manifests() == counted + 1
    owner = partition.claim()
    assert (owner.manifest.version, owner.manifest.shards) == (3, partition.log.latest()[0].shards)
    assert reader.refresh()
    assert reader.failure == ""


def _put(partition: OnePartition, vectors: np.ndarray, offset: int) -> tuple[ShardEntry, ShardEntry]:
    """A rolled shard of one product a vector, their offsets from `offset`, and a fresh one that changes the first."""
    scratch = partition.folder / "built"
    gone, price = [Tombstone("gone", offset)], [LiveVersion("p0", offset, {"price": float(offset)})]
    versions = singles(vectors)
    moved = [version(entry.product_id, entry.log_offset + offset) for entry in versions]
    built = rolled(scratch, moved, gone, DIM, live=price), fresh(scratch, moved[:1], gone, DIM, live=price)
    old, new = (partition.shelf.put(scratch / shard.facts.shard_id) for shard in built)
    return old, new


def _folder(partition: OnePartition, kind: str) -> Path:
    """That shard of the newest manifest."""
    [entry] = [entry for entry in partition.log.latest()[0].shards if entry.kind == kind]
    folder = partition.store.local_path(f"default/p00000/shards/{entry.shard_id}")
    assert folder is not None
    return folder


def _damages(path: Path) -> list[bytes]:
    """The file cut short, empty and by one byte included, and with a bit turned here and there."""
    whole, places = path.read_bytes(), random.Random(path.name)
    size = len(whole)
    cut = [whole[:length] for length in (0, 1, size // 10, size // 2, size - 1)]
    return cut + [_turned(whole, places.randrange(8 * size)) for _ in range(FLIPS)]


def _turned(whole: bytes, bit: int) -> bytes:
    spoilt = bytearray(whole)
    spoilt[bit // 8] ^= 1 << bit % 8
    return bytes(spoilt)


def _replace(path: Path, content: bytes) -> None:
    """Written anew: who has the old file mapped keeps it."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def _offsets(reader: PartitionReader) -> dict[str, int]:
    """Which versions of the first products it answers with."""
    assert reader.view is not None
    found = {name: reader.view.snapshot.product(name) for name in ("p0", "p1", "p2")}
    return {name: product.log_offset for name, product in found.items() if product is not None}


def _refused_shards() -> float:
    return REGISTRY.get_sample_value("vitrine_searcher_refused_shards_total", {"partition": "0"}) or 0.0


def _refused_manifests() -> float:
    return REGISTRY.get_sample_value("vitrine_searcher_refused_manifests_total", {"partition": "0"}) or 0.0
