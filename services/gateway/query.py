"""Step 1: what was asked → one unit vector, checked field by field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import grpc
import grpc.aio
import numpy as np

from services.gateway import metrics
from services.gateway.fanout import DEADLINE_MARGIN_S, Fanout
from vitrine.images import MAX_BYTES, CropBox
from vitrine.index.settings import IndexSettings
from vitrine.runtime.errors import (
    BadImage,
    DeadlineExceeded,
    InvalidArgument,
    ModelMismatch,
    ResourceExhausted,
    Unavailable,
    UnknownProduct,
)
from vitrine.stream.codec import MAX_ID_BYTES
from vitrine.stream.partitioning import partition_of
from vitrine.v1 import embedder_pb2, embedder_pb2_grpc, searcher_pb2
from vitrine.v1 import gateway_pb2 as pb
from vitrine.vectors import Vectors, from_wire, unit

DEFAULT_PAGE_SIZE: Final = 10
MAX_PAGE_SIZE: Final = 10_000
_RETRY_AFTER_S: Final = 0.2


@dataclass(frozen=True)
class Query:
    """A checked question. `vector`: float32, shape (dim,), unit length."""

    vector: Vectors
    k: int
    exclude_product_id: str


class QueryResolver:
    """Turns requests into vectors, with the embedder's help for images and the searchers' for products."""

    def __init__(self, embedder: grpc.aio.Channel, fanout: Fanout) -> None:
        self._embedder = embedder_pb2_grpc.EmbedderStub(embedder)
        self._fanout = fanout

    async def resolved(self, request: pb.SearchRequest, index: IndexSettings, timeout_s: float) -> Query:
        """Raises InvalidArgument, UnknownProduct, ModelMismatch, ResourceExhausted, DeadlineExceeded, Unavailable."""
        k = _page_size(request)
        kind = request.WhichOneof("query")
        if request.HasField("crop") and kind != "image":
            raise InvalidArgument("crop", "only goes with image")
        if request.HasField("min_score") and not -1 <= request.min_score <= 1:
            raise InvalidArgument("min_score", f"is {request.min_score}, not between -1 and 1")
        match kind:
            case "vector":
                return Query(from_wire(request.vector, index.dim), k, "")
            case "image":
                return Query(await self._of_image(request, index, timeout_s), k, "")
            case "product_id":
                vector = await self._of_product(request, index, timeout_s)
                return Query(vector, k, request.product_id)
            case _:
                raise InvalidArgument("query", "one of image, product_id or vector must be set")

    async def _of_image(self, request: pb.SearchRequest, index: IndexSettings, timeout_s: float) -> Vectors:
        if not request.image:
            raise BadImage("is empty")
        if len(request.image) > MAX_BYTES:
            raise BadImage(f"has {len(request.image)} bytes, at most {MAX_BYTES} are accepted")
        image = embedder_pb2.ImageInput(data=request.image)
        if request.HasField("crop"):
            box = request.crop
            CropBox(box.left, box.top, box.right, box.bottom).validated()
            image.crop.CopyFrom(box)
        call = embedder_pb2.EmbedRequest(images=[image], priority=embedder_pb2.PRIORITY_INTERACTIVE)
        with metrics.EMBED_SECONDS.time():
            try:
                response = await self._embedder.Embed(call, timeout=max(0.001, timeout_s - DEADLINE_MARGIN_S))
            except grpc.aio.AioRpcError as error:
                raise _embedder_error(error) from error
        if response.model_id != index.model_id:
            raise ModelMismatch(response.model_id, index.model_id)
        result = response.results[0]
        if result.WhichOneof("result") == "error":
            reason = result.error.message.partition(": ")[2]
            raise BadImage(reason, field="image")
        return from_wire(result.embedding.vector, index.dim)

    async def _of_product(self, request: pb.SearchRequest, index: IndexSettings, timeout_s: float) -> Vectors:
        """The direction of the product's images together: the mean of their vectors."""
        product = await self.product(request.product_id, index, timeout_s, request.at_least, with_vectors=True)
        vectors = np.stack([from_wire(image.vector, index.dim) for image in product.images])
        mean: Vectors = unit(vectors.mean(axis=0, keepdims=True, dtype=np.float32))[0]
        # Images that point in opposite directions have no mean direction; then the first one speaks.
        return mean if np.any(mean) else vectors[0]

    async def product(
        self,
        product_id: str,
        index: IndexSettings,
        timeout_s: float,
        at_least: object = (),
        with_vectors: bool = False,
    ) -> searcher_pb2.Product:
        """The product as it is indexed now. Raises InvalidArgument, UnknownProduct, Unavailable."""
        if not 1 <= len(product_id.encode()) <= MAX_ID_BYTES:
            raise InvalidArgument("product_id", f"must have 1 to {MAX_ID_BYTES} bytes")
        call = searcher_pb2.GetProductsRequest(index=index.name, product_ids=[product_id], with_vectors=with_vectors)
        call.at_least.extend(at_least)  # type: ignore[arg-type]  # repeated LogPosition
        partition = partition_of(product_id, index.partitions)
        answers, failures = await self._fanout.products(call, [partition], timeout_s)
        for answer in answers:
            for product in answer.products:
                return product
        if failures:
            raise Unavailable(f"partition {failures[0].partition}: {failures[0].reason}")
        raise UnknownProduct(product_id)


def _page_size(request: pb.SearchRequest) -> int:
    k = request.page_size if request.HasField("page_size") else DEFAULT_PAGE_SIZE
    if not 1 <= k <= MAX_PAGE_SIZE:
        raise InvalidArgument("page_size", f"is {k}, 1 to {MAX_PAGE_SIZE} are accepted")
    return k


def _embedder_error(error: grpc.aio.AioRpcError) -> Exception:
    match error.code().name:
        case "RESOURCE_EXHAUSTED":
            return ResourceExhausted("the embedder is busy", _RETRY_AFTER_S)
        case "DEADLINE_EXCEEDED":
            return DeadlineExceeded("the embedder did not answer in time")
        case "UNAVAILABLE":
            return Unavailable("the embedder is away")
        case _:
            return error
