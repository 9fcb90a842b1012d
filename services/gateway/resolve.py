"""Step 2: pictures and products → vectors, with the embedder's help and the searchers'."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import grpc
import grpc.aio
import numpy as np

from services.gateway import metrics
from services.gateway.embedding_cache import DEFAULT_BOUND_BYTES, DEFAULT_TTL_S, EmbeddingCache, key_of
from services.gateway.fanout import DEADLINE_MARGIN_S, Fanout
from services.gateway.own_time import awaiting
from vitrine.index.settings import IndexSettings
from vitrine.runtime.errors import (
    BadImage,
    DeadlineExceeded,
    ModelMismatch,
    ResourceExhausted,
    Unavailable,
    UnknownProduct,
    VitrineError,
)
from vitrine.stream.partitioning import partition_of
from vitrine.v1 import catalogue_pb2, embedder_pb2, embedder_pb2_grpc, searcher_pb2
from vitrine.v1 import gateway_pb2 as pb
from vitrine.vectors import Vectors, from_wire, rows_from_wire, to_wire, unit

# What one call to the embedder, and one to a searcher, may hold.
EMBED_IMAGES: Final = 64
EMBED_BYTES: Final = 8 * 1024 * 1024
GET_PRODUCTS: Final = 100

# More than these take a thread to hash.
_INLINE_BYTES: Final = 256 * 1024
_RETRY_AFTER_S: Final = 0.2
# So soon the channel has found another embedder, if there is one.
_ANOTHER_AFTER_S: Final = 0.1
# A call that nobody here has cancelled reached an embedder that was about to stop.
_AWAY: Final = ("UNAVAILABLE", "CANCELLED")
# Statuses that say nothing about the pictures: asking for each alone would only add to the embedder's trouble.
_OF_THE_EMBEDDER: Final = ("RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", *_AWAY)


Response = TypeVar("Response")


class Picture(NamedTuple):
    """An encoded picture and the part that is meant: `crop`, what the model finds (`auto`), or all of it."""

    data: bytes
    crop: embedder_pb2.CropBox | None = None
    auto: bool = False


class Item(NamedTuple):
    """Something that has a vector: a picture, or a product of the index.

    field     how the caller calls it
    at_least  what must be indexed before the product is looked up
    """

    thing: Picture | str
    field: str
    at_least: Sequence[catalogue_pb2.LogPosition] = ()


class Embedded(NamedTuple):
    """`vector`: little-endian float32. Of a picture also where in it the product is, if asked, and the scores."""

    vector: bytes
    region: pb.FoundRegion | None = None
    category_scores: bytes = b""


Found = Embedded | VitrineError


class Resolver:
    """Finds vectors. A bad picture or an unknown product never fails the others asked for with it."""

    def __init__(
        self,
        embedder: grpc.aio.Channel,
        fanout: Fanout,
        cache_bytes: int = DEFAULT_BOUND_BYTES,
        cache_s: float = DEFAULT_TTL_S,
    ) -> None:
        self._embedder = embedder_pb2_grpc.EmbedderStub(embedder)
        self._fanout = fanout
        self._cache = EmbeddingCache(cache_bytes, cache_s, _size_bytes)
        self._model: embedder_pb2.GetModelResponse | None = None

    async def items(self, items: Sequence[Item], index: IndexSettings, timeout_s: float) -> list[Found]:
        """One a thing, in order."""
        calls = [(self._of_pictures, places) for places in _embed_calls(items)]
        calls += [(self._of_products, places) for places in _product_calls(items)]
        answers = await asyncio.gather(
            *(ask([items[place] for place in places], index, timeout_s) for ask, places in calls)
        )
        found: dict[int, Found] = {}
        for (_, places), vectors in zip(calls, answers, strict=True):
            found.update(zip(places, vectors, strict=True))
        return [found[place] for place in range(len(items))]

    async def embedded(self, pictures: Sequence[Picture], index: IndexSettings, timeout_s: float) -> list[Found]:
        """What the model makes of at most 64 pictures of at most 8 MiB together, or of a single larger one.

        Not anew for those that were asked for lately.
        """
        until_s = _now_s() + timeout_s

        def make(places: Sequence[int]) -> Coroutine[Any, Any, list[Found]]:
            return self._embed([pictures[place] for place in places], index, until_s - _now_s())

        return await self._cache.get_or(await _keys(pictures, index.model_id), make, until_s - DEADLINE_MARGIN_S / 2)

    async def _embed(self, pictures: Sequence[Picture], index: IndexSettings, timeout_s: float) -> list[Found]:
        """As a shopper's: somebody waits for the answer, be it one search or a batch of them."""
        until_s = _now_s() + timeout_s
        images = [embedder_pb2.ImageInput(data=data, crop=crop, auto_crop=auto) for data, crop, auto in pictures]
        call = embedder_pb2.EmbedRequest(images=images, priority=embedder_pb2.PRIORITY_INTERACTIVE)
        with metrics.EMBED_SECONDS.time():
            try:
                response = await _asked(self._embedder.Embed, call, until_s)
            except grpc.aio.AioRpcError as error:
                if len(images) == 1 or error.code().name in _OF_THE_EMBEDDER:
                    return [_embedder_error(error)] * len(images)
                response = None
        if response is None:
            # One of them may be what it fails at. It must not fail the others.
            alone = [self._embed([picture], index, until_s - _now_s()) for picture in pictures]
            return [found for (found,) in await asyncio.gather(*alone)]
        if response.model_id != index.model_id:
            return [ModelMismatch(response.model_id, index.model_id)] * len(images)
        return [
            _embedded(result, picture, index.dim) for result, picture in zip(response.results, pictures, strict=True)
        ]

    async def model(self, index: IndexSettings, timeout_s: float) -> embedder_pb2.GetModelResponse:
        """What the embedder says of the index's model. Raises Unavailable, DeadlineExceeded, ModelMismatch."""
        if self._model is None or self._model.model_id != index.model_id:
            try:
                with awaiting():
                    model = await _asked(self._embedder.GetModel, embedder_pb2.GetModelRequest(), _now_s() + timeout_s)
            except grpc.aio.AioRpcError as error:
                raise _embedder_error(error) from error
            if model.model_id != index.model_id:
                raise ModelMismatch(model.model_id, index.model_id)
            self._model = model
        return self._model

    async def product(
        self,
        product_id: str,
        index: IndexSettings,
        timeout_s: float,
        at_least: Sequence[catalogue_pb2.LogPosition],
        with_vectors: bool,
    ) -> searcher_pb2.Product:
        """The product as it is indexed now. Raises UnknownProduct, Unavailable."""
        found = (await self.products([product_id], index, timeout_s, at_least, with_vectors))[0]
        if isinstance(found, VitrineError):
            raise found
        return found

    async def products(
        self,
        product_ids: Sequence[str],
        index: IndexSettings,
        timeout_s: float,
        at_least: Sequence[catalogue_pb2.LogPosition],
        with_vectors: bool,
    ) -> list[searcher_pb2.Product | VitrineError]:
        """Products as they are indexed now, any number, in order; UnknownProduct or Unavailable for those missing.

        A partition that hangs takes all of `timeout_s`: `time_to_look_up` leaves some for what follows.
        """
        homes = {product_id: partition_of(product_id, index.partitions) for product_id in product_ids}
        call = searcher_pb2.GetProductsRequest(index=index.name, with_vectors=with_vectors, at_least=at_least)
        ids = list(homes)
        parts = [{name: homes[name] for name in ids[begin : begin + GET_PRODUCTS]} for begin in _begins(ids)]
        looked_up = await asyncio.gather(*(self._fanout.products(call, part, timeout_s) for part in parts))
        known = {
            product.product_id: product for answers, _ in looked_up for found in answers for product in found.products
        }
        reasons = {failure.partition: failure.reason for _, failures in looked_up for failure in failures}
        return [known.get(product_id) or _missing(product_id, homes[product_id], reasons) for product_id in product_ids]

    async def _of_pictures(self, items: Sequence[Item], index: IndexSettings, timeout_s: float) -> list[Found]:
        pictures = [item.thing for item in items if isinstance(item.thing, Picture)]
        found = await self.embedded(pictures, index, timeout_s)
        # A picture's own fault is told by the name that the caller has for it.
        return [
            BadImage(one.reason, item.field) if isinstance(one, BadImage) else one
            for one, item in zip(found, items, strict=True)
        ]

    async def _of_products(self, items: Sequence[Item], index: IndexSettings, timeout_s: float) -> list[Found]:
        ids = [item.thing for item in items if isinstance(item.thing, str)]
        at_least = items[0].at_least
        within_s = time_to_look_up(timeout_s, at_least) if len(ids) > 1 else timeout_s
        products = await self.products(ids, index, within_s, at_least, with_vectors=True)
        return [
            product if isinstance(product, VitrineError) else Embedded(to_wire(direction(product, index.dim)))
            for product in products
        ]


