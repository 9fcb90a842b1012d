"""Step 1: what was asked, checked field by field, and how a searcher is asked for it."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

import xxhash

from services.gateway import checks
from services.gateway.examples import check_examples
from services.gateway.fields import within_category
from services.gateway.history import checked_history, taste_weights
from services.gateway.paging import MAX_PAGED, Place, place_of
from vitrine.filters import Filter
from vitrine.filters_codec import filter_from_message
from vitrine.index.settings import IndexSettings
from vitrine.runtime.errors import InvalidArgument
from vitrine.v1 import filter_pb2, searcher_pb2
from vitrine.v1 import gateway_pb2 as pb

DEFAULT_PAGE_SIZE: Final = 10
MAX_PAGE_SIZE: Final = 10_000
# Facets are counted over so many of the best products, and so many are put in another order.
FACET_PRODUCTS: Final = 1_000
ORDERED_PRODUCTS: Final = 1_000
# A page that is to be diverse is chosen from so many times its products.
MAX_DIVERSE_PAGE: Final = 100
_DIVERSE_CANDIDATES: Final = 5
_FEWEST_CANDIDATES: Final = 50
# A larger page would keep the small ones that travel with it waiting.
MAX_PLAIN_PAGE: Final = 100

# Kind, crop, its mode, min_score or NaN, exact, recall_target, filter, category mode, threshold, history's weight.
_KEY: Final = struct.Struct("<10s?4fBf?d32sBff")


class Question(NamedTuple):
    """A checked search; the vector of a picture or a product is still to be found.

    kind    "image", "product_id", "vector" or "examples"
    page_size  as asked for, or what is left of the products that all pages may hold
    filter  None = all products
    filter_message  the same on the wire
    after   where the page before ended; None = this is the first
    key     16 bytes, the same for every page of the same query
    plain   may travel to a searcher together with others: it asks for nothing that they do not
    taste   what each product of the history weighs, the weightiest first; together 1
    category  predicted, and all that is searched; empty: not
    """

    request: pb.SearchRequest
    kind: str
    page_size: int
    filter: Filter | None
    filter_message: filter_pb2.Filter
    after: Place | None
    key: bytes
    plain: bool
    taste: Mapping[str, float]
    category: str = ""

    @property
    def vector(self) -> bytes | None:
        """Little-endian float32, where it is known already."""
        if self.after and self.after.vector:
            return self.after.vector
        return self.request.vector if self.is_vector else None

    @property
    def is_vector(self) -> bool:
        """Whether it is asked with a vector as it is."""
        return self.kind == "vector" and not self.request.history

    @property
    def diversity(self) -> float:
        return self.request.diversity

    @property
    def ordered(self) -> bool:
        return self.request.HasField("order_by")

    def within(self, category: str) -> Question:
        """The same, of one category only."""
        message = within_category(self.filter_message, category)
        return self._replace(filter=filter_from_message(message), filter_message=message, category=category)


def checked(request: pb.SearchRequest, index: IndexSettings) -> Question:
    """Raises InvalidArgument naming the first field that is wrong."""
    kind = check_query(request, index)
    if request.HasField("min_score"):
        checks.check_min_score(request.min_score)
    if request.HasField("recall_target"):
        checks.check_recall_target(request)
    checks.check_facets(request.facets)
    checks.check_at_least(request.at_least, index)
    checks.check_surface(request.surface)
    taste = taste_weights(checked_history(request.history))
    _check_shares(request)
    _check_category_mode(request, kind)
    page_size = asked_page_size(request)
    checks.check_count(page_size, MAX_PAGE_SIZE, "page_size")
    _check_order(request, page_size)
    wanted = filter_from_message(request.filter) if request.HasField("filter") else None
    key = _key(request, kind, wanted, index)
    plain = _plain(request, wanted, page_size)
    question = Question(request, kind, page_size, wanted, request.filter, None, key, plain, taste)
    return _later(question, index) if request.page_token else question


def check_query(request: pb.SearchRequest | pb.ScanRequest, index: IndexSettings) -> str:
    """Which query it is. Raises InvalidArgument where it, or its crop, is wrong."""
    kind = request.WhichOneof("query")
    mode = request.crop_mode if isinstance(request, pb.SearchRequest) else pb.CROP_MODE_GIVEN
    checks.check_crop(request.crop if request.HasField("crop") else None, mode, kind == "image")
    if kind == "vector":
        checks.check_vector(request.vector, index.dim)
    elif kind == "product_id":
        checks.check_product_id(request.product_id)
    elif kind == "image":
        checks.check_image(request.image)
    elif kind == "examples" and isinstance(request, pb.SearchRequest):
        check_examples(request.examples, index.dim)
    else:
        raise InvalidArgument("query", "one of image, product_id, vector or examples must be set")
    return str(kind)


def asked_page_size(request: pb.SearchRequest) -> int:
    return request.page_size if request.HasField("page_size") else DEFAULT_PAGE_SIZE


def products_wanted(request: pb.SearchRequest) -> int:
    """Products that searchers have to find for it, at most."""
    page_size = asked_page_size(request)
    candidates = _candidates(request, page_size)
    return max(candidates, FACET_PRODUCTS) if request.facets else candidates


def pictures_in(request: pb.SearchRequest) -> int:
    examples = (*request.examples.positive, *request.examples.negative)
    return request.HasField("image") + sum(example.HasField("image") for example in examples)


def wire_queries(question: Question, vector: bytes) -> list[searcher_pb2.VectorQuery]:
    """What a searcher is asked: for the page and, where one query cannot tell both, for the facets.

    `vector`: little-endian float32.
    """
    request = question.request
    query = searcher_pb2.VectorQuery(vector=vector, k=candidates_of(question))
    query.exclude_product_ids.extend(named_products(request))
    if request.HasField("min_score"):
        query.min_score = request.min_score
    if question.plain:
        return [query]
    query.exact = request.exact
    if question.filter:
        query.filter.CopyFrom(question.filter_message)
    if request.HasField("recall_target"):
        query.recall_target = request.recall_target
    if not request.facets:
        return [_page(query, question)]
    if question.after or question.diversity or question.ordered:
        return [_page(query, question), _facets(query, request, whole_hits=1)]
    return [_facets(_page(query, question), request, whole_hits=question.page_size)]


def named_products(request: pb.SearchRequest) -> list[str]:
    """The products that ask: they are left out of the answer."""
    if request.product_id:
        return [request.product_id]
    examples = (*request.examples.positive, *request.examples.negative)
    return list(dict.fromkeys(example.product_id for example in examples if example.product_id))


def _page(query: searcher_pb2.VectorQuery, question: Question) -> searcher_pb2.VectorQuery:
    page, request, after = searcher_pb2.VectorQuery(), question.request, question.after
    page.CopyFrom(query)
    page.explain = request.explain
    page.with_vectors = question.diversity > 0
    if question.ordered:
        page.facet_fields.append(request.order_by.field)
    if after:
        page.after.score, page.after.product_id = after.score, after.product_id
        page.skipped = after.skipped
    return page


def _facets(query: searcher_pb2.VectorQuery, request: pb.SearchRequest, whole_hits: int) -> searcher_pb2.VectorQuery:
    """The best products once more, or the page's own query with all of them."""
    query.k, query.whole_hits = max(query.k, FACET_PRODUCTS), whole_hits
    query.facet_fields.extend(request.facets)
    return query


