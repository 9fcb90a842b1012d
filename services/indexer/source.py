"""Step 1: records of the log, decoded and judged by the index's rules, or refused."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from vitrine.index.settings import IndexSettings
from vitrine.runtime import failpoints
from vitrine.runtime.errors import InvalidArgument, StreamGap, Unavailable
from vitrine.stream import codec
from vitrine.stream.events import Delete, Event, LiveUpdate, Upsert
from vitrine.stream.log import CONTENT_TYPE, JSON, REPLAYED_OFFSET, Consumer, Record, Source, Stream
from vitrine.stream.partitioning import partition_of

# Clocks of publishers may be this far ahead of the log's. An event dated later would outlive its retention.
MAX_AHEAD_US: Final = 3600 * 1_000_000


@dataclass(frozen=True)
class Incoming:
    """A record and what it says, or why it says nothing.

    `log_offset` says what it is newer than: its own, or the one it had first if it is published again.
    """

    record: Record
    event: Event | LiveUpdate | None
    refused: str = ""
    log_offset: int = -1


@dataclass(frozen=True)
class Read:
    """What one poll gave, and how far each source that was read has come: the first offset not polled yet.

    `failure`: what went wrong afterwards. What was polled is not polled again: it is handed on all the same.
    """

    incoming: list[Incoming]
    reached: dict[Source, int]
    failure: StreamGap | Unavailable | None = None


class Reader:
    """Polls the log. Runs in one thread."""

    def __init__(self, consumer: Consumer, index: IndexSettings, batch_events: int) -> None:
        self._consumer = consumer
        self._index = index
        self._batch_events = batch_events

    def read(self, timeout_s: float, reading: Collection[Source], paused: Collection[Source]) -> Read:
        """The next events of `reading`, none of `paused`. Blocks. Raises StreamGap, Unavailable, nothing being lost."""
        failpoints.reached("read.before")
        records = self._consumer.poll(self._batch_events, timeout_s, paused)
        reached = {record.source: record.position.offset + 1 for record in records}
        failure = None
        try:
            if records:
                failpoints.reached("read.after")
            reached.update({source: self._consumer.next_offset(source) for source in reading})
        except (StreamGap, Unavailable) as error:
            failure = error
        now_us = time.time_ns() // 1_000
        return Read([judged(record, self._index, now_us) for record in records], reached, failure)


def judged(record: Record, index: IndexSettings, now_us: int) -> Incoming:
    """What `record` asks for. An upsert that expired long ago only hides what came before it: it is a delete.

    Long ago: an hour, since the clock here may be ahead by as much. Until then it is indexed, and expires there.
    """
    try:
        home = partition_of(record.key, index.partitions)
        if home != record.position.partition:
            found = f"belongs into partition {home} (murmur2), this is {record.position.partition}"
            raise InvalidArgument("key", found)
        log_offset = _log_offset(record)
        event = _decoded(record)
        if isinstance(event, Upsert):
            event = _dated(event, record, index)
            if event.expires_at_us is not None and event.expires_at_us <= now_us - MAX_AHEAD_US:
                event = Delete(event.product_id, event.event_time_us)
        return Incoming(record, event, log_offset=log_offset)
    except InvalidArgument as error:
        return Incoming(record, None, str(error))


def _decoded(record: Record) -> Event | LiveUpdate:
    decode = codec.decode if record.position.stream is Stream.CATALOGUE else codec.decode_live
    kind = (record.header(CONTENT_TYPE) or b"").partition(b";")[0].strip().lower()
    return decode(record.value, record.key, json=kind == JSON)


def _log_offset(record: Record) -> int:
    replayed, offset = record.header(REPLAYED_OFFSET), record.position.offset
    # What cannot be true the log takes for the record's own offset; here it is refused.
    if replayed is not None and record.first_offset == offset and replayed != str(offset).encode():
        raise InvalidArgument(REPLAYED_OFFSET, f"{replayed[:20]!r} is not an offset before {offset}")
    return record.first_offset


def _dated(event: Upsert, record: Record, index: IndexSettings) -> Upsert:
    """With the times that count: when it happened, and when it is no longer found, retention included."""
    event_time_us = record.append_time_us if event.event_time_us is None else event.event_time_us
    if event_time_us > record.append_time_us + MAX_AHEAD_US:
        ahead_s = (event_time_us - record.append_time_us) / 1e6
        raise InvalidArgument("event_time", f"is {ahead_s:.0f} s ahead of the log; an hour is accepted")
    ends = [] if event.expires_at_us is None else [event.expires_at_us]
    if index.retention_s:
        ends.append(event_time_us + int(index.retention_s * 1_000_000))
    return replace(event, event_time_us=event_time_us, expires_at_us=min(ends, default=None))