async def _asked(method: Callable[..., Awaitable[Response]], request: object, until_s: float) -> Response:
    """An embedder's answer; where it stops just then, after a moment of another's. Raises AioRpcError."""
    try:
        return await method(request, timeout=_left_s(until_s))
    except grpc.aio.AioRpcError as error:
        if error.code().name not in _AWAY:
            raise
    await asyncio.sleep(min(_ANOTHER_AFTER_S, _left_s(until_s)))
    return await method(request, timeout=_left_s(until_s))


def _left_s(until_s: float) -> float:
    return max(0.001, until_s - DEADLINE_MARGIN_S - _now_s())


async def _keys(pictures: Sequence[Picture], model_id: str) -> list[bytes]:
    if sum(len(picture.data) for picture in pictures) > _INLINE_BYTES:
        return await asyncio.to_thread(lambda: [key_of(*picture, model_id) for picture in pictures])
    return [key_of(*picture, model_id) for picture in pictures]


def _size_bytes(found: Embedded) -> int:
    return len(found.vector) + len(found.category_scores) + (found.region.ByteSize() if found.region else 0)


def time_to_look_up(timeout_s: float, at_least: Sequence[catalogue_pb2.LogPosition]) -> float:
    """Of `timeout_s`, for products of which those that are found are to be searched with, be it without the others.

    All of it where events have to be waited for: the search waits for the same ones.
    """
    return timeout_s if at_least else timeout_s / 2


