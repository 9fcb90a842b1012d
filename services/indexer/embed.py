"""Step 2: images fetched, checked and embedded. What is wrong for good is refused; what is away is waited for."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, TypeVar

from services.indexer import metrics
from services.indexer.embedder import EmbedderClient
from services.indexer.fetch import UriFetcher
from services.indexer.source import Incoming
from vitrine import images
from vitrine.index.pictures import Pictures
from vitrine.runtime import failpoints
from vitrine.runtime.errors import BadImage, Unavailable
from vitrine.shards.records import Change, ImageRow, LiveVersion, ProductVersion, Tombstone
from vitrine.stream.events import Delete, ImageRef, LiveUpdate, Upsert
from vitrine.stream.log import DeadLetter, Record
from vitrine.vectors import Vectors

Given = TypeVar("Given")
Result = TypeVar("Result")

Waiting = Callable[[str], None]
"""Told why something outside is waited for, and "" when it is there again."""

FETCH_THREADS: Final = 16
_FIRST_BACKOFF_S: Final = 0.1
_MAX_BACKOFF_S: Final = 5.0


@dataclass(frozen=True)
class Outcome:
    """What became of one record: a change to the index, a dead letter, or both if only some images were bad."""

    record: Record
    change: Change | LiveVersion | None
    dead_letter: DeadLetter | None


@dataclass(frozen=True)
class _Picture:
    """One image of an upsert: its bytes and their sha256, or why there are none; its vector where it is known."""

    ref: ImageRef
    data: bytes = b""
    sha256: bytes = b""
    refused: str = ""
    vector: Vectors | None = None


class _Wanted(NamedTuple):
    """One picture to fetch for the event at `place`. `kept`: vectors that its product has already, by sha256."""

    place: int
    ref: ImageRef
    kept: Mapping[bytes, Vectors]


class Embedding:
    """Turns events into product versions with vectors."""

    def __init__(
        self, pictures: Pictures, fetcher: UriFetcher, embedder: EmbedderClient, threads: ThreadPoolExecutor
    ) -> None:
        self._pictures = pictures
        self._fetcher = fetcher
        self._embedder = embedder
        self._threads = threads

    async def outcomes(
        self, incoming: Sequence[Incoming], known: Mapping[str, ProductVersion], waiting: Waiting
    ) -> list[Outcome]:
        """One outcome an event, in order. Waits as long as something outside is away, and says so to `waiting`.

        `known`: products as they are indexed. Their images that have not changed keep their vectors.
        """
        found = await self._pictures_of(incoming, known, waiting)
        new = {
            picture.sha256: picture
            for pictures in found
            for picture in pictures
            if picture.vector is None and not picture.refused
        }
        answers = await self._embedder.embed([picture.data for picture in new.values()], waiting)
        vectors = dict(zip(new, answers, strict=True))
        embedded = [picture for sha256, picture in new.items() if not isinstance(vectors[sha256], str)]
        # Elsewhere a picture may be gone by the time that somebody looks; of those stored here one is made then.
        elsewhere = (picture for picture in embedded if picture.ref.uri)
        await asyncio.gather(*(self._retried(self._store_thumbnail, picture, waiting) for picture in elsewhere))
        metrics.IMAGES.inc(len(embedded))
        waiting("")
        return [
            _outcome(entry, [_with_vector(picture, vectors) for picture in pictures])
            for entry, pictures in zip(incoming, found, strict=True)
        ]

    async def _pictures_of(
        self, incoming: Sequence[Incoming], known: Mapping[str, ProductVersion], waiting: Waiting
    ) -> list[list[_Picture]]:
        """The pictures of each event. All threads are at work: one picture from elsewhere each, or a share of those
        that lie in the store, which are there so soon that a thread for each would cost more than reading it.
        """
        wanted = [
            _Wanted(place, ref, _vectors_kept(known.get(entry.event.product_id)))
            for place, entry in enumerate(incoming)
            if isinstance(entry.event, Upsert)
            for ref in entry.event.images
        ]
        stored = [want for want in wanted if not want.ref.uri]
        share = -(-len(stored) // FETCH_THREADS) or 1
        tasks = [stored[begin : begin + share] for begin in range(0, len(stored), share)]
        tasks += [[want] for want in wanted if want.ref.uri]
        fetched = await asyncio.gather(*(self._retried(self._fetched_all, task, waiting) for task in tasks))
        by_ref = {
            (want.place, want.ref.image_id): picture
            for task, pictures in zip(tasks, fetched, strict=True)
            for want, picture in zip(task, pictures, strict=True)
        }
        found: list[list[_Picture]] = [[] for _ in incoming]
        for want in wanted:
            found[want.place].append(by_ref[want.place, want.ref.image_id])
        return found

    async def _retried(self, step: Callable[[Given], Result], argument: Given, waiting: Waiting) -> Result:
        """`step(argument)` in a thread, again and again while something outside is away: the offset waits with it."""
        backoff_s = _FIRST_BACKOFF_S
        while True:
            try:
                return await asyncio.get_running_loop().run_in_executor(self._threads, step, argument)
            except Unavailable as error:
                waiting(str(error))
                await asyncio.sleep(backoff_s)
                backoff_s = min(_MAX_BACKOFF_S, backoff_s * 2)

    def _fetched_all(self, wanted: Sequence[_Wanted]) -> list[_Picture]:
        """Runs in a thread."""
        return [self._fetched(want.ref, want.kept) for want in wanted]

    def _fetched(self, ref: ImageRef, kept: Mapping[bytes, Vectors]) -> _Picture:
        """The picture, with the vector it has kept if it has not changed. Runs in a thread."""
        if ref.data is None and ref.sha256 in kept:
            metrics.SAVED.labels("unchanged").inc()
            return _Picture(ref, sha256=ref.sha256, vector=kept[ref.sha256])
        try:
            with failpoints.step("fetch"):
                data = self._bytes_of(ref)
        except BadImage as error:
            return _Picture(ref, refused=str(error))
        sha256 = hashlib.sha256(data).digest()
        if ref.sha256 and ref.sha256 != sha256:
            return _Picture(ref, refused=f"sha256: is {sha256.hex()}, the event says {ref.sha256.hex()}")
        if sha256 in kept:
            metrics.SAVED.labels("same_bytes").inc()
        return _Picture(ref, data, sha256, vector=kept.get(sha256))

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
            with suppress(BadImage):  # the embedder could read it: the product is found, without a small picture
                self._pictures.put_thumbnail(picture.sha256, images.thumbnail(picture.data))


def _vectors_kept(version: ProductVersion | None) -> dict[bytes, Vectors]:
    return {image.sha256: image.vector for image in version.images} if version else {}


def _with_vector(picture: _Picture, answers: Mapping[bytes, Vectors | str]) -> _Picture:
    """With what the embedder said of it, unless there was nothing to ask."""
    if picture.refused or picture.vector is not None:
        return picture
    answer = answers[picture.sha256]
    return replace(picture, refused=answer) if isinstance(answer, str) else replace(picture, vector=answer)


def _outcome(entry: Incoming, pictures: Sequence[_Picture]) -> Outcome:
    event, record = entry.event, entry.record
    match event:
        case None:
            return Outcome(record, None, _dead_letter(record, entry.refused, partly_indexed=False))
        case Delete():
            return Outcome(record, Tombstone(event.product_id, entry.log_offset), None)
        case LiveUpdate():
            metrics.SAVED.labels("live").inc()
            return Outcome(record, LiveVersion(event.product_id, entry.log_offset, event.attributes), None)
    rows = [
        ImageRow(picture.ref.image_id, picture.ref.uri, picture.sha256, picture.vector)
        for picture in pictures
        if picture.vector is not None
    ]
    reasons = [f"image {picture.ref.image_id!r}: {picture.refused}" for picture in pictures if picture.refused]
    # Without one good image the old version of the product stays live.
    change = _version(event, entry.log_offset, rows) if rows else None
    letter = _dead_letter(record, "; ".join(reasons), partly_indexed=bool(rows)) if reasons else None
    return Outcome(record, change, letter)


def without_pictures(entry: Incoming) -> Outcome:
    """The outcome of an event that has none: a live update, or what was refused."""
    return _outcome(entry, [])


def _version(event: Upsert, log_offset: int, rows: Sequence[ImageRow]) -> ProductVersion:
    assert event.event_time_us is not None, "the source dates every upsert"
    return ProductVersion(
        product_id=event.product_id,
        log_offset=log_offset,
        category=event.category,
        attributes=event.attributes,
        images=tuple(rows),
        event_time_us=event.event_time_us,
        expires_at_us=event.expires_at_us,
    )


def _dead_letter(record: Record, reason: str, partly_indexed: bool) -> DeadLetter:
    return DeadLetter(record, reason, partly_indexed, time.time_ns() // 1_000)
