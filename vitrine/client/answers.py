"""What the client gives. Times are microseconds since 1970."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vitrine.attributes import Attributes
from vitrine.facets import Facet
from vitrine.images import CropBox
from vitrine.shards.records import Hit
from vitrine.stream.log import Position
from vitrine.vectors import Vectors


@dataclass(frozen=True, slots=True)
class Coverage:
    """How complete an answer is. `failures`: why each missing partition is missing."""

    partitions_total: int
    partitions_answered: int
    rows_searched: int
    failures: dict[int, str]

    @property
    def complete(self) -> bool:
        return self.partitions_answered == self.partitions_total


@dataclass(frozen=True, slots=True)
class Plan:
    """How one shard (with an empty id: all fresh ones of a partition) was searched, and what it cost.

    The fields are those of ShardPlan in protos/vitrine/v1/searcher.proto; times are microseconds.
    """

    partition: int
    shard_id: str
    method: str
    rows_live: int
    rows_matching: int
    nodes_inspected: int
    rows_scored: int
    fell_back: bool
    search_us: float
    mask_us: float
    mask_cached: bool


@dataclass(frozen=True, slots=True)
class FoundRegion:
    """Where the model found a product in a picture.

    crop              the part that was searched with; None = nothing stands out, so it was the whole picture
    no_product_score  how sure it is that there is no product, 0 to 1; None = this model cannot tell
    """

    crop: CropBox | None
    no_product_score: float | None


@dataclass(frozen=True, slots=True)
class PredictedCategory:
    """What the model takes a picture for. `confidence`: 0 to 1. `applied`: only this category was searched."""

    category: str
    confidence: float
    applied: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """Products that look like the query, best first.

    index_time_us       everything appended to the log before this is in the answer
    query_id            names the answer, in `send_feedback` and in logs
    next_page_token     asks for the next page; empty = there is none
    recall              lowest recall measured for what was spent; 1 = every row was scored
    facets              one a field asked for
    plans               how each shard was searched, if asked for
    region              where the product is in the picture, with crop="auto"
    predicted_category  with category="predict"
    """

    hits: list[Hit]
    coverage: Coverage
    index_time_us: int
    model_id: str
    query_id: str
    next_page_token: str = ""
    recall: float = 1.0
    facets: list[Facet] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    region: FoundRegion | None = None
    predicted_category: PredictedCategory | None = None


@dataclass(frozen=True, slots=True)
class ScanSummary:
    """How complete a scan was, and what it cost."""

    products: int
    coverage: Coverage
    index_time_us: int
    model_id: str
    query_id: str
    rows_scored: int
    scoring_s: float


@dataclass(frozen=True, slots=True)
class Interest:
    """What part of a history is about.

    product_id           the product of the history that stands for it
    weight               its share of all that the history weighs, 0 to 1
    history_product_ids  what it is made of, the weightiest first
    """

    product_id: str
    weight: float
    history_product_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A product that a shopper may like, because of one in the history that is most like it."""

    hit: Hit
    interest: Interest
    because_product_id: str


@dataclass(frozen=True, slots=True)
class Recommendations:
    """What a shopper may like: interests take turns by weight, and within one the best comes first.

    interests            the weightiest first
    unknown_product_ids  products of the history that are not in the index (any more); they were passed over
    """

    results: list[Recommendation]
    coverage: Coverage
    index_time_us: int
    model_id: str
    query_id: str
    interests: list[Interest]
    unknown_product_ids: list[str]
    recall: float

    @property
    def hits(self) -> list[Hit]:
        return [result.hit for result in self.results]


@dataclass(frozen=True, slots=True)
class LookCategory:
    """The best of one category. A hit's `score` is its affinity: how well it goes with what was asked, -1 to 1."""

    category: str
    hits: list[Hit]


@dataclass(frozen=True, slots=True)
class Look:
    """What goes with a product.

    categories    the one with the best first product first; none is empty
    own_category  of what was asked with, which was not searched
    affinity      what it is measured by: "learned", "style" or "vector"
    region        where the product is in the picture, with crop="auto"
    """

    categories: list[LookCategory]
    coverage: Coverage
    index_time_us: int
    model_id: str
    query_id: str
    own_category: str
    affinity: str
    region: FoundRegion | None


@dataclass(frozen=True, slots=True)
class DuplicateMember:
    """A product of a group, with the image that is most like one of another product there, and how like it is."""

    product_id: str
    image_id: str
    uri: str
    sha256: bytes
    score: float
    category: str
    attributes: Attributes


DuplicateGroup = tuple[DuplicateMember, ...]


@dataclass(frozen=True, slots=True)
class DuplicatesSummary:
    """How complete the groups are."""

    products_compared: int
    products_total: int
    coverage: Coverage
    index_time_us: int
    model_id: str
    query_id: str


@dataclass(frozen=True, slots=True)
class RecentQuery:
    """What was asked of a gateway, and answered. The fields are those of RecentQuery in gateway.proto."""

    time_us: int
    method: str
    kind: str
    surface: str
    query_id: str
    query_product_ids: tuple[str, ...]
    hits: list[Hit]
    coverage: Coverage
    handled_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class ProductImage:
    """`vector`: float32, shape (dim,), of unit length; None unless it was asked for."""

    image_id: str
    uri: str
    sha256: bytes
    vector: Vectors | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """A product as it is indexed now. `live`: what changes by the minute about it."""

    product_id: str
    category: str
    attributes: Attributes
    images: Sequence[ProductImage]
    position: Position
    live: Attributes

    @property
    def image_sha256s(self) -> dict[str, bytes]:
        """By image id."""
        return {image.image_id: image.sha256 for image in self.images}


@dataclass(frozen=True, slots=True)
class Ack:
    """What became of one published event: its place in the log, or why it was refused."""

    product_id: str
    position: Position | None
    error: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A dead letter: an event, or some images of one, that could not be indexed."""

    position: Position
    product_id: str
    reason: str
    partly_indexed: bool
