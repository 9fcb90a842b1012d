"""Step 2: images fetched, checked and embedded. What is wrong for good is refused; what is away is waited for."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from services.indexer import metrics
from services.indexer.embedder import EmbedderClient
from services.indexer.fetch import UriFetcher
from services.indexer.source import Incoming
from vitrine import images
from vitrine.index.pictures import Pictures
from vitrine.runtime.errors import BadImage, Unavailable
from vitrine.runtime.logs import logger
from vitrine.shards.records import Change, ImageRow, ProductVersion, Tombstone
from vitrine.stream.events import ImageRef, Upsert
from vitrine.stream.log import DeadLetter, Record
from vitrine.vectors import Vectors

Given = TypeVar("Given")
Result = TypeVar("Result")

_FIRST_BACKOFF_S: Final = 0.1
_MAX_BACKOFF_S: Final = 5.0


@dataclass(frozen=True)
class Outcome:
    """What became of one record: a change to the index, a dead letter, or both if only some images were bad."""

    record: Record
    change: Change | None
    dead_letter: DeadLetter | None


@dataclass(frozen=True)
class _Picture:
    """One image of an upsert: its bytes and their sha256, or why there are none."""

    ref: ImageRef
    data: bytes = b""
    sha256: bytes = b""
    refused: str = ""


class Embedding:
    """Turns events into product versions with vectors."""

    def __init__(
        self, pictures: Pictures, fetcher: UriFetcher, embedder: EmbedderClient, threads: ThreadPoolExecutor
    ) -> None:
        self.waiting_for = ""
        self._pictures = pictures
        self._fetcher = fetcher
        self._embedder = embedder
        self._threads = threads

    async def outcomes(self, incoming: Sequence[Incoming]) -> list[Outcome]:
        """One outcome an event, in order. Waits as long as something outside is away."""
        found = await asyncio.gather(*(self._pictures_of(entry) for entry in incoming))
        good = [picture for pictures in found for picture in pictures if not picture.refused]
        answers = await self._embedder.embed([picture.data for picture in good], self._waiting)
        embedded = [picture for picture, answer in zip(good, answers, strict=True) if not isinstance(answer, str)]
        await asyncio.gather(*(self._retried(self._store_thumbnail, picture) for picture in embedded))
        metrics.IMAGES.inc(len(embedded))
        self._waiting("")
        in_order = iter(answers)
        judged = [[(picture, picture.refused or next(in_order)) for picture in pictures] for pictures in found]
        return [_outcome(entry, pictures) for entry, pictures in zip(incoming, judged, strict=True)]

    async def _pictures_of(self, entry: Incoming) -> list[_Picture]:
        if not isinstance(entry.event, Upsert):
            return []
        return list(await asyncio.gather(*(self._retried(self._fetched, ref) for ref in entry.event.images)))

    async def _retried(self, step: Callable[[Given], Result], argument: Given) -> Result:
        """`step(argument)` in a thread, again and again while something outside is away: the offset waits with it."""
        backoff_s = _FIRST_BACKOFF_S
        while True:
            try:
                return await asyncio.get_running_loop().run_in_executor(self._threads, step, argument)
            except Unavailable as error:
                self._waiting(str(error))
                await asyncio.sleep(backoff_s)
                backoff_s = min(_MAX_BACKOFF_S, backoff_s * 2)

    def _fetched(self, ref: ImageRef) -> _Picture:
        """Runs in a thread."""
        try:
            data = self._bytes_of(ref)
        except BadImage as error:
            return _Picture(ref, refused=str(error))
        sha256 = hashlib.sha256(data).digest()
        if ref.sha256 and ref.sha256 != sha256:
            return _Picture(ref, refused=f"sha256: is {sha256.hex()}, the event says {ref.sha256.hex()}")
        return _Picture(ref, data, sha256)

    def _bytes_of(self, ref: ImageRef) -> bytes:
        if ref.data is not None:
            self._pictures.put(ref.data)
            return ref.data
        if ref.uri:
            return self._fetcher.fetch(ref.uri)
        stored = self._pictures.get(ref.sha256)
        if stored is None:
            raise BadImage(f"no picture is stored under {ref.sha256.hex()}", field="sha256")
        return stored

    def _store_thumbnail(self, picture: _Picture) -> None:
        """Runs in a thread."""
        if not self._pictures.has_thumbnail(picture.sha256):
            self._pictures.put_thumbnail(picture.sha256, images.thumbnail(picture.data))

    def _waiting(self, reason: str) -> None:
        if reason and not self.waiting_for:
            logger().warning("offset held", reason=reason)
        self.waiting_for = reason
        metrics.WAITING.set(bool(reason))


def _outcome(entry: Incoming, pictures: Sequence[tuple[_Picture, Vectors | str]]) -> Outcome:
    """`pictures`: each image with its vector, or with what is wrong with it."""
    event, record = entry.event, entry.record
    if event is None:
        return Outcome(record, None, _dead_letter(record, entry.refused, partly_indexed=False))
    if not isinstance(event, Upsert):
        return Outcome(record, Tombstone(event.product_id, record.position.offset), None)
    rows, reasons = [], []
    for picture, answer in pictures:
        if isinstance(answer, str):
            reasons.append(f"image {picture.ref.image_id!r}: {answer}")
        else:
            rows.append(ImageRow(picture.ref.image_id, picture.ref.uri, picture.sha256, answer))
    # Without one good image the old version of the product stays live.
    change = _version(event, record, rows) if rows else None
    letter = _dead_letter(record, "; ".join(reasons), partly_indexed=bool(rows)) if reasons else None
    return Outcome(record, change, letter)


def _version(event: Upsert, record: Record, rows: Sequence[ImageRow]) -> ProductVersion:
    return ProductVersion(
        product_id=event.product_id,
        log_offset=record.position.offset,
        category=event.category,
        attributes=event.attributes,
        images=tuple(rows),
        event_time_us=record.append_time_us if event.event_time_us is None else event.event_time_us,
        expires_at_us=event.expires_at_us,
    )


def _dead_letter(record: Record, reason: str, partly_indexed: bool) -> DeadLetter:
    return DeadLetter(record, reason, partly_indexed, time.time_ns() // 1_000)
