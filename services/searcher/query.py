"""What is asked, checked and turned into what shards understand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.searcher.threads import Turn
from vitrine.filters import Filter, check_field
from vitrine.filters_codec import filter_from_message
from vitrine.runtime.errors import InvalidArgument
from vitrine.shards.query import Query, RankedPlace
from vitrine.stream.codec import MAX_ID_BYTES
from vitrine.v1 import searcher_pb2 as pb
from vitrine.vectors import Vectors, from_wire, rows_from_wire

MAX_QUERIES: Final = 64
MAX_K: Final = 10_000
MAX_SKIPPED: Final = 1_000
MAX_EXCLUDED: Final = 1_000
MAX_FACET_FIELDS: Final = 16
LOWEST_RECALL_TARGET: Final = 0.5
# Of more, reading the answers takes longer than finding them.
QUICK_K: Final = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """A checked query, and what its answer is to hold. `whole_hits` 0: all of them."""

    query: Query
    explain: bool = False
    whole_hits: int = 0
    facet_fields: tuple[str, ...] = ()
    with_vectors: bool = False

    @property
    def fields(self) -> list[str]:
        """The fields that filter and facets name, each once."""
        named = self.query.filter.fields if self.query.filter else ()
        return list(dict.fromkeys([*named, *self.facet_fields]))

    @property
    def turn(self) -> Turn:
        """Whose turn it has: plain queries for few products are quick, whatever they look for."""
        query = self.query
        if query.exact:
            return Turn.EXACT
        # What comes after a place, or beside many left out, may have to be looked for deeper and deeper.
        deep = query.after is not None or max(query.depth, len(query.exclude)) > QUICK_K
        longer = query.filter or query.recall_target or deep
        return Turn.LONGER if longer else Turn.QUICK


@dataclass(frozen=True, eq=False, slots=True)
class AskedScan:
    """A checked exhaustive search. `vector`: float32, shape (dim,), unit length."""

    vector: Vectors
    min_score: float
    filter: Filter | None
    exclude: str


def checked(messages: Sequence[pb.VectorQuery], dim: int) -> list[Asked]:
    """Raises InvalidArgument naming the field: `queries[3].filter.all_of[0].field`."""
    if not 1 <= len(messages) <= MAX_QUERIES:
        raise InvalidArgument("queries", f"has {len(messages)}, 1 to {MAX_QUERIES} are accepted")
    vectors = _vectors([message.vector for message in messages], dim)
    return [_checked(*item, f"queries[{number}]") for number, item in enumerate(zip(messages, vectors, strict=True))]


def checked_scan(message: pb.SearcherScanRequest, dim: int) -> AskedScan:
    """Raises InvalidArgument naming the field."""
    return AskedScan(
        rows_from_wire([message.vector], dim, "vector")[0],
        _finite(message.min_score, "min_score"),
        filter_from_message(message.filter),
        message.exclude_product_id,
    )


def _vectors(data: Sequence[bytes], dim: int) -> Vectors:
    """All at once, which for a batch takes a fraction of the time. Returns float32, shape (n, dim)."""
    try:
        return rows_from_wire(data, dim)
    except InvalidArgument:
        for number, vector in enumerate(data):
            from_wire(vector, dim, f"queries[{number}].vector")
        raise


def _checked(message: pb.VectorQuery, vector: Vectors, field: str) -> Asked:
    if not 1 <= message.k <= MAX_K:
        raise InvalidArgument(f"{field}.k", f"is {message.k}, 1 to {MAX_K} are accepted")
    query = Query(
        vector,
        message.k,
        exact=message.exact,
        recall_target=_recall_target(message, field) if message.HasField("recall_target") else None,
        min_score=_finite(message.min_score, f"{field}.min_score") if message.HasField("min_score") else None,
        exclude=_excluded(message.exclude_product_ids, f"{field}.exclude_product_ids"),
        filter=filter_from_message(message.filter, f"{field}.filter") if message.HasField("filter") else None,
        after=_after(message, field) if message.HasField("after") else None,
        skipped=_skipped(message, field) if message.skipped else 0,
    )
    facet_fields = _facet_fields(message.facet_fields, field)
    return Asked(query, message.explain, message.whole_hits, facet_fields, message.with_vectors)


def _excluded(product_ids: Sequence[str], field: str) -> frozenset[str]:
    if len(product_ids) > MAX_EXCLUDED:
        raise InvalidArgument(field, f"has {len(product_ids):,}, at most {MAX_EXCLUDED:,} are accepted")
    for number, product_id in enumerate(product_ids):
        if not 1 <= len(product_id.encode()) <= MAX_ID_BYTES:
            raise InvalidArgument(f"{field}[{number}]", f"must have 1 to {MAX_ID_BYTES} bytes")
    return frozenset(product_ids)


def _recall_target(message: pb.VectorQuery, field: str) -> float:
    wanted = message.recall_target
    if not LOWEST_RECALL_TARGET <= wanted < 1:
        raise InvalidArgument(f"{field}.recall_target", f"is {wanted}, {LOWEST_RECALL_TARGET} to below 1 are accepted")
    if message.exact:
        raise InvalidArgument(f"{field}.recall_target", "says nothing of an exact search: set one of the two")
    return wanted


def _after(message: pb.VectorQuery, field: str) -> RankedPlace:
    return RankedPlace(_finite(message.after.score, f"{field}.after.score"), message.after.product_id)


def _skipped(message: pb.VectorQuery, field: str) -> int:
    if message.skipped > MAX_SKIPPED:
        raise InvalidArgument(f"{field}.skipped", f"is {message.skipped}, at most {MAX_SKIPPED:,} are accepted")
    if not message.HasField("after"):
        raise InvalidArgument(f"{field}.skipped", "counts what comes before `after`, which is not set")
    return message.skipped


def _facet_fields(names: Sequence[str], field: str) -> tuple[str, ...]:
    if len(names) > MAX_FACET_FIELDS:
        raise InvalidArgument(f"{field}.facet_fields", f"has {len(names)}, at most {MAX_FACET_FIELDS} are accepted")
    for number, name in enumerate(names):
        check_field(name, f"{field}.facet_fields[{number}]")
    return tuple(names)


def _finite(number: float, field: str) -> float:
    if not math.isfinite(number):
        raise InvalidArgument(field, "is NaN or infinite")
    return number
