"""Step 2: pictures and products → vectors, with the embedder's help and the searchers'."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import grpc
import grpc.aio
import numpy as np

from services.gateway import metrics
from services.gateway.fanout import DEADLINE_MARGIN_S, Fanout
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
from vitrine.vectors import Vectors, from_wire, to_wire, unit

# What one call to the embedder, and one to a searcher, may hold.
EMBED_IMAGES: Final = 64
EMBED_BYTES: Final = 8 * 1024 * 1024
GET_PRODUCTS: Final = 100

_RETRY_AFTER_S: Final = 0.2
# Statuses that say nothing about the pictures: asking for each alone would only add to the embedder's trouble.
_OF_THE_EMBEDDER: Final = ("RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "UNAVAILABLE", "CANCELLED")

Asking = pb.SearchRequest | pb.ScanRequest
# Little-endian float32, or why there is none.
Found = bytes | VitrineError


class Resolver:
    """Finds vectors. A bad picture or an unknown product never fails the others asked for with it."""

    def __init__(self, embedder: grpc.aio.Channel, fanout: Fanout) -> None:
        self._embedder = embedder_pb2_grpc.EmbedderStub(embedder)
        self._fanout = fanout

    async def vector(self, request: Asking, index: IndexSettings, timeout_s: float) -> bytes:
        """Raises InvalidArgument, UnknownProduct, ModelMismatch, ResourceExhausted, DeadlineExceeded, Unavailable."""
        found = (await self.vectors([request], index, timeout_s))[0]
        if isinstance(found, VitrineError):
            raise found
        return found

    async def vectors(self, requests: Sequence[Asking], index: IndexSettings, timeout_s: float) -> list[Found]:
        """One a request, which asks by image or by product and has been checked."""
        calls = [(self._embedded, places) for places in _embed_calls(requests)]
        calls += [(self._of_products, places) for places in _product_calls(requests)]
        answers = await asyncio.gather(
            *(ask([requests[place] for place in places], index, timeout_s) for ask, places in calls)
        )
        found: dict[int, Found] = {}
        for (_, places), vectors in zip(calls, answers, strict=True):
            found.update(zip(places, vectors, strict=True))
        return [found[place] for place in range(len(requests))]

    async def product(
        self,
        product_id: str,
        index: IndexSettings,
        timeout_s: float,
        at_least: Sequence[catalogue_pb2.LogPosition],
        with_vectors: bool,
    ) -> searcher_pb2.Product:
        """The product as it is indexed now. Raises UnknownProduct, Unavailable."""
        found = (await self._products([product_id], index, timeout_s, at_least, with_vectors))[0]
        if isinstance(found, VitrineError):
            raise found
        return found

    async def _embedded(self, requests: Sequence[Asking], index: IndexSettings, timeout_s: float) -> list[Found]:
        """As a shopper's: somebody waits for the answer, be it one search or a batch of them."""
        until_s = _now_s() + timeout_s
        images = [
            embedder_pb2.ImageInput(data=request.image, crop=request.crop if request.HasField("crop") else None)
            for request in requests
        ]
        call = embedder_pb2.EmbedRequest(images=images, priority=embedder_pb2.PRIORITY_INTERACTIVE)
        with metrics.EMBED_SECONDS.time():
            try:
                response = await self._embedder.Embed(call, timeout=max(0.001, timeout_s - DEADLINE_MARGIN_S))
            except grpc.aio.AioRpcError as error:
                if len(images) == 1 or error.code().name in _OF_THE_EMBEDDER:
                    return [_embedder_error(error)] * len(images)
                response = None
        if response is None:
            # One of them may be what it fails at. It must not fail the others.
            alone = [self._embedded([request], index, until_s - _now_s()) for request in requests]
            return [found for (found,) in await asyncio.gather(*alone)]
        if response.model_id != index.model_id:
            return [ModelMismatch(response.model_id, index.model_id)] * len(images)
        return [_vector_of_result(result, index.dim) for result in response.results]

    async def _of_products(self, requests: Sequence[Asking], index: IndexSettings, timeout_s: float) -> list[Found]:
        ids = [request.product_id for request in requests]
        products = await self._products(ids, index, timeout_s, requests[0].at_least, with_vectors=True)
        return [
            product if isinstance(product, VitrineError) else to_wire(_direction(product, index.dim))
            for product in products
        ]

    async def _products(
        self,
        product_ids: Sequence[str],
        index: IndexSettings,
        timeout_s: float,
        at_least: Iterable[catalogue_pb2.LogPosition],
        with_vectors: bool,
    ) -> list[searcher_pb2.Product | VitrineError]:
        homes = {product_id: partition_of(product_id, index.partitions) for product_id in product_ids}
        call = searcher_pb2.GetProductsRequest(index=index.name, with_vectors=with_vectors, at_least=at_least)
        answers, failures = await self._fanout.products(call, homes, timeout_s)
        known = {product.product_id: product for answer in answers for product in answer.products}
        reasons = {failure.partition: failure.reason for failure in failures}
        return [known.get(product_id) or _missing(product_id, homes[product_id], reasons) for product_id in product_ids]


