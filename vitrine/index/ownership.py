"""One owner a partition: claim it, publish to it, and stop the moment somebody else has."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Final

from vitrine.index.manifest import Manifest, ManifestLog, ShardEntry
from vitrine.runtime.errors import CorruptManifest, Fenced, StreamGap

# After a pause this long a writer lists before it publishes: probing N+1 alone could miss a newer owner whose
# manifests have been collected meanwhile. A quarter of the hour for which collection spares manifests.
LIST_AFTER_PAUSE_S: Final = 900.0

_CLAIM_ATTEMPTS: Final = 50
_PUBLISH_ATTEMPTS: Final = 5


class PartitionOwner:
    """The right to publish one partition's manifests, and the newest of them.

    A claim publishes the same shards and offsets under `writer_epoch` + 1, so that an owner from before finds its next
    number taken and is fenced: a zombie never wins, and a rightful owner never stops itself.
    """

    def __init__(self, log: ManifestLog, manifest: Manifest) -> None:
        self._log = log
        self.manifest = manifest
        self._last_publish_s = time.monotonic()

    @staticmethod
    def claim(log: ManifestLog, log_id: str, writer_id: str | None = None) -> PartitionOwner:
        """Takes the partition from whoever has it. Raises StreamGap if its offsets count in another log.

        Raises CorruptManifest if no manifest of it can be read.
        """
        writer_id = writer_id or uuid.uuid4().hex
        for _ in range(_CLAIM_ATTEMPTS):
            current, damaged = log.latest()
            if current.log_id not in ("", log_id):
                raise StreamGap(
                    f"partition {current.partition} was indexed from log {current.log_id}, this is {log_id}"
                )
            if damaged and current.version == 0:
                # Nothing says what the partition held: to begin anew would lose it without a word.
                raise damaged[0]
            # Damaged manifests keep their numbers: the claim goes beyond them.
            version = max(current.version, log.highest() if damaged else 0)
            claim = Manifest(
                partition=current.partition,
                version=version + 1,
                writer_epoch=current.writer_epoch + 1,
                writer_id=writer_id,
                log_id=log_id,
                next_offset=current.next_offset,
                index_time_us=current.index_time_us,
                created_us=_now_us(),
                shards=current.shards,
            )
            if log.create(claim) or _is_mine(log, claim):
                return PartitionOwner(log, claim)
        raise Fenced(f"partition: {_CLAIM_ATTEMPTS} attempts to claim it were overtaken by other writers")

    def publish(self, shards: Sequence[ShardEntry], next_offset: int, index_time_us: int) -> Manifest:
        """Makes `shards` and `next_offset` the partition's truth, together. Raises Fenced, StoreUnavailable."""
        self._look_for_newer_owner()
        wanted = self.manifest.successor(
            shards=tuple(shards), next_offset=next_offset, index_time_us=index_time_us, created_us=_now_us()
        )
        for _ in range(_PUBLISH_ATTEMPTS):
            # "Already exists" may follow one's own retried put, or a conflict that wrote nothing: read it back.
            if self._log.create(wanted) or _is_mine(self._log, wanted):
                self.manifest = wanted
                self._last_publish_s = time.monotonic()
                return wanted
            taken = self._log.get(wanted.version)
            if taken is not None and (taken.writer_id, taken.writer_epoch) != (wanted.writer_id, wanted.writer_epoch):
                raise Fenced(f"partition {wanted.partition}: manifest {wanted.version} was written by another owner")
            if taken is not None:
                # One's own, by an attempt that failed after it had written: what is wanted now takes its place.
                wanted = wanted.successor()
        raise Fenced(f"partition {wanted.partition}: manifest {wanted.version} can be neither written nor read")

    def _look_for_newer_owner(self) -> None:
        if time.monotonic() - self._last_publish_s < LIST_AFTER_PAUSE_S:
            return
        highest = self._log.highest()
        if highest > self.manifest.version:
            raise Fenced(f"partition {self.manifest.partition}: manifest {highest} was written by another owner")


def _is_mine(log: ManifestLog, manifest: Manifest) -> bool:
    try:
        return log.get(manifest.version) == manifest
    except CorruptManifest:
        return False


def _now_us() -> int:
    return time.time_ns() // 1_000
