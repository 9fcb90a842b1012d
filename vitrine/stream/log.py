"""The protocol that every event log fulfils. Calls block; servers make them from threads."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple, Protocol


class Position(NamedTuple):
    """A place in the log. Offsets count from 0 within a partition."""

    partition: int
    offset: int


class Record(NamedTuple):
    """One event as the log holds it. `value` None = delete (Kafka's null). Times: microseconds since 1970."""

    position: Position
    key: str
    value: bytes | None
    append_time_us: int


class DeadLetter(NamedTuple):
    """An event, or part of one, that was refused, with everything needed to publish it again.

    `partly_indexed`: the product went in with its other images.
    """

    record: Record
    reason: str
    partly_indexed: bool
    time_us: int


class Consumer(Protocol):
    """Reads some partitions, from where it is told: the manifest's offset, never one the log remembers."""

    def seek(self, position: Position) -> None:
        """Reads on from `position`. Raises StreamGap if the log does not hold it."""
        ...

    def poll(self, max_records: int, timeout_s: float, paused: Collection[int] = ()) -> list[Record]:
        """Up to `max_records`, in order per partition, none from `paused` partitions; waits if there are none."""
        ...


class EventLog(Protocol):
    """An append-only log of a fixed number of partitions. `log_id` changes if the log is made anew."""

    @property
    def log_id(self) -> str: ...

    @property
    def partitions(self) -> int: ...

    def append(self, entries: Sequence[tuple[str, bytes]]) -> list[Position]:
        """Appends (product_id, value) pairs, durable when it returns. Raises Unavailable."""
        ...

    def end_offset(self, partition: int) -> int:
        """The first offset beyond the end."""
        ...

    def consumer(self, partitions: Iterable[int]) -> Consumer: ...

    def put_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Durable when it returns; putting the same letter twice keeps one. Raises Unavailable."""
        ...

    def dead_letters(self) -> Iterable[DeadLetter]:
        """All of them, oldest first."""
        ...

    def close(self) -> None: ...
