"""A cache of what was made from objects that come and go: bounded in bytes, and never what keeps them alive."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final, NamedTuple
from weakref import ref

# About what an entry costs beside its value.
_ENTRY_BYTES: Final = 1024


class Key(NamedTuple):
    """What an entry is called by, and the objects it was made from."""

    name: Hashable
    owners: tuple[ref[Any], ...]

    @staticmethod
    def of(name: Hashable, *owners: object) -> Key:
        return Key(name, tuple(map(ref, owners)))


@dataclass(slots=True)
class _Entry:
    value: Any
    size_bytes: int = 0


class WeakCache:
    """Values of at most `bound_bytes` together; the least recently used ones are given up. Safe from several threads.

    A value goes with the first of its owners, if it does not refer to them itself.
    """

    def __init__(self, bound_bytes: int) -> None:
        self.bound_bytes = bound_bytes
        self._size_bytes = 0
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._keys_of: dict[ref[Any], set[Key]] = {}
        # Objects end in any thread at any moment, even in one that holds the lock: their end is only noted.
        self._ended: deque[ref[Any]] = deque()
        self._lock = Lock()

    @property
    def size_bytes(self) -> int:
        """Of all values that are kept, and about what keeping them costs."""
        with self._lock:
            self._drop_ended()
            return self._size_bytes

    def get(self, key: Key) -> Any:
        """The value, or None."""
        with self._lock:
            self._drop_ended()
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry.value

    def put(self, key: Key, value: Any, size_bytes: int) -> Any:
        """The value that is kept: `value`, or what another thread has put there meanwhile.

        The caller holds the owners.
        """
        with self._lock:
            self._drop_ended()
            if key in self._entries:
                return self._entries[key].value
            self._entries[key] = _Entry(value)
            for owner in key.owners:
                self._keys_of.setdefault(ref(owner(), self._ended.append), set()).add(key)
            self._grow(key, size_bytes + _ENTRY_BYTES)
            return value

    def grow(self, key: Key, value: Any, by_bytes: int) -> None:
        """Says that `value` has become larger, if it is still kept."""
        with self._lock:
            self._drop_ended()
            if key in self._entries and self._entries[key].value is value:
                self._grow(key, by_bytes)

    def _grow(self, key: Key, by_bytes: int) -> None:
        entry = self._entries[key]
        entry.size_bytes += by_bytes
        self._size_bytes += by_bytes
        if entry.size_bytes > self.bound_bytes:
            # It would give up everything else, and then itself.
            self._drop(key)
        while self._size_bytes > self.bound_bytes:
            self._drop(next(iter(self._entries)))

    def _drop_ended(self) -> None:
        while self._ended:
            for key in self._keys_of.pop(self._ended.popleft(), ()):
                # Another of its owners may have ended before.
                if key in self._entries:
                    self._drop(key)

    def _drop(self, key: Key) -> None:
        self._size_bytes -= self._entries.pop(key).size_bytes
        for owner in key.owners:
            # One that has ended is no longer found by this name; what is noted of it goes when its end is seen.
            keys = self._keys_of.get(owner)
            if keys is not None:
                keys.discard(key)
                if not keys:
                    del self._keys_of[owner]
