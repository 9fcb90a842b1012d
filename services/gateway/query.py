"""Step 1: what was asked, checked field by field, and how a searcher is asked for it."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import xxhash

from services.gateway.paging import MAX_PAGED, Place, place_of
from vitrine.filters import Filter, check_field
from vitrine.filters_codec import filter_from_message
from vitrine.images import MAX_BYTES, CropBox
from vitrine.index.settings import IndexSettings
from vitrine.runtime.errors import BadImage, InvalidArgument
from vitrine.stream.codec import MAX_ID_BYTES
from vitrine.v1 import catalogue_pb2, searcher_pb2
from vitrine.v1 import gateway_pb2 as pb
from vitrine.vectors import from_wire

DEFAULT_PAGE_SIZE: Final = 10
MAX_PAGE_SIZE: Final = 10_000
MAX_FACETS: Final = 16
# Facets are counted over so many of the best products.
FACET_PRODUCTS: Final = 1_000
MAX_AT_LEAST: Final = 1_024
# A larger page would keep the small ones that travel with it waiting.
MAX_PLAIN_PAGE: Final = 100

# Kind, crop, min_score or NaN, exact, recall_target, filter.
_KEY: Final = struct.Struct("<10s?4ff?d32s")
_ORDINARY: Final = (1e-12, 1e12)


class Question(NamedTuple):
    """A checked search; the vector of an image or a product is still to be found.

    kind    "image", "product_id" or "vector"
    page_size  as asked for, or what is left of the products that all pages may hold
    filter  None = all products
    after   where the page before ended; None = this is the first
    key     16 bytes, the same for every page of the same query
    plain   may travel to a searcher together with others: it asks for nothing that they do not
    """

    request: pb.SearchRequest
    kind: str
    page_size: int
    filter: Filter | None
    after: Place | None
    key: bytes
    plain: bool

    @property
    def vector(self) -> bytes | None:
        """Little-endian float32, where it is known already."""
        if self.kind == "vector":
            return self.request.vector
        return self.after.vector if self.after else None


def checked(request: pb.SearchRequest, index: IndexSettings) -> Question:
    """Raises InvalidArgument naming the first field that is wrong."""
    kind = check_query(request, index)
    if request.HasField("min_score"):
        check_min_score(request.min_score)
    if request.HasField("recall_target"):
        _check_recall_target(request)
    for number, name in enumerate(_few(request.facets)):
        check_field(name, f"facets[{number}]")
    check_at_least(request.at_least, index)
    wanted = filter_from_message(request.filter) if request.HasField("filter") else None
    page_size = asked_page_size(request)
    if not 1 <= page_size <= MAX_PAGE_SIZE:
        raise InvalidArgument("page_size", f"is {page_size}, 1 to {MAX_PAGE_SIZE:,} are accepted")
    key = _key(request, kind, wanted, index)
    after = _place(request.page_token, key, kind, index) if request.page_token else None
    if after:
        page_size = min(page_size, MAX_PAGED - after.skipped)
    return Question(request, kind, page_size, wanted, after, key, _plain(request, wanted, page_size))


def check_query(request: pb.SearchRequest | pb.ScanRequest, index: IndexSettings) -> str:
    """Which query it is. Raises InvalidArgument where it, or its crop, is wrong."""
    kind = request.WhichOneof("query")
    if request.HasField("crop") and kind != "image":
        raise InvalidArgument("crop", "only goes with image")
    match kind:
        case "vector":
            _check_vector(request.vector, index.dim)
        case "product_id":
            check_product_id(request.product_id)
        case "image":
            _check_image(request)
        case _:
            raise InvalidArgument("query", "one of image, product_id or vector must be set")
    return kind


def check_product_id(product_id: str) -> None:
    if not 1 <= len(product_id.encode()) <= MAX_ID_BYTES:
        raise InvalidArgument("product_id", f"must have 1 to {MAX_ID_BYTES} bytes")


def check_min_score(min_score: float) -> None:
    if not -1 <= min_score <= 1:
        raise InvalidArgument("min_score", f"is {min_score}, not between -1 and 1")


def check_at_least(positions: Sequence[catalogue_pb2.LogPosition], index: IndexSettings) -> None:
    if len(positions) > MAX_AT_LEAST:
        raise InvalidArgument("at_least", f"has {len(positions):,} positions, at most {MAX_AT_LEAST:,} are accepted")
    for number, position in enumerate(positions):
        if position.partition >= index.partitions:
            field = f"at_least[{number}].partition"
            raise InvalidArgument(field, f"is {position.partition}, not below {index.partitions}")


def asked_page_size(request: pb.SearchRequest) -> int:
    return request.page_size if request.HasField("page_size") else DEFAULT_PAGE_SIZE


def products_wanted(request: pb.SearchRequest) -> int:
    """Products that searchers have to find for it, at most."""
    page_size = asked_page_size(request)
    return max(page_size, FACET_PRODUCTS) if request.facets else page_size


def wire_queries(question: Question, vector: bytes) -> list[searcher_pb2.VectorQuery]:
    """What a searcher is asked: the page and, where facets are wanted on a later page, the best products once more.

    `vector`: little-endian float32.
    """
    request = question.request
    query = searcher_pb2.VectorQuery(vector=vector, k=question.page_size)
    if question.kind == "product_id":
        query.exclude_product_id = request.product_id
    if request.HasField("min_score"):
        query.min_score = request.min_score
    if question.plain:
        return [query]
    query.exact = request.exact
    if question.filter:
        query.filter.CopyFrom(request.filter)
    if request.HasField("recall_target"):
        query.recall_target = request.recall_target
    if question.after:
        return _later_page(query, question.after, request)
    if request.facets:
        query.k, query.whole_hits = max(question.page_size, FACET_PRODUCTS), question.page_size
        query.facet_fields.extend(request.facets)
    query.explain = request.explain
    return [query]


def _later_page(
    query: searcher_pb2.VectorQuery, after: Place, request: pb.SearchRequest
) -> list[searcher_pb2.VectorQuery]:
    page = searcher_pb2.VectorQuery()
    page.CopyFrom(query)
    page.after.score, page.after.product_id = after.score, after.product_id
    page.skipped, page.explain = after.skipped, request.explain
    if not request.facets:
        return [page]
    query.k, query.whole_hits = FACET_PRODUCTS, 1
    query.facet_fields.extend(request.facets)
    return [page, query]


def _check_vector(data: bytes, dim: int) -> None:
    """As `from_wire`, at a third of its time for a vector that does not look odd."""
    if len(data) == dim * 4:
        vector = np.frombuffer(data, "<f4")
        if _ORDINARY[0] < float(np.dot(vector, vector)) < _ORDINARY[1]:
            return
    from_wire(data, dim)


def _check_image(request: pb.SearchRequest | pb.ScanRequest) -> None:
    if not request.image:
        raise BadImage("is empty")
    if len(request.image) > MAX_BYTES:
        raise BadImage(f"has {len(request.image)} bytes, at most {MAX_BYTES} are accepted")
    if request.HasField("crop"):
        box = request.crop
        CropBox(box.left, box.top, box.right, box.bottom).validated()


def _check_recall_target(request: pb.SearchRequest) -> None:
    if not 0.5 <= request.recall_target < 1:
        raise InvalidArgument("recall_target", f"is {request.recall_target}, not at least 0.5 and below 1")
    if request.exact:
        raise InvalidArgument("recall_target", "does not go with exact, whose recall is 1")


def _few(facets: Sequence[str]) -> Sequence[str]:
    if len(facets) > MAX_FACETS:
        raise InvalidArgument("facets", f"has {len(facets)} fields, at most {MAX_FACETS} are accepted")
    return facets


def _plain(request: pb.SearchRequest, wanted: Filter | None, page_size: int) -> bool:
    return page_size <= MAX_PLAIN_PAGE and not (
        wanted
        or request.page_token
        or request.exact
        or request.explain
        or request.facets
        or request.at_least
        or request.HasField("recall_target")
    )


def _key(request: pb.SearchRequest, kind: str, wanted: Filter | None, index: IndexSettings) -> bytes:
    box = request.crop
    key = xxhash.xxh3_128(f"{index.name}\0{index.model_id}\0".encode())
    key.update(
        _KEY.pack(
            kind.encode(),
            request.HasField("crop"),
            *(box.left, box.top, box.right, box.bottom),
            request.min_score if request.HasField("min_score") else math.nan,
            request.exact,
            request.recall_target,
            wanted.key if wanted else b"",
        )
    )
    asked: bytes | str = getattr(request, kind)
    key.update(asked.encode() if isinstance(asked, str) else asked)
    return key.digest()


def _place(token: str, key: bytes, kind: str, index: IndexSettings) -> Place:
    after = place_of(token, key)
    if len(after.vector) != (0 if kind == "vector" else index.dim * 4):
        raise InvalidArgument("page_token", "is damaged")
    return after