def candidates_of(question: Question) -> int:
    """Products to choose its page from."""
    return _candidates(question.request, question.page_size)


def _candidates(request: pb.SearchRequest, page_size: int) -> int:
    """Products to choose a page of `page_size` from."""
    if request.HasField("order_by"):
        return ORDERED_PRODUCTS
    if request.diversity:
        return max(_DIVERSE_CANDIDATES * page_size, _FEWEST_CANDIDATES)
    return page_size


def _check_shares(request: pb.SearchRequest) -> None:
    for field in ("category_threshold", "history_weight", "diversity"):
        if request.HasField(field):
            checks.check_share(getattr(request, field), field)
    if request.HasField("history_weight") and not request.history:
        raise InvalidArgument("history_weight", "weighs a history, and none is given")


def _check_category_mode(request: pb.SearchRequest, kind: str) -> None:
    if request.category_mode not in pb.CategoryMode.values():
        raise InvalidArgument("category_mode", f"{request.category_mode} is not known")
    predicts = request.category_mode == pb.CATEGORY_MODE_PREDICT
    if predicts:
        if kind != "image":
            raise InvalidArgument(
                "category_mode", "PREDICT only goes with image: it is a picture that has to be judged"
            )
        # With the condition that the category adds, so that no picture makes it one too many.
        filter_from_message(within_category(request.filter, "any"))
    if request.HasField("category_threshold") and not predicts:
        raise InvalidArgument("category_threshold", "only goes with category_mode PREDICT")


def _check_order(request: pb.SearchRequest, page_size: int) -> None:
    if request.diversity:
        _check_one_page(request, "diversity", page_size, MAX_DIVERSE_PAGE)
    if request.HasField("order_by"):
        _check_one_page(request, "order_by", page_size, ORDERED_PRODUCTS)
        checks.check_order_by(request.order_by)
        if request.diversity:
            raise InvalidArgument("diversity", "does not go with order_by")
        if not request.HasField("min_score"):
            raise InvalidArgument("min_score", "is needed with order_by: it says what looks alike enough to be ordered")


def _check_one_page(request: pb.SearchRequest, field: str, page_size: int, most: int) -> None:
    if request.page_token:
        raise InvalidArgument("page_token", f"does not go with {field}: ask for a larger page instead")
    if page_size > most:
        raise InvalidArgument("page_size", f"is {page_size:,}, with {field} at most {most:,} are accepted")


def _plain(request: pb.SearchRequest, wanted: Filter | None, page_size: int) -> bool:
    return page_size <= MAX_PLAIN_PAGE and not (
        wanted
        or request.page_token
        or request.exact
        or request.explain
        or request.facets
        or request.at_least
        or request.category_mode
        or request.diversity
        or request.HasField("order_by")
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
            request.crop_mode,
            request.min_score if request.HasField("min_score") else math.nan,
            request.exact,
            request.recall_target,
            wanted.key if wanted else b"",
            request.category_mode,
            request.category_threshold if request.HasField("category_threshold") else math.nan,
            request.history_weight if request.HasField("history_weight") else math.nan,
        )
    )
    for item in request.history:
        key.update(item.SerializeToString(deterministic=True))
    asked = getattr(request, kind)
    if kind == "examples":
        asked = asked.SerializeToString(deterministic=True)
    key.update(asked.encode() if isinstance(asked, str) else asked)
    return key.digest()


def _later(question: Question, index: IndexSettings) -> Question:
    """The question for the page that its token asks for."""
    after = place_of(question.request.page_token, question.key)
    if len(after.vector) != (0 if question.is_vector else index.dim * 4):
        raise InvalidArgument("page_token", "is damaged")
    page_size = min(question.page_size, MAX_PAGED - after.skipped)
    later = question._replace(after=after, page_size=page_size)
    return later.within(after.category) if after.category else later
