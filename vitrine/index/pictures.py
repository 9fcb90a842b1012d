"""Pictures and their thumbnails, once each, by the SHA-256 of the picture's bytes."""

from __future__ import annotations

import hashlib

from vitrine.images import thumbnail
from vitrine.index.store import Store


class Pictures:
    """`<index>/images/<sha256>` and `<index>/thumbs/<sha256>` of the store. `sha256` is 32 raw bytes throughout."""

    def __init__(self, store: Store, index: str) -> None:
        self._store = store
        self._index = index

    def put(self, data: bytes) -> bytes:
        """Stores a picture if it is new. Returns its sha256. Raises StoreUnavailable."""
        sha256 = hashlib.sha256(data).digest()
        self._store.create(self._key("images", sha256), data)
        return sha256

    def get(self, sha256: bytes) -> bytes | None:
        return self._store.get(self._key("images", sha256))

    def put_thumbnail(self, sha256: bytes, webp: bytes) -> None:
        self._store.create(self._key("thumbs", sha256), webp)

    def has_thumbnail(self, sha256: bytes) -> bool:
        return self._store.exists(self._key("thumbs", sha256))

    def get_thumbnail(self, sha256: bytes) -> bytes | None:
        """A WebP, longer side at most 256 px; None if neither it nor the picture is stored. Blocks.

        Of a stored picture it is made when somebody looks for the first time: most are never looked at, and making
        one costs half as much as embedding the picture. Raises StoreUnavailable, and BadImage for a damaged picture.
        """
        webp = self._store.get(self._key("thumbs", sha256))
        if webp is not None:
            return webp
        picture = self.get(sha256)
        if picture is None:
            return None
        webp = thumbnail(picture)
        self.put_thumbnail(sha256, webp)
        return webp

    def _key(self, folder: str, sha256: bytes) -> str:
        return f"{self._index}/{folder}/{sha256.hex()}"
