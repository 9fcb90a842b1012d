"""Shard folders into the store and out of it."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from pathlib import Path

import xxhash

from vitrine.index.manifest import ShardEntry
from vitrine.index.settings import partition_prefix
from vitrine.index.store import Store
from vitrine.runtime.errors import CorruptShard, StoreUnavailable
from vitrine.shards.files import FACTS_FILE, ShardFacts
from vitrine.shards.shard import Shard


class Shelf:
    """The shards of one partition. A folder store is read in place; from any other, shards are copied to `cache`."""

    def __init__(self, store: Store, index: str, partition: int, cache: Path) -> None:
        self._store = store
        self._prefix = f"{partition_prefix(index, partition)}/shards"
        self._cache = cache / f"p{partition:05d}"
        self._scratch_root = (store.scratch_parent() or cache) / f"{index}-p{partition:05d}"
        self.scratch = self._scratch_root / uuid.uuid4().hex

    def put(self, built: Path) -> ShardEntry:
        """Stores a shard folder, durable and complete before it returns, and removes it from where it was built."""
        data = (built / FACTS_FILE).read_bytes()
        facts = ShardFacts.from_json(data, f"shard {built.name}")
        self._store.adopt_folder(built, f"{self._prefix}/{built.name}", last=FACTS_FILE)
        return ShardEntry(
            shard_id=facts.shard_id,
            kind=facts.kind,
            rows=facts.rows,
            tombstones=facts.tombstones,
            size_bytes=facts.size_bytes,
            facts_xxh3=xxhash.xxh3_64_hexdigest(data),
        )

    def open(self, entry: ShardEntry) -> Shard:
        """Raises CorruptShard if any file is missing or not what was written, StoreUnavailable."""
        try:
            return Shard.open(self.folder(entry))
        except CorruptShard:
            self._drop_copy(entry)
            raise

    def folder(self, entry: ShardEntry) -> Path:
        """The shard's folder on this machine, its shard.json checked. Raises CorruptShard, StoreUnavailable."""
        in_place = self._store.local_path(f"{self._prefix}/{entry.shard_id}")
        folder = in_place or self._cached(entry)
        try:
            data = (folder / FACTS_FILE).read_bytes()
        except OSError as error:
            raise CorruptShard(f"{FACTS_FILE} of shard {entry.shard_id} cannot be read ({error.strerror})") from error
        _check_facts(data, entry)
        return folder

    def stored(self) -> list[str]:
        """Ids of all shards in the store, named by a manifest or not."""
        return self._store.folders(self._prefix)

    def written_s(self, shard_id: str) -> dict[str, float]:
        """When each file of a shard was written, by the store's clock: seconds since 1970."""
        return self._store.modified_s(f"{self._prefix}/{shard_id}")

    def delete(self, shard_id: str) -> None:
        self._store.delete_folder(f"{self._prefix}/{shard_id}", first=FACTS_FILE)

    def clear_scratch(self) -> None:
        """Removes what earlier builders of this partition left behind. For its owner, when it takes it."""
        shutil.rmtree(self._scratch_root, ignore_errors=True)

    def _cached(self, entry: ShardEntry) -> Path:
        folder = self._cache / entry.shard_id
        if folder.exists():
            return folder
        partial = self._cache / f"{entry.shard_id}.{uuid.uuid4().hex}.partial"
        try:
            partial.mkdir(parents=True)
            facts_data = self._copied(entry, FACTS_FILE, partial, None)
            _check_facts(facts_data, entry)
            for name, facts in ShardFacts.from_json(facts_data, f"shard {entry.shard_id}").files.items():
                self._copied(entry, name, partial, facts.sha256)
            partial.rename(folder)
        except OSError as error:
            # Another process that shares the cache may have been faster: then the copy is there.
            if not folder.exists():
                raise StoreUnavailable(f"cache: cannot copy shard {entry.shard_id}: {error}") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return folder

    def _drop_copy(self, entry: ShardEntry) -> None:
        """A damaged copy is made anew at the next try; a shard that is read in place stays for people to see."""
        if self._store.local_path(self._prefix) is None:
            shutil.rmtree(self._cache / entry.shard_id, ignore_errors=True)

    def _copied(self, entry: ShardEntry, name: str, target: Path, sha256: str | None) -> bytes:
        data = self._store.get(f"{self._prefix}/{entry.shard_id}/{name}")
        if data is None:
            raise CorruptShard(f"{name} of shard {entry.shard_id} is missing from the store")
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            raise CorruptShard(f"{name} of shard {entry.shard_id} does not match its sha256")
        (target / name).write_bytes(data)
        return data


def _check_facts(data: bytes, entry: ShardEntry) -> None:
    if xxhash.xxh3_64_hexdigest(data) != entry.facts_xxh3:
        raise CorruptShard(f"{FACTS_FILE} of shard {entry.shard_id} does not match its checksum")
