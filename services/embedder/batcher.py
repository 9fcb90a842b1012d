"""Images wait here for the model. A batch forms while the ones before it run; shoppers' images fill it first.

As long as shoppers ask, one thread is kept from bulk images: theirs find it free, or busy with another shopper's.

Each thread decodes a batch and runs the model on it, so that an image changes threads once each way.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from prometheus_client import Gauge

from services.embedder import metrics
from services.embedder.busy import Busy
from services.embedder.embed import Embedded, Embedding, Picture
from services.embedder.model import Model, batch_sizes
from vitrine.runtime.batching import BatchThreads, Waiting
from vitrine.runtime.errors import InvalidArgument, ResourceExhausted
from vitrine.runtime.metrics import begin_at_zero

INTERACTIVE: Final = "interactive"
BULK: Final = "bulk"

# Where one shopper has asked, others will soon: batches stay short for this long.
SHOPPERS_STAY_S: Final = 2.0


class _Work(NamedTuple):
    """A picture that waits, and in which lane."""

    picture: Picture
    lane: str


@dataclass
class _Lane:
    """One priority: `admitted` counts its images from arrival to answer."""

    limit_images: int
    queued: Gauge
    waiting: deque[Waiting[_Work, Embedded]] = field(default_factory=deque)
    admitted: int = 0


@dataclass(frozen=True)
class BatchLimits:
    """Queue bounds in images; the longest a batch with bulk images may take, decoding included.

    `bulk_batch_ms` in general, `shared_batch_ms` while shoppers ask: each of their images may wait for one such batch.
    """

    max_batch_images: int
    interactive_images: int
    bulk_images: int
    bulk_batch_ms: float
    shared_batch_ms: float


class Batcher:
    """Two bounded queues in front of one model that runs in `threads` threads at once."""

    def __init__(self, model: Model, threads: int, limits: BatchLimits) -> None:
        self._embedding = Embedding(model)
        self._limits = limits
        self._sizes = batch_sizes(limits.max_batch_images)
        self._model_ms = model.warm(self._sizes)
        self._asked_s = float("-inf")
        self._lanes = {
            INTERACTIVE: _Lane(limits.interactive_images, metrics.QUEUED.labels(INTERACTIVE)),
            BULK: _Lane(limits.bulk_images, metrics.QUEUED.labels(BULK)),
        }
        for lane in self._lanes:
            begin_at_zero(metrics.REFUSED, lane)
            begin_at_zero(metrics.BAD, lane)
        # Batches with bulk images that run now, and how many may while shoppers ask.
        self._bulk_busy = 0
        self._counting = threading.Lock()
        self._bulk_threads = max(1, threads - 1)
        self._busy = Busy(threads)
        metrics.BUSY.set_function(self._busy.ratio)
        self._threads = BatchThreads("embed", threads, self._take, self._run)

    def admit(self, lane: str, images: int) -> None:
        """Reserves room for `images`; `release` gives it back. Raises ResourceExhausted."""
        chosen = self._lanes[lane]
        if chosen.admitted + images > chosen.limit_images:
            metrics.REFUSED.labels(lane).inc(images)
            backlog = sum(other.admitted for other in self._lanes.values())
            retry_after_s = backlog * self._batch_ms(self._sizes[-1]) / self._sizes[-1] / 1000
            raise ResourceExhausted(f"the {lane} queue holds {chosen.admitted} images", max(0.05, retry_after_s))
        self._count(chosen, images)

    def release(self, lane: str, images: int) -> None:
        self._count(self._lanes[lane], -images)

    def _count(self, lane: _Lane, images: int) -> None:
        lane.admitted += images
        lane.queued.set(lane.admitted)

    async def embed(self, pictures: Sequence[Picture], lane: str) -> list[Embedded | BaseException]:
        """The model's answer for each of `pictures`, which have been admitted, or what is wrong with it."""
        create_future = asyncio.get_running_loop().create_future
        waiting = [Waiting[_Work, Embedded](_Work(picture, lane), create_future()) for picture in pictures]
        if lane == INTERACTIVE:
            self._asked_s = time.monotonic()
        self._lanes[lane].waiting.extend(waiting)
        self._threads.wake()
        return await _all_of([entry.answer for entry in waiting])

    def _take(self) -> list[Waiting[_Work, Embedded]]:
        """The next batch: as many passes as the largest size that is full, so that nothing is padded and none waits."""
        interactive, bulk = self._lanes[INTERACTIVE].waiting, self._lanes[BULK].waiting
        shoppers = time.monotonic() - self._asked_s < SHOPPERS_STAY_S
        lanes = (
            [interactive]
            if shoppers and (interactive or self._bulk_busy >= self._bulk_threads)
            else [interactive, bulk]
        )
        limit = self._bulk_size(shoppers) if bulk else self._sizes[-1]
        wanted = sum(entry.item.picture.passes for lane in lanes for entry in lane)
        size = max((size for size in self._sizes if size <= min(wanted, limit)), default=0)
        batch: list[Waiting[_Work, Embedded]] = []
        passes = 0
        while passes < size and any(lanes):
            entry = next(lane for lane in lanes if lane).popleft()
            if not entry.given_up:
                batch.append(entry)
                passes += entry.item.picture.passes
        self._note_busy(_has_bulk(entry.item for entry in batch))
        return batch

    def _bulk_size(self, shoppers: bool) -> int:
        """A shopper's image may have to wait for one batch with bulk images: that batch must be short."""
        limit_ms = self._limits.shared_batch_ms if shoppers else self._limits.bulk_batch_ms
        short = [size for size in self._sizes if self._batch_ms(size) <= limit_ms]
        return max(short, default=1)

    def _batch_ms(self, size: int) -> float:
        return self._model_ms[size] + size * self._embedding.decode_ms

    def _run(self, work: Sequence[_Work]) -> list[Embedded | Exception]:
        """One batch, in a thread."""
        try:
            with self._busy:
                return self._embedding.embedded([entry.picture for entry in work])
        finally:
            self._note_busy(-_has_bulk(work))

    def _note_busy(self, batches: int) -> None:
        with self._counting:
            self._bulk_busy += batches


def _has_bulk(work: Iterable[_Work]) -> bool:
    return any(entry.lane == BULK for entry in work)


async def _all_of(answers: Sequence[asyncio.Future[Embedded]]) -> list[Embedded | BaseException]:
    """Every answer or what was raised instead. A shopper's single picture takes the short way."""
    if len(answers) > 1:
        return await asyncio.gather(*answers, return_exceptions=True)
    try:
        return [await answer for answer in answers]
    except InvalidArgument as error:
        return [error]
