"""Files that somebody else replaces while a program runs: certificates, tokens. Read again when they change."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Final, Generic, TypeVar

from vitrine.runtime.errors import ConfigError

T = TypeVar("T")

# A handshake or a call asks; the files are looked at no more often than this.
LOOK_INTERVAL_S: Final = 0.5

# By Python's own logging: clients in other people's programs read files again too. A server makes it a line of its log.
_log = logging.getLogger(__name__)

# Of a file: device, inode, bytes, when it was written and when anything about it changed; None = it is not there.
_Signature = tuple[tuple[int, ...] | None, ...]


class Reread(Generic[T]):
    """What some files say together. Asked from any thread; what is unreadable later leaves what was read before.

    Links are followed: a secret that Kubernetes has mounted is replaced by turning a link.
    """

    def __init__(self, what: str, files: Sequence[Path], read: Callable[[], T]) -> None:
        """`read`: all of it, anew. Raises what it raises, which is a ConfigError for what is wrong."""
        self._what = what
        self._files = files
        self._read = read
        self._lock = threading.Lock()
        # Taken before reading: what changes meanwhile is seen as a change at the next look.
        self._signature = self._look()
        self._value = read()
        self._look_s = monotonic() + LOOK_INTERVAL_S
        self._trouble = ""
        self.reloads = 0
        self.failed_reloads = 0

    def current(self) -> T:
        """The same object until the files change."""
        if monotonic() >= self._look_s and self._lock.acquire(blocking=False):
            try:
                self._read_if_changed()
                self._look_s = monotonic() + LOOK_INTERVAL_S
            finally:
                self._lock.release()
        return self._value

    def _read_if_changed(self) -> None:
        seen = self._look()
        if seen == self._signature:
            return
        try:
            self._value = self._read()
        except ConfigError as error:
            # The signature stays as it was: it is tried again at every look, in case it was half written.
            self.failed_reloads += 1
            if str(error) != self._trouble:
                _log.error("%s not reloaded, what was there stays: %s", self._what, error)
            self._trouble = str(error)
            return
        self._signature, self._trouble = seen, ""
        self.reloads += 1
        _log.info("%s reloaded", self._what)

    def _look(self) -> _Signature:
        return tuple(map(_signature, self._files))


def _signature(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
