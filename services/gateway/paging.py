"""Page tokens: where the next page of an answer begins, and whose answer it is. Opaque to callers.

base64url of: version, the query's key, how many products are answered, the last one's score and id, the query's vector
where it was no vector that was asked with (an embedder need not give a picture the same last bits twice, and a product
may change between two pages), the category predicted, and a checksum, which tells a damaged token from another query's.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from typing import Final, NamedTuple

import xxhash

from vitrine.runtime.errors import InvalidArgument

# The pages of one query hold no more products than these together.
MAX_PAGED: Final = 1_000
KEY_BYTES: Final = 16

_FIELD: Final = "page_token"
_VERSION: Final = 2
_HEAD: Final = struct.Struct(f"<B{KEY_BYTES}sHfIH")
_CHECKSUM_BYTES: Final = 8


class Place(NamedTuple):
    """Where a page ended: after `product_id`, which scored `score` and was the last of `skipped` products.

    `vector`: little-endian float32 of a query that was no vector; else empty. `category`: predicted, and all that is
    searched; empty: not.
    """

    skipped: int
    score: float
    product_id: str
    vector: bytes
    category: str = ""


def token_of(place: Place, key: bytes) -> str:
    """The token of a page that ended at `place`; `key` names the query."""
    category = place.category.encode()
    head = _HEAD.pack(_VERSION, key, place.skipped, place.score, len(place.vector), len(category))
    body = head + place.vector + category + place.product_id.encode()
    return base64.urlsafe_b64encode(body + xxhash.xxh3_64_digest(body)).rstrip(b"=").decode()


def place_of(token: str, key: bytes) -> Place:
    """Where the page ended that `token` came with. Raises InvalidArgument: damaged, or another query's than `key`'s."""
    body = _intact(token)
    version, owner, skipped, score, vector_bytes, category_bytes = _HEAD.unpack_from(body)
    if version != _VERSION:
        raise InvalidArgument(_FIELD, f"is of version {version}, which is not known here")
    if owner != key:
        raise InvalidArgument(_FIELD, "belongs to another query; only page_size and facets may differ between pages")
    rest = body[_HEAD.size :]
    vector, category = rest[:vector_bytes], rest[vector_bytes:][:category_bytes]
    if (
        not 0 < skipped < MAX_PAGED
        or not math.isfinite(score)
        or len(vector + category) != vector_bytes + category_bytes
    ):
        raise InvalidArgument(_FIELD, "is damaged")
    product_id = rest[vector_bytes + category_bytes :]
    return Place(skipped, score, product_id.decode(errors="replace"), vector, category.decode(errors="replace"))


def _intact(token: str) -> bytes:
    try:
        data = base64.b64decode(token.encode() + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise InvalidArgument(_FIELD, "is damaged: not what an answer came with") from error
    body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if len(body) < _HEAD.size or xxhash.xxh3_64_digest(body) != checksum:
        raise InvalidArgument(_FIELD, "is damaged or cut short")
    return body
