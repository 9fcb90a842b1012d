"""Step 1: records of the log, decoded or refused."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

from vitrine.runtime.errors import InvalidArgument
from vitrine.stream import codec
from vitrine.stream.events import Delete, Event
from vitrine.stream.log import Consumer, Record


@dataclass(frozen=True)
class Incoming:
    """A record and what it says, or why it says nothing."""

    record: Record
    event: Event | None
    refused: str = ""


@dataclass(frozen=True)
class Read:
    """What one poll gave. `caught_up_us`: the log had nothing more when it was asked at this time; None: it had."""

    incoming: list[Incoming]
    caught_up_us: int | None


class Source:
    def __init__(self, consumer: Consumer, batch_events: int) -> None:
        self._consumer = consumer
        self._batch_events = batch_events

    def read(self, timeout_s: float, paused: Collection[int]) -> Read:
        """The next events of all partitions that are not paused. Blocks. Raises StreamGap, Unavailable."""
        asked_us = time.time_ns() // 1_000
        records = self._consumer.poll(self._batch_events, timeout_s, paused)
        # An empty poll waited and found nothing: everything appended before it began has been read.
        return Read([_incoming(record) for record in records], asked_us if not records else None)


def _incoming(record: Record) -> Incoming:
    if record.value is None:
        return Incoming(record, Delete(record.key))
    try:
        return Incoming(record, codec.decode(record.value, record.key))
    except InvalidArgument as error:
        return Incoming(record, None, str(error))
