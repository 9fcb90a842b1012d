"""Each call of the gateway once: what it takes, what it sends, and how its response is read.

The two clients differ only in how they wait for it. The first parameter here is the client itself there.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Concatenate, Final, ParamSpec

import numpy as np

from vitrine.client import requests, responses
from vitrine.client.answers import (
    Answer,
    DuplicateGroup,
    DuplicatesSummary,
    Look,
    Product,
    RecentQuery,
    Recommendations,
    Refusal,
    ScanSummary,
)
from vitrine.client.batches import batches
from vitrine.client.gateway import Call, Gateway, Streaming
from vitrine.client.questions import Crop, Deed, HistoryItem, Search
from vitrine.filters import Filter
from vitrine.images import CropBox
from vitrine.runtime.errors import VitrineError
from vitrine.shards.records import Hit
from vitrine.stream.codec import timestamp
from vitrine.stream.log import Position
from vitrine.v1 import catalogue_pb2, feedback_pb2, gateway_pb2
from vitrine.vectors import Vectors

SCAN_TIMEOUT_S: Final = 120.0
DUPLICATES_TIMEOUT_S: Final = 600.0

P = ParamSpec("P")


def searching(gateway: Gateway, query: Search) -> Call[Answer]:
    method = gateway.plain if query.is_plain else gateway.search.Search
    request = requests.search_message(query, gateway.index)
    return Call(method, request, responses.answer, gateway.within_s(query.timeout_s))


def _by_fields(make: Callable[P, Search]) -> Callable[Concatenate[Gateway, P], Call[Answer]]:
    """`searching` with the fields of a Search instead of one."""

    def search(gateway: Gateway, /, *args: P.args, **fields: P.kwargs) -> Call[Answer]:
        return searching(gateway, make(*args, **fields))

    taken = inspect.signature(make).parameters.values()
    first = inspect.Parameter("gateway", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    search.__signature__ = inspect.Signature([first, *taken])  # type: ignore[attr-defined]  # what `help` shows
    search.__doc__ = make.__doc__
    return search


search = _by_fields(Search)


def search_batch(
    gateway: Gateway, searches: Vectors | Sequence[Search], k: int = 10, timeout_s: float | None = None
) -> Iterator[Call[list[Answer | VitrineError]]]:
    """The calls that answer `searches`, each made when the one before it is answered: it has what time is left."""
    until_s = time.monotonic() + gateway.within_s(timeout_s)
    if isinstance(searches, np.ndarray):
        searches = [Search(vector=vector, k=k) for vector in searches]
    for part in batches(searches):
        request = gateway_pb2.BatchSearchRequest(
            index=gateway.index, searches=[requests.search_message(query, "") for query in part]
        )
        yield Call(gateway.search.BatchSearch, request, responses.results, until_s - time.monotonic())


def scan(
    gateway: Gateway,
    *,
    min_score: float,
    image: bytes | None = None,
    product_id: str | None = None,
    vector: Vectors | None = None,
    crop: CropBox | None = None,
    filter: Filter | None = None,  # noqa: A002  (the contract's name)
    require_complete: bool = False,
    at_least: Collection[Position] = (),
    timeout_s: float = SCAN_TIMEOUT_S,
) -> Streaming[Hit, ScanSummary]:
    """Every product that scores at least `min_score`. It costs as much as hundreds of searches; few run at once."""
    request = gateway_pb2.ScanRequest(
        index=gateway.index,
        **requests.query_fields(image=image, product_id=product_id, vector=vector),
        crop=None if crop is None else requests.crop_message(crop),
        min_score=min_score,
        filter=requests.filter_of(filter),
        require_complete=require_complete,
        at_least=requests.positions(at_least),
    )
    return Streaming("the scan", gateway.search.Scan, request, _scanned, responses.scan_summary, timeout_s)


def recommend(
    gateway: Gateway,
    history: Sequence[HistoryItem | str],
    *,
    k: int = 10,
    half_life_days: float | None = None,
    max_interests: int | None = None,
    diversity: float | None = None,
    filter: Filter | None = None,  # noqa: A002  (the contract's name)
    min_score: float | None = None,
    surface: str = "",
    require_complete: bool = False,
    at_least: Collection[Position] = (),
    timeout_s: float | None = None,
) -> Call[Recommendations]:
    """What a shopper with this history (products, or their ids) may like; none of it comes back. Raises NotFound where
    none of it is in the index.

    half_life_days  after so many days something counts half; None = 14
    max_interests   how many may be told apart, 1 to 10; None = 3
    For the rest see `Search`.
    """
    request = gateway_pb2.RecommendRequest(
        index=gateway.index,
        history=map(requests.history_message, history),
        half_life_days=half_life_days,
        max_interests=None if max_interests is None else requests.uint32(max_interests, "max_interests"),
        page_size=requests.uint32(k, "page_size"),
        diversity=diversity,
        filter=requests.filter_of(filter),
        min_score=min_score,
        require_complete=require_complete,
        at_least=requests.positions(at_least),
        surface=surface,
    )
    return Call(gateway.search.Recommend, request, responses.recommendations, gateway.within_s(timeout_s))


def complete_the_look(
    gateway: Gateway,
    *,
    image: bytes | None = None,
    product_id: str | None = None,
    crop: Crop | None = None,
    own_category: str = "",
    categories: Sequence[str] = (),
    per_category: int | None = None,
    filter: Filter | None = None,  # noqa: A002  (the contract's name)
    surface: str = "",
    require_complete: bool = False,
    at_least: Collection[Position] = (),
    timeout_s: float | None = None,
) -> Call[Look]:
    """What goes with exactly one of `image` and `product_id`: the best of other categories.

    own_category  which is not searched; empty = the product's own, or the one that the model sees
    categories    at most 20; empty = the largest 20 others of the catalogue
    per_category  products wanted of each, 1 to 50; None = 4
    For the rest see `Search`.
    """
    request = gateway_pb2.CompleteTheLookRequest(
        index=gateway.index,
        **requests.query_fields(image=image, product_id=product_id),
        own_category=own_category,
        categories=categories,
        per_category=None if per_category is None else requests.uint32(per_category, "per_category"),
        filter=requests.filter_of(filter),
        require_complete=require_complete,
        at_least=requests.positions(at_least),
        surface=surface,
    )
    if crop is not None:
        requests.set_crop(request, crop)
    return Call(gateway.search.CompleteTheLook, request, responses.look, gateway.within_s(timeout_s))


def find_duplicates(
    gateway: Gateway,
    *,
    min_score: float | None = None,
    filter: Filter | None = None,  # noqa: A002  (the contract's name)
    require_complete: bool = False,
    at_least: Collection[Position] = (),
    progress: Callable[[int, int], None] | None = None,
    timeout_s: float = DUPLICATES_TIMEOUT_S,
) -> Streaming[DuplicateGroup, DuplicatesSummary]:
    """Groups of near-duplicate products over the whole catalogue, the largest first. As costly as a search for every
    product; one runs at a time.

    min_score  two products with images that score as much are near-duplicates, 0.5 to 1
    filter     only among products that meet it
    progress   told how many products of how many have been compared
    """
    request = gateway_pb2.FindDuplicatesRequest(
        index=gateway.index,
        min_score=min_score,
        filter=requests.filter_of(filter),
        require_complete=require_complete,
        at_least=requests.positions(at_least),
    )
    groups = partial(_groups, progress=progress)
    method, summary = gateway.search.FindDuplicates, responses.duplicates_summary
    return Streaming("the comparison", method, request, groups, summary, timeout_s)


def send_feedback(
    gateway: Gateway,
    query_id: str,
    product_id: str,
    deed: Deed,
    *,
    surface: str = "",
    rank: int | None = None,
    time_us: int | None = None,
    timeout_s: float | None = None,
) -> Call[None]:
    """What a shopper did with a product of the answer `query_id`.

    Durable when it returns; sent twice, it is exported once.

    surface  where it was shown, as in the question
    rank     its place among what was shown, from 1
    time_us  when; None = now
    """
    feedback = feedback_pb2.Feedback(
        query_id=query_id,
        product_id=product_id,
        kind=requests.feedback_kind(deed),
        surface=surface,
        rank=None if rank is None else requests.uint32(rank, "feedback.rank"),
        # Set here, and not where it arrives: sent again, it is still the same.
        time=timestamp(time.time_ns() // 1_000 if time_us is None else time_us),
    )
    request = gateway_pb2.SendFeedbackRequest(index=gateway.index, feedback=feedback)
    return Call(gateway.search.SendFeedback, request, lambda _: None, gateway.within_s(timeout_s))


def recent_queries(
    gateway: Gateway, count: int | None = None, timeout_s: float | None = None
) -> Call[list[RecentQuery]]:
    """What was asked of this gateway lately, newest first, at most 200. `count` None = 50."""
    request = gateway_pb2.ListRecentQueriesRequest(
        index=gateway.index, count=None if count is None else requests.uint32(count, "count")
    )
    method = gateway.search.ListRecentQueries
    return Call(method, request, _recent, gateway.within_s(timeout_s))


def product(
    gateway: Gateway,
    product_id: str,
    at_least: Collection[Position] = (),
    *,
    with_vectors: bool = False,
    timeout_s: float | None = None,
) -> Call[Product]:
    """A product as it is indexed now. Raises NotFound if it is unknown, withdrawn or expired."""
    request = gateway_pb2.GetProductRequest(
        index=gateway.index,
        product_id=product_id,
        with_vectors=with_vectors,
        at_least=requests.positions(at_least),
    )
    return Call(gateway.search.GetProduct, request, _product, gateway.within_s(timeout_s))


def thumbnail(gateway: Gateway, sha256: bytes, timeout_s: float | None = None) -> Call[bytes]:
    """The WebP thumbnail of a picture. Raises NotFound."""
    request = gateway_pb2.GetThumbnailRequest(index=gateway.index, sha256=sha256)
    return Call(gateway.search.GetThumbnail, request, _webp, gateway.within_s(timeout_s))


def status(gateway: Gateway, timeout_s: float | None = None) -> Call[gateway_pb2.GetIndexStatusResponse]:
    """Partitions, shards, freshness."""
    request = gateway_pb2.GetIndexStatusRequest(index=gateway.index)
    return Call(gateway.search.GetIndexStatus, request, _as_it_is, gateway.within_s(timeout_s))


def refusals(
    gateway: Gateway, since: Iterable[Position] = (), timeout_s: float | None = None
) -> Streaming[Refusal, None]:
    """Of the catalogue's service."""
    request = catalogue_pb2.ListDeadLettersRequest(index=gateway.index, since=requests.positions(since))
    method, timeout_s = gateway.catalogue.ListDeadLetters, gateway.within_s(timeout_s)
    return Streaming("the list", method, request, _refused, lambda _: None, timeout_s)


def _scanned(message: gateway_pb2.ScanResponse) -> Iterable[Hit]:
    return map(responses.hit, message.results)


def _groups(
    message: gateway_pb2.FindDuplicatesResponse, progress: Callable[[int, int], None] | None
) -> Iterable[DuplicateGroup]:
    if progress and message.products_total:
        progress(message.products_compared, message.products_total)
    return map(responses.duplicate_group, message.groups)


def _recent(message: gateway_pb2.ListRecentQueriesResponse) -> list[RecentQuery]:
    return [responses.recent_query(query) for query in message.queries]


def _product(message: gateway_pb2.GetProductResponse) -> Product:
    return responses.product(message.product)


def _webp(message: gateway_pb2.GetThumbnailResponse) -> bytes:
    return bytes(message.webp)


def _as_it_is(message: gateway_pb2.GetIndexStatusResponse) -> gateway_pb2.GetIndexStatusResponse:
    return message


def _refused(message: catalogue_pb2.DeadLetter) -> Iterable[Refusal]:
    return (responses.refusal(message),)
