"""The index this gateway answers for: its settings, once index.json exists."""

from __future__ import annotations

import asyncio

from vitrine.index.settings import IndexSettings, load
from vitrine.index.store import Store
from vitrine.runtime.errors import Unavailable, UnknownIndex

_LOOK_INTERVAL_S = 0.25


class Directory:
    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._index: IndexSettings | None = None

    def get(self, asked: str) -> IndexSettings:
        """Settings of the index `asked` for; empty = the one served. Raises UnknownIndex, Unavailable."""
        if asked not in ("", self._name):
            raise UnknownIndex(asked)
        if self._index is None:
            raise Unavailable(f"index {self._name!r} does not exist yet: no indexer has made it")
        return self._index

    @property
    def known(self) -> bool:
        return self._index is not None

    async def look(self) -> None:
        """Looks for index.json until it is there, then waits until cancelled."""
        while self._index is None:
            try:
                self._index = await asyncio.to_thread(load, self._store, self._name)
            except (UnknownIndex, Unavailable):
                await asyncio.sleep(_LOOK_INTERVAL_S)
        await asyncio.Event().wait()
