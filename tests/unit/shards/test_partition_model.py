"""A partition under random changes, merges, rolls and clock ticks answers as a plain dict of the catalogue would."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.builders import MODEL, NOW, product, quarters, searched
from vitrine.attributes import Attributes
from vitrine.shards.build import TreeSettings, write_fresh, write_rolled
from vitrine.shards.lookup import newest_live, newest_mention
from vitrine.shards.merge import merged_table
from vitrine.shards.records import Change, LiveVersion, ProductVersion, Tombstone
from vitrine.shards.shard import Shard
from vitrine.shards.snapshot import NEVER_US, Snapshot
from vitrine.shards.table import table_of
from vitrine.vectors import Vectors

DIM: Final = 8
# Few products and few directions: every sequence supersedes, deletes, revives and ties.
PRODUCTS: Final = tuple(f"product-{name}" for name in "abcdefghij")
VECTORS: Final = quarters(np.random.default_rng(0), 24, DIM)
QUERIES: Final = quarters(np.random.default_rng(1), 6, DIM)
KS: Final = (1, 2, 4, 50)
LIVE_MAPS: Final[tuple[Attributes, ...]] = (
    {},
    {"price": 9.5},
    {"price": 8.0, "in_stock": False},
    {"price": "ask"},
    {"sizes": ("S",)},
)

names = st.sampled_from(PRODUCTS)
vector_lists = st.lists(st.integers(0, len(VECTORS) - 1), min_size=1, max_size=4)
live_maps = st.sampled_from(LIVE_MAPS)
lifetimes = st.none() | st.integers(-2, 8)
shares = st.floats(0, 0.999)


class Build(NamedTuple):
    """A shard that was made of `run` while the partition may have gone on changing."""

    run: tuple[Shard, ...]
    built: Shard


class Partition(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.now_us = NOW
        self.offset = 0
        self.waiting: dict[str, Change] = {}
        self.catalogue: dict[str, ProductVersion] = {}
        self.live_offset = 0
        self.live_waiting: dict[str, LiveVersion] = {}
        self.live: dict[str, LiveVersion] = {}
        self.shards: list[Shard] = []
        self.view = Snapshot.of([], DIM, NOW)
        self.builds: list[Build] = []
        self.patch = pytest.MonkeyPatch()

    @initialize(rows=st.sampled_from([1, 6, 1_000]))
    def choose_how_many_live_rows_are_merged_in_memory(self, rows: int) -> None:
        self.patch.setattr("vitrine.shards.live.BLOCK_ROWS", rows)

    def teardown(self) -> None:
        self.patch.undo()
        shutil.rmtree(self.folder)

    @rule(name=names, vectors=vector_lists, lifetime_us=lifetimes)
    def upsert(self, name: str, vectors: list[int], lifetime_us: int | None) -> None:
        expires_at_us = None if lifetime_us is None else self.now_us + lifetime_us
        attributes: Attributes = {"colour": "red", "size": 42.0} if len(vectors) % 2 else {"size": "M"}
        self.offset += 1
        self.waiting[name] = product(name, VECTORS[vectors], self.offset, attributes, expires_at_us)

    @rule(name=names)
    def delete(self, name: str) -> None:
        self.offset += 1
        self.waiting[name] = Tombstone(name, self.offset)

    @rule(name=names, attributes=live_maps)
    def update_live(self, name: str, attributes: Attributes) -> None:
        """Of a product that is there, was there, or never was."""
        self.live_offset += 1
        self.live_waiting[name] = LiveVersion(name, self.live_offset, attributes)

    @rule()
    def commit(self) -> None:
        versions = [change for change in self.waiting.values() if isinstance(change, ProductVersion)]
        gone = [change for change in self.waiting.values() if isinstance(change, Tombstone)]
        table = table_of(versions, gone, DIM, self.live_waiting.values())
        self.shards.append(Shard.open(write_fresh(table, MODEL, self.folder)))
        self.catalogue.update((version.product_id, version) for version in versions)
        for tombstone in gone:
            self.catalogue.pop(tombstone.product_id, None)
        self.live.update(self.live_waiting)
        self.waiting, self.live_waiting = {}, {}

    @precondition(lambda self: self.live_waiting)
    @rule()
    def commit_live_rows_alone(self) -> None:
        table = table_of([], [], DIM, self.live_waiting.values())
        self.shards.append(Shard.open(write_fresh(table, MODEL, self.folder)))
        self.live.update(self.live_waiting)
        self.live_waiting = {}

    @precondition(lambda self: self.shards)
    @rule(begin=shares, length=shares, rolled=st.booleans())
    def start_build(self, begin: float, length: float, rolled: bool) -> None:
        """Merges neighbours as they are now; the result is put in place later, or never."""
        first = int(begin * len(self.shards))
        last = first + 1 + int(length * (len(self.shards) - first))
        table = merged_table(self.current().shards[first:last], reaches_oldest=first == 0)
        write = write_rolled(table, MODEL, self.folder, TreeSettings()) if rolled else None
        built = Shard.open(write or write_fresh(table, MODEL, self.folder))
        self.builds.append(Build(tuple(self.shards[first:last]), built))

    @precondition(lambda self: self.builds)
    @rule()
    def finish_build(self) -> None:
        """A build goes in its run's place, unless the run has changed meanwhile."""
        run, built = self.builds.pop()
        if run[0] in self.shards:
            first = self.shards.index(run[0])
            if tuple(self.shards[first : first + len(run)]) == run:
                self.shards[first : first + len(run)] = [built]

    @rule(ticks=st.integers(1, 5))
    def advance_the_clock(self, ticks: int) -> None:
        self.now_us += ticks

    @rule()
    def forget_the_snapshot(self) -> None:
        """As a searcher does that starts anew."""
        self.view = Snapshot.of([], DIM, self.now_us)

    @invariant()
    def answers_as_the_catalogue(self) -> None:
        alive = self.alive()
        self.view = self.current()
        for query, *lists in zip(QUERIES, *(searched(self.view, QUERIES, k, exact=True) for k in KS), strict=True):
            expected = ranked(alive, query)
            for k, hits in zip(KS, lists, strict=True):
                assert [(hit.score, hit.product_id) for hit in hits] == expected[:k]

    @invariant()
    def knows_every_product(self) -> None:
        alive = {version.product_id: version for version in self.alive()}
        view = self.current()
        assert {name: view.product(name) for name in PRODUCTS} == {name: alive.get(name) for name in PRODUCTS}

    @invariant()
    def knows_the_live_attributes_of_products_that_are_there_and_not(self) -> None:
        view = self.current()
        expected = {name: self.live[name].attributes if name in self.live else {} for name in PRODUCTS}
        assert {name: view.live_attributes(name) for name in PRODUCTS} == expected
        hits = searched(view, QUERIES[:1], len(PRODUCTS), exact=True)[0]
        assert {hit.product_id: hit.live for hit in hits} == {hit.product_id: expected[hit.product_id] for hit in hits}

    @invariant()
    def the_newest_live_row_is_found_until_it_says_nothing(self) -> None:
        for name in PRODUCTS:
            expected, found = self.live.get(name), newest_live(self.shards, name)
            # One without attributes goes, in the end, with what it hid.
            assert found == expected or (found is None and expected is not None and not expected.attributes)

    @invariant()
    def the_newest_mention_of_a_product_is_its_version(self) -> None:
        alive = {version.product_id: version for version in self.alive()}
        for name in PRODUCTS:
            said = newest_mention(self.shards, name)
            if isinstance(said, ProductVersion) and name not in alive:
                assert said == self.catalogue[name]  # expired, and not merged away yet
            else:
                assert alive.get(name) == (None if isinstance(said, Tombstone) else said)

    @invariant()
    def counts_what_is_alive(self) -> None:
        alive, view = self.alive(), self.current()
        assert view.products_live == len(alive)
        assert view.rows_live == sum(len(version.images) for version in alive)
        expiries = (version.expires_at_us for version in alive if version.expires_at_us is not None)
        assert view.next_expiry_us == min(expiries, default=NEVER_US)

    @invariant()
    def a_snapshot_does_not_depend_on_the_way_to_it(self) -> None:
        from_scratch = Snapshot.of(self.shards, DIM, self.now_us)
        for view in (self.current(), from_scratch.at(self.now_us)):
            for entry, expected in zip(view.shards, from_scratch.shards, strict=True):
                np.testing.assert_array_equal(entry.live, expected.live)
                assert (entry.rows_live, entry.next_expiry_us) == (expected.rows_live, expected.next_expiry_us)

    @invariant()
    def time_passes_without_a_new_manifest_too(self) -> None:
        soon = self.now_us + 3
        assert self.current().at(soon).rows_live == Snapshot.of(self.shards, DIM, soon).rows_live

    def current(self) -> Snapshot:
        return Snapshot.of(self.shards, DIM, self.now_us, self.view)

    def alive(self) -> list[ProductVersion]:
        versions = self.catalogue.values()
        return [version for version in versions if version.expires_at_us is None or version.expires_at_us > self.now_us]


def ranked(versions: Sequence[ProductVersion], query: Vectors) -> list[tuple[float, str]]:
    """(score, product_id) of every product, best first, ties by id."""
    scored = ((max(float(image.vector @ query) for image in version.images), version) for version in versions)
    best_first = sorted((-score, version.product_id) for score, version in scored)
    return [(-negated, product_id) for negated, product_id in best_first]


TestPartition = Partition.TestCase
TestPartition.settings = settings(max_examples=60, stateful_step_count=30)
