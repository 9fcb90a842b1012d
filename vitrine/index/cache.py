"""The bounded cache of shards that readers of a remote store copy to their machine."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from vitrine.index.manifest import Manifest
from vitrine.runtime.errors import CorruptManifest
from vitrine.runtime.logs import logger
from vitrine.shards.files import FRESH_FILE

DEFAULT_CACHE_BYTES: Final = 20 << 30
# A copy used within this time may be about to be opened, by any process.
IN_USE_S: Final = 60.0
# Shards that a manifest named which was served this recently are those that the next start serves.
SERVED_S: Final = 3600.0
# Fresh shards are merged within minutes and never read again: without this, there would be a folder for each commit.
FRESH_UNUSED_S: Final = 600.0
# What has been half copied or half removed this long was left by a process that is gone.
ABANDONED_S: Final = 3600.0
# Counting looks at every copy, so it is not done for each.
_COUNT_INTERVAL_S: Final = 5.0
# A process that copies a shard this long may be stuck: the others copy it themselves.
COPY_PATIENCE_S: Final = 120.0
_COPY_POLL_S: Final = 0.05
_COPYING_SUFFIX: Final = ".copying"
_SERVED_FILE: Final = "manifest.json"
_PARTITIONS: Final = "p" + "[0-9]" * 5


class ShardCache:
    """Copies of one index's shards on this machine: at most `bound_bytes` (0: no bound), least recently used go first.

        p00003/<shard id>/      a copy; the folder's own time says when it was last used
        p00003/manifest.json    the manifest served last; its time says when it still was
        p00003.copying          locked by the process that copies shards of the partition

    All shelves of a process share one cache, and processes may share the folder. Never evicted are the shards that this
    process holds, those that a partition's `manifest.json` names while somebody serves it, and what has just been used,
    by whomever; where these alone exceed the bound they all stay, and it is said. Eviction renames a copy, then removes
    it. Whoever has its files mapped reads on; whoever finds its folder gone copies it again.
    """

    def __init__(self, folder: Path, bound_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self.folder = folder
        self.bound_bytes = bound_bytes
        self.spared_bytes = 0
        self._sizes: dict[Path, int] = {}
        self._held: dict[object, frozenset[Path]] = {}
        self._served: set[Path] = set()
        self._counted_s = float("-inf")
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """All copies, as of the last count."""
        return sum(list(self._sizes.values()))

    @property
    def over_bound(self) -> bool:
        """What must not be evicted alone exceeds the bound."""
        return 0 < self.bound_bytes < self.spared_bytes

    def hold(self, owner: object, copies: Iterable[Path]) -> None:
        """Keeps `copies`, and no longer what `owner` held before."""
        held = frozenset(copies)
        with self._lock:
            if held:
                self._held[owner] = held
            else:
                self._held.pop(owner, None)

    def use(self, copy: Path) -> bool:
        """Marks a copy as used now. False if there is none."""
        try:
            os.utime(copy)
        except OSError:
            return copy.exists()  # of another user, perhaps: no less fit to be read
        return True

    @contextmanager
    def copying(self, copy: Path) -> Iterator[None]:
        """Waits while another process copies shards of the same partition, or until `copy` is there. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        deadline_s = time.monotonic() + COPY_PATIENCE_S
        with copy.parent.with_suffix(_COPYING_SUFFIX).open("a") as lock:
            while not _locked(lock) and not copy.exists() and time.monotonic() < deadline_s:
                time.sleep(_COPY_POLL_S)
            yield

    def added(self, copy: Path) -> None:
        """Counts a new copy, and makes room for it."""
        with self._lock:
            self._sizes[copy] = _size_bytes(copy)
        if 0 < self.bound_bytes < self.size_bytes or time.monotonic() - self._counted_s > _COUNT_INTERVAL_S:
            self.make_room()

    def make_room(self) -> None:
        """Counts what is there and evicts what is too much. For its owner to call every few seconds too.

        Raises nothing: what cannot be removed stays, and is counted.
        """
        with self._lock:
            for file in self._served:
                with suppress(OSError):
                    os.utime(file)
            self._count()
            was_over = self.over_bound
            spared = self._spared()
            self.spared_bytes = sum(size for copy, size in self._sizes.items() if copy in spared)
            if self.over_bound and not was_over:
                logger().warning("live shards exceed the cache", bytes=self.spared_bytes, bound_bytes=self.bound_bytes)
            self._evict(spared)

    def served(self, partition: str) -> Manifest | None:
        """The manifest of a partition that was served last, by any process."""
        return _manifest_in(self.folder / partition / _SERVED_FILE)

    def serve(self, partition: str, manifest: Manifest) -> None:
        """Remembers what is served now, for a start without the store. Raises OSError."""
        file = self.folder / partition / _SERVED_FILE
        write_whole(file, manifest.to_json())
        self._served.add(file)

    def _count(self) -> None:
        """Sizes never change, so only what is new is measured."""
        now_s, sizes = time.time(), {}
        for copy in self.folder.glob(f"{_PARTITIONS}/*/"):
            if "." in copy.name:
                if now_s - _last_written_s(copy) > ABANDONED_S:
                    shutil.rmtree(copy, ignore_errors=True)
            else:
                sizes[copy] = self._sizes.get(copy) or _size_bytes(copy)
        self._sizes, self._counted_s = sizes, time.monotonic()

    def _spared(self) -> frozenset[Path]:
        spared = frozenset().union(*self._held.values())
        for file in self.folder.glob(f"{_PARTITIONS}/{_SERVED_FILE}"):
            manifest = _manifest_in(file) if time.time() - _modified_s(file) < SERVED_S else None
            if manifest is not None:
                spared |= {file.parent / entry.shard_id for entry in manifest.shards}
        return spared

    def _evict(self, spared: frozenset[Path]) -> None:
        excess = self.size_bytes - self.bound_bytes if self.bound_bytes else 0
        used_s = {copy: _modified_s(copy) for copy in self._sizes.keys() - spared}
        for copy in sorted(used_s, key=lambda copy: used_s[copy]):
            unused_s = time.time() - used_s[copy]
            if unused_s < IN_USE_S:
                return
            if excess > 0 or (unused_s > FRESH_UNUSED_S and (copy / FRESH_FILE).exists()):
                excess -= self._sizes.pop(copy)
                remove_whole(copy)


