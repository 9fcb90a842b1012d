"""Recommend: history → interests → a query each → turns."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.gateway import checks
from services.gateway.ask import ask
from services.gateway.blend import fill_coverage, new_query_id, oldest, refuse_if_too_little, without_away
from services.gateway.coalesce import Part
from services.gateway.fanout import Failures, Fanout
from services.gateway.fields import check_known
from services.gateway.history import DEFAULT_HALF_LIFE_DAYS, checked_history, taste_weights
from services.gateway.query import DEFAULT_PAGE_SIZE
from services.gateway.resolve import Resolver, away, directions, time_to_look_up
from vitrine.filters import Filter
from vitrine.filters_codec import filter_from_message
from vitrine.index.settings import IndexSettings
from vitrine.interests import Interest, interests_of, turns
from vitrine.ranking import diversified, merged
from vitrine.runtime.errors import InvalidArgument, NotFound, Unavailable, UnknownProduct, VitrineError
from vitrine.v1 import gateway_pb2 as pb
from vitrine.v1 import searcher_pb2
from vitrine.vectors import Vectors, rows_from_wire, to_wire

MAX_PAGE_SIZE: Final = 100
MAX_INTERESTS: Final = 10
DEFAULT_MAX_INTERESTS: Final = 3
# A diverse page is chosen from so many times its products, of which each interest brings its share.
_DIVERSE_CANDIDATES: Final = 5
_FEWEST_CANDIDATES: Final = 50
# A longer history, or more candidates, are worked on in a thread: they would keep others waiting for milliseconds.
_INLINE_HISTORY: Final = 64
_INLINE_CANDIDATES: Final = 300


class _Asked(NamedTuple):
    """A checked request. `weights`: what each product of the history weighs, the weightiest first."""

    request: pb.RecommendRequest
    weights: dict[str, float]
    max_interests: int
    page_size: int
    filter: Filter | None

    def candidates(self, interest: Interest) -> int:
        """Products that an interest asks for.

        A page's worth is enough without diversity, even if it has to fill the page alone: what others have taken from
        its list is on the page already.
        """
        if not self.request.diversity:
            return self.page_size
        wanted = max(_DIVERSE_CANDIDATES * self.page_size, _FEWEST_CANDIDATES)
        return max(self.page_size, math.ceil(interest.weight * wanted))


class _Taste(NamedTuple):
    """What could be found of a history. A row a product: `vectors` float32 (n, dim), `weights` (n,).

    unknown  products that are not in the index
    away     partitions that hold products of it and did not answer, and why
    """

    product_ids: list[str]
    vectors: Vectors
    weights: npt.NDArray[np.float64]
    unknown: list[str]
    away: dict[int, str]


class _Candidates(NamedTuple):
    """What an interest offers, in the order in which it is offered. `vectors`: little-endian float32, one a hit."""

    hits: list[searcher_pb2.Hit]
    vectors: list[bytes]


class Recommending:
    """Answers with what a shopper with some history may like."""

    def __init__(self, resolver: Resolver, fanout: Fanout) -> None:
        self._resolver = resolver
        self._fanout = fanout

    async def recommend(
        self, request: pb.RecommendRequest, index: IndexSettings, timeout_s: float
    ) -> pb.RecommendResponse:
        """Raises InvalidArgument, NotFound (`history`), DeadlineExceeded, Unavailable."""
        until_s = asyncio.get_running_loop().time() + timeout_s
        asked = _checked(request, index)
        taste = await self._taste(asked, index, timeout_s)
        interests = await _told_apart(taste, asked.max_interests)
        queries = [_query(interest, asked) for interest in interests]
        found, failures = await ask(self._fanout, queries, request.at_least, index, until_s)
        response = pb.RecommendResponse()
        _fill_facts(response, asked, taste, found, failures, index)
        if sum(query.k for query in queries) > _INLINE_CANDIDATES:
            await asyncio.to_thread(_fill_results, response, asked, taste, interests, found, index.dim)
        else:
            _fill_results(response, asked, taste, interests, found, index.dim)
        return response

    async def _taste(self, asked: _Asked, index: IndexSettings, timeout_s: float) -> _Taste:
        """Raises NotFound where nothing of the history is in the index, Unavailable where that cannot be told."""
        ids = list(asked.weights)
        at_least = asked.request.at_least
        within_s = time_to_look_up(timeout_s, at_least)
        found = await self._resolver.products(ids, index, within_s, at_least, with_vectors=True)
        taste = _taste_of(dict(zip(ids, found, strict=True)), asked, index)
        if taste.product_ids:
            return taste
        if taste.away:
            raise Unavailable("; ".join(f"partition {number}: history: {why}" for number, why in taste.away.items()))
        raise NotFound("history: none of its products is in the index")


def _taste_of(found: Mapping[str, searcher_pb2.Product | VitrineError], asked: _Asked, index: IndexSettings) -> _Taste:
    """`found`: by product, the weightiest first."""
    known = {name: one for name, one in found.items() if isinstance(one, searcher_pb2.Product)}
    return _Taste(
        list(known),
        directions(list(known.values()), index.dim),
        np.array([asked.weights[name] for name in known]),
        [name for name, one in found.items() if isinstance(one, UnknownProduct)],
        away(found, index),
    )


async def _told_apart(taste: _Taste, most: int) -> list[Interest]:
    if len(taste.product_ids) > _INLINE_HISTORY:
        return await asyncio.to_thread(interests_of, taste.vectors, taste.weights, most)
    return interests_of(taste.vectors, taste.weights, most)


def _checked(request: pb.RecommendRequest, index: IndexSettings) -> _Asked:
    """Raises InvalidArgument naming the first field that is wrong."""
    if not request.history:
        raise InvalidArgument("history", "is empty: name at least one product that the shopper liked")
    history = checked_history(request.history)
    half_life_days = request.half_life_days if request.HasField("half_life_days") else DEFAULT_HALF_LIFE_DAYS
    if not 0 < half_life_days < math.inf:
        raise InvalidArgument("half_life_days", f"is {half_life_days}, not above 0 and finite")
    max_interests = request.max_interests if request.HasField("max_interests") else DEFAULT_MAX_INTERESTS
    checks.check_count(max_interests, MAX_INTERESTS, "max_interests")
    page_size = request.page_size if request.HasField("page_size") else DEFAULT_PAGE_SIZE
    checks.check_count(page_size, MAX_PAGE_SIZE, "page_size")
    checks.check_share(request.diversity, "diversity")
    if request.HasField("min_score"):
        checks.check_min_score(request.min_score)
    checks.check_at_least(request.at_least, index)
    checks.check_surface(request.surface)
    wanted = filter_from_message(request.filter) if request.HasField("filter") else None
    return _Asked(request, taste_weights(history, half_life_days), max_interests, page_size, wanted)


def _query(interest: Interest, asked: _Asked) -> searcher_pb2.VectorQuery:
    request = asked.request
    query = searcher_pb2.VectorQuery(
        vector=to_wire(interest.query),
        k=asked.candidates(interest),
        exclude_product_ids=list(asked.weights),
        with_vectors=True,
    )
    if request.HasField("min_score"):
        query.min_score = request.min_score
    if asked.filter:
        query.filter.CopyFrom(request.filter)
    return query


def _fill_facts(
    response: pb.RecommendResponse,
    asked: _Asked,
    taste: _Taste,
    found: Sequence[Sequence[Part]],
    failures: Failures,
    index: IndexSettings,
) -> None:
    """How complete the answer is, and what it is based on. Raises Unavailable, DeadlineExceeded, InvalidArgument."""
    # All queries travel in one call, so what is true of the first one's parts is true of all.
    answered, failed = without_away(found[0], failures, taste.away)
    fill_coverage(response.coverage, answered, failed, index)
    refuse_if_too_little(response.coverage, asked.request.require_complete)
    facts = [fact for parts in found for part in parts for fact in part.hits.fields]
    check_known(asked.filter, (), facts, response.coverage)
    response.recall = min(part.hits.recall for parts in found for part in parts if part.answer.answers)
    response.index_time.CopyFrom(oldest(answered))
    response.model_id = index.model_id
    response.query_id = new_query_id()
    response.unknown_product_ids.extend(taste.unknown)


def _fill_results(
    response: pb.RecommendResponse,
    asked: _Asked,
    taste: _Taste,
    interests: Sequence[Interest],
    found: Sequence[Sequence[Part]],
    dim: int,
) -> None:
    offers = [_offered(parts, asked, interest, dim) for parts, interest in zip(found, interests, strict=True)]
    shares = [interest.weight for interest in interests]
    order = turns([[hit.product_id for hit in offer.hits] for offer in offers], shares)
    page = list(islice(order, asked.page_size))
    vectors = [offers[number].vectors[place] for number, place in page]
    reasons = _reasons(vectors, [interests[number] for number, _ in page], taste, dim)
    for (number, place), reason in zip(page, reasons, strict=True):
        response.results.add(hit=offers[number].hits[place], interest=number, because_product_id=reason)
    for interest in interests:
        response.interests.add(
            product_id=taste.product_ids[interest.medoid],
            weight=interest.weight,
            history_product_ids=[taste.product_ids[member] for member in interest.members],
        )


def _offered(parts: Sequence[Part], asked: _Asked, interest: Interest, dim: int) -> _Candidates:
    """The best of what all searchers found for one interest; with diversity, less alike."""
    by_product = {
        hit.product_id: vector for part in parts for hit, vector in zip(part.hits.hits, part.hits.vectors, strict=True)
    }
    hits = merged([part.hits.hits for part in parts], asked.candidates(interest))
    vectors = [by_product[hit.product_id] for hit in hits]
    if asked.request.diversity and hits:
        scores = np.array([hit.score for hit in hits], np.float32)
        picked = diversified(scores, rows_from_wire(vectors, dim), asked.page_size, asked.request.diversity)
        hits, vectors = [hits[place] for place in picked], [vectors[place] for place in picked]
    return _Candidates(hits, vectors)


def _reasons(found: Sequence[bytes], interests: Sequence[Interest], taste: _Taste, dim: int) -> list[str]:
    """For each of `found`, which its interest has found, that interest's product which it is most like."""
    if not found:
        return []
    cosines = rows_from_wire(found, dim) @ taste.vectors.T
    nearest = (
        interest.members[int(np.argmax(row[list(interest.members)]))]
        for row, interest in zip(cosines, interests, strict=True)
    )
    return [taste.product_ids[place] for place in nearest]
