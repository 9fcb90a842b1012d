"""What a call costs, before it is answered: a plain search costs 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from services.gateway.query import MAX_PAGE_SIZE
from vitrine.v1 import gateway_pb2 as pb


class Work(NamedTuple):
    """kind      calls of a kind take about as long, where nothing else is under way
    cost      to the gateway and those behind it
    searches  counted against the caller's limit
    measured  False: how long it takes says nothing about how busy we are
    """

    kind: str
    cost: float = 1.0
    searches: int = 1
    measured: bool = True


# Time and memory of a picture on its way to the embedder.
_PICTURE_BYTES: Final = 256 * 1024
# Beside a search that travels alone, one in a batch costs gateway and searcher about a tenth (docs/search.md).
_IN_BATCH: Final = 0.1
# Every row is scored, instead of a few thousand.
_EXACT: Final = 8.0
# Ranked, read and sent at the price of a plain search.
_PRODUCTS: Final = 100
# It waits for events to be indexed, most of the time.
_WAITING: Final = Work("waiting", 0.1)


def work_of(method: str, request: Any) -> Work | None:
    """None: the call is cheap, or bounded by itself, and always let in."""
    weigh = _WEIGH.get(method)
    work = weigh(request) if weigh else None
    return work._replace(measured=False) if work and _waits(request) else work


def _waits(request: Any) -> bool:
    """Whether it waits for events to be indexed: how long that takes says nothing about how busy we are."""
    searches = request.searches if isinstance(request, pb.BatchSearchRequest) else [request]
    return any(search.at_least for search in searches)


def _search(request: pb.SearchRequest) -> Work:
    # One that is out of range is refused once it is looked at, and costs nothing.
    page_size = request.page_size if request.page_size <= MAX_PAGE_SIZE else 0
    if request.at_least and not request.exact and page_size <= _PRODUCTS:
        return _WAITING
    cost = max(1.0, page_size / _PRODUCTS)
    if request.exact:
        cost *= _EXACT
    if request.facets or request.HasField("order_by"):
        cost += 1_000 / _PRODUCTS
    query = request.WhichOneof("query")
    if query == "image":
        cost += len(request.image) / _PICTURE_BYTES
    elif query == "examples":
        cost += _examples(request.examples)
    return Work(f"Search {query}" if cost < _EXACT else "large Search", cost)


def _examples(examples: pb.Examples) -> float:
    return sum(0.1 + len(example.image) / _PICTURE_BYTES for example in (*examples.positive, *examples.negative))


def _batch(request: pb.BatchSearchRequest) -> Work:
    cost = sum(_search(search).cost for search in request.searches) * _IN_BATCH
    return Work("BatchSearch", max(1.0, cost), max(1, len(request.searches)))


def _recommend(request: pb.RecommendRequest) -> Work:
    return Work("Recommend", 3.0)


def _look(request: pb.CompleteTheLookRequest) -> Work:
    return Work("CompleteTheLook", 5.0 + len(request.image) / _PICTURE_BYTES)


_WEIGH: Final[Mapping[str, Callable[[Any], Work]]] = {
    "Search": _search,
    "BatchSearch": _batch,
    "Recommend": _recommend,
    "CompleteTheLook": _look,
    "GetProduct": lambda _: Work("GetProduct", 0.5),
}
