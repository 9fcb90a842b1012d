"""A stack to write histories to, whose indexer is killed on purpose, and the comparison with what must be found."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Final, TypeVar

import pytest

from tests.faults.failpoints.history import Expected, History, Write
from tests.integration.shop import ANY_VECTOR, Calls, calls_to, drawn, eventually
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import Stack, StackSettings, running_stack
from vitrine.client import Ack, Refusal
from vitrine.index.retention import ROLLBACK_S
from vitrine.runtime import failpoints
from vitrine.runtime.errors import NotFound, VitrineError
from vitrine.shards.records import Hit
from vitrine.stream.events import Delete, LiveUpdate, Upsert
from vitrine.stream.log import Entry, EventLog, Position, Source
from vitrine.stream.opening import open_stream
from vitrine.v1 import indexer_pb2

Key = TypeVar("Key")
Value = TypeVar("Value")

PARTITIONS: Final = 2
# Commits, rolls, compactions and collections all within a second or two, so that each step is soon reached.
INDEXER_OPTIONS: Final = (
    *("--commit-interval-s", "0.1", "--heartbeat-s", "1"),
    *("--roll-rows", "24", "--roll-idle-rows", "12", "--roll-idle-s", "0.5"),
    *("--survey-interval-s", "0.2", "--collect-interval-s", "0.2"),
)

_AGED_S: Final = ROLLBACK_S + 6 * 3600.0
_SHOWN: Final = 5
_RETRY_S: Final = 0.2
_EXPIRY_MARGIN_US: Final = 100_000


@dataclass(frozen=True)
class Bench:
    """`log`: the stack's own log, for what only a Kafka client can append.

    `patience_s`: how long to send again what is not acknowledged; 0: it is an error.
    """

    stack: Stack
    calls: Calls
    log: EventLog
    patience_s: float = 0.0
    histories: list[History] = field(default_factory=list)

    # ---- its processes

    def start(self, service: str, specification: str = "") -> None:
        """`specification`: the failpoints of this process alone."""
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv(failpoints.VARIABLE, specification)
            self.stack._spawn(self.stack._processes[service])

    def ended(self, service: str) -> int | None:
        """Minus the signal that ended it, or its exit code; None while it runs."""
        running = self.stack._processes[service].running
        assert running is not None
        return running.poll()

    def said(self, service: str) -> str:
        """All that it has logged, over all its lives."""
        return self.stack._processes[service].log.read_text(errors="replace")

    def restart(self, service: str) -> None:
        """kill -9; ready again, and found again by those who ask it, when it returns."""
        self.stack.kill(service)
        self.start(service)
        self.stack.wait_ready(service)
        # A gateway that was refused a connection tries again after up to 2 s.
        eventually(lambda: self.calls.client.status().coverage.partitions_answered == PARTITIONS)

    def age_store(self) -> None:
        """Lets a day and a half pass for everything stored, so that there is something to collect.

        Only while no indexer runs: a shard that is being written must not be old. The searcher has caught up before,
        as it does within the hour for which manifests are spared.
        """
        index = Path(self.stack.settings.store_url) / "default"
        newest = [max(index.glob(f"p{number:05d}/manifests/*.json")) for number in range(PARTITIONS)]
        eventually(
            lambda: [entry.version for entry in self.calls.client.status().partitions] == list(map(_version, newest))
        )
        then_s = time.time() - _AGED_S
        for path in index.glob("p*/*/**/*"):
            os.utime(path, (then_s, then_s))

    # ---- writing and comparing

    def write(self, history: History, count: int) -> None:
        """The history's next `count` records, each durable when it returns."""
        self.send(history, history.draw(count))

    def send(self, history: History, drawn: Sequence[Write]) -> None:
        """What has been drawn from the history, in order. What is not acknowledged is sent again, with `patience_s`."""
        if history not in self.histories:
            self.histories.append(history)
        for _, group in groupby(drawn, key=_route):
            writes = list(group)
            for write, position in zip(writes, self._positions(writes), strict=True):
                history.acknowledged(write, position)

    def settle(self, timeout_s: float = 60.0) -> None:
        """Waits until all that was written can be found. Raises DeadlineExceeded, Unavailable."""
        ends: dict[Source, int] = {}
        for history in self.histories:
            ends.update({source: max(offset, ends.get(source, 0)) for source, offset in history.reached.items()})
        reached = [source.at(offset) for source, offset in ends.items()]
        self.calls.client.search(vector=ANY_VECTOR, k=1, at_least=reached, require_complete=True, timeout_s=timeout_s)

    def tidy_up(self, timeout_s: float = 60.0) -> None:
        """Rolls all that is fresh, and makes one shard of each partition's. Raises VitrineError, RpcError."""
        self.settle(timeout_s)
        self.calls.indexer.Roll(indexer_pb2.RollRequest(), timeout=timeout_s)
        self.calls.indexer.Compact(indexer_pb2.CompactRequest(), timeout=timeout_s)

    def check(self, *histories: History) -> None:
        """Fails unless exactly what they make, of all that were written, is found, and says what differs."""
        self.settle()
        settled_us = max(history.settled_us for history in self.histories) + _EXPIRY_MARGIN_US
        time.sleep(max(0, settled_us - time.time_ns() // 1_000) / 1e6)
        rows = sum(_images(history.expected()) for history in self.histories)
        for exact in (True, False):
            client = self.calls.client
            answer = client.search(vector=ANY_VECTOR, k=10_000, exact=exact, require_complete=True)
            for history in histories:
                hits = [hit for hit in answer.hits if history.holds(hit.product_id)]
                _compare_hits(f"search, exact {exact}", hits, history.expected())
            assert answer.coverage.rows_searched == rows, f"{answer.coverage.rows_searched} rows searched, not {rows}"
        refusals = self.calls.client.refusals()
        for history in histories:
            products = {product_id: self._product(product_id) for product_id in history.product_ids}
            _compare("products", {name: found for name, found in products.items() if found}, history.expected())
            self._compare_letters(history, [letter for letter in refusals if history.holds(letter.product_id)])

    def _compare_letters(self, history: History, letters: Sequence[Refusal]) -> None:
        found = {letter.position: (letter.product_id, letter.partly_indexed) for letter in letters}
        assert len(found) == len(letters), "a dead letter is there twice"
        if self.patience_s:
            # Of what was sent twice, the first may have come in without a word.
            known = set(history.letters.values())
            found = {place: it for place, it in found.items() if place in history.letters or it not in known}
        _compare("dead letters", found, history.letters)

    def _positions(self, writes: Sequence[Write]) -> list[Position]:
        """Where a group of writes of one route has come to stand."""
        deadline_s = time.monotonic() + self.patience_s
        while True:
            try:
                return self._routed(writes)
            except VitrineError:
                if time.monotonic() > deadline_s:
                    raise
            time.sleep(_RETRY_S)

    def _routed(self, writes: Sequence[Write]) -> list[Position]:
        sent = [write.sent for write in writes]
        if entries := [one for one in sent if isinstance(one, Entry)]:
            return self.log.append(entries)
        client = self.calls.client
        if updates := [one for one in sent if isinstance(one, LiveUpdate)]:
            return [_position(ack) for ack in client.publish_live(updates)]
        return [_position(ack) for ack in client.publish(one for one in sent if isinstance(one, Upsert | Delete))]

    def _product(self, product_id: str) -> Expected | None:
        try:
            found = self.calls.client.product(product_id)
        except NotFound:
            return None
        return Expected(found.category, found.attributes, found.live, found.image_sha256s, found.position.offset)


@contextmanager
def running_bench(folder: Path, kafka: str = "", patience_s: float = 0.0) -> Iterator[Bench]:
    """A stack of its own. Its log is a file, or, with host:port of a broker, new topics there."""
    settings = StackSettings(folder, DEFAULT_MODEL, PARTITIONS, indexer_options=INDEXER_OPTIONS)
    topic = f"bench.{uuid.uuid4().hex}"
    if kafka:
        _make_topics(kafka, topic)
        member = ("--kafka-group", topic, "--kafka-group-instance-id", "bench", "--kafka-session-timeout-s", "2")
        settings = replace(
            settings,
            stream_options=("--kafka", kafka, "--kafka-topic", topic),
            indexer_options=(*INDEXER_OPTIONS, *member),
        )
    with running_stack(settings) as stack, calls_to(stack) as calls:
        log = open_stream(None if kafka else folder / "stream.sqlite", kafka, PARTITIONS, topic)
        with closing(log):
            yield Bench(stack, calls, log, patience_s)


def pictures() -> list[bytes]:
    """Enough for histories to choose from, no two the same."""
    return sorted({picture for product in drawn()[:40] for picture in product.pictures})


def died_there(code: int | None) -> bool:
    """Whether it was the failpoint that ended the indexer: nobody else sends this one signal."""
    return code == -signal.SIGKILL


def _make_topics(kafka: str, topic: str) -> None:
    pytest.importorskip("kafka")  # it warns of itself where it is first imported
    from vitrine.stream.kafka.connection import KafkaSettings
    from vitrine.stream.kafka.topics import create_topics

    create_topics(KafkaSettings(kafka, topic), PARTITIONS, replication_factor=1)


def _compare_hits(what: str, hits: Sequence[Hit], expected: Mapping[str, Expected]) -> None:
    assert len(hits) == len({hit.product_id for hit in hits}), f"{what}: a product is there twice"
    found = {hit.product_id: (hit.category, hit.attributes, hit.live) for hit in hits}
    wanted = {name: (product.category, product.attributes, product.live) for name, product in expected.items()}
    _compare(what, found, wanted)
    for hit in hits:
        assert expected[hit.product_id].images.get(hit.image_id) == hit.sha256, f"{what}: {hit} is no image of it"


def _compare(what: str, found: Mapping[Key, Value], expected: Mapping[Key, Value]) -> None:
    differing = [key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)]
    shown = [f"{key}: found {found.get(key)}, expected {expected.get(key)}" for key in differing[:_SHOWN]]
    assert not differing, "\n  ".join([f"{what}: {len(differing)} of {len(expected)} differ", *shown])


def _route(write: Write) -> type:
    """What goes in one stream or one append: catalogue events, live updates, or records past the gateway."""
    return Upsert if isinstance(write.sent, Delete) else type(write.sent)


def _images(expected: Mapping[str, Expected]) -> int:
    return sum(len(product.images) for product in expected.values())


def _position(ack: Ack) -> Position:
    assert ack.position is not None, ack.error
    return ack.position


def _version(manifest: Path) -> int:
    return int(manifest.stem)
