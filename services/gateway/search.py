"""Search and BatchSearch: query → resolve → compose → fanout → blend."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from services.gateway.ask import ask, fits
from services.gateway.blend import blend, facets_of
from services.gateway.category import narrowed, predicted
from services.gateway.coalesce import Part
from services.gateway.compose import Aim, composed, items_of
from services.gateway.fanout import Failures, Fanout
from services.gateway.query import MAX_PAGE_SIZE, Question, checked, pictures_in, products_wanted, wire_queries
from services.gateway.resolve import Resolver
from vitrine.index.settings import IndexSettings
from vitrine.runtime.errors import InvalidArgument, VitrineError, status_name
from vitrine.v1 import gateway_pb2 as pb
from vitrine.v1 import searcher_pb2

MAX_SEARCHES: Final = 256
MAX_IMAGE_SEARCHES: Final = 64
# Products that a whole batch may ask for.
MAX_BATCH_PRODUCTS: Final = 10_000
# More hits than these are put together in a thread: it would keep the other searches waiting for milliseconds.
_INLINE_HITS: Final = 1_000


class _Asking(NamedTuple):
    """A question on its way to the searchers. `guess`: the category of its picture. `place`: in the batch."""

    question: Question
    aim: Aim
    queries: list[searcher_pb2.VectorQuery]
    guess: pb.PredictedCategory | None = None
    place: int = 0

    @staticmethod
    def of(question: Question, aim: Aim, guess: pb.PredictedCategory | None = None) -> _Asking:
        return _Asking(question, aim, wire_queries(question, aim.vector), guess)


class Searching:
    """Answers searches, one or many."""

    def __init__(self, resolver: Resolver, fanout: Fanout) -> None:
        self._resolver = resolver
        self._fanout = fanout

    async def one(self, request: pb.SearchRequest, index: IndexSettings, timeout_s: float) -> pb.SearchResponse:
        """Raises InvalidArgument, NotFound, FailedPrecondition, ResourceExhausted, DeadlineExceeded, Unavailable."""
        until_s = _now_s() + timeout_s
        question, response = checked(request, index), pb.SearchResponse()
        asking = (await self._aimed([question], index, until_s))[0]
        if isinstance(asking, VitrineError):
            raise asking
        if asking.question.plain:
            query, partitions = asking.queries[0], range(index.partitions)
            parts, failures = await self._fanout.search_plain(index.name, query, partitions, until_s - _now_s())
            await _fill(response, asking, [parts], failures, index)
        else:
            await self._answer(response, asking, index, until_s)
        return response

    async def many(
        self, requests: Sequence[pb.SearchRequest], index: IndexSettings, timeout_s: float
    ) -> pb.BatchSearchResponse:
        """One result a request, in order: what Search would have said to it. Raises InvalidArgument (`searches`)."""
        until_s = _now_s() + timeout_s
        _check_batch(requests)
        response = pb.BatchSearchResponse()
        results = [response.results.add() for _ in requests]
        questions: dict[int, Question] = {}
        for place, request in enumerate(requests):
            try:
                questions[place] = _checked_in_batch(request, index)
            except VitrineError as error:
                _refuse(results[place], error)
        askings = []
        for place, aimed in zip(questions, await self._aimed(list(questions.values()), index, until_s), strict=True):
            if isinstance(aimed, VitrineError):
                _refuse(results[place], aimed)
            else:
                askings.append(aimed._replace(place=place))
        await asyncio.gather(*(self._answer_call(call, results, index, until_s) for call in _calls(askings)))
        return response

    async def _aimed(
        self, questions: Sequence[Question], index: IndexSettings, until_s: float
    ) -> list[_Asking | VitrineError]:
        """Each with its vector and the category seen in its picture, or why it has none."""
        items = [[] if question.vector else items_of(question) for question in questions]
        flat = [item for own in items for item in own]
        found = iter(await self._resolver.items(flat, index, until_s - _now_s()) if flat else ())
        aimed: list[_Asking | VitrineError] = []
        for question, own in zip(questions, items, strict=True):
            things = [next(found) for _ in own]
            try:
                aim = Aim(question.vector) if question.vector else composed(question, things, index)
                aimed.append(await self._narrowed(question, aim, index, until_s))
            except VitrineError as error:
                aimed.append(error)
        return aimed

    async def _narrowed(self, question: Question, aim: Aim, index: IndexSettings, until_s: float) -> _Asking:
        if question.request.category_mode != pb.CATEGORY_MODE_PREDICT or question.after:
            return _Asking.of(question, aim)
        model = await self._resolver.model(index, until_s - _now_s())
        guess = predicted(aim.category_scores, model.labels)
        within = narrowed(question, guess, self._fanout.statuses())
        guess.applied = within is not question
        return _Asking.of(within, aim, guess)

    async def _answer_call(
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
                alone = (self._answer_call([asking], results, index, until_s) for asking in askings)
                await asyncio.gather(*alone)
            return
        for asking, (found, failures) in zip(askings, answers, strict=True):
            response = results[asking.place].response
            try:
                await _fill(response, asking, found, failures, index)
                await self._widen(response, asking, index, until_s)
            except VitrineError as error:
                _refuse(results[asking.place], error)

    async def _answer(self, response: pb.SearchResponse, asking: _Asking, index: IndexSettings, until_s: float) -> None:
        ((found, failures),) = await self._found([asking], index, until_s)
        await _fill(response, asking, found, failures, index)
        await self._widen(response, asking, index, until_s)

    async def _widen(self, response: pb.SearchResponse, asking: _Asking, index: IndexSettings, until_s: float) -> None:
        """Answers anew without the predicted category where nothing is in it: a guess must not hide all there is."""
        guess = asking.guess
        if guess is None or not guess.applied or response.results or response.coverage.failures:
            return
        response.Clear()
        unfiltered = pb.PredictedCategory(category=guess.category, confidence=guess.confidence)
        asked = checked(asking.question.request, index)
        await self._answer(response, _Asking.of(asked, asking.aim, unfiltered), index, until_s)

    async def _found(
        self, askings: Sequence[_Asking], index: IndexSettings, until_s: float
    ) -> list[tuple[list[list[Part]], Failures]]:
        """For each of them, what every searcher found for each of its queries. They wait for the same events."""
        asked = [asking.queries for asking in askings]
        flat = [query for queries in asked for query in queries]
        found, failures = await ask(self._fanout, flat, askings[0].question.request.at_least, index, until_s)
        rows = iter(found)
        return [([next(rows) for _ in queries], failures) for queries in asked]


async def _fill(
    response: pb.SearchResponse,
    asking: _Asking,
    found: Sequence[Sequence[Part]],
    failures: Failures,
    index: IndexSettings,
) -> None:
    question, aim = asking.question, asking.aim
    hits = sum(len(part.hits.hits) for parts in found for part in parts)
    if hits > _INLINE_HITS:
        await asyncio.to_thread(blend, response, question, aim, found, failures, index)
    else:
        blend(response, question, aim, found, failures, index)
    if names := question.request.facets:
        response.facets.extend(await asyncio.to_thread(facets_of, names, found[-1]))
    if aim.region:
        response.region.CopyFrom(aim.region)
    if asking.guess:
        response.predicted_category.CopyFrom(asking.guess)


def _check_batch(requests: Sequence[pb.SearchRequest]) -> None:
    if not 1 <= len(requests) <= MAX_SEARCHES:
        raise InvalidArgument("searches", f"has {len(requests)}, 1 to {MAX_SEARCHES} are accepted")
    pictures = sum(map(pictures_in, requests))
    if pictures > MAX_IMAGE_SEARCHES:
        raise InvalidArgument("searches", f"have {pictures} images, at most {MAX_IMAGE_SEARCHES} are accepted")
    # A page size that is out of range is that search's own error, and costs nothing.
    wanted = sum(count for count in map(products_wanted, requests) if count <= MAX_PAGE_SIZE)
    if wanted > MAX_BATCH_PRODUCTS:
        reason = (
            f"ask for {wanted:,} products, at most {MAX_BATCH_PRODUCTS:,} are accepted: page_size for each; "
            "with diversity five times that and at least 50; with order_by 1,000; with facets at least 1,000"
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
            if call and not fits(query for other in (*call, asking) for query in other.queries):
                yield call
                call = []
            call.append(asking)
        yield call


def _refuse(result: pb.BatchSearchResult, error: VitrineError) -> None:
    result.error.code, result.error.message = status_name(error), str(error)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
