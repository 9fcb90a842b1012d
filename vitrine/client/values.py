"""What the client takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from vitrine.attributes import Attributes
from vitrine.facets import Facet
from vitrine.filters import Filter
from vitrine.images import CropBox
from vitrine.shards.records import Hit
from vitrine.stream.log import Position
from vitrine.vectors import Vectors

PLAIN_K: Final = 100


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Search:
    """One search by exactly one of `image` (JPEG, PNG, WebP bytes), `product_id` and `vector` (float32, shape (dim,)).

    k                 products wanted
    crop              a part of the image
    filter            which products may be answered
    min_score         products scoring below are left out
    exact             score every row
    recall_target     instead of the index's own: less is faster
    page_token        an answer's next_page_token: the page after it, of the same search
    explain           say how each shard was searched
    facets            fields whose values are counted over the best 1,000 products
    require_complete  fail rather than answer partially
    at_least          wait until these places of the log are indexed
    """

    image: bytes | None = None
    product_id: str | None = None
    vector: Vectors | None = None
    k: int = 10
    crop: CropBox | None = None
    filter: Filter | None = None
    min_score: float | None = None
    exact: bool = False
    recall_target: float | None = None
    page_token: str = ""
    explain: bool = False
    facets: Sequence[str] = ()
    require_complete: bool = False
    at_least: Sequence[Position] = ()

    @property
    def is_plain(self) -> bool:
        """Whether it costs so little that it may travel with others of its kind, none of which it would hold up."""
        special = self.exact or self.filter or self.recall_target is not None or self.explain or self.facets
        return self.vector is not None and self.k <= PLAIN_K and not (special or self.page_token or self.at_least)


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
class Answer:
    """Products that look like the query, best first. `index_time_us`: microseconds since 1970.

    next_page_token  asks for the next page; empty = there is none
    recall           lowest recall measured for what was spent; 1 = every row was scored
    facets           one a field asked for
    plans            how each shard was searched, if asked for
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


@dataclass(frozen=True, slots=True)
class ScanSummary:
    """How complete a scan was, and what it cost. `index_time_us`: microseconds since 1970."""

    products: int
    coverage: Coverage
    index_time_us: int
    model_id: str
    query_id: str
    rows_scored: int
    scoring_s: float


@dataclass(frozen=True, slots=True)
class Product:
    """A product as it is indexed now. `live`: what changes by the minute about it."""

    product_id: str
    category: str
    attributes: Attributes
    image_sha256s: dict[str, bytes]
    position: Position
    live: Attributes


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
