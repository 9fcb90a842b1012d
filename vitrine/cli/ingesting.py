"""Publishing a catalogue: as fast as the log takes it, resumable, finished only when it can be found."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import grpc

from vitrine.cli.sources import Catalogue, Item, Unreadable
from vitrine.client import Refusal, VisualSearchClient
from vitrine.runtime.channels import NOTHING, Credentials, blocking_channel
from vitrine.runtime.errors import DeadlineExceeded, Unavailable
from vitrine.stream.events import Upsert
from vitrine.stream.log import Position
from vitrine.v1 import indexer_pb2, indexer_pb2_grpc

_POLL_INTERVAL_S: Final = 0.2
_SAVE_EVERY_ACKS: Final = 200
_RETRY_S: Final = 1.0
_MAX_RETRIES: Final = 60
_ROLL_TIMEOUT_S: Final = 600.0

Result = TypeVar("Result")

Progress = Callable[[str, int, int], None]
"""Called with the stage ("publish" or "index"), how much is done and how much there is."""


@dataclass
class Report:
    """What an ingest did. `refused`: product → reason, from acknowledgements and dead letters."""

    published: int = 0
    skipped: int = 0
    images: int = 0
    seconds: float = 0.0
    refused: dict[str, str] = field(default_factory=dict)
    partly: dict[str, str] = field(default_factory=dict)


@dataclass
class Journal:
    """How far an ingest has come, so that one that was interrupted goes on instead of beginning again."""

    path: Path
    products: int = 0
    first: dict[int, int] = field(default_factory=dict)
    last: dict[int, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def open(folder: Path, catalogue: Catalogue, log_id: str, again: bool) -> Journal:
        """The journal of this catalogue, as it is now, for this log. `again`: forget how far it came."""
        path = folder / f"{catalogue.fingerprint[:16]}-{log_id[:16]}.json"
        if again or not path.is_file():
            return Journal(path)
        fields = json.loads(path.read_bytes())
        places = {name: {int(p): o for p, o in fields[name].items()} for name in ("first", "last")}
        return Journal(path, fields["products"], refused=fields["refused"], **places)

    def note(self, position: Position) -> None:
        self.first.setdefault(position.partition, position.offset)
        self.last[position.partition] = max(position.offset, self.last.get(position.partition, 0))

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fields = {"products": self.products, "first": self.first, "last": self.last, "refused": self.refused}
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(fields))
        partial.replace(self.path)


def ingest(client: VisualSearchClient, catalogue: Catalogue, journal: Journal, progress: Progress) -> Report:
    """Publishes what the journal does not have yet and waits until all of it is in the index.

    A service that is away for a while is waited for. Raises Unavailable if it stays away.
    """
    started = time.monotonic()
    report = Report(skipped=journal.products)
    retries = 0
    while journal.products < catalogue.products:
        before = journal.products
        try:
            _publish(client, catalogue, journal, report, progress)
        except (Unavailable, DeadlineExceeded):
            retries = 0 if journal.products > before else retries + 1
            if retries > _MAX_RETRIES:
                raise
            time.sleep(_RETRY_S)
        finally:
            journal.save()
    _wait_indexed(client, journal, progress)
    _read_refusals(client, journal, report)
    report.seconds = time.monotonic() - started
    return report


def roll(indexer: str, credentials: Credentials = NOTHING) -> bool:
    """Asks the indexer to roll what is fresh. False if it cannot be asked; it will roll by itself then."""
    with blocking_channel(indexer, credentials) as channel:
        try:
            indexer_pb2_grpc.IndexerStub(channel).Roll(indexer_pb2.RollRequest(), timeout=_ROLL_TIMEOUT_S)
        except grpc.RpcError:
            return False
    return True


def _publish(
    client: VisualSearchClient, catalogue: Catalogue, journal: Journal, report: Report, progress: Progress
) -> None:
    sent: deque[Item] = deque()

    def events() -> Iterator[Upsert]:
        for item in catalogue.items(journal.products):
            sent.append(item)
            if isinstance(item, Upsert):
                yield item

    for ack in client.publish(events()):
        item = _next_sent(sent, journal)
        journal.products += 1
        if ack.position is None:
            journal.refused[ack.product_id] = ack.error
        else:
            journal.note(ack.position)
            report.published += 1
            report.images += len(item.images)
        if journal.products % _SAVE_EVERY_ACKS == 0:
            journal.save()
        progress("publish", journal.products, catalogue.products)
    for left in sent:
        assert isinstance(left, Unreadable)
        _refuse(left, journal)
    progress("publish", journal.products, catalogue.products)


def _next_sent(sent: deque[Item], journal: Journal) -> Upsert:
    """The event that the next acknowledgement is for; what could not be read on the way to it is noted."""
    while isinstance(item := sent.popleft(), Unreadable):
        _refuse(item, journal)
    return item


def _refuse(item: Unreadable, journal: Journal) -> None:
    journal.refused[item.product_id] = item.reason
    journal.products += 1


def _wait_indexed(client: VisualSearchClient, journal: Journal, progress: Progress) -> None:
    """Until the manifests hold every offset that was acknowledged."""
    total = sum(last - journal.first[partition] + 1 for partition, last in journal.last.items())
    while True:
        status = _patiently(client.status)
        reached = {partition.partition: partition.next_offset for partition in status.partitions}
        done = sum(
            max(0, min(reached.get(partition, 0), last + 1) - journal.first[partition])
            for partition, last in journal.last.items()
        )
        progress("index", done, total)
        if done >= total:
            return
        time.sleep(_POLL_INTERVAL_S)


def _patiently(call: Callable[[], Result]) -> Result:
    """`call`'s answer, asked again while what answers is away for a while."""
    for _ in range(_MAX_RETRIES):
        try:
            return call()
        except (Unavailable, DeadlineExceeded):
            time.sleep(_RETRY_S)
    return call()


def _read_refusals(client: VisualSearchClient, journal: Journal, report: Report) -> None:
    report.refused.update(journal.refused)
    if not journal.first:
        return
    since = [Position(*place) for place in journal.first.items()]
    refusals: list[Refusal] = _patiently(lambda: client.refusals(since))
    for refusal in refusals:
        if refusal.position.offset <= journal.last[refusal.position.partition]:
            (report.partly if refusal.partly_indexed else report.refused)[refusal.product_id] = refusal.reason
