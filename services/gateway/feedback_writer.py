"""Records on their way to the feedback topic."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, NamedTuple

from services.gateway import metrics
from vitrine.runtime.errors import ResourceExhausted, VitrineError
from vitrine.runtime.logs import logger
from vitrine.stream.feedback import Feedback, Impression
from vitrine.stream.feedback_codec import encode
from vitrine.stream.log import EventLog

# Records that may wait for the log, some megabytes, and those that are appended in one transaction.
MOST_WAITING: Final = 5_000
_BATCH_RECORDS: Final = 1_000
# Impressions wait so long for company. Feedback, whose sender waits, does not.
_LINGER_S: Final = 1.0
# What waits when the gateway stops may take so long.
_DRAIN_S: Final = 5.0
_RETRY_AFTER_S: Final = 1.0


class _Waiting(NamedTuple):
    """`done`: of feedback, whose sender waits for it."""

    record: Feedback | Impression
    done: asyncio.Future[None] | None = None


class FeedbackWriter:
    """Appends in batches, from a thread of its own: a log that is slow or away holds up nothing else."""

    def __init__(self, log: EventLog, most_waiting: int = MOST_WAITING) -> None:
        self._log = log
        self._most_waiting = most_waiting
        self._waiting: deque[_Waiting] = deque()
        self._some = asyncio.Event()
        self._urgent = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feedback")

    async def append(self, feedback: Feedback) -> None:
        """Durable when it returns. Raises ResourceExhausted, Unavailable, ConfigError (`kafka_topic`)."""
        if len(self._waiting) >= self._most_waiting:
            raise ResourceExhausted("feedback: too much of it waits for the log", _RETRY_AFTER_S)
        done = asyncio.get_running_loop().create_future()
        self._put(_Waiting(feedback, done))
        self._urgent.set()
        await done

    def offer(self, shown: Impression) -> None:
        """Appended soon, or counted as lost. Never waits."""
        if len(self._waiting) >= self._most_waiting:
            metrics.IMPRESSIONS_LOST.inc()
        else:
            self._put(_Waiting(shown))

    async def write(self) -> None:
        """For as long as the gateway runs. What waits at the end is still written."""
        try:
            while True:
                await self._some.wait()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LINGER_S):
                        await self._urgent.wait()
                await self._write_batch()
        finally:
            await self._drain()

    def _put(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        self._some.set()
        if len(self._waiting) >= _BATCH_RECORDS:
            self._urgent.set()

    async def _write_batch(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH_RECORDS))]
        if not self._waiting:
            self._some.clear()
            self._urgent.clear()
        failure = await self._appended([waiting.record for waiting in batch])
        for waiting in batch:
            _tell(waiting, failure)

    async def _appended(self, records: Sequence[Feedback | Impression]) -> VitrineError | None:
        """Why they could not be appended; None: they have been."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._append, records)
        except VitrineError as error:
            logger().warning("feedback was not written", records=len(records), reason=str(error))
            return error
        return None

    def _append(self, records: Sequence[Feedback | Impression]) -> None:
        """Runs in the thread."""
        began_s = time.perf_counter()
        self._log.append_feedback([encode(record) for record in records])
        metrics.FEEDBACK_APPEND_SECONDS.observe(time.perf_counter() - began_s)

    async def _drain(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                while self._waiting:
                    await self._write_batch()
        metrics.IMPRESSIONS_LOST.inc(len(self._waiting))
        self._thread.shutdown(wait=False)


def _tell(waiting: _Waiting, failure: VitrineError | None) -> None:
    if waiting.done is None:
        if failure:
            metrics.IMPRESSIONS_LOST.inc()
    elif waiting.done.done():  # its sender has gone
        return
    elif failure:
        waiting.done.set_exception(failure)
    else:
        waiting.done.set_result(None)
