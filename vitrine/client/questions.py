"""What the client takes. Times are microseconds since 1970."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from vitrine.filters import Filter
from vitrine.images import CropBox
from vitrine.stream.log import Position
from vitrine.vectors import Vectors

PLAIN_K: Final = 100

# Which part of a picture is meant: this one, or the product that the model finds in it.
Crop: TypeAlias = CropBox | Literal["auto"]
# What a shopper did with a product.
Deed: TypeAlias = Literal["click", "add_to_cart", "purchase", "dismiss"]
# A product id, the bytes of a picture, or a float32 vector of shape (dim,).
Thing: TypeAlias = str | bytes | Vectors


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """Something that a shopper likes, or does not. `weight`: above 0, at most 100; None = 1. `crop`: of a picture."""

    thing: Thing
    weight: float | None = None
    crop: Crop | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """More like the positive ones, less like the negative ones. A thing alone is an example of weight 1."""

    positive: Sequence[Example | Thing]
    negative: Sequence[Example | Thing] = ()


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """A product that a shopper looked at, or bought.

    time_us  when; None = as recently as the most recent one
    weight   above 0, at most 100, as a purchase may count more than a look; None = 1
    """

    product_id: str
    time_us: int | None = None
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class OrderBy:
    """By a field that is a number ("attributes.<name>" or "live.<name>"). Products without it come last."""

    field: str
    descending: bool = False


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Search:
    """One search, by exactly one of `image` (JPEG, PNG or WebP), `product_id`, `vector` (float32, shape (dim,)) and
    `examples`.

    k                   products wanted
    crop                the part of the image that is meant; "auto": the product that the model finds in it
    filter              which products may be answered
    min_score           products scoring below are left out
    category            "predict": only products of the category that the model sees in the image, where it is sure
    category_threshold  how sure it must be, 0 to 1; None = 0.5
    history             what this shopper liked lately bends the answer: products, or their ids
    history_weight      how much, 0 to 1; None = 0.3
    diversity           0 = the best, however alike; 1 = as different as can be
    order_by            by a field instead of by score; needs `min_score`
    exact               score every row
    recall_target       instead of the index's own: less is faster
    page_token          an answer's next_page_token: the page after it, of the same search
    explain             say how each shard was searched
    facets              fields whose values are counted over the best 1,000 products
    surface             where the answer will be shown ("search", "product-page"): noted, to learn from feedback
    require_complete    fail rather than answer partially
    at_least            wait until these places of the log are indexed
    timeout_s           for this search, tries and waits together; None = the client's
    """

    image: bytes | None = None
    product_id: str | None = None
    vector: Vectors | None = None
    examples: Examples | None = None
    k: int = 10
    crop: Crop | None = None
    filter: Filter | None = None
    min_score: float | None = None
    category: Literal["predict"] | None = None
    category_threshold: float | None = None
    history: Sequence[HistoryItem | str] = ()
    history_weight: float | None = None
    diversity: float | None = None
    order_by: OrderBy | None = None
    exact: bool = False
    recall_target: float | None = None
    page_token: str = ""
    explain: bool = False
    facets: Sequence[str] = ()
    surface: str = ""
    require_complete: bool = False
    at_least: Collection[Position] = ()
    timeout_s: float | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it costs so little that it may travel with others of its kind, none of which it would hold up."""
        special = self.exact or self.filter or self.recall_target is not None or self.explain or self.facets
        bent = self.history or self.diversity or self.order_by
        later = self.page_token or self.at_least or self.surface
        return self.vector is not None and self.k <= PLAIN_K and not (special or bent or later)
