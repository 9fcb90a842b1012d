"""The Catalogue service: events into the log, pictures into the store, one acknowledgement each."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, NamedTuple, TypeVar

from services.gateway import metrics
from services.gateway.directory import Directory
from vitrine.images import MAX_BYTES
from vitrine.index.pictures import Pictures
from vitrine.runtime.context import Context
from vitrine.runtime.errors import BadImage, InvalidArgument, UnknownIndex, VitrineError, status_name
from vitrine.stream import codec
from vitrine.stream.events import ImageRef, Upsert
from vitrine.stream.log import Entry, EventLog, Stream
from vitrine.v1 import catalogue_pb2 as pb
from vitrine.v1 import catalogue_pb2_grpc

# Events of one stream that are stored and appended together, in one transaction of the log.
_BATCH_EVENTS: Final = 64


_Message = TypeVar("_Message", pb.CatalogueEvent, pb.LiveAttributes)


class _Prepared(NamedTuple):
    """An event ready for the log, or why it is refused."""

    entry: Entry
    refused: VitrineError | None


class CatalogueServicer(catalogue_pb2_grpc.CatalogueServicer):
    def __init__(self, directory: Directory, log: EventLog, pictures: Pictures, threads: ThreadPoolExecutor) -> None:
        self._directory = directory
        self._log = log
        self._pictures = pictures
        self._threads = threads

    async def Publish(
        self, request_iterator: AsyncIterator[pb.CatalogueEvent], context: Context
    ) -> AsyncIterator[pb.PublishAck]:
        async for ack in self._acknowledged(request_iterator, self._prepared):
            yield ack

    async def PublishLive(
        self, request_iterator: AsyncIterator[pb.LiveAttributes], context: Context
    ) -> AsyncIterator[pb.PublishAck]:
        async for ack in self._acknowledged(request_iterator, self._prepared_live):
            yield ack

    async def ListDeadLetters(
        self, request: pb.ListDeadLettersRequest, context: Context
    ) -> AsyncIterator[pb.DeadLetter]:
        self._directory.get(request.index)
        since = {
            (place.partition, place.stream): place.offset for place in map(codec.position_from_message, request.since)
        }
        for letter in await asyncio.to_thread(self._log.dead_letters):
            position = letter.record.position
            if since and position.offset < since.get((position.partition, position.stream), position.offset + 1):
                continue
            yield pb.DeadLetter(
                position=codec.position_message(position),
                product_id=letter.record.key,
                reason=letter.reason,
                partly_indexed=letter.partly_indexed,
                time=codec.timestamp(letter.time_us),
            )

    async def _acknowledged(
        self, messages: AsyncIterator[_Message], prepare: Callable[[_Message], _Prepared]
    ) -> AsyncIterator[pb.PublishAck]:
        waiting: asyncio.Queue[_Message | Exception | None] = asyncio.Queue(maxsize=_BATCH_EVENTS)
        reader = asyncio.create_task(_read(messages, waiting))
        try:
            while batch := await _next_batch(waiting):
                for ack in await self._appended(batch, prepare):
                    yield ack
        finally:
            reader.cancel()

    async def _appended(
        self, messages: Sequence[_Message], prepare: Callable[[_Message], _Prepared]
    ) -> list[pb.PublishAck]:
        """Pictures first, then the events that refer to them: an acknowledged event never lacks its picture."""
        loop = asyncio.get_running_loop()
        prepared = await asyncio.gather(*(loop.run_in_executor(self._threads, prepare, event) for event in messages))
        good = [entry for entry in prepared if entry.refused is None]
        positions = iter(await asyncio.to_thread(self._log.append, [entry.entry for entry in good]))
        metrics.PUBLISHED.inc(len(good))
        metrics.REFUSED.inc(len(prepared) - len(good))
        acks = []
        for entry in prepared:
            ack = pb.PublishAck(product_id=entry.entry.key)
            if entry.refused is None:
                ack.position.CopyFrom(codec.position_message(next(positions)))
                ack.position.SetInParent()
            else:
                ack.error.code, ack.error.message = status_name(entry.refused), str(entry.refused)
            acks.append(ack)
        return acks

    def _prepared(self, message: pb.CatalogueEvent) -> _Prepared:
        """Runs in a thread. An event's own faults are its answer; the store's end the stream."""
        try:
            self._directory.get(message.index)
            event = codec.from_message(message)
            if isinstance(event, Upsert):
                event = replace(event, images=tuple(map(self._stored, range(len(event.images)), event.images)))
            return _Prepared(Entry(event.product_id, codec.encode(event)), None)
        except (InvalidArgument, UnknownIndex) as error:
            return _Prepared(Entry(message.product_id, None), error)

    def _prepared_live(self, message: pb.LiveAttributes) -> _Prepared:
        """Runs in a thread."""
        try:
            self._directory.get(message.index)
            update = codec.live_from_message(message)
            return _Prepared(Entry(update.product_id, codec.encode(update), Stream.LIVE), None)
        except (InvalidArgument, UnknownIndex) as error:
            return _Prepared(Entry(message.product_id, None), error)

    def _stored(self, place: int, image: ImageRef) -> ImageRef:
        """An inline picture replaced by a reference to where it is stored."""
        if image.data is None:
            return image
        field = f"upsert.images[{place}].data"
        if len(image.data) > MAX_BYTES:
            raise BadImage(f"has {len(image.data)} bytes, at most {MAX_BYTES} are accepted", field)
        if image.sha256 and image.sha256 != hashlib.sha256(image.data).digest():
            raise InvalidArgument(f"upsert.images[{place}].sha256", "does not match data")
        sha256 = self._pictures.put(image.data)
        return ImageRef(image.image_id, sha256=sha256)


# The queue holds events, None at their end, or what broke the stream.
async def _read(events: AsyncIterator[_Message], waiting: asyncio.Queue[_Message | Exception | None]) -> None:
    # If the caller goes away the whole call is cancelled, and this task with it.
    try:
        async for event in events:
            await waiting.put(event)
    except Exception as error:  # noqa: BLE001  (raised where the events are used: bytes that are no message, say)
        await waiting.put(error)
    else:
        await waiting.put(None)


async def _next_batch(waiting: asyncio.Queue[_Message | Exception | None]) -> list[_Message]:
    """At least one event, and whatever else has arrived; empty at the end of the stream."""
    batch: list[_Message] = []
    while not batch or not waiting.empty():
        event = await waiting.get()
        if event is None:
            # Seen again by the next call, which then returns nothing.
            waiting.put_nowait(None)
            break
        if isinstance(event, Exception):
            raise event
        batch.append(event)
        if len(batch) == _BATCH_EVENTS:
            break
    return batch
