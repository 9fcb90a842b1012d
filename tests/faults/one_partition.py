"""One partition on a store in a folder: its owner, and what a searcher would answer from it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from services.indexer.compact import Run
from services.indexer.publish import Commit, Publisher
from services.searcher.partition_reader import PartitionReader
from tests.builders import MODEL, product, quarters, searched
from vitrine.attributes import Attributes
from vitrine.index.manifest import ManifestLog
from vitrine.index.settings import IndexSettings
from vitrine.index.shelf import Shelf
from vitrine.index.store import Store
from vitrine.shards.records import Change, LiveVersion, ProductVersion
from vitrine.shards.snapshot import Snapshot

DIM: Final = 8
LOG_ID: Final = "log"

_ANY: Final = np.full((1, DIM), DIM**-0.5, np.float32)


@dataclass
class OnePartition:
    """A partition in `folder`; the first claim makes it."""

    folder: Path
    number: int = 0
    store: Store = field(init=False)
    log: ManifestLog = field(init=False)
    index: IndexSettings = field(init=False)

    def __post_init__(self) -> None:
        self.store = Store.open(str(self.folder / "store"))
        self.log = ManifestLog(self.store, "default", self.number)
        self.index = IndexSettings("default", DIM, MODEL, partitions=2)

    @property
    def shelf(self) -> Shelf:
        return Shelf(self.store, "default", self.number, self.folder / "cache")

    def claim(self) -> Publisher:
        return Publisher.claim(self.index, self.log, self.shelf, LOG_ID)

    def reader(self) -> PartitionReader:
        """A searcher's, that lists at every refresh."""
        return PartitionReader(self.log, self.shelf, self.number, DIM, list_interval_s=0.0)

    def view(self, now_us: int | None = None) -> Snapshot:
        """The newest manifest, opened as a searcher that has just started does."""
        manifest, damaged = self.log.latest()
        assert damaged == []
        shards = [self.shelf.open(entry) for entry in manifest.shards]
        return Snapshot.of(shards, DIM, time.time_ns() // 1_000 if now_us is None else now_us)


def commit(publisher: Publisher, *changes: Change, live: Sequence[LiveVersion] = ()) -> int:
    """One commit of changes in the order of the log. Returns how many came too late."""
    manifest = publisher.manifest
    return publisher.commit(
        Commit(
            changes=changes,
            live=live,
            next_offset=max([manifest.next_offset, *(change.log_offset + 1 for change in changes)]),
            next_live_offset=max([manifest.next_live_offset, *(version.log_offset + 1 for version in live)]),
        )
    )


def compact(publisher: Publisher) -> None:
    """Everything becomes one rolled shard, or none where nothing is left."""
    run = publisher.everything()
    if run is not None:
        publisher.roll(run)


def roll(publisher: Publisher, first: int = 0, last: int | None = None) -> int:
    """Makes one rolled shard of the manifest's shards `first` to `last`, without the latter."""
    return publisher.roll(Run(publisher.manifest.shards[first:last]))


def version(product_id: str, offset: int, attributes: Attributes | None = None, images: int = 1) -> ProductVersion:
    """A product whose pictures follow from where its event stands in the log."""
    vectors = quarters(np.random.default_rng([offset, *product_id.encode()]), images, DIM)
    return product(product_id, vectors, offset, attributes)


def answered(view: Snapshot) -> dict[str, int]:
    """Every product that a search finds, and the offset of the version that is found; by look-up it is the same."""
    hits = searched(view, _ANY, 10_000, exact=True)[0]
    ids = [hit.product_id for hit in hits]
    assert len(ids) == len(set(ids)), "a product is there twice"
    offsets = {}
    for product_id in ids:
        found = view.product(product_id)
        assert found is not None, f"{product_id} is found by a search only"
        offsets[product_id] = found.log_offset
    return offsets
