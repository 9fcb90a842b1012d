"""Reading an index from its store, without any service: its settings, its manifests, the facts of its shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer
import xxhash

from vitrine.cli.stack import STORE_FOLDER
from vitrine.index.manifest import Manifest, ManifestLog, ShardEntry
from vitrine.index.settings import IndexSettings, load, partition_prefix
from vitrine.index.store import Store
from vitrine.runtime.errors import ConfigError, CorruptManifest, CorruptShard
from vitrine.shards.files import FACTS_FILE, ShardFacts

# A remote store answers one request in tens of milliseconds, and many at once.
_READS_AT_ONCE: Final = 16

StoreUrl = Annotated[str, typer.Option("--store", help="a folder, s3://, gs:// or az://; default: that in --folder")]
IndexName = Annotated[str, typer.Option("--index", help="name of the index")]


@dataclass(frozen=True)
class StoredIndex:
    """One index in a store."""

    store: Store
    settings: IndexSettings

    @staticmethod
    def open(folder: Path, url: str, name: str) -> StoredIndex:
        """Raises ConfigError (`store`), UnknownIndex, StoreUnavailable. Makes nothing."""
        url = url or str(folder / STORE_FOLDER)
        parts = urlsplit(url)
        if parts.scheme in ("", "file") and not Path(parts.path if parts.scheme else url).is_dir():
            raise ConfigError("store", f"there is no folder {url}; name the store with --store")
        store = Store.open(url)
        return StoredIndex(store, load(store, name))

    def partitions(self, chosen: int | None = None) -> Iterable[int]:
        """All numbers, or the chosen one. Raises ConfigError (`partition`)."""
        there = range(self.settings.partitions)
        if chosen is not None and chosen not in there:
            raise ConfigError("partition", f"{chosen} is not one of the {len(there)} of this index, counted from 0")
        return there if chosen is None else [chosen]

    def manifests(self, partition: int) -> ManifestLog:
        return ManifestLog(self.store, self.settings.name, partition)

    def shard_prefix(self, partition: int, entry: ShardEntry) -> str:
        return f"{partition_prefix(self.settings.name, partition)}/shards/{entry.shard_id}"

    def facts(self, partition: int, entry: ShardEntry) -> ShardFacts:
        """What its shard.json says. Raises CorruptShard if that is missing or not what was written."""
        data = self.store.get(f"{self.shard_prefix(partition, entry)}/{FACTS_FILE}")
        if data is None:
            raise CorruptShard(f"{FACTS_FILE} of shard {entry.shard_id} is missing")
        if xxhash.xxh3_64_hexdigest(data) != entry.facts_xxh3:
            raise CorruptShard(f"{FACTS_FILE} of shard {entry.shard_id} does not match its checksum")
        return ShardFacts.from_json(data, f"shard {entry.shard_id}")


def read_manifests(log: ManifestLog, versions: Iterable[int]) -> Iterator[tuple[int, Manifest | CorruptManifest]]:
    """Each manifest or what is wrong with it, in the order asked. One that is collected meanwhile is left out."""

    def read(version: int) -> Manifest | CorruptManifest | None:
        try:
            return log.get(version)
        except CorruptManifest as error:
            return error

    asked = list(versions)
    with ThreadPoolExecutor(_READS_AT_ONCE) as threads:
        for version, found in zip(asked, threads.map(read, asked), strict=True):
            if found is not None:
                yield version, found


def shown_time(time_s: float) -> str:
    """UTC; empty for none."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%S") if time_s else ""


def shown_size(size_bytes: int) -> str:
    """In the unit that leaves one to four digits."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