def write_whole(file: Path, data: bytes) -> None:
    """Replaces a file in one step. Not synced: who reads it after a power cut checks it. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.{uuid.uuid4().hex}.partial")
    partial.write_bytes(data)
    partial.replace(file)


def remove_whole(copy: Path) -> None:
    """Removes a folder that nobody may see half removed."""
    going = copy.with_name(f"{copy.name}.{uuid.uuid4().hex}.evicted")
    with suppress(OSError):  # another process was faster, or it is another user's
        copy.rename(going)
    shutil.rmtree(going, ignore_errors=True)


def _locked(file: IO[str]) -> bool:
    """Until it is closed, by whatever: a process that is killed leaves no lock behind."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _manifest_in(file: Path) -> Manifest | None:
    try:
        return Manifest.from_json(file.read_bytes(), str(file))
    except (OSError, CorruptManifest):
        return None


def _size_bytes(copy: Path) -> int:
    with suppress(OSError):  # evicted by another process meanwhile
        return sum(file.stat().st_size for file in copy.iterdir())
    return 0


def _modified_s(path: Path) -> float:
    """Seconds since 1970; now, if it has gone meanwhile."""
    with suppress(OSError):
        return path.stat().st_mtime
    return time.time()


def _last_written_s(folder: Path) -> float:
    """When the newest of a folder's files was written, seconds since 1970; now, if it has gone meanwhile."""
    with suppress(OSError):
        return max(map(_modified_s, (folder, *folder.iterdir())))
    return time.time()
