"""Which manifests and shards nothing needs any more, and removing them. Only a partition's owner does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vitrine.index.manifest import ManifestLog
from vitrine.index.shelf import Shelf
from vitrine.runtime import failpoints
from vitrine.runtime.errors import CorruptManifest, Fenced

# Searchers that lag, and builds that are not published yet, use what is younger than this.
GRACE_S: Final = 3600.0
# One manifest an hour stays this long, with its shards, for a rollback.
ROLLBACK_S: Final = 24 * 3600.0


def kept_versions(written_s: Mapping[int, float]) -> set[int]:
    """The highest version, all of the last hour, and the newest of each hour of the last day.

    `written_s`: version → when it was written, by the store's clock. Now is when the newest was.
    """
    if not written_s:
        return set()
    now_s = max(written_s.values())
    kept = {max(written_s)} | {version for version, time_s in written_s.items() if now_s - time_s <= GRACE_S}
    hourly: dict[int, int] = {}
    for version, time_s in written_s.items():
        if now_s - time_s <= ROLLBACK_S:
            hour = int(time_s // 3600)
            hourly[hour] = max(version, hourly.get(hour, 0))
    return kept | set(hourly.values())


class Collector:
    """Removes what one partition does not need. Remembers what manifests name: they never change."""

    def __init__(self, log: ManifestLog, shelf: Shelf) -> None:
        self._log = log
        self._shelf = shelf
        self._named: dict[int, frozenset[str]] = {}

    def collect(self, writer_epoch: int) -> tuple[int, int]:
        """Removes manifests, then shards that none of the others names. Returns how many of each.

        Nothing in use is removed: shard ids are random and never reused, and what is younger than an hour stays.
        `writer_epoch`: the owner's. Raises Fenced if there is a newer one, StoreUnavailable, and CorruptManifest rather
        than guess what a damaged manifest names.
        """
        written_s = self._log.written_s()
        kept = kept_versions(written_s)
        self._named = {version: self._shards_of(version) for version in kept}
        named = frozenset().union(*self._named.values())
        dropped = set(written_s) - kept
        self._check_owner(writer_epoch)
        with failpoints.step("gc"):
            self._log.delete(dropped)
        now_s = max(written_s.values(), default=0.0)
        unused = [shard_id for shard_id in self._shelf.stored() if shard_id not in named]
        gone = [shard_id for shard_id in unused if self._is_old(shard_id, now_s)]
        self._check_owner(writer_epoch)
        for shard_id in gone:
            with failpoints.step("gc"):
                self._shelf.delete(shard_id)
        return len(dropped), len(gone)

    def _check_owner(self, writer_epoch: int) -> None:
        """Another may have made an older manifest current again: what looks unused may not be."""
        newest, _ = self._log.latest()
        if newest.writer_epoch > writer_epoch:
            raise Fenced(f"partition {newest.partition}: manifest {newest.version} was written by another owner")

    def _shards_of(self, version: int) -> frozenset[str]:
        if version in self._named:
            return self._named[version]
        manifest = self._log.get(version)
        if manifest is None:
            raise CorruptManifest(f"manifest {version} is listed but cannot be read")
        return frozenset(entry.shard_id for entry in manifest.shards)

    def _is_old(self, shard_id: str, now_s: float) -> bool:
        """Old enough to have no use; one that is being written is as old as its newest file."""
        written_s = self._shelf.written_s(shard_id)
        return now_s - max(written_s.values(), default=now_s) > GRACE_S
