"""What one event of the catalogue says. Times are microseconds since 1970 UTC."""

from __future__ import annotations

from dataclasses import dataclass, field

from vitrine.attributes import Attributes


@dataclass(frozen=True, slots=True)
class ImageRef:
    """Where one image is: inline `data`, a `uri`, or (neither) stored in the index under `sha256`."""

    image_id: str
    data: bytes | None = field(default=None, repr=False)
    uri: str = ""
    sha256: bytes = b""


@dataclass(frozen=True, slots=True)
class Upsert:
    """The whole product as it is from now on."""

    product_id: str
    images: tuple[ImageRef, ...]
    category: str
    attributes: Attributes
    event_time_us: int | None = None
    expires_at_us: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """The product is withdrawn."""

    product_id: str
    event_time_us: int | None = None


@dataclass(frozen=True, slots=True)
class LiveUpdate:
    """What changes by the minute, as it is from now on: the product's whole live map. Empty: it has none any more."""

    product_id: str
    attributes: Attributes


Event = Upsert | Delete