def _embed_calls(requests: Sequence[Asking]) -> Iterator[list[int]]:
    """Places of the requests by image, in parts that the embedder takes in one call."""
    places: list[int] = []
    size = 0
    for place, request in enumerate(requests):
        if request.WhichOneof("query") != "image":
            continue
        if places and (len(places) == EMBED_IMAGES or size + len(request.image) > EMBED_BYTES):
            yield places
            places, size = [], 0
        places.append(place)
        size += len(request.image)
    if places:
        yield places


def _product_calls(requests: Sequence[Asking]) -> Iterator[list[int]]:
    """Places of the requests by product that wait for the same events, in parts that a searcher takes in one call."""
    waiting: dict[tuple[bytes, ...], list[int]] = {}
    for place, request in enumerate(requests):
        if request.WhichOneof("query") == "product_id":
            events = tuple(position.SerializeToString() for position in request.at_least)
            waiting.setdefault(events, []).append(place)
    for places in waiting.values():
        yield from (places[start : start + GET_PRODUCTS] for start in range(0, len(places), GET_PRODUCTS))


def _missing(product_id: str, partition: int, reasons: dict[int, str]) -> VitrineError:
    if partition in reasons:
        return Unavailable(f"partition {partition}: {reasons[partition]}")
    return UnknownProduct(product_id)


def _vector_of_result(result: embedder_pb2.EmbedResult, dim: int) -> Found:
    if result.WhichOneof("result") == "error":
        return BadImage(result.error.message.partition(": ")[2])
    return to_wire(from_wire(result.embedding.vector, dim))


def _direction(product: searcher_pb2.Product, dim: int) -> Vectors:
    """The direction of the product's images together: the mean of their vectors."""
    vectors = np.stack([from_wire(image.vector, dim) for image in product.images])
    mean: Vectors = unit(vectors.mean(axis=0, keepdims=True, dtype=np.float32))[0]
    # Images that point in opposite directions have no mean direction; then the first one speaks.
    return mean if np.any(mean) else vectors[0]


def _embedder_error(error: grpc.aio.AioRpcError) -> VitrineError:
    """INTERNAL to a caller where it is nothing that a caller can do something about."""
    match error.code().name:
        case "RESOURCE_EXHAUSTED":
            return ResourceExhausted("the embedder is busy", _RETRY_AFTER_S)
        case "DEADLINE_EXCEEDED":
            return DeadlineExceeded("the embedder did not answer in time")
        case "UNAVAILABLE":
            return Unavailable("the embedder is away")
        case "INVALID_ARGUMENT":
            return BadImage((error.details() or "").partition(": ")[2])
        case code:
            return VitrineError(f"the embedder failed: {code}: {error.details()}")


def _now_s() -> float:
    return asyncio.get_running_loop().time()
