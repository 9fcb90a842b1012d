"""A manifest is what it was when it was written, or it is passed over and reported."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import xxhash
from obstore.store import MemoryStore

from vitrine.index.manifest import Manifest, ManifestLog, ShardEntry
from vitrine.index.store import Store
from vitrine.runtime.errors import CorruptManifest

SHARDS = (
    ShardEntry("a" * 32, "rolled", 8192, 3, 10_000_000, "0123456789abcdef"),
    ShardEntry("b" * 32, "fresh", 17, 0, 40_000, "fedcba9876543210"),
)
MANIFEST = Manifest(
    partition=3,
    version=42,
    writer_epoch=7,
    writer_id="w" * 32,
    log_id="l" * 32,
    next_offset=123_456,
    index_time_us=1_700_000_000_000_000,
    created_us=1_700_000_000_000_001,
    shards=SHARDS,
)


@pytest.fixture
def store() -> Store:
    return Store(MemoryStore(), None)


@pytest.fixture
def log(store: Store) -> ManifestLog:
    return ManifestLog(store, "shop", 3)


def key(version: int) -> str:
    return f"shop/p00003/manifests/{version:010d}.json"


def damaged(manifest: Manifest) -> bytes:
    return manifest.to_json().replace(b'"next_offset": 1', b'"next_offset": 2')


@pytest.mark.parametrize("manifest", [MANIFEST, Manifest(0), replace(MANIFEST, shards=(), writer_id="Büro-ß")])
def test_json_gives_back_the_same(manifest: Manifest) -> None:
    assert Manifest.from_json(manifest.to_json(), "here") == manifest


def test_a_flipped_bit_is_always_found() -> None:
    sound = MANIFEST.to_json()
    for at in range(len(sound)):
        for bit in np.random.default_rng(at).choice(8, 2, replace=False):
            data = bytearray(sound)
            data[at] ^= 1 << int(bit)
            with pytest.raises(CorruptManifest):
                Manifest.from_json(bytes(data), "here")


def test_a_truncated_manifest_is_always_found() -> None:
    sound = MANIFEST.to_json()
    for size in range(len(sound)):
        with pytest.raises(CorruptManifest):
            Manifest.from_json(sound[:size], "here")


@pytest.mark.parametrize("data", [b"null", b"[]", b"7", b"{}", b'{"checksum": 1}', b"\xff\xfe"])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptManifest, match="here"):
        Manifest.from_json(data, "here")


def test_a_manifest_of_a_later_format_is_not_guessed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitrine.index.manifest.FORMAT_VERSION", 3)
    later = MANIFEST.to_json()
    monkeypatch.undo()

    with pytest.raises(CorruptManifest, match="format_version"):
        Manifest.from_json(later, "here")


def test_a_manifest_of_version_1_is_read() -> None:
    fields = json.loads(MANIFEST.to_json())
    del fields["checksum"]
    fields["format_version"] = 1
    for name in ("next_live_offset", "synced_us", "paused", "sampled_append_us"):
        del fields[name]
    for entry in fields["shards"]:
        del entry["live_rows"]
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    fields["checksum"] = xxhash.xxh3_64_hexdigest(canonical.encode())

    assert Manifest.from_json(json.dumps(fields).encode(), "here") == replace(
        MANIFEST, next_live_offset=0, synced_us=0, paused="", sampled_append_us=()
    )


def test_the_checksum_does_not_depend_on_how_the_json_is_laid_out() -> None:
    fields = json.loads(MANIFEST.to_json())
    shuffled = json.dumps(dict(sorted(fields.items(), reverse=True)))

    assert Manifest.from_json(shuffled.encode(), "here") == MANIFEST


def test_a_successor_is_the_next_version() -> None:
    assert MANIFEST.successor(next_offset=200_000) == replace(MANIFEST, version=43, next_offset=200_000)


def test_without_manifests_the_partition_is_empty(log: ManifestLog) -> None:
    assert log.highest() == 0
    assert log.latest() == (Manifest(3), [])


def test_the_highest_number_is_current(log: ManifestLog) -> None:
    for version in (9, 10, 2, 100):
        log.create(replace(MANIFEST, version=version))

    assert log.highest() == 100
    assert log.latest() == (replace(MANIFEST, version=100), [])


def test_a_number_is_given_once(log: ManifestLog) -> None:
    assert log.create(MANIFEST)
    assert not log.create(replace(MANIFEST, writer_id="another"))
    assert log.get(42) == MANIFEST


def test_a_number_nobody_wrote_is_none(log: ManifestLog) -> None:
    assert log.get(42) is None


def test_other_files_among_the_manifests_do_no_harm(store: Store, log: ManifestLog) -> None:
    log.create(MANIFEST)
    store.create("shop/p00003/manifests/README", b"hello")
    store.create("shop/p00003/manifests/copy-of-0000000099.json", b"{}")

    assert log.latest() == (MANIFEST, [])


def test_damaged_manifests_are_passed_over_and_reported(store: Store, log: ManifestLog) -> None:
    log.create(MANIFEST)
    store.create(key(43), damaged(replace(MANIFEST, version=43)))
    store.create(key(44), b"")

    current, reported = log.latest()

    assert current == MANIFEST
    assert [str(error).split(":")[0] for error in reported] == [key(44), key(43)]


def test_gaps_between_manifests_are_no_damage(store: Store, log: ManifestLog) -> None:
    log.create(MANIFEST)
    store.create(key(50), b"damaged")

    current, reported = log.latest()

    assert (current, len(reported)) == (MANIFEST, 1)


def test_a_manifest_of_another_partition_is_not_seen(store: Store, log: ManifestLog) -> None:
    ManifestLog(store, "shop", 30).create(MANIFEST)

    assert log.highest() == 0


def test_deleted_manifests_are_gone(log: ManifestLog) -> None:
    for version in (1, 2, 3):
        log.create(replace(MANIFEST, version=version))

    log.delete([1, 2])

    assert set(log.written_s()) == {3}
