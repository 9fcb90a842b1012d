"""What the JSON endpoints answer. The document at /openapi.json is made from these types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

Value = str | float | bool | Sequence[str]


@dataclass(frozen=True)
class Problem:
    """`code`: a gRPC status name, or TOO_LARGE, TOO_SLOW, UNSUPPORTED_MEDIA_TYPE. `field`: of the request, or empty."""

    code: str
    field: str
    message: str


@dataclass(frozen=True)
class ProblemAnswer:
    error: Problem


@dataclass(frozen=True)
class Box:
    """A part of a picture, as fractions of its upright width and height."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Hit:
    """One product. `thumbnail`: path of its picture here, at most 256 px. `live`: what changes by the minute."""

    product_id: str
    image_id: str
    thumbnail: str
    score: float
    category: str
    attributes: Mapping[str, Value]
    live: Mapping[str, Value]


@dataclass(frozen=True)
class PartitionFailure:
    partition: int
    reason: str


@dataclass(frozen=True)
class Coverage:
    """How complete an answer is: partitions_answered + failures = partitions_total."""

    partitions_total: int
    partitions_answered: int
    rows_searched: int
    failures: Sequence[PartitionFailure]


@dataclass(frozen=True)
class FacetCount:
    value: Value
    products: int


@dataclass(frozen=True)
class Facet:
    """The values of one field over the best 1,000 products, most frequent first."""

    field: str
    counts: Sequence[FacetCount]
    products: int
    products_without: int
    values_left_out: int


@dataclass(frozen=True)
class FoundRegion:
    """Where the model found the product. `crop` null: nothing stands out. `no_product_score`: 0 to 1."""

    crop: Box | None
    no_product_score: float | None


@dataclass(frozen=True)
class PredictedCategory:
    """`applied`: only products of this category were searched."""

    category: str
    confidence: float
    applied: bool


@dataclass(frozen=True)
class SearchAnswer:
    """Best first. `index_time`: everything published before is in it. `region`, `predicted_category`: if asked for."""

    results: Sequence[Hit]
    coverage: Coverage
    index_time: str
    model_id: str
    query_id: str
    next_page_token: str
    recall: float
    facets: Sequence[Facet]
    region: FoundRegion | None
    predicted_category: PredictedCategory | None


@dataclass(frozen=True)
class Interest:
    """What part of a history is about. `product_id` stands for it; `weight`: its share, 0 to 1."""

    product_id: str
    weight: float
    history_product_ids: Sequence[str]


@dataclass(frozen=True)
class Recommendation:
    """`interest`: index into `interests`. `because_product_id`: of the history, the most like it."""

    hit: Hit
    interest: int
    because_product_id: str


@dataclass(frozen=True)
class RecommendAnswer:
    results: Sequence[Recommendation]
    coverage: Coverage
    index_time: str
    model_id: str
    query_id: str
    interests: Sequence[Interest]
    unknown_product_ids: Sequence[str]
    recall: float


@dataclass(frozen=True)
class LookCategory:
    category: str
    results: Sequence[Hit]


@dataclass(frozen=True)
class LookAnswer:
    """The best of each other category. `affinity`: "learned", "style" or "vector"."""

    categories: Sequence[LookCategory]
    coverage: Coverage
    index_time: str
    model_id: str
    query_id: str
    own_category: str
    affinity: str
    region: FoundRegion | None


@dataclass(frozen=True)
class ProductImage:
    image_id: str
    thumbnail: str


@dataclass(frozen=True)
class Product:
    product_id: str
    category: str
    attributes: Mapping[str, Value]
    live: Mapping[str, Value]
    images: Sequence[ProductImage]


@dataclass(frozen=True)
class CategoryCount:
    category: str
    images: int


@dataclass(frozen=True)
class Catalogue:
    """What can be filtered by. `price_field` empty: no product has a price. `choice_fields`: of words, few each.

    `ops`: there is a page for those who look after the shop.
    """

    index: str
    images: int
    ops: bool
    categories: Sequence[CategoryCount]
    price_field: str
    choice_fields: Sequence[str]


@dataclass(frozen=True)
class Samples:
    """Some products of the largest categories, to begin with."""

    results: Sequence[Hit]


@dataclass(frozen=True)
class Shard:
    """`shard_id`, its rows, how it is searched, and the recall measured when it was built."""

    shard_id: str
    kind: str
    rows: int
    rows_live: int
    tombstones: int
    method: str
    recall_at_10: float
    recall_at_100: float
    target_reached: bool


@dataclass(frozen=True)
class Partition:
    """`recall_at_10`: the lowest of its shards. `probed_recall`: of real queries, asked again exactly; null: none yet.

    `behind_s`: how long ago everything published was in it.
    """

    partition: int
    version: int
    next_offset: int
    next_live_offset: int
    rows_live: int
    products_live: int
    index_time: str
    behind_s: float
    paused: str
    recall_at_10: float
    probed_recall: float | None
    probed_queries: int
    shards: Sequence[Shard]


@dataclass(frozen=True)
class Status:
    index: str
    dim: int
    metric: str
    model_id: str
    log_id: str
    coverage: Coverage
    partitions: Sequence[Partition]
    categories: Sequence[CategoryCount]


@dataclass(frozen=True)
class RecentQuery:
    """What was asked and answered: never the shopper's picture."""

    time: str
    method: str
    kind: str
    surface: str
    query_id: str
    query_product_ids: Sequence[str]
    results: Sequence[Hit]
    coverage: Coverage
    handled_ms: float


@dataclass(frozen=True)
class RecentQueries:
    """Newest first."""

    queries: Sequence[RecentQuery]


@dataclass(frozen=True)
class DeadLetter:
    """An event, or some pictures of one, that could not be indexed."""

    partition: int
    offset: int
    stream: str
    product_id: str
    reason: str
    partly_indexed: bool
    time: str


@dataclass(frozen=True)
class DeadLetters:
    """The newest first; `total` counts those left out too."""

    letters: Sequence[DeadLetter]
    total: int


def as_json(answer: object) -> bytes:
    return adapter_of(type(answer)).dump_json(answer)


def adapter_of(kind: type[Any]) -> TypeAdapter[Any]:
    """Made once a type: that takes milliseconds."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}
