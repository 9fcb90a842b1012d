"""FindDuplicates: every image of the catalogue asks for its neighbours; products that are joined so are groups.

Products come in a stream and are forgotten once they have asked: only what is in a group is remembered, and only by
name. What groups hold is looked up when they are told.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import Final, NamedTuple

import numpy as np

from services.gateway import metrics
from services.gateway.ask import CALL_QUERIES, ask
from services.gateway.blend import fill_coverage, new_query_id, oldest, refuse_if_too_little
from services.gateway.checks import check_at_least
from services.gateway.coalesce import Part
from services.gateway.fanout import DEADLINE_MARGIN_S, Fanout
from services.gateway.fields import check_known
from services.gateway.groups import Groups, Member
from services.gateway.resolve import Resolver
from vitrine.filters import Filter
from vitrine.filters_codec import filter_from_message
from vitrine.index.settings import IndexSettings
from vitrine.ranking import merged
from vitrine.runtime.errors import DeadlineExceeded, InvalidArgument, ResourceExhausted, UnknownProduct, VitrineError
from vitrine.v1 import filter_pb2, searcher_pb2
from vitrine.v1 import gateway_pb2 as pb
from vitrine.vectors import Vectors, from_wire, to_wire

# Measured with the bundled model. Of 240 x 320 pictures encoded again (JPEG 40 to 85, WebP, half to twice the size) 95
# to 100 % score that much, with 1 % cut off each side 91 %, with 2 % still 57 %; in another colour none does (at most
# 0.994). Of 39,507 photos of products, 2,883 have such a neighbour, 88 % of them one that differs hardly in its pixels;
# at 0.99 it is 6,800 and 65 %, joined to groups of up to 518, and at 0.97 more than half of all photos.
DEFAULT_MIN_SCORE: Final = 0.995
LOWEST_MIN_SCORE: Final = 0.5
# A caller with a far deadline, or one that stops reading, does not keep the place for ever.
MAX_S: Final = 3_600.0
PROGRESS_S: Final = 0.5

# Neighbours that an image asks for; one that has all of them near asks again, for as many as this.
_NEIGHBOURS: Final = 16
_MANY_NEIGHBOURS: Final = 1_000
# Images as like as that have the same neighbours: of a picture that hundreds of products share, one asks for them all.
_SAME: Final = 0.9999
_REMEMBERED: Final = 256
# Somebody else may keep a searcher busy, or it starts again: so long after one another it is asked once more.
_PAUSES_S: Final = (0.5, 2.0)
_RETRY_AFTER_S: Final = 10.0
# Of the time that a call took, it rests so much after it: searchers are for shoppers. Half of their searches take 1.7
# to 2 times as long beside a comparison that never rests, 1.2 to 1.3 times beside one that rests as long as it works
# (39,507 products, one searcher, two busy cores).
_REST: Final = 0.5

# Products looked up at a time, and about what a message holds.
_LOOKED_UP: Final = 100
_MESSAGE_BYTES: Final = 1 << 20
# A caller that stops reading keeps its place for so much longer.
_UNREAD_S: Final = 30.0
# Members of a group of which more than their names is told.
_DESCRIBED: Final = 1_000


class _Image(NamedTuple):
    """An image that asks. `vector`: little-endian float32."""

    product_id: str
    image_id: str
    vector: bytes


class Duplicates:
    """Finds near-duplicates, for one caller at a time."""

    def __init__(self, resolver: Resolver, fanout: Fanout) -> None:
        self._resolver = resolver
        self._fanout = fanout
        self._running = False

    async def find(
        self, request: pb.FindDuplicatesRequest, index: IndexSettings, timeout_s: float
    ) -> AsyncGenerator[pb.FindDuplicatesResponse]:
        """Progress, groups, then one message that says how complete they are.

        Raises InvalidArgument, ResourceExhausted, DeadlineExceeded, Unavailable.
        """
        wanted, min_score = _checked(request, index)
        until_s = _now_s() + min(timeout_s, MAX_S) - DEADLINE_MARGIN_S
        async with asyncio.timeout(MAX_S + _UNREAD_S):
            with self._place():
                comparison = _Comparison(self._fanout, request, index, wanted, min_score, until_s)
                comparing = asyncio.create_task(comparison.run())
                try:
                    while not (await asyncio.wait({comparing}, timeout=PROGRESS_S))[0]:
                        yield comparison.progress()
                    comparing.result()
                finally:
                    comparing.cancel()
                    await asyncio.gather(comparing, return_exceptions=True)
                last = comparison.summary()
                async with aclosing(self._told(comparison.groups.listed(), request, index, until_s)) as told:
                    async for response in told:
                        yield response
                yield last

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._running:
            raise ResourceExhausted("duplicates are being looked for already, one call at a time", _RETRY_AFTER_S)
        self._running = True
        try:
            yield
        finally:
            self._running = False

    async def _told(
        self,
        groups: Sequence[Sequence[Member]],
        request: pb.FindDuplicatesRequest,
        index: IndexSettings,
        until_s: float,
    ) -> AsyncGenerator[pb.FindDuplicatesResponse]:
        """`groups` in messages. Members that are gone by now are left out, and groups of which one is left."""
        response = pb.FindDuplicatesResponse()
        for some in _together(groups):
            known: dict[str, searcher_pb2.Product | VitrineError] = {}
            ids = [member.product_id for group in some for member in group[:_DESCRIBED]]
            for begin in range(0, len(ids), _LOOKED_UP):
                asked, left_s = ids[begin : begin + _LOOKED_UP], until_s - _now_s()
                found = await self._resolver.products(asked, index, left_s, request.at_least, with_vectors=False)
                known.update(zip(asked, found, strict=True))
            for group in some:
                message = _group_message(group, known)
                if len(message.members) > 1:
                    response.groups.append(message)
                if response.ByteSize() > _MESSAGE_BYTES:
                    yield response
                    response = pb.FindDuplicatesResponse()
        if response.groups:
            yield response


class _Comparison:
    """One walk through the catalogue. `until_s`: the loop's time."""

    def __init__(
        self,
        fanout: Fanout,
        request: pb.FindDuplicatesRequest,
        index: IndexSettings,
        wanted: Filter | None,
        min_score: float,
        until_s: float,
    ) -> None:
        self.groups = Groups()
        self._fanout = fanout
        self._request = request
        self._index = index
        self._wanted = wanted
        self._min_score = min_score
        self._until_s = until_s
        self._compared = 0
        self._total = 0
        self._answers: list[searcher_pb2.PartitionAnswer] = []
        self._failures: dict[int, searcher_pb2.PartitionFailure] = {}
        self._widely_asked: deque[Vectors] = deque(maxlen=_REMEMBERED)

    async def run(self) -> None:
        """Raises InvalidArgument, DeadlineExceeded, Unavailable."""
        try:
            async with asyncio.timeout_at(self._until_s):
                await self._look()
                await self._compare()
        except TimeoutError as error:
            reason = f"there was time for {self._compared:,} of about {self._total:,} products"
            raise DeadlineExceeded(reason) from error

    def progress(self) -> pb.FindDuplicatesResponse:
        return pb.FindDuplicatesResponse(products_compared=self._compared, products_total=self._total)

    def summary(self) -> pb.FindDuplicatesResponse:
        """The last message. Raises Unavailable where too little could be compared."""
        last = pb.FindDuplicatesResponse(
            products_compared=self._compared,
            products_total=self._compared,
            model_id=self._index.model_id,
            query_id=new_query_id(),
        )
        self._fill_coverage(last.coverage, self._answers)
        refuse_if_too_little(last.coverage, self._request.require_complete)
        last.index_time.CopyFrom(oldest(self._answers))
        return last

    async def _look(self) -> None:
        """What would be found wrong at the end is said at once: a field that nobody has, a partition that is away."""
        any_vector = to_wire(np.ones(self._index.dim, np.float32))
        query = searcher_pb2.VectorQuery(vector=any_vector, k=1, filter=self._filter(), explain=True)
        [parts] = await self._asked([query])
        coverage = pb.Coverage()
        self._fill_coverage(coverage, [answer for part in parts for answer in part.answer.answers])
        check_known(self._wanted, (), [fact for part in parts for fact in part.hits.fields], coverage)
        plans = [plan for part in parts for plan in part.hits.plans]
        share = sum(plan.rows_matching for plan in plans) / max(1, sum(plan.rows_live for plan in plans))
        self._total = round(share * self._products_live())

    async def _compare(self) -> None:
        call = searcher_pb2.ListProductsRequest(
            index=self._index.name, filter=self._filter(), with_vectors=True, at_least=self._request.at_least
        )
        products = self._fanout.list_products(call, range(self._index.partitions), self._until_s - _now_s())
        async with aclosing(products) as arriving:
            async for message in arriving:
                self._answers.extend(message.answers)
                self._note(message.failures)
                for images in _in_calls(message.products):
                    began_s = _now_s()
                    await self._join_near(images)
                    await asyncio.sleep(_REST * (_now_s() - began_s))
                self._compared += len(message.products)
                metrics.COMPARED.inc(len(message.products))
                self._total = max(self._total, self._compared)

    async def _join_near(self, images: Sequence[_Image]) -> None:
        crowded = []
        asked = await self._asked([self._query(image, _NEIGHBOURS) for image in images])
        for image, parts in zip(images, asked, strict=True):
            if self._join(image, parts, _NEIGHBOURS) == _NEIGHBOURS:
                crowded.append(image)
        for image in crowded:
            vector = from_wire(image.vector, self._index.dim)
            if not any(float(other @ vector) >= _SAME for other in self._widely_asked):
                self._widely_asked.append(vector)
                [parts] = await self._asked([self._query(image, _MANY_NEIGHBOURS)])
                self._join(image, parts, _MANY_NEIGHBOURS)

    def _join(self, image: _Image, parts: Sequence[Part], k: int) -> int:
        """Joins the product of `image` to all that was found. Returns how many that are."""
        hits = merged([part.hits.hits for part in parts], k)
        for hit in hits:
            self.groups.join(image.product_id, hit.product_id)
            self.groups.note(hit.product_id, hit.image_id, hit.score)
        if hits:
            self.groups.note(image.product_id, image.image_id, hits[0].score)
        return len(hits)

    def _query(self, image: _Image, k: int) -> searcher_pb2.VectorQuery:
        return searcher_pb2.VectorQuery(
            vector=image.vector,
            k=k,
            min_score=self._min_score,
            exclude_product_ids=[image.product_id],
            filter=self._filter(),
        )

    async def _asked(self, queries: Sequence[searcher_pb2.VectorQuery]) -> list[list[Part]]:
        """What every searcher found for each query. A partition that fails is asked again, and given up then."""
        for pause_s in (*_PAUSES_S, None):
            parts, failures = await ask(self._fanout, queries, self._request.at_least, self._index, self._until_s)
            if pause_s is None or all(failure.partition in self._failures for failure in failures):
                break
            await asyncio.sleep(pause_s)
        self._note(failures)
        return parts

    def _note(self, failures: Iterable[searcher_pb2.PartitionFailure]) -> None:
        """Raises Unavailable, DeadlineExceeded where a partial answer is not wanted."""
        for failure in failures:
            self._failures.setdefault(failure.partition, failure)
        if self._failures and self._request.require_complete:
            answered = self._index.partitions - len(self._failures)
            coverage = pb.Coverage(partitions_answered=answered, failures=self._failures.values())
            refuse_if_too_little(coverage, require_complete=True)

    def _fill_coverage(self, coverage: pb.Coverage, answers: Iterable[searcher_pb2.PartitionAnswer]) -> None:
        """A partition has answered if it never failed."""
        answered = [answer for answer in answers if answer.partition not in self._failures]
        fill_coverage(coverage, answered, self._failures.values(), self._index)

    def _products_live(self) -> int:
        """As the searchers said last; a partition's replicas may be a manifest apart."""
        live = {
            partition.partition: partition.products_live
            for status in self._fanout.statuses()
            for partition in status.partitions
        }
        return sum(live.values())

    def _filter(self) -> filter_pb2.Filter | None:
        return self._request.filter if self._wanted else None


