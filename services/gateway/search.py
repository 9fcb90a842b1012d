"""Search and BatchSearch: query → resolve → fanout → blend."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from services.gateway.blend import blend, facets_of
from services.gateway.coalesce import Part, parts_of
from services.gateway.fanout import Failures, Fanout
from services.gateway.query import MAX_PAGE_SIZE, Question, checked, products_wanted, wire_queries
from services.gateway.resolve import Resolver
from vitrine.index.settings import IndexSettings
from vitrine.runtime.errors import InvalidArgument, VitrineError, status_name
from vitrine.v1 import gateway_pb2 as pb
from vitrine.v1 import searcher_pb2

MAX_SEARCHES: Final = 256
MAX_IMAGE_SEARCHES: Final = 64
# What a searcher takes in one call.
CALL_QUERIES: Final = 64
# Products that one call to a searcher, and a whole batch, may ask for: answers that fit into a message.
CALL_PRODUCTS: Final = 2_000
MAX_BATCH_PRODUCTS: Final = 10_000
# More hits than these are put together in a thread: it would keep the other searches waiting for milliseconds.
_INLINE_HITS: Final = 1_000


class _Asking(NamedTuple):
    """A question on its way to the searchers. `vector`: little-endian float32. `place`: of its search in the batch."""

    question: Question
    vector: bytes
    queries: list[searcher_pb2.VectorQuery]
    place: int = 0

    @property
    def products(self) -> int:
        """As many as it asks a searcher for."""
        return sum(query.k for query in self.queries)


class Searching:
    """Answers searches, one or many."""

    def __init__(self, resolver: Resolver, fanout: Fanout) -> None:
        self._resolver = resolver
        self._fanout = fanout

    async def one(self, request: pb.SearchRequest, index: IndexSettings, timeout_s: float) -> pb.SearchResponse:
        """Raises InvalidArgument, NotFound, FailedPrecondition, ResourceExhausted, DeadlineExceeded, Unavailable."""
        until_s = _now_s() + timeout_s
        question = checked(request, index)
        vector = question.vector or await self._resolver.vector(request, index, timeout_s)
        queries, response = wire_queries(question, vector), pb.SearchResponse()
        if question.plain:
            partitions = range(index.partitions)
            parts, failures = await self._fanout.search_plain(index.name, queries[0], partitions, until_s - _now_s())
            blend(response, question, vector, [parts], failures, index)
        else:
            asking = _Asking(question, vector, queries)
            ((found, failures),) = await self._found([asking], index, until_s)
            await _fill(response, asking, found, failures, index)
        return response

    async def many(
        self, requests: Sequence[pb.SearchRequest], index: IndexSettings, timeout_s: float
    ) -> pb.BatchSearchResponse:
        """One result a request, in order: what Search would have said to it. Raises InvalidArgument (`searches`)."""
        until_s = _now_s() + timeout_s
        _check_batch(requests)
        response = pb.BatchSearchResponse()
        results = [response.results.add() for _ in requests]
        askings = await self._askings(requests, results, index, timeout_s)
        await asyncio.gather(*(self._answer(call, results, index, until_s) for call in _calls(askings)))
        return response

    async def _askings(
        self,
        requests: Sequence[pb.SearchRequest],
        results: Sequence[pb.BatchSearchResult],
        index: IndexSettings,
        timeout_s: float,
    ) -> list[_Asking]:
        """Those that can be asked; the others have their result."""
        questions: dict[int, Question] = {}
        for place, request in enumerate(requests):
            try:
                questions[place] = _checked_in_batch(request, index)
            except VitrineError as error:
                _refuse(results[place], error)
        vectors = {place: question.vector for place, question in questions.items()}
        unknown = [place for place, vector in vectors.items() if vector is None]
        found = await self._resolver.vectors([requests[place] for place in unknown], index, timeout_s)
        for place, vector in zip(unknown, found, strict=True):
            if isinstance(vector, VitrineError):
                _refuse(results[place], vector)
            else:
                vectors[place] = vector
        return [
            _Asking(questions[place], vector, wire_queries(questions[place], vector), place)
            for place, vector in vectors.items()
            if vector is not None
        ]

    async def _answer(
        self, askings: Sequence[_Asking], results: Sequence[pb.BatchSearchResult], index: IndexSettings, until_s: float
    ) -> None:
        """Asks the searchers in one call."""
        try:
            answers = await self._found(askings, index, until_s)
        except InvalidArgument as error:
            if len(askings) == 1:
                _refuse(results[askings[0].place], error)
            else:
                # One of them is wrong in a way that was not seen here. It must not fail the others.
                await asyncio.gather(*(self._answer([asking], results, index, until_s) for asking in askings))
            return
        for asking, (found, failures) in zip(askings, answers, strict=True):
            try:
                await _fill(results[asking.place].response, asking, found, failures, index)
            except VitrineError as error:
                _refuse(results[asking.place], error)

    async def _found(
        self, askings: Sequence[_Asking], index: IndexSettings, until_s: float
    ) -> list[tuple[list[list[Part]], Failures]]:
        """For each of them, what every searcher found for each of its queries. They wait for the same events."""
        queries = [query for asking in askings for query in asking.queries]
        call = searcher_pb2.SearcherSearchRequest(
            index=index.name, queries=queries, at_least=askings[0].question.request.at_least
        )
        answers, failures = await self._fanout.search(call, range(index.partitions), until_s - _now_s())
        columns = [parts_of(answer, len(queries)) for answer in answers]
        rows = iter([list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in queries])
        return [([next(rows) for _ in asking.queries], failures) for asking in askings]


async def _fill(
    response: pb.SearchResponse,
    asking: _Asking,
    found: Sequence[Sequence[Part]],
    failures: Failures,
    index: IndexSettings,
) -> None:
    hits = sum(len(part.hits.hits) for parts in found for part in parts)
    if hits > _INLINE_HITS:
        await asyncio.to_thread(blend, response, asking.question, asking.vector, found, failures, index)
    else:
        blend(response, asking.question, asking.vector, found, failures, index)
    if names := asking.question.request.facets:
        response.facets.extend(await asyncio.to_thread(facets_of, names, found[-1]))


def _check_batch(requests: Sequence[pb.SearchRequest]) -> None:
    if not 1 <= len(requests) <= MAX_SEARCHES:
        raise InvalidArgument("searches", f"has {len(requests)}, 1 to {MAX_SEARCHES} are accepted")
    by_image = sum(request.HasField("image") for request in requests)
    if by_image > MAX_IMAGE_SEARCHES:
        raise InvalidArgument("searches", f"has {by_image} by image, at most {MAX_IMAGE_SEARCHES} are accepted")
    # A page size that is out of range is that search's own error, and costs nothing.
    wanted = sum(count for count in map(products_wanted, requests) if count <= MAX_PAGE_SIZE)
    if wanted > MAX_BATCH_PRODUCTS:
        reason = (
            f"ask for {wanted:,} products (1,000 a search with facets), at most {MAX_BATCH_PRODUCTS:,} are accepted"
        )
        raise InvalidArgument("searches", reason)


def _checked_in_batch(request: pb.SearchRequest, index: IndexSettings) -> Question:
    if request.index not in ("", index.name):
        raise InvalidArgument("index", f"is {request.index!r}, but the batch is asked of {index.name!r}")
    return checked(request, index)


def _calls(askings: Iterable[_Asking]) -> Iterator[list[_Asking]]:
    """Those that wait for the same events, in parts that a searcher takes in one call."""
    waiting: dict[tuple[bytes, ...], list[_Asking]] = {}
    for asking in askings:
        events = tuple(position.SerializeToString() for position in asking.question.request.at_least)
        waiting.setdefault(events, []).append(asking)
    for same in waiting.values():
        call: list[_Asking] = []
        for asking in same:
            if call and not _fits([*call, asking]):
                yield call
                call = []
            call.append(asking)
        yield call


def _fits(call: Sequence[_Asking]) -> bool:
    queries = sum(len(asking.queries) for asking in call)
    return queries <= CALL_QUERIES and sum(asking.products for asking in call) <= CALL_PRODUCTS


def _refuse(result: pb.BatchSearchResult, error: VitrineError) -> None:
    result.error.code, result.error.message = status_name(error), str(error)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
