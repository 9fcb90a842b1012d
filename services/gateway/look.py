"""CompleteTheLook: what goes with a product or a picture, the best of each other category."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from services.gateway import checks
from services.gateway.ask import ask
from services.gateway.blend import fill_coverage, new_query_id, oldest, refuse_if_too_little
from services.gateway.category import categories, predicted
from services.gateway.coalesce import Part
from services.gateway.fanout import Failures, Fanout
from services.gateway.fields import check_known, within_category
from services.gateway.resolve import Picture, Resolver, direction
from vitrine.affinity import Affinity, Learned, untrained
from vitrine.filters import Filter
from vitrine.filters_codec import filter_from_message
from vitrine.index.settings import IndexSettings
from vitrine.model_folder import VectorPart
from vitrine.ranking import rank
from vitrine.runtime.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    ModelMismatch,
    Unavailable,
    VitrineError,
)
from vitrine.stream.codec import MAX_CATEGORY_BYTES
from vitrine.v1 import gateway_pb2 as pb
from vitrine.v1 import searcher_pb2
from vitrine.vectors import Vectors, from_wire, rows_from_wire, to_wire

MAX_CATEGORIES: Final = 20
MAX_PER_CATEGORY: Final = 50
DEFAULT_PER_CATEGORY: Final = 4
# A partition tells no more categories than these.
_TOLD: Final = 1_000
# What the parts of a vector are can be done without.
_MODEL_TIMEOUT_S: Final = 1.0
# More hits than these are compared in a thread: it would keep other calls waiting for milliseconds.
_INLINE_HITS: Final = 200


class _Asked(NamedTuple):
    """What is asked with. `product_id`: empty for a picture. `category`: empty where nobody knows."""

    vector: Vectors
    category: str
    product_id: str = ""
    region: pb.FoundRegion | None = None


class Completing:
    """Completes looks. `learned`: by what vectors go together; None = by their parts, as the embedder tells them."""

    def __init__(self, resolver: Resolver, fanout: Fanout, learned: Learned | None) -> None:
        self._resolver = resolver
        self._fanout = fanout
        self._learned = learned

    async def complete(
        self, request: pb.CompleteTheLookRequest, index: IndexSettings, timeout_s: float
    ) -> pb.CompleteTheLookResponse:
        """Raises InvalidArgument, NotFound, FailedPrecondition, ResourceExhausted, DeadlineExceeded, Unavailable."""
        until_s = _now_s() + timeout_s
        wanted = _checked(request, index)
        affinity, asked = await asyncio.gather(self._affinity(index, timeout_s), self._asked(request, index, timeout_s))
        query = affinity.query(asked.vector, asked.category)
        if request.at_least:
            await self._caught_up(request, query, index, until_s)
        names = await self._categories(request, asked.category, index)
        queries = list(_queries(request, query, asked.product_id, names))
        found, failures = await ask(self._fanout, queries, request.at_least, index, until_s)
        response = pb.CompleteTheLookResponse(
            model_id=index.model_id,
            query_id=new_query_id(),
            own_category=asked.category,
            affinity=affinity.name,
            region=asked.region,
        )
        _complete(response, request, wanted, found, failures, index)
        fill = (response, names, found, affinity, query, _per_category(request))
        if sum(len(part.hits.hits) for parts in found for part in parts) > _INLINE_HITS:
            await asyncio.to_thread(_fill_categories, *fill)
        else:
            _fill_categories(*fill)
        return response

    async def _affinity(self, index: IndexSettings, timeout_s: float) -> Affinity:
        if self._learned is not None:
            _check_fits(self._learned, index)
            return self._learned
        try:
            model = await self._resolver.model(index, min(timeout_s, _MODEL_TIMEOUT_S))
        except (Unavailable, DeadlineExceeded, ModelMismatch):
            # A product can be asked with while the embedder is away; the answer says what it went by.
            return untrained((), index.dim)
        return untrained([VectorPart(part.name, part.dim, part.weight) for part in model.parts], index.dim)

    async def _asked(self, request: pb.CompleteTheLookRequest, index: IndexSettings, timeout_s: float) -> _Asked:
        if request.WhichOneof("query") == "image":
            asked = await self._of_picture(request, index, timeout_s)
        else:
            product = await self._resolver.product(
                request.product_id, index, timeout_s, request.at_least, with_vectors=True
            )
            asked = _Asked(direction(product, index.dim), product.category, product.product_id)
        return asked._replace(category=request.own_category) if request.own_category else asked

    async def _of_picture(self, request: pb.CompleteTheLookRequest, index: IndexSettings, timeout_s: float) -> _Asked:
        crop = request.crop if request.HasField("crop") else None
        picture = Picture(request.image, crop, request.crop_mode == pb.CROP_MODE_AUTO)
        (found,) = await self._resolver.embedded([picture], index, timeout_s)
        if isinstance(found, VitrineError):
            raise found
        model = await self._resolver.model(index, timeout_s)
        category = predicted(found.category_scores, model.labels).category
        return _Asked(from_wire(found.vector, index.dim), category, region=found.region)

    async def _caught_up(
        self, request: pb.CompleteTheLookRequest, query: Vectors, index: IndexSettings, until_s: float
    ) -> None:
        """Waits until what the caller has written is known, categories and all."""
        anything = searcher_pb2.VectorQuery(vector=to_wire(query), k=1)
        await ask(self._fanout, [anything], request.at_least, index, until_s)
        await self._fanout.refresh()

    async def _categories(self, request: pb.CompleteTheLookRequest, own: str, index: IndexSettings) -> list[str]:
        """Those to search. Raises InvalidArgument for one that no product has."""
        known = categories(self._fanout.statuses())
        asked = [request.own_category] * bool(request.own_category) + list(request.categories)
        if not known or not known.keys() >= set(asked):
            # What is known of searchers may be a second old.
            await self._fanout.refresh()
            known = categories(self._fanout.statuses())
            self._check_known(request, known, index)
        if not request.categories:
            return [name for name in known if name != own][:MAX_CATEGORIES]
        others = [name for name in request.categories if name != own]
        if not others:
            raise InvalidArgument("categories", f'names only "{own}", the category of what is asked with')
        return others

    def _check_known(self, request: pb.CompleteTheLookRequest, known: dict[str, int], index: IndexSettings) -> None:
        if len(self._fanout.serving()) < index.partitions or len(known) >= _TOLD:
            return  # nobody can say what a partition that is away holds, or one that does not tell all of it
        if request.own_category and request.own_category not in known:
            raise InvalidArgument("own_category", f'no product is of "{request.own_category}"')
        for number, name in enumerate(request.categories):
            if name not in known:
                raise InvalidArgument(f"categories[{number}]", f'no product is of "{name}"')


def _checked(request: pb.CompleteTheLookRequest, index: IndexSettings) -> Filter | None:
    """The filter. Raises InvalidArgument naming the first field that is wrong."""
    kind = request.WhichOneof("query")
    checks.check_crop(request.crop if request.HasField("crop") else None, request.crop_mode, kind == "image")
    match kind:
        case "image":
            checks.check_image(request.image)
        case "product_id":
            checks.check_product_id(request.product_id)
        case _:
            raise InvalidArgument("query", "one of image or product_id must be set")
    _check_categories(request.categories, request.own_category)
    checks.check_count(_per_category(request), MAX_PER_CATEGORY, "per_category")
    checks.check_at_least(request.at_least, index)
    checks.check_surface(request.surface)
    # With the condition that a category adds, so that no searcher finds it one too many.
    filter_from_message(within_category(request.filter, "any"))
    return filter_from_message(request.filter)


def _check_categories(names: Sequence[str], own: str) -> None:
    if len(names) > MAX_CATEGORIES:
        raise InvalidArgument("categories", f"has {len(names)}, at most {MAX_CATEGORIES} are accepted")
    for number, name in enumerate(names):
        if not 1 <= len(name.encode()) <= MAX_CATEGORY_BYTES:
            raise InvalidArgument(f"categories[{number}]", f"must have 1 to {MAX_CATEGORY_BYTES} bytes")
        if name in names[:number]:
            raise InvalidArgument(f"categories[{number}]", f'"{name}" is named twice')
        if name == own:
            raise InvalidArgument(f"categories[{number}]", "is the own_category, which is not searched")


def _check_fits(learned: Learned, index: IndexSettings) -> None:
    if learned.model_id != index.model_id or learned.dim != index.dim:
        raise FailedPrecondition(
            f"affinity: was learned for vectors of the model {learned.model_id[:12]}, "
            f"but the index was made with {index.model_id[:12]}"
        )


def _per_category(request: pb.CompleteTheLookRequest) -> int:
    return request.per_category if request.HasField("per_category") else DEFAULT_PER_CATEGORY


def _queries(
    request: pb.CompleteTheLookRequest, query: Vectors, product_id: str, names: Sequence[str]
) -> Iterator[searcher_pb2.VectorQuery]:
    """One a category. Where there is none, one that finds out how complete this answer is."""
    excluded = [product_id] if product_id else []
    base = searcher_pb2.VectorQuery(vector=to_wire(query), k=_per_category(request), exclude_product_ids=excluded)
    if not names:
        base.k = 1
        base.filter.CopyFrom(request.filter)
        yield base
    for name in names:
        of_category = searcher_pb2.VectorQuery(with_vectors=True, filter=within_category(request.filter, name))
        of_category.MergeFrom(base)
        yield of_category


def _complete(
    response: pb.CompleteTheLookResponse,
    request: pb.CompleteTheLookRequest,
    wanted: Filter | None,
    found: Sequence[Sequence[Part]],
    failures: Failures,
    index: IndexSettings,
) -> None:
    """How complete it is. Raises as a search that is too little, or filters by what is not known."""
    parts = found[0]
    answered = [answer for part in parts for answer in part.answer.answers]
    fill_coverage(response.coverage, answered, failures, index)
    refuse_if_too_little(response.coverage, request.require_complete)
    check_known(wanted, (), [fact for part in parts for fact in part.hits.fields], response.coverage)
    response.index_time.CopyFrom(oldest(answered))


def _fill_categories(
    response: pb.CompleteTheLookResponse,
    names: Sequence[str],
    found: Sequence[Sequence[Part]],
    affinity: Affinity,
    query: Vectors,
    per_category: int,
) -> None:
    """Scores all that was found by affinity; the category with the best product comes first."""
    hits = {name: [hit for part in parts for hit in part.hits.hits] for name, parts in zip(names, found, strict=False)}
    vectors = [vector for parts in found[: len(names)] for part in parts for vector in part.hits.vectors]
    scores = iter(affinity.scores(query, rows_from_wire(vectors, len(query))).tolist())
    looks = []
    for name, of_category in hits.items():
        for hit in of_category:
            hit.score = next(scores)
        best = sorted(of_category, key=rank)[:per_category]
        if best:
            looks.append(pb.LookCategory(category=name, results=best))
    response.categories.extend(sorted(looks, key=lambda look: (-look.results[0].score, look.category)))


def _now_s() -> float:
    return asyncio.get_running_loop().time()
