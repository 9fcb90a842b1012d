"""What is collected, and what never is."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from vitrine.index.manifest import Manifest, ManifestLog, ShardEntry
from vitrine.index.retention import Collector, kept_versions
from vitrine.index.shelf import Shelf
from vitrine.index.store import Store
from vitrine.runtime.errors import CorruptManifest

HOUR_S = 3600.0
NOW_S = 1_000_000 * HOUR_S


def test_the_newest_manifest_is_kept_however_old() -> None:
    assert kept_versions({7: NOW_S - 100 * HOUR_S}) == {7}


def test_every_manifest_of_the_last_hour_is_kept() -> None:
    written_s = {version: NOW_S - (10 - version) * 60 for version in range(1, 11)}

    assert kept_versions(written_s) == set(written_s)


def test_one_manifest_an_hour_is_kept_for_a_day() -> None:
    every_ten_minutes = {version: NOW_S - (600 - version) * 600 for version in range(1, 601)}

    kept = kept_versions(every_ten_minutes)

    older = [version for version in kept if NOW_S - every_ten_minutes[version] > HOUR_S]
    hours = [int(every_ten_minutes[version] // HOUR_S) for version in older]
    assert len(hours) == len(set(hours)) == 23
    assert all(NOW_S - every_ten_minutes[version] <= 24 * HOUR_S for version in kept)


def test_of_an_hour_the_newest_manifest_is_kept() -> None:
    hour_s = NOW_S - 5 * HOUR_S

    assert kept_versions({1: hour_s, 2: hour_s + 30, 3: hour_s + 3_599, 4: NOW_S}) == {3, 4}


def test_without_manifests_nothing_is_kept() -> None:
    assert kept_versions({}) == set()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def _entry(shard_id: str) -> ShardEntry:
    return ShardEntry(shard_id, "fresh", rows=1, tombstones=0, size_bytes=1, facts_xxh3="")


def _written(folder: Path, name: str, age_s: float) -> None:
    path = folder / "default" / "p00000" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(b"x")
    then_s = time.time() - age_s
    os.utime(path, (then_s, then_s))


def _collector(folder: Path) -> tuple[Collector, ManifestLog, Shelf]:
    store = Store.open(str(folder))
    log, shelf = ManifestLog(store, "default", 0), Shelf(store, "default", 0, folder / "cache")
    return Collector(log, shelf), log, shelf


def test_old_shards_that_no_kept_manifest_names_are_removed(folder: Path) -> None:
    collector, log, shelf = _collector(folder)
    log.create(Manifest(0, version=1, shards=(_entry("replaced"),)))
    log.create(Manifest(0, version=2, shards=(_entry("live"),)))
    _written(folder, "manifests/0000000001.json", age_s=30 * HOUR_S)
    for shard_id in ("replaced", "live"):
        _written(folder, f"shards/{shard_id}/shard.json", age_s=30 * HOUR_S)

    assert collector.collect(writer_epoch=99) == (1, 1)

    assert shelf.stored() == ["live"]
    assert log.highest() == 2


def test_a_shard_of_the_last_hours_manifests_is_spared(folder: Path) -> None:
    collector, log, shelf = _collector(folder)
    log.create(Manifest(0, version=1, shards=(_entry("replaced"),)))
    log.create(Manifest(0, version=2))
    _written(folder, "shards/replaced/shard.json", age_s=30 * HOUR_S)

    assert collector.collect(writer_epoch=99) == (0, 0)

    assert shelf.stored() == ["replaced"]


def test_a_shard_that_is_not_published_yet_is_spared(folder: Path) -> None:
    collector, log, shelf = _collector(folder)
    log.create(Manifest(0, version=1))
    _written(folder, "shards/in-flight/vectors.npy", age_s=0)

    collector.collect(writer_epoch=99)

    assert shelf.stored() == ["in-flight"]


def test_a_shard_of_a_manifest_kept_for_rollback_is_spared(folder: Path) -> None:
    collector, log, shelf = _collector(folder)
    log.create(Manifest(0, version=1, shards=(_entry("replaced"),)))
    log.create(Manifest(0, version=2))
    _written(folder, "manifests/0000000001.json", age_s=5 * HOUR_S)
    _written(folder, "shards/replaced/shard.json", age_s=5 * HOUR_S)

    assert collector.collect(writer_epoch=99) == (0, 0)

    assert shelf.stored() == ["replaced"]


def test_what_a_damaged_manifest_names_is_not_guessed(folder: Path) -> None:
    collector, _, shelf = _collector(folder)
    _written(folder, "manifests/0000000001.json", age_s=0)
    _written(folder, "shards/unknown/shard.json", age_s=30 * HOUR_S)

    with pytest.raises(CorruptManifest):
        collector.collect(writer_epoch=99)

    assert shelf.stored() == ["unknown"]


def test_collecting_again_finds_nothing_more(folder: Path) -> None:
    collector, log, _ = _collector(folder)
    log.create(Manifest(0, version=1))
    _written(folder, "shards/replaced/shard.json", age_s=30 * HOUR_S)
    assert collector.collect(writer_epoch=99) == (0, 1)

    assert collector.collect(writer_epoch=99) == (0, 0)
