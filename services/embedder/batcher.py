"""Images wait here for the model. A batch forms while the previous one runs; shoppers' images fill it first."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from services.embedder import metrics
from services.embedder.model import Model, Pixels, batch_sizes
from vitrine.runtime.errors import ResourceExhausted
from vitrine.vectors import Vectors

INTERACTIVE: Final = "interactive"
BULK: Final = "bulk"


class Embedded(NamedTuple):
    """float32, shape (dim,), unit length; float32, shape (labels,)."""

    vector: Vectors
    scores: Vectors


@dataclass(eq=False)
class _Waiting:
    pixels: Pixels
    answer: asyncio.Future[Embedded]


@dataclass
class _Lane:
    """One priority: `admitted` counts its images from arrival to answer, decoding included."""

    name: str
    limit_images: int
    waiting: deque[_Waiting]
    admitted: int = 0


class Batcher:
    """Two bounded queues in front of one model."""

    def __init__(
        self, model: Model, max_batch_images: int, interactive_images: int, bulk_images: int, bulk_batch_ms: float
    ) -> None:
        self._model = model
        self._sizes = batch_sizes(max_batch_images)
        times_ms = model.warm(self._sizes)
        self._images_per_s = max(size / (time_ms / 1000) for size, time_ms in times_ms.items())
        # While bulk runs, a shopper's image waits for one batch: that batch must be short.
        self._bulk_size = max([size for size, time_ms in times_ms.items() if time_ms <= bulk_batch_ms], default=1)
        self._lanes = {
            INTERACTIVE: _Lane(INTERACTIVE, interactive_images, deque()),
            BULK: _Lane(BULK, bulk_images, deque()),
        }
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    def admit(self, lane: str, images: int) -> None:
        """Reserves room for `images`; `release` gives it back. Raises ResourceExhausted."""
        chosen = self._lanes[lane]
        if chosen.admitted + images > chosen.limit_images:
            metrics.REFUSED.labels(lane).inc(images)
            backlog_s = sum(other.admitted for other in self._lanes.values()) / self._images_per_s
            raise ResourceExhausted(f"the {lane} queue holds {chosen.admitted} images", max(0.05, backlog_s))
        chosen.admitted += images
        metrics.QUEUED.labels(lane).set(chosen.admitted)

    def release(self, lane: str, images: int) -> None:
        self._lanes[lane].admitted -= images
        metrics.QUEUED.labels(lane).set(self._lanes[lane].admitted)

    async def embed(self, pixels: Pixels, lane: str) -> Embedded:
        """The model's answer for one image, uint8 (height, width, 3), which has been admitted."""
        waiting = _Waiting(pixels, asyncio.get_running_loop().create_future())
        self._lanes[lane].waiting.append(waiting)
        self._arrived.set()
        return await waiting.answer

    async def run(self) -> None:
        """Forms and runs batches until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            batch = self._next_batch()
            if not batch:
                self._arrived.clear()
                continue
            pixels = np.stack([waiting.pixels for waiting in batch])
            metrics.BATCH_IMAGES.observe(len(batch))
            with metrics.BATCH_SECONDS.time():
                try:
                    answers = await loop.run_in_executor(self._thread, self._model.run, pixels)
                except Exception as error:  # noqa: BLE001  (the batch fails with the model's own error; the next may succeed)
                    _fail(batch, error)
                    continue
            _answer(batch, *answers)

    def _next_batch(self) -> list[_Waiting]:
        interactive, bulk = self._lanes[INTERACTIVE].waiting, self._lanes[BULK].waiting
        waiting = len(interactive) + len(bulk)
        limit = self._bulk_size if bulk and len(interactive) < self._bulk_size else self._sizes[-1]
        size = max((size for size in self._sizes if size <= min(waiting, limit)), default=0)
        batch: list[_Waiting] = []
        while len(batch) < size and (interactive or bulk):
            entry = (interactive or bulk).popleft()
            # A caller that gave up costs no inference.
            if not entry.answer.done():
                batch.append(entry)
        return batch


def _answer(batch: Sequence[_Waiting], vectors: Vectors, scores: Vectors) -> None:
    for waiting, vector, score in zip(batch, vectors, scores, strict=True):
        if not waiting.answer.done():
            waiting.answer.set_result(Embedded(vector, score))


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
