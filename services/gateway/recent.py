"""The last queries, for people who look after the shop. Never the picture, nor a vector."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Final, NamedTuple, TypeAlias

from services.gateway.checks import check_count
from vitrine.stream.codec import timestamp
from vitrine.v1 import gateway_pb2 as pb
from vitrine.v1.searcher_pb2 import Hit

Response: TypeAlias = pb.SearchResponse | pb.RecommendResponse | pb.CompleteTheLookResponse

MAX_QUERIES: Final = 200
_MAX_RESULTS: Final = 10
_DEFAULT_COUNT: Final = 50
# An answer of more is copied without what is not listed, instead of being kept.
_KEPT_HITS: Final = 50


class Given(NamedTuple):
    """An answer as it was given, and what is said of its request. Times: microseconds since 1970, milliseconds."""

    time_us: int
    method: str
    kind: str
    surface: str
    query_product_ids: Sequence[str]
    response: Response
    handled_ms: float

    def message(self) -> pb.RecentQuery:
        return pb.RecentQuery(
            time=timestamp(self.time_us),
            method=self.method,
            kind=self.kind,
            surface=self.surface,
            query_id=self.response.query_id,
            query_product_ids=self.query_product_ids,
            results=islice(hits_of(self.response), _MAX_RESULTS),
            coverage=self.response.coverage,
            handled_ms=self.handled_ms,
        )


class Recent:
    """The last MAX_QUERIES of this gateway; forgotten when it stops."""

    def __init__(self) -> None:
        self._queries: deque[Given | pb.RecentQuery] = deque(maxlen=MAX_QUERIES)

    def note(self, given: Given) -> None:
        """Keeps the answer itself, which costs nothing, unless it is long, or its page token may hold a vector."""
        is_short = sum(1 for _ in islice(hits_of(given.response), _KEPT_HITS + 1)) <= _KEPT_HITS
        has_vector = given.kind != "vector" and isinstance(given.response, pb.SearchResponse)
        self._queries.appendleft(given if is_short and not has_vector else given.message())

    def listed(self, request: pb.ListRecentQueriesRequest) -> pb.ListRecentQueriesResponse:
        """Newest first. Raises InvalidArgument (`count`)."""
        count = request.count if request.HasField("count") else _DEFAULT_COUNT
        check_count(count, MAX_QUERIES, "count")
        newest = islice(self._queries, count)
        return pb.ListRecentQueriesResponse(
            queries=[query.message() if isinstance(query, Given) else query for query in newest]
        )


def hits_of(response: Response) -> Iterable[Hit]:
    """What was answered, best first."""
    if isinstance(response, pb.SearchResponse):
        return response.results
    if isinstance(response, pb.RecommendResponse):
        return (result.hit for result in response.results)
    return chain.from_iterable(category.results for category in response.categories)
