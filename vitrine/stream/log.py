"""The protocol that every event log fulfils. Calls block; servers make them from threads."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple, Protocol


class Stream(StrEnum):
    """The two logs of a catalogue, with equal partitions: whole products, and what changes by the minute."""

    CATALOGUE = "catalogue"
    LIVE = "live"


class Position(NamedTuple):
    """A place in the log. Offsets count from 0 within a partition of a stream."""

    partition: int
    offset: int
    stream: Stream = Stream.CATALOGUE


class Source(NamedTuple):
    """One partition of one stream: what is read in order."""

    partition: int
    stream: Stream = Stream.CATALOGUE

    def at(self, offset: int) -> Position:
        return Position(self.partition, offset, self.stream)


Headers = tuple[tuple[str, bytes], ...]

CONTENT_TYPE: Final = "content-type"
JSON: Final = b"application/json"
# Of a record that is published again: the offset it had first, which says what it is newer than.
REPLAYED_OFFSET: Final = "vitrine.replayed-offset"
_MAX_OFFSET_DIGITS: Final = 19


class Record(NamedTuple):
    """One event as the log holds it. `value` None = delete (Kafka's null). Times: microseconds since 1970."""

    position: Position
    key: str
    value: bytes | None
    append_time_us: int
    headers: Headers = ()

    @property
    def source(self) -> Source:
        return Source(self.position.partition, self.position.stream)

    def header(self, name: str) -> bytes | None:
        return dict(self.headers).get(name)

    @property
    def first_offset(self) -> int:
        """What it is newer than is said by this: its own offset, or the one it had first if it is published again."""
        return first_offset(self.position.offset, self.headers)


def first_offset(offset: int, headers: Headers) -> int:
    """Of the record at `offset`, the offset it had first. A header that cannot be true says nothing."""
    replayed = dict(headers).get(REPLAYED_OFFSET, b"")
    # Longer ones no offset has, and Python refuses to convert the longest.
    known = replayed.isdigit() and len(replayed) <= _MAX_OFFSET_DIGITS and int(replayed) <= offset
    return int(replayed) if known else offset


class Later(NamedTuple):
    """What a log holds of a key beyond one of its records.

    `newer`: the newest record that says something newer. `again`: the newest after it that is the same event,
    published again. Events older than it that were published again after it are neither.
    """

    newer: Position | None = None
    again: Position | None = None


def later_of(record: Record, found: Iterable[tuple[int, Headers]]) -> Later | None:
    """`found`: offsets and headers of records of the same key and source, in order; others than `record` itself."""
    newer = again = None
    for offset, headers in found:
        first = first_offset(offset, headers)
        if first > record.first_offset:
            newer = record.source.at(offset)
        elif first == record.first_offset and offset > record.position.offset:
            again = record.source.at(offset)
    return Later(newer, again) if newer or again else None


class Entry(NamedTuple):
    """One event to append. `key`: the product id. `value` None = delete."""

    key: str
    value: bytes | None
    stream: Stream = Stream.CATALOGUE
    headers: Headers = ()


class DeadLetter(NamedTuple):
    """An event, or part of one, that was refused, with everything needed to publish it again.

    `partly_indexed`: the product went in with its other images.
    """

    record: Record
    reason: str
    partly_indexed: bool
    time_us: int


class FeedbackEntry(NamedTuple):
    """One record of the feedback topic, as feedback_codec has made it. `key`: the query's id."""

    key: str
    value: bytes


class Consumer(Protocol):
    """Reads partitions, from where it is told: the manifest's offset, never one the log remembers.

    Not thread safe: one call at a time.
    """

    def assigned(self) -> Mapping[int, int]:
        """The partitions to read now, and how often each has been assigned: a new number asks for a new claim."""
        ...

    def seek(self, position: Position) -> None:
        """Reads on from `position`. Nothing is read of a source before. Raises StreamGap if the log lacks it."""
        ...

    def poll(self, max_records: int, timeout_s: float, paused: Collection[Source] = ()) -> list[Record]:
        """Up to `max_records`, in order per source, none from `paused` ones; waits if there are none.

        Raises StreamGap (with its partition) where records are missing, Unavailable.
        """
        ...

    def next_offset(self, source: Source) -> int:
        """Everything of the source before this offset has been polled."""
        ...

    def published(self, positions: Iterable[Position]) -> None:
        """Tells the log how far the index has come, for tools that show lag. It is never read back."""
        ...

    def close(self) -> None: ...


class EventLog(Protocol):
    """An append-only log of a fixed number of partitions. `log_id` changes if the log is made anew.

    `keeps_deletes_s`: for how long a delete can be read after it was appended; None: for ever.
    """

    @property
    def log_id(self) -> str: ...

    @property
    def partitions(self) -> int: ...

    @property
    def keeps_deletes_s(self) -> float | None: ...

    def check(self) -> None:
        """Raises StreamGap if the log has been made anew, or has another number of partitions, since it was opened."""
        ...

    def append(self, entries: Sequence[Entry]) -> list[Position]:
        """Appends events, durable when it returns. Raises Unavailable."""
        ...

    def end_offsets(self, sources: Iterable[Source]) -> dict[Source, int]:
        """The first offset beyond the end of each. Raises Unavailable."""
        ...

    def later_records(self, records: Iterable[Record]) -> dict[Position, Later]:
        """What the log holds of the key of each of `records` beyond it, if anything. Raises Unavailable."""
        ...

    def consumer(self) -> Consumer: ...

    def put_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Durable when it returns; putting the same letter twice keeps one. Raises Unavailable."""
        ...

    def dead_letters(self) -> Sequence[DeadLetter]:
        """All of them, oldest first."""
        ...

    def append_feedback(self, entries: Sequence[FeedbackEntry]) -> None:
        """Durable when it returns. Raises Unavailable, ConfigError (`kafka_topic`) if there is no such topic."""
        ...

    def feedback(self, since_us: int = 0) -> Iterator[FeedbackEntry]:
        """What was appended at `since_us` (microseconds since 1970) or later, of each key oldest first.

        Raises Unavailable, ConfigError (`kafka_topic`).
        """
        ...

    def close(self) -> None: ...
