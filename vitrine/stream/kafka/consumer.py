"""Reading as a member of a consumer group: the group shares out the catalogue's partitions, live ones go with them.

Two clients. One is a member of the group and reads the catalogue, sticky and cooperative, so that a rebalance moves as
little as it can. The other reads the same partitions of the live topic, told which ones: no assignor keeps two topics
together and is sticky too.

Partitions come and go only while the member is polled: kafka-python runs a rebalance, listener included, on a thread of
its own, but only while `poll` waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from kafka import KafkaConsumer, TopicPartition, errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import OffsetAndMetadata

from vitrine.runtime.errors import StreamGap, VitrineError
from vitrine.runtime.logs import logger
from vitrine.stream.kafka.assignment import Assignment
from vitrine.stream.kafka.connection import KafkaSettings, connected, translated
from vitrine.stream.kafka.mending import Joining, take_up_laid_aside
from vitrine.stream.kafka.records import append_time_us, headers_of, record_of
from vitrine.stream.log import Position, Record, Source, Stream

# How long one of the two clients is waited for while the other may have something.
_TURN_S: Final = 0.05
_FETCH_WAIT_MS: Final = 250


@dataclass
class _Reading:
    """A source that has been told from where to read. `times`: which assignment of its partition that was for."""

    times: int
    next_offset: int


class Extent(Protocol):
    """How far the topics reach; KafkaLog knows."""

    @property
    def partitions(self) -> int: ...

    def first_offsets(self, sources: Iterable[Source]) -> dict[Source, int]: ...

    def end_offsets(self, sources: Iterable[Source]) -> dict[Source, int]: ...


class GroupConsumer:
    """The partitions that the group gives to this member. One thread at a time."""

    def __init__(self, settings: KafkaSettings, log: Extent) -> None:
        self._settings = settings
        self._log = log
        self._reading: dict[Source, _Reading] = {}
        self._order = list(Stream)
        self._failure: VitrineError | None = None
        with ExitStack() as on_failure:
            self._member = on_failure.enter_context(closing(_member(settings)))
            self._follower = on_failure.enter_context(closing(_follower(settings)))
            self._joining = Joining(self._member)
            self._assignment = Assignment(self._member, log.partitions)
            self._member.subscribe([settings.topic], listener=self._assignment)
            self._clients = on_failure.pop_all()

    def assigned(self) -> Mapping[int, int]:
        held = self._held()
        self._follow(held)
        return held

    def seek(self, position: Position) -> None:
        source = Source(position.partition, position.stream)
        self._check_holds(position)
        held = self._held()
        if source.partition in held:
            self._follow(held)
            self._client(source.stream).seek(self._place(source), position.offset)
            self._reading[source] = _Reading(held[source.partition], position.offset)

    def poll(self, max_records: int, timeout_s: float, paused: Collection[Source] = ()) -> list[Record]:
        deadline_s = time.monotonic() + timeout_s
        while True:
            left_s = max(0.0, deadline_s - time.monotonic())
            records = self._polled_both(max_records, min(_TURN_S, left_s), paused)
            if records or left_s == 0.0:
                return records

    def next_offset(self, source: Source) -> int:
        """As far as the client has come: it passes over what compaction and transactions have left empty."""
        self._held()
        reading = self._reading.get(source)
        if reading is None:
            return 0
        with self._gaps_told():
            position: int | None = self._client(source.stream).position(self._place(source), timeout_ms=0)
        reading.next_offset = max(reading.next_offset, position or 0)
        return reading.next_offset

    def published(self, positions: Iterable[Position]) -> None:
        held = self._held()
        offsets = {
            self._place(Source(place.partition, place.stream)): OffsetAndMetadata(place.offset, "", -1)
            for place in positions
            if place.partition in held
        }
        try:
            if offsets:
                self._member.commit_async(offsets)
        # For tools that show lag only, and the next one says it all again: no reason to stop reading.
        except errors.KafkaError as error:
            logger().warning("offsets not committed", group=self._settings.group, reason=str(error))

    def close(self) -> None:
        """Leaves the group, unless this is a named member, who is expected back. Raises Unavailable."""
        with translated("leave the group"):
            self._clients.close()

    def _held(self) -> dict[int, int]:
        """What the group gives to this member now. Sources of what it gave before are forgotten: to be told anew."""
        held = self._assignment.held()
        self._reading = {
            source: reading for source, reading in self._reading.items() if held.get(source.partition) == reading.times
        }
        return held

    def _check_holds(self, position: Position) -> None:
        source = Source(position.partition, position.stream)
        end, first = self._log.end_offsets([source])[source], self._log.first_offsets([source])[source]
        name = f"{self._settings.topic_of(source.stream)} partition {source.partition}"
        if position.offset > end:
            reason = f"the index has offsets up to {position.offset}, the log ends at {end}"
            raise StreamGap(f"{name}: {reason}", source.partition)
        if position.offset < first:
            reason = f"offsets {position.offset} to {first - 1} are gone"
            raise StreamGap(f"{name}: {reason}", source.partition)

    def _polled_both(self, max_records: int, wait_s: float, paused: Collection[Source]) -> list[Record]:
        if self._failure:
            failure, self._failure = self._failure, None
            raise failure
        # In turn, so that a busy one does not starve the other.
        self._order.reverse()
        first, second = self._order
        records = self._polled(first, paused, max_records, wait_s)
        if len(records) >= max_records:
            return records
        try:
            return records + self._polled(second, paused, max_records - len(records), 0.0 if records else wait_s)
        except VitrineError as error:
            if not records:
                raise
            # What has been read is handed over first: its offsets are behind us.
            self._failure = error
            return records

    def _polled(self, stream: Stream, paused: Collection[Source], max_records: int, wait_s: float) -> list[Record]:
        """The member is polled even if all is paused: that is what keeps it in the group."""
        with translated("stay in the group"):
            self._joining.go_on()
        client, places = self._client(stream), self._client(stream).assignment()
        self._held()
        wanted = {
            place: source
            for source in self._reading
            if source.stream is stream and source not in paused and (place := self._place(source)) in places
        }
        client.pause(*(places - wanted.keys()))
        client.resume(*wanted)
        if stream is Stream.LIVE and not wanted:
            return []
        try:
            with self._gaps_told():
                take_up_laid_aside(client)
                found = client.poll(timeout_ms=int(wait_s * 1000), max_records=max_records)
        except BaseException:
            # The client may have come further than what it has handed over.
            for place, source in wanted.items():
                if place in client.assignment() and source in self._reading:
                    client.seek(place, self._reading[source].next_offset)
            raise
        self._held()
        records = []
        for place, batch in found.items():
            source = Source(place.partition, stream)
            # Else it has moved to another member meanwhile, or gone and come back.
            if source in self._reading:
                records += [_record(entry, source) for entry in batch]
                self._reading[source].next_offset = batch[-1].offset + 1
        return records

    @contextmanager
    def _gaps_told(self) -> Iterator[None]:
        with translated("read events"):
            try:
                yield
            except errors.OffsetOutOfRangeError as error:
                place, offset = next(iter(error.args[0].items()))
                reason = f"{place.topic} partition {place.partition}: offset {offset} is gone"
                raise StreamGap(reason, place.partition) from error
            except errors.LogTruncationError as error:
                place = next(iter(error.divergent_offsets))
                reason = f"{place.topic} partition {place.partition}: the cluster has lost records that were read"
                raise StreamGap(reason, place.partition, lasting=True) from error

    def _follow(self, held: Mapping[int, int]) -> None:
        """Lets the second client have the live topic's partitions of the same numbers."""
        places = {self._place(Source(partition, Stream.LIVE)) for partition in held}
        before = self._follower.assignment()
        if places == before:
            return
        if places:
            self._follower.assign(sorted(places))
        else:
            self._follower.unsubscribe()
        for place in places - before:
            # Never where a policy says: nowhere, until told.
            self._follower.seek(place, 0)
            self._follower.pause(place)

    def _client(self, stream: Stream) -> Any:
        return self._member if stream is Stream.CATALOGUE else self._follower

    def _place(self, source: Source) -> TopicPartition:
        return TopicPartition(self._settings.topic_of(source.stream), source.partition)


def _record(found: Any, source: Source) -> Record:
    return record_of(found, source.at(found.offset), append_time_us(found), headers_of(found))


def _member(settings: KafkaSettings) -> KafkaConsumer:
    session_ms = int(settings.session_timeout_s * 1000)
    return connected(
        KafkaConsumer,
        group_id=settings.group,
        group_instance_id=settings.group_instance_id or None,
        partition_assignment_strategy=[CooperativeStickyAssignor],
        session_timeout_ms=session_ms,
        heartbeat_interval_ms=min(3_000, session_ms // 3),
        **_reading(settings, "indexer"),
    )


def _follower(settings: KafkaSettings) -> KafkaConsumer:
    return connected(KafkaConsumer, **_reading(settings, "live"))


def _reading(settings: KafkaSettings, name: str) -> dict[str, Any]:
    return {
        **settings.consumer_options(name),
        "enable_auto_commit": False,
        "isolation_level": "read_committed",
        # An offset that is gone is an error to be seen, never a jump.
        "auto_offset_reset": "none",
        "fetch_max_wait_ms": _FETCH_WAIT_MS,
        "allow_auto_create_topics": False,
    }