def away(found: Mapping[str, object], index: IndexSettings) -> dict[int, str]:
    """Partitions that did not answer for products of theirs, and why. `found`: by product, itself or its error."""
    return {
        partition_of(product_id, index.partitions): str(one).partition(": ")[2]
        for product_id, one in found.items()
        if isinstance(one, VitrineError) and not isinstance(one, UnknownProduct)
    }


def direction(product: searcher_pb2.Product, dim: int) -> Vectors:
    """The direction of the product's images together: the mean of their vectors. float32 (dim,), unit length."""
    one: Vectors = directions([product], dim)[0]
    return one


def directions(products: Sequence[searcher_pb2.Product], dim: int) -> Vectors:
    """`direction` of each, at a fraction of the time for many. float32 (n, dim)."""
    vectors = rows_from_wire([image.vector for product in products for image in product.images], dim)
    counts = np.array([len(product.images) for product in products], np.int64)
    firsts = np.cumsum(counts) - counts
    means = unit(np.add.reduceat(vectors, firsts, axis=0))
    # Images that point in opposite directions have no mean direction; then the first one speaks.
    return np.where(means.any(axis=1, keepdims=True), means, vectors[firsts])


def _embed_calls(items: Sequence[Item]) -> Iterator[list[int]]:
    """Places of the pictures, in parts that the embedder takes in one call."""
    places: list[int] = []
    size = 0
    for place, item in enumerate(items):
        if isinstance(item.thing, str):
            continue
        if places and (len(places) == EMBED_IMAGES or size + len(item.thing.data) > EMBED_BYTES):
            yield places
            places, size = [], 0
        places.append(place)
        size += len(item.thing.data)
    if places:
        yield places


def _product_calls(items: Sequence[Item]) -> Iterator[list[int]]:
    """Places of the products that wait for the same events."""
    waiting: dict[tuple[bytes, ...], list[int]] = {}
    for place, item in enumerate(items):
        if isinstance(item.thing, str):
            events = tuple(position.SerializeToString() for position in item.at_least)
            waiting.setdefault(events, []).append(place)
    yield from waiting.values()


def _begins(ids: Sequence[str]) -> range:
    """Where the parts of `ids` begin that a searcher takes in one call."""
    return range(0, len(ids), GET_PRODUCTS)


def _missing(product_id: str, partition: int, reasons: dict[int, str]) -> VitrineError:
    if partition in reasons:
        return Unavailable(f"partition {partition}: {reasons[partition]}")
    return UnknownProduct(product_id)


def _embedded(result: embedder_pb2.EmbedResult, picture: Picture, dim: int) -> Found:
    if result.WhichOneof("result") == "error":
        return BadImage(result.error.message.partition(": ")[2])
    found = result.embedding
    return Embedded(
        to_wire(from_wire(found.vector, dim)), _region(found) if picture.auto else None, found.category_scores
    )


def _region(found: embedder_pb2.Embedding) -> pb.FoundRegion:
    region = pb.FoundRegion(crop=found.crop if found.HasField("crop") else None)
    if found.HasField("no_product_score"):
        region.no_product_score = found.no_product_score
    return region


def _embedder_error(error: grpc.aio.AioRpcError) -> VitrineError:
    """INTERNAL to a caller where it is nothing that a caller can do something about."""
    match error.code().name:
        case "RESOURCE_EXHAUSTED":
            return ResourceExhausted("the embedder is busy", _RETRY_AFTER_S)
        case "DEADLINE_EXCEEDED":
            return DeadlineExceeded("the embedder did not answer in time")
        case "UNAVAILABLE" | "CANCELLED":
            return Unavailable("the embedder is away")
        case "INVALID_ARGUMENT":
            return BadImage((error.details() or "").partition(": ")[2])
        case code:
            return VitrineError(f"the embedder failed: {code}: {error.details()}")


def _now_s() -> float:
    return asyncio.get_running_loop().time()
