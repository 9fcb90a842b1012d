"""Manifests: immutable, numbered, checksummed. The highest number is what a partition holds."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import xxhash

from vitrine.index.settings import partition_prefix
from vitrine.index.store import Store
from vitrine.runtime.errors import CorruptManifest
from vitrine.shards.files import Kind

FORMAT_VERSION: Final = 2
# Version 1 knew no live stream, no pauses and no samples: their defaults say the same.
_READABLE_VERSIONS: Final = (1, 2)


@dataclass(frozen=True)
class ShardEntry:
    """One shard of a partition. `facts_xxh3`: checksum of its shard.json, which holds those of its other files."""

    shard_id: str
    kind: Kind
    rows: int
    tombstones: int
    size_bytes: int
    facts_xxh3: str
    live_rows: int = 0


@dataclass(frozen=True)
class Manifest:
    """What one partition holds. Times are microseconds since 1970 UTC.

    version            its number, from 1; version 0 stands for "no manifest yet"
    writer_epoch       grows by one at every claim
    log_id             which log the offsets count in
    next_offset        first offset of the catalogue's log that is not in the shards
    next_live_offset   the same of the live log
    index_time_us      everything appended to the log before this time is in the shards
    synced_us          when the index last had all of the log; of a new index, when it began to read
    rewinds            grows where shards are taken back: what they had hidden may be seen again
    paused             why nothing is read until somebody says so; empty: it is not paused
    sampled_append_us  when some of the events this manifest brought were appended, so that searchers can tell how
                       long they took to be found
    shards             oldest first; a shard hides its products in every shard before it
    """

    partition: int
    version: int = 0
    writer_epoch: int = 0
    writer_id: str = ""
    log_id: str = ""
    next_offset: int = 0
    next_live_offset: int = 0
    index_time_us: int = 0
    synced_us: int = 0
    rewinds: int = 0
    paused: str = ""
    sampled_append_us: tuple[int, ...] = ()
    created_us: int = 0
    shards: tuple[ShardEntry, ...] = ()

    def successor(self, **changes: Any) -> Manifest:
        """The next version, with `changes`."""
        return replace(self, version=self.version + 1, **changes)

    def to_json(self) -> bytes:
        fields = {"format_version": FORMAT_VERSION, **asdict(self)}
        return json.dumps({**fields, "checksum": _checksum(fields)}, indent=1).encode()

    @staticmethod
    def from_json(data: bytes, where: str) -> Manifest:
        """Raises CorruptManifest."""
        try:
            fields = json.loads(data)
            if fields.pop("checksum") != _checksum(fields):
                raise CorruptManifest(f"{where}: does not match its checksum")
            if fields.pop("format_version") not in _READABLE_VERSIONS:
                raise CorruptManifest(f"{where}: its format_version cannot be read here")
            shards = tuple(ShardEntry(**entry) for entry in fields.pop("shards"))
            samples = tuple(fields.pop("sampled_append_us", ()))
            return Manifest(shards=shards, sampled_append_us=samples, **fields)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptManifest(f"{where}: cannot be read ({error!r})") from error


class ManifestLog:
    """The manifests of one partition."""

    def __init__(self, store: Store, index: str, partition: int) -> None:
        self._store = store
        self._prefix = f"{partition_prefix(index, partition)}/manifests"
        self._partition = partition

    def highest(self) -> int:
        """The highest number in the store, by listing; 0 if there is none."""
        return max(self.written_s(), default=0)

    def written_s(self) -> dict[int, float]:
        """When each manifest was written, by the store's clock: version → seconds since 1970."""
        names = self._store.modified_s(self._prefix)
        stems = {name.removesuffix(".json"): written_s for name, written_s in names.items()}
        return {int(stem): written_s for stem, written_s in stems.items() if stem.isdigit()}

    def delete(self, versions: Collection[int]) -> None:
        self._store.delete([self._key(version) for version in sorted(versions)])

    def get(self, version: int) -> Manifest | None:
        """Raises CorruptManifest."""
        data = self._store.get(self._key(version))
        return None if data is None else Manifest.from_json(data, self._key(version))

    def latest(self) -> tuple[Manifest, list[CorruptManifest]]:
        """The newest readable manifest, and the damaged ones that were passed over to reach it."""
        damaged = []
        for version in range(self.highest(), 0, -1):
            try:
                found = self.get(version)
            except CorruptManifest as error:
                damaged.append(error)
                continue
            if found is not None:
                return found, damaged
        return Manifest(self._partition), damaged

    def create(self, manifest: Manifest) -> bool:
        """Writes it only if its number is free. False: the number is taken, or it cannot be told."""
        return self._store.create(self._key(manifest.version), manifest.to_json())

    def _key(self, version: int) -> str:
        return f"{self._prefix}/{version:010d}.json"


def _checksum(fields: dict[str, Any]) -> str:
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return xxhash.xxh3_64_hexdigest(canonical.encode())