def _checked(request: pb.FindDuplicatesRequest, index: IndexSettings) -> tuple[Filter | None, float]:
    """The filter and the least score. Raises InvalidArgument."""
    min_score = request.min_score if request.HasField("min_score") else DEFAULT_MIN_SCORE
    if not LOWEST_MIN_SCORE <= min_score <= 1:
        raise InvalidArgument("min_score", f"is {min_score}, not between {LOWEST_MIN_SCORE} and 1")
    check_at_least(request.at_least, index)
    return filter_from_message(request.filter) if request.HasField("filter") else None, min_score


def _in_calls(products: Iterable[searcher_pb2.Product]) -> Iterator[list[_Image]]:
    """The images of `products`, as many at a time as a searcher takes in one call."""
    images = [
        _Image(product.product_id, image.image_id, image.vector) for product in products for image in product.images
    ]
    for begin in range(0, len(images), CALL_QUERIES):
        yield images[begin : begin + CALL_QUERIES]


def _together(groups: Iterable[Sequence[Member]]) -> Iterator[list[Sequence[Member]]]:
    """Groups whose members are looked up at the same time."""
    some: list[Sequence[Member]] = []
    for group in groups:
        some.append(group)
        if sum(map(len, some)) >= _LOOKED_UP:
            yield some
            some = []
    if some:
        yield some


def _group_message(
    group: Iterable[Member], known: Mapping[str, searcher_pb2.Product | VitrineError]
) -> pb.DuplicateGroup:
    message = pb.DuplicateGroup()
    for member in group:
        product = known.get(member.product_id)
        if isinstance(product, UnknownProduct):
            continue
        told = message.members.add(product_id=member.product_id, image_id=member.image_id, score=member.score)
        if isinstance(product, searcher_pb2.Product):
            _fill(told, product)
    return message


def _fill(told: pb.DuplicateMember, product: searcher_pb2.Product) -> None:
    told.category = product.category
    told.attributes.MergeFrom(product.attributes)
    for image in product.images:
        if image.image_id == told.image_id:
            told.uri, told.sha256 = image.uri, image.sha256


def _now_s() -> float:
    return asyncio.get_running_loop().time()
