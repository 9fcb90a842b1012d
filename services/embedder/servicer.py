"""The Embedder service: checks, decodes in threads, hands pixels to the batcher, answers image by image."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from services.embedder import metrics
from services.embedder.batcher import BULK, INTERACTIVE, Batcher, Embedded
from services.embedder.model import Model, Pixels
from vitrine import images
from vitrine.runtime.context import Context
from vitrine.runtime.errors import InvalidArgument, status_name
from vitrine.v1 import catalogue_pb2, embedder_pb2_grpc
from vitrine.v1 import embedder_pb2 as pb
from vitrine.vectors import to_wire

MAX_IMAGES: Final = 64
MAX_CALL_BYTES: Final = 8 * 1024 * 1024


class EmbedderServicer(embedder_pb2_grpc.EmbedderServicer):
    def __init__(self, model: Model, batcher: Batcher, decoders: ThreadPoolExecutor) -> None:
        self._model = model
        self._batcher = batcher
        self._decoders = decoders

    async def Embed(self, request: pb.EmbedRequest, context: Context) -> pb.EmbedResponse:
        _check(request)
        lane = BULK if request.priority == pb.PRIORITY_BULK else INTERACTIVE
        self._batcher.admit(lane, len(request.images))
        try:
            results = await asyncio.gather(
                *(self._result(number, image, lane) for number, image in enumerate(request.images))
            )
        finally:
            self._batcher.release(lane, len(request.images))
        return pb.EmbedResponse(results=results, model_id=self._model.facts.model_id)

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        facts = self._model.facts
        return pb.GetModelResponse(
            model_id=facts.model_id,
            name=facts.name,
            dim=facts.dim,
            labels=facts.labels,
            variant=self._model.variant,
            provider=self._model.provider,
        )

    async def _result(self, number: int, image: pb.ImageInput, lane: str) -> pb.EmbedResult:
        loop = asyncio.get_running_loop()
        try:
            pixels = await loop.run_in_executor(self._decoders, self._decoded, image)
        except InvalidArgument as error:
            metrics.BAD.labels(lane).inc()
            message = f"images[{number}].{error.field}: {error.reason}"
            return pb.EmbedResult(error=catalogue_pb2.ItemError(code=status_name(error), message=message))
        answer: Embedded = await self._batcher.embed(pixels, lane)
        return pb.EmbedResult(
            embedding=pb.Embedding(vector=to_wire(answer.vector), category_scores=to_wire(answer.scores))
        )

    def _decoded(self, image: pb.ImageInput) -> Pixels:
        facts = self._model.facts
        crop = None
        if image.HasField("crop"):
            box = image.crop
            crop = images.CropBox(box.left, box.top, box.right, box.bottom).validated()
        with metrics.DECODE_SECONDS.time():
            return images.pixels(image.data, facts.height, facts.width, crop, facts.fill)


def _check(request: pb.EmbedRequest) -> None:
    if not 1 <= len(request.images) <= MAX_IMAGES:
        raise InvalidArgument("images", f"has {len(request.images)}, 1 to {MAX_IMAGES} are accepted")
    total = sum(len(image.data) for image in request.images)
    if len(request.images) > 1 and total > MAX_CALL_BYTES:
        raise InvalidArgument("images", f"have {total} bytes together, at most {MAX_CALL_BYTES} are accepted")
