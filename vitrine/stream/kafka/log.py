"""An event log on Kafka: appending, offsets, dead letters, feedback, and whether the topics are still the same."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from typing import Any, Final

from kafka import KafkaProducer, TopicPartition, errors

from vitrine.runtime.errors import ConfigError, InvalidArgument, StreamGap, Unavailable
from vitrine.runtime.logs import logger
from vitrine.stream.kafka import feedback, letters, topics
from vitrine.stream.kafka.connection import KafkaSettings, connected, translated
from vitrine.stream.kafka.consumer import GroupConsumer
from vitrine.stream.kafka.records import headers_of, raw_key
from vitrine.stream.kafka.scan import reader, scanned
from vitrine.stream.kafka.topics import Topic
from vitrine.stream.log import (
    DeadLetter,
    Entry,
    FeedbackEntry,
    Headers,
    Later,
    Position,
    Record,
    Source,
    Stream,
    later_of,
)
from vitrine.stream.partitioning import partition_of

_APPEND_TIMEOUT_S: Final = 20.0
_CLOSE_TIMEOUT_S: Final = 5.0


class KafkaLog:
    """The stream protocol over two compacted topics, and two for dead letters and feedback. Thread safe."""

    def __init__(self, settings: KafkaSettings, known: Mapping[str, Topic]) -> None:
        self._settings = settings
        self._known = {stream: known[settings.topic_of(stream)] for stream in Stream}
        self._letter_partitions = known[settings.dead_letter_topic].partitions
        self._feedback_partitions = 0
        self._lock = threading.Lock()
        with ExitStack() as opened:
            self._admin = opened.enter_context(topics.administration(settings))
            self._keeps_deletes_s = topics.delete_retention_s(self._admin, settings)
            # Of its own, beside the consumer that reads: a reader that stands still must not stop who watches it.
            self._watcher = opened.enter_context(closing(reader(settings, "watcher")))
            # Never polled. It asks for the leaders of assigned partitions only, and takes one it has not asked for as
            # absent.
            self._watcher.assign(
                [self._place(Source(number, stream)) for stream in Stream for number in range(self.partitions)]
            )
            self._producer = _producer(settings)
            opened.callback(_close_producer, self._producer)
            self._clients = opened.pop_all()

    @staticmethod
    def open(settings: KafkaSettings, partitions: int) -> KafkaLog:
        """Raises ConfigError (`kafka…`, `partitions`) if its topics are not as they must be, Unavailable."""
        names = [*(settings.topic_of(stream) for stream in Stream), settings.dead_letter_topic]
        with topics.administration(settings) as client:
            known = topics.described(client, names)
        for name in names:
            if name not in known:
                raise ConfigError("kafka_topic", f"there is no topic {name}: see `vitrine topics create`")
        for stream in Stream:
            topic = known[settings.topic_of(stream)]
            if topic.partitions != partitions:
                reason = f"topic {topic.name} has {topic.partitions}, the index has {partitions}"
                raise ConfigError("partitions", f"{reason}: make a new index and replay the catalogue into it")
        return KafkaLog(settings, known)

    @property
    def log_id(self) -> str:
        return "+".join(self._known[stream].topic_id for stream in Stream)

    @property
    def partitions(self) -> int:
        return self._known[Stream.CATALOGUE].partitions

    @property
    def keeps_deletes_s(self) -> float | None:
        return self._keeps_deletes_s

    def check(self) -> None:
        with self._lock:
            now = topics.described(self._admin, [topic.name for topic in self._known.values()])
        for was in self._known.values():
            found = now.get(was.name)
            if found is None:
                raise StreamGap(f"topic {was.name} does not exist any more")
            if found.topic_id != was.topic_id:
                raise StreamGap(f"topic {was.name} was made anew: its id is {found.topic_id}, it was {was.topic_id}")
            if found.partitions != was.partitions:
                raise StreamGap(
                    f"topic {was.name} has {found.partitions} partitions now, it had {was.partitions}: products have "
                    "moved between them; make a new index and replay the catalogue into it"
                )

    def append(self, entries: Sequence[Entry]) -> list[Position]:
        sent = []
        with translated("append events"):
            for entry in entries:
                source = Source(partition_of(entry.key, self.partitions), entry.stream)
                sent.append((source, self._send(self._place(source), entry.key.encode(), entry.value, entry.headers)))
            return [source.at(future.get(timeout=_APPEND_TIMEOUT_S).offset) for source, future in sent]

    def end_offsets(self, sources: Iterable[Source]) -> dict[Source, int]:
        return self._offsets(self._watcher.end_offsets, sources)

    def first_offsets(self, sources: Iterable[Source]) -> dict[Source, int]:
        """The first offset that each still holds. Raises Unavailable."""
        return self._offsets(self._watcher.beginning_offsets, sources)

    def later_records(self, records: Iterable[Record]) -> dict[Position, Later]:
        """Reads each source once, from the earliest of its records on."""
        wanted: dict[tuple[TopicPartition, bytes], list[Record]] = {}
        beyond: dict[Position, list[tuple[int, Headers]]] = {}
        firsts: dict[TopicPartition, int] = {}
        for record in records:
            place, first = self._place(record.source), record.first_offset + 1
            wanted.setdefault((place, raw_key(record)), []).append(record)
            firsts[place] = min(firsts.get(place, first), first)
        for later in scanned(self._settings, firsts):
            for record in wanted.get((TopicPartition(later.topic, later.partition), later.key), ()):
                if later.offset > record.first_offset and later.offset != record.position.offset:
                    beyond.setdefault(record.position, []).append((later.offset, headers_of(later)))
        asked = [record for same in wanted.values() for record in same]
        found = {record.position: later_of(record, beyond.get(record.position, ())) for record in asked}
        return {position: later for position, later in found.items() if later}

    def consumer(self) -> GroupConsumer:
        return GroupConsumer(self._settings, self)

    def put_dead_letters(self, refused: Sequence[DeadLetter]) -> None:
        with translated("write dead letters"):
            sent = []
            for letter in refused:
                number = letter.record.position.partition % self._letter_partitions
                place = TopicPartition(self._settings.dead_letter_topic, number)
                headers = letters.headers_of(letter, self._settings)
                sent.append(self._send(place, raw_key(letter.record), letter.record.value, headers))
            for future in sent:
                future.get(timeout=_APPEND_TIMEOUT_S)

    def dead_letters(self) -> list[DeadLetter]:
        """Of letters that a crash has put twice, one."""
        topic = self._settings.dead_letter_topic
        found = {}
        for record in scanned(self._settings, {TopicPartition(topic, number): 0 for number in self._letter_numbers}):
            try:
                letter = letters.letter_of(record, self._settings)
            except InvalidArgument as error:
                place = {"partition": record.partition, "offset": record.offset}
                logger().warning("not a dead letter", topic=topic, reason=str(error), **place)
                continue
            found[letter.record.position] = letter
        return sorted(found.values(), key=_age)

    def append_feedback(self, entries: Sequence[FeedbackEntry]) -> None:
        places = self._feedback_places()
        with translated("write feedback"):
            sent = [
                self._send(places[partition_of(entry.key, len(places))], entry.key.encode(), entry.value, ())
                for entry in entries
            ]
            for future in sent:
                future.get(timeout=_APPEND_TIMEOUT_S)

    def feedback(self, since_us: int = 0) -> Iterator[FeedbackEntry]:
        return feedback.read(self._settings, self._feedback_places(), since_us)

    def close(self) -> None:
        self._clients.close()

    @property
    def _letter_numbers(self) -> range:
        return range(self._letter_partitions)

    def _feedback_places(self) -> list[TopicPartition]:
        """Its topic is looked at when it is first needed: who only indexes does not need it."""
        name = self._settings.feedback_topic
        if not self._feedback_partitions:
            with self._lock:
                found = topics.described(self._admin, [name]).get(name)
            if found is None:
                raise ConfigError("kafka_topic", f"there is no topic {name}: see `vitrine topics create`")
            self._feedback_partitions = found.partitions
        return [TopicPartition(name, number) for number in range(self._feedback_partitions)]

    def _place(self, source: Source) -> TopicPartition:
        return TopicPartition(self._settings.topic_of(source.stream), source.partition)

    def _send(self, place: TopicPartition, key: bytes, value: bytes | None, headers: Headers) -> Any:
        try:
            return self._producer.send(place.topic, value, key, list(headers), place.partition)
        except ValueError as error:  # a topic or partition that the cluster does not know now
            raise Unavailable(f"kafka: cannot write to {place.topic} ({error})") from error

    def _offsets(
        self, ask: Callable[[list[TopicPartition]], dict[Any, int]], sources: Iterable[Source]
    ) -> dict[Source, int]:
        wanted = {self._place(source): source for source in sources}
        try:
            with self._lock, translated("read offsets"):
                found = ask(list(wanted))
        except KeyError as error:  # how kafka-python says that a partition has no leader
            raise Unavailable(f"kafka: {error.args[0]} cannot be reached") from error
        return {wanted[place]: offset for place, offset in found.items()}


def _age(letter: DeadLetter) -> tuple[int, Stream, int, int]:
    partition, offset, stream = letter.record.position
    return letter.time_us, stream, partition, offset


def _close_producer(producer: KafkaProducer) -> None:
    # Nothing is lost: whoever appended waits for each event's answer.
    with suppress(errors.KafkaError):
        producer.close(timeout=_CLOSE_TIMEOUT_S)


def _producer(settings: KafkaSettings) -> KafkaProducer:
    """Idempotent: its own retries never write an event twice. Partitions are chosen by us, as on every stream."""
    return connected(
        KafkaProducer,
        enable_idempotence=True,
        acks="all",
        linger_ms=2,
        batch_size=256 * 1024,
        max_request_size=topics.MAX_LETTER_BYTES,
        max_block_ms=10_000,
        delivery_timeout_ms=int(_APPEND_TIMEOUT_S * 1000) - 2_000,
        allow_auto_create_topics=False,
        **settings.client_options("producer"),
    )
