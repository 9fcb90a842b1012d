"""The Embedder service: checks, hands pictures to the batcher, answers image by image."""

from __future__ import annotations

from typing import Final

from services.embedder import metrics
from services.embedder.batcher import BULK, INTERACTIVE, Batcher
from services.embedder.embed import Embedded, Picture
from services.embedder.model import Model
from vitrine.images import CropBox
from vitrine.runtime.context import Context
from vitrine.runtime.errors import InvalidArgument, status_name
from vitrine.v1 import catalogue_pb2, embedder_pb2_grpc
from vitrine.v1 import embedder_pb2 as pb
from vitrine.vectors import to_wire

MAX_IMAGES: Final = 64
MAX_CALL_BYTES: Final = 8 * 1024 * 1024


class EmbedderServicer(embedder_pb2_grpc.EmbedderServicer):
    def __init__(self, model: Model, batcher: Batcher) -> None:
        self._model = model
        self._batcher = batcher

    async def Embed(self, request: pb.EmbedRequest, context: Context) -> pb.EmbedResponse:
        _check(request)
        lane = BULK if request.priority == pb.PRIORITY_BULK else INTERACTIVE
        self._batcher.admit(lane, len(request.images))
        try:
            answers = await self._batcher.embed([_picture(image) for image in request.images], lane)
        finally:
            self._batcher.release(lane, len(request.images))
        results = [_result(number, answer, lane) for number, answer in enumerate(answers)]
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
            parts=[pb.VectorPart(name=part.name, dim=part.dim, weight=part.weight) for part in facts.parts],
        )


def _picture(image: pb.ImageInput) -> Picture:
    box = image.crop
    crop = CropBox(box.left, box.top, box.right, box.bottom) if image.HasField("crop") else None
    return Picture(image.data, crop, image.auto_crop)


def _result(number: int, answer: Embedded | BaseException, lane: str) -> pb.EmbedResult:
    if isinstance(answer, InvalidArgument):
        metrics.BAD.labels(lane).inc()
        message = f"images[{number}].{answer.field}: {answer.reason}"
        return pb.EmbedResult(error=catalogue_pb2.ItemError(code=status_name(answer), message=message))
    if isinstance(answer, BaseException):
        raise answer  # the model itself failed: not this image's fault
    return pb.EmbedResult(embedding=_embedding(answer))


def _embedding(answer: Embedded) -> pb.Embedding:
    return pb.Embedding(
        vector=to_wire(answer.vector),
        category_scores=to_wire(answer.scores),
        crop=None if answer.crop is None else pb.CropBox(**answer.crop._asdict()),
        no_product_score=answer.no_product,
    )


def _check(request: pb.EmbedRequest) -> None:
    if not 1 <= len(request.images) <= MAX_IMAGES:
        raise InvalidArgument("images", f"has {len(request.images)}, 1 to {MAX_IMAGES} are accepted")
    total = sum(len(image.data) for image in request.images)
    if len(request.images) > 1 and total > MAX_CALL_BYTES:
        raise InvalidArgument("images", f"have {total} bytes together, at most {MAX_CALL_BYTES} are accepted")
