"""The values that go into a shard and come out of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vitrine.attributes import Attributes
from vitrine.vectors import Vectors


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image of a product. `sha256`: 32 bytes. `vector`: float32, shape (dim,), unit length."""

    image_id: str
    uri: str
    sha256: bytes
    vector: Vectors = field(repr=False, compare=False, default_factory=lambda: np.zeros(0, np.float32))


@dataclass(frozen=True, slots=True)
class ProductVersion:
    """A product as one event of the log left it. Times are microseconds since 1970 UTC."""

    product_id: str
    log_offset: int
    category: str
    attributes: Attributes
    images: tuple[ImageRow, ...]
    event_time_us: int
    expires_at_us: int | None = None


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A product withdrawn at `log_offset`: hides it in every older shard."""

    product_id: str
    log_offset: int


@dataclass(frozen=True, slots=True)
class LiveVersion:
    """All that changes by the minute about a product, as one event of the live log left it.

    `log_offset` counts in the live log, apart from the catalogue's. No attributes: the product has none any more.
    """

    product_id: str
    log_offset: int
    attributes: Attributes


Change = ProductVersion | Tombstone


@dataclass(frozen=True, slots=True)
class Hit:
    """One product found, through its best image. `score`: cosine, 1 = same direction. `live`: its live attributes."""

    product_id: str
    image_id: str
    uri: str
    sha256: bytes
    score: float
    category: str
    attributes: Attributes
    live: Attributes = field(default_factory=dict)
