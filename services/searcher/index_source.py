"""index.json, from the store; at a start without the store, as it was when this machine last read it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from vitrine.index.cache import write_whole
from vitrine.index.settings import IndexSettings, load, settings_key
from vitrine.index.store import Store
from vitrine.runtime.errors import ConfigError, StoreUnavailable, UnknownIndex
from vitrine.runtime.logs import logger


class IndexSource:
    """`missing`: why there is no index yet. `away`: the store's last failure, if it could not be read."""

    def __init__(self, store: Store, index: str, cache: Path) -> None:
        self.is_remote = store.local_path(index) is None
        self.missing = f"index {index!r} does not exist yet"
        self.away: StoreUnavailable | None = None
        self._store = store
        self._index = index
        self._cache = cache

    def stored(self) -> IndexSettings | None:
        """Blocks. None: it does not exist, or the store cannot be read. Raises ConfigError."""
        self.away = None
        try:
            return load(self._store, self._index)
        except UnknownIndex:
            self.missing = f"index {self._index!r} does not exist yet"
        except StoreUnavailable as error:
            self.away, self.missing = error, f"index {self._index!r}: {error}"
        return None

    def kept(self) -> IndexSettings | None:
        """What `keep` wrote on this machine, if it can be read here."""
        try:
            return load(Store.open(str(self._cache)), self._index) if self.is_remote else None
        except (UnknownIndex, ConfigError, StoreUnavailable):
            return None

    def keep(self, index: IndexSettings) -> None:
        """Keeps it for a start without the store; a cache that cannot be written is said and goes without."""
        try:
            write_whole(self._cache / settings_key(index.name), json.dumps(asdict(index)).encode())
        except OSError as error:
            logger().warning("index.json not kept in the cache", reason=str(error))
