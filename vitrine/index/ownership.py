"""One owner a partition: claim it, publish to it, and stop the moment somebody else has."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, NamedTuple

from vitrine.index.manifest import Manifest, ManifestLog
from vitrine.runtime import failpoints
from vitrine.runtime.errors import CorruptManifest, Fenced, StoreUnavailable, StreamGap

# After a pause this long a writer lists before it publishes: probing N+1 alone could miss a newer owner whose
# manifests have been collected meanwhile. A quarter of the hour for which collection spares manifests.
LIST_AFTER_PAUSE_S: Final = 900.0

_CLAIM_ATTEMPTS: Final = 50
_PUBLISH_ATTEMPTS: Final = 5


class Offsets(NamedTuple):
    """First offsets of both streams that are not indexed yet."""

    catalogue: int
    live: int


class PartitionOwner:
    """The right to publish one partition's manifests, and the newest of them.

    A claim publishes the same shards and offsets under `writer_epoch` + 1, so that an owner from before finds its next
    number taken and is fenced: a zombie never wins, and a rightful owner never stops itself.
    """

    def __init__(self, log: ManifestLog, manifest: Manifest) -> None:
        self._log = log
        self.manifest = manifest
        self._last_publish_s = _awake_s()

    @staticmethod
    def claim(
        log: ManifestLog,
        log_id: str,
        writer_id: str | None = None,
        begin_at: Offsets | None = None,
        wanted: Callable[[], bool] = lambda: True,
    ) -> PartitionOwner:
        """Takes the partition from whoever has it. Raises StreamGap if its offsets count in another log.

        `begin_at`: where to go on in this log, whatever its offsets counted in before. `wanted`: asked right before
        the claim is written: one that was given to another meanwhile must not be taken back. If not, raises Fenced.

        Raises CorruptManifest if no manifest of it can be read.
        """
        writer_id = writer_id or uuid.uuid4().hex
        for _ in range(_CLAIM_ATTEMPTS):
            current, damaged = log.latest()
            if begin_at is None and current.log_id not in ("", log_id):
                raise StreamGap(
                    f"partition {current.partition} was indexed from log {current.log_id}, this is {log_id}",
                    current.partition,
                )
            if damaged and current.version == 0:
                # Nothing says what the partition held: to begin anew would lose it without a word.
                raise damaged[0]
            # Damaged manifests keep their numbers: the claim goes beyond them.
            version = max(current.version, log.highest() if damaged else 0)
            now_us = _now_us()
            claim = replace(
                current,
                version=version + 1,
                writer_epoch=current.writer_epoch + 1,
                writer_id=writer_id,
                log_id=log_id,
                next_offset=current.next_offset if begin_at is None else begin_at.catalogue,
                next_live_offset=current.next_live_offset if begin_at is None else begin_at.live,
                synced_us=current.synced_us or now_us,
                # What a damaged manifest had brought is taken back.
                rewinds=current.rewinds + bool(damaged),
                sampled_append_us=(),
                created_us=now_us,
            )
            if not wanted():
                raise Fenced(f"partition {claim.partition}: has been given up")
            if log.create(claim) or _is_mine(log, claim):
                return PartitionOwner(log, claim)
        raise Fenced(f"partition: {_CLAIM_ATTEMPTS} attempts to claim it were overtaken by other writers")

    def publish(self, **changes: Any) -> Manifest:
        """Makes `changes` to the manifest the partition's truth, all together. Raises Fenced, StoreUnavailable.

        Fields of Manifest: `shards` and `next_offset` above all. What is not named stays as it is.
        """
        self._look_for_newer_owner()
        wanted = self.manifest.successor(**{"sampled_append_us": (), **changes, "created_us": _now_us()})
        for _ in range(_PUBLISH_ATTEMPTS):
            # "Already exists" may follow one's own retried put, or a conflict that wrote nothing: read it back.
            with failpoints.step("publish"):
                written = self._log.create(wanted) or _is_mine(self._log, wanted)
            if written:
                self.manifest = wanted
                self._last_publish_s = _awake_s()
                return wanted
            taken = self._log.get(wanted.version)
            if taken is not None and (taken.writer_id, taken.writer_epoch) != (wanted.writer_id, wanted.writer_epoch):
                raise Fenced(f"partition {wanted.partition}: manifest {wanted.version} was written by another owner")
            if taken is not None:
                # One's own, by an attempt that failed after it had written: what is wanted now was made without it.
                self.manifest = taken
                raise StoreUnavailable(
                    f"store: manifest {taken.version} was written after all; to be tried again on it"
                )
        raise Fenced(f"partition {wanted.partition}: manifest {wanted.version} can be neither written nor read")

    def manifest_at(self, version: int) -> Manifest | None:
        """An older manifest that is still there. Raises CorruptManifest, StoreUnavailable."""
        return self._log.get(version)

    def _look_for_newer_owner(self) -> None:
        if _awake_s() - self._last_publish_s < LIST_AFTER_PAUSE_S:
            return
        highest = self._log.highest()
        if highest > self.manifest.version:
            raise Fenced(f"partition {self.manifest.partition}: manifest {highest} was written by another owner")


def _is_mine(log: ManifestLog, manifest: Manifest) -> bool:
    try:
        return log.get(manifest.version) == manifest
    except CorruptManifest:
        return False


def _awake_s() -> float:
    """Seconds that go on while a machine is suspended, where the system has such a clock."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


def _now_us() -> int:
    return time.time_ns() // 1_000
