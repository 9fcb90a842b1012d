"""Shard folders into the store and out of it."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import xxhash

from vitrine.index.cache import ShardCache, remove_whole
from vitrine.index.manifest import Manifest, ShardEntry
from vitrine.index.settings import partition_prefix
from vitrine.index.store import Store
from vitrine.runtime.errors import CorruptShard, StoreUnavailable
from vitrine.runtime.logs import logger
from vitrine.shards.files import FACTS_FILE, ShardFacts
from vitrine.shards.shard import Shard


class Shelf:
    """The shards of one partition. A folder store is read in place; from any other, shards are copied to `cache`.

    `cache`: where several shelves share one bound, the one cache of them all; for a single shelf, a folder.
    """

    def __init__(self, store: Store, index: str, partition: int, cache: ShardCache | Path) -> None:
        self._store = store
        self._prefix = f"{partition_prefix(index, partition)}/shards"
        self._cache = cache if isinstance(cache, ShardCache) else ShardCache(cache)
        self._partition = f"p{partition:05d}"
        self._scratch_root = (store.scratch_parent() or self._cache.folder) / f"{index}-{self._partition}"
        self.scratch = self._scratch_root / uuid.uuid4().hex

    def put(self, built: Path, keep: bool = False) -> ShardEntry:
        """Stores a shard folder, durable and complete before it returns, and removes it from where it was built.

        `keep`: what was built here is read here next, so of a remote store's shard the cache has a copy already.
        """
        data = (built / FACTS_FILE).read_bytes()
        facts = ShardFacts.from_json(data, f"shard {built.name}")
        self._store.adopt_folder(built, f"{self._prefix}/{built.name}", last=FACTS_FILE, keep=keep)
        entry = ShardEntry(
            shard_id=facts.shard_id,
            kind=facts.kind,
            rows=facts.rows,
            tombstones=facts.tombstones,
            size_bytes=facts.size_bytes,
            facts_xxh3=xxhash.xxh3_64_hexdigest(data),
            live_rows=facts.live_rows,
        )
        if keep and self._is_remote:
            self._keep(built, entry)
        return entry

    def open(self, entry: ShardEntry) -> Shard:
        """Raises CorruptShard if any file is missing or not what was written, StoreUnavailable."""
        in_place = self._in_place(entry)
        if in_place:
            return _opened(in_place, entry)  # damaged, it stays for people to see
        with self.holding([entry]):
            folder = self._cached(entry)
            try:
                return _opened(folder, entry)
            except CorruptShard:
                if folder.exists():
                    remove_whole(folder)  # damaged, it is made anew at the next try
                    raise
            # Another process has evicted the copy between its being found and its being opened.
            return _opened(self._cached(entry), entry)

    def folder(self, entry: ShardEntry) -> Path:
        """The shard's folder on this machine, its shard.json checked. Raises CorruptShard, StoreUnavailable."""
        folder = self._in_place(entry) or self._cached(entry)
        _check_facts_file(folder, entry)
        return folder

    def hold(self, entries: Iterable[ShardEntry]) -> None:
        """Keeps the copies of what is served, and no longer those of what was."""
        self._cache.hold(self, map(self._copy, entries))

    @contextmanager
    def holding(self, entries: Iterable[ShardEntry]) -> Iterator[None]:
        """Keeps copies, made before or within, for as long as the block runs."""
        owner = object()
        self._cache.hold(owner, map(self._copy, entries))
        try:
            yield
        finally:
            self._cache.hold(owner, ())

    def serve(self, manifest: Manifest) -> None:
        """Holds the manifest's shards, and remembers it for a start while the store is away. For searchers."""
        self.hold(manifest.shards)
        if not self._is_remote:
            return
        try:
            self._cache.serve(self._partition, manifest)
        except OSError as error:
            # To answer now matters more than to answer after a start without the store.
            logger().warning("manifest not kept in the cache", partition=manifest.partition, reason=str(error))

    def served(self) -> Manifest | None:
        """The manifest served last on this machine, if all its shards are in the cache. Asks no remote store."""
        manifest = self._cache.served(self._partition) if self._is_remote else None
        if manifest is None or not all(self._cache.use(self._copy(entry)) for entry in manifest.shards):
            return None
        return manifest

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

    @property
    def _is_remote(self) -> bool:
        return self._store.local_path(self._prefix) is None

    def _in_place(self, entry: ShardEntry) -> Path | None:
        """Where a folder store has the shard."""
        return self._store.local_path(f"{self._prefix}/{entry.shard_id}")

    def _copy(self, entry: ShardEntry) -> Path:
        """Where the cache has the shard, or would have it."""
        return self._cache.folder / self._partition / entry.shard_id

    def _keep(self, built: Path, entry: ShardEntry) -> None:
        """Into the cache with it. Where that fails, opening copies it from the store."""
        folder = self._copy(entry)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            built.rename(folder)
        except OSError as error:
            logger().warning("shard not kept in the cache", partition=self._partition, reason=str(error))
            shutil.rmtree(built, ignore_errors=True)
        else:
            self._cache.added(folder)

    def _cached(self, entry: ShardEntry) -> Path:
        folder = self._copy(entry)
        if self._cache.use(folder):
            return folder
        try:
            with self._cache.copying(folder):
                if not self._cache.use(folder):
                    self._fetch(entry, folder)
        except OSError as error:
            # Another process that shares the cache may have been faster: then the copy is there.
            if not folder.exists():
                raise StoreUnavailable(f"cache: cannot copy shard {entry.shard_id}: {error}") from error
        return folder

    def _fetch(self, entry: ShardEntry, folder: Path) -> None:
        """Copies a shard from the store. Raises OSError, CorruptShard, StoreUnavailable."""
        partial = folder.with_name(f"{entry.shard_id}.{uuid.uuid4().hex}.partial")
        try:
            partial.mkdir(parents=True)
            self._download(entry, partial)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        self._cache.added(folder)

    def _download(self, entry: ShardEntry, target: Path) -> None:
        key = f"{self._prefix}/{entry.shard_id}"
        facts_data = self._store.get(f"{key}/{FACTS_FILE}")
        if facts_data is None:
            raise CorruptShard(f"{FACTS_FILE} of shard {entry.shard_id} is missing from the store")
        _check_facts(facts_data, entry)
        for name, facts in ShardFacts.from_json(facts_data, f"shard {entry.shard_id}").files.items():
            sha256 = self._store.download(f"{key}/{name}", target / name)
            if sha256 is None:
                raise CorruptShard(f"{name} of shard {entry.shard_id} is missing from the store")
            if sha256 != facts.sha256:
                raise CorruptShard(f"{name} of shard {entry.shard_id} does not match its sha256")
        (target / FACTS_FILE).write_bytes(facts_data)


def _opened(folder: Path, entry: ShardEntry) -> Shard:
    _check_facts_file(folder, entry)
    return Shard.open(folder)


def _check_facts_file(folder: Path, entry: ShardEntry) -> None:
    try:
        data = (folder / FACTS_FILE).read_bytes()
    except OSError as error:
        raise CorruptShard(f"{FACTS_FILE} of shard {entry.shard_id} cannot be read ({error.strerror})") from error
    _check_facts(data, entry)


def _check_facts(data: bytes, entry: ShardEntry) -> None:
    if xxhash.xxh3_64_hexdigest(data) != entry.facts_xxh3:
        raise CorruptShard(f"{FACTS_FILE} of shard {entry.shard_id} does not match its checksum")
