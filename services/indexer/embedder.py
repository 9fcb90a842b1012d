"""The indexer's client of the embedder: bulk calls of bounded size, several under way, retried while it is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import grpc
import grpc.aio

from vitrine.client.failures import typed_error
from vitrine.runtime import failpoints
from vitrine.runtime.errors import InvalidArgument, ModelMismatch, Unavailable
from vitrine.runtime.logs import logger
from vitrine.v1 import embedder_pb2 as pb
from vitrine.v1 import embedder_pb2_grpc
from vitrine.vectors import Vectors, from_wire, rows_from_wire

CALL_TIMEOUT_S: Final = 30.0
MAX_CALL_BYTES: Final = 8 * 1024 * 1024
_FIRST_BACKOFF_S: Final = 0.1
_MAX_BACKOFF_S: Final = 5.0


class EmbedderClient:
    """Embeds for one index: answers of another model than `model_id` are refused as long as they come."""

    def __init__(self, channel: grpc.aio.Channel, calls: int, call_images: int) -> None:
        self._stub = embedder_pb2_grpc.EmbedderStub(channel)
        self._calls = asyncio.Semaphore(calls)
        self._call_images = call_images
        self.model_id = ""
        self.dim = 0

    async def connect(self) -> None:
        """Asks which model runs. Waits until the embedder answers."""
        backoff_s, said = _FIRST_BACKOFF_S, ""
        while True:
            try:
                model = await self._stub.GetModel(pb.GetModelRequest(), timeout=CALL_TIMEOUT_S)
            except grpc.RpcError as error:
                if (reason := str(typed_error(error))) != said:
                    logger().warning("waiting for the embedder", reason=reason)
                said = reason
                await asyncio.sleep(backoff_s)
                backoff_s = min(_MAX_BACKOFF_S, backoff_s * 2)
                continue
            self.model_id, self.dim = model.model_id, model.dim
            return

    async def embed(self, pictures: Sequence[bytes], waiting: Callable[[str], None]) -> list[Vectors | str]:
        """A vector a picture, or what is wrong with it. `waiting` is told why, while the embedder cannot be used."""
        calls = (self._call(chunk, waiting) for chunk in self._chunks(pictures))
        return [answer for answers in await asyncio.gather(*calls) for answer in answers]

    async def _call(self, pictures: Sequence[bytes], waiting: Callable[[str], None]) -> list[Vectors | str]:
        request = pb.EmbedRequest(images=[pb.ImageInput(data=data) for data in pictures], priority=pb.PRIORITY_BULK)
        backoff_s = _FIRST_BACKOFF_S
        async with self._calls:
            while True:
                try:
                    with failpoints.step("embed"):
                        response = await self._stub.Embed(request, timeout=CALL_TIMEOUT_S)
                    if response.model_id != self.model_id:
                        raise ModelMismatch(response.model_id, self.model_id)
                    return self._answers(response.results)
                except (grpc.RpcError, ModelMismatch, Unavailable) as error:
                    waiting(f"embedder: {error.code().name if isinstance(error, grpc.RpcError) else error}")
                    await asyncio.sleep(backoff_s)
                    backoff_s = min(_MAX_BACKOFF_S, backoff_s * 2)

    def _answers(self, results: Sequence[pb.EmbedResult]) -> list[Vectors | str]:
        """All vectors of a call are checked and read as one matrix: one by one it would take a tenth of the indexer."""
        good = [result.embedding.vector for result in results if result.HasField("embedding")]
        try:
            rows: Iterator[Vectors | str] = iter(rows_from_wire(good, self.dim))
        except InvalidArgument:
            rows = map(self._row, good)
        return [
            next(rows) if result.HasField("embedding") else str(result.error.message).split(".", 1)[1]
            for result in results
        ]

    def _row(self, wire: bytes) -> Vectors | str:
        """One whose vector has no direction, or is no vector, is refused; the others of its call are not."""
        try:
            return from_wire(wire, self.dim)
        except InvalidArgument as error:
            return f"its {error}"

    def _chunks(self, pictures: Sequence[bytes]) -> Iterator[list[bytes]]:
        chunk: list[bytes] = []
        for data in pictures:
            if chunk and (len(chunk) == self._call_images or sum(map(len, chunk)) + len(data) > MAX_CALL_BYTES):
                yield chunk
                chunk = []
            chunk.append(data)
        if chunk:
            yield chunk
