"""A product that was withdrawn never comes back, whatever is rolled, compacted or published again around it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from services.indexer import publish
from services.indexer.compact import merge_rolled
from services.indexer.publish import Publisher
from tests.faults.one_partition import OnePartition, answered, commit, compact, roll, version
from tests.integration.shop import Shop, all_found, eventually, indexed, metric, published, upsert
from vitrine.shards.records import Change, LiveVersion, Tombstone
from vitrine.stream.embedded import EmbeddedLog
from vitrine.stream.events import Delete
from vitrine.stream.log import REPLAYED_OFFSET, Entry
from vitrine.v1 import indexer_pb2


@pytest.fixture(autouse=True)
def _built_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rolled shards are built in this process: another is a second slower and builds the same."""
    monkeypatch.setattr(publish, "build_rolled", merge_rolled)


@pytest.fixture
def partition(tmp_path: Path) -> OnePartition:
    return OnePartition(tmp_path)


def test_a_product_deleted_before_a_roll_does_not_come_back_with_it(partition: OnePartition) -> None:
    owner = partition.claim()
    commit(owner, version("gone", 0), version("stays", 1))
    commit(owner, Tombstone("gone", 2))

    roll(owner)

    assert answered(partition.view()) == {"stays": 1}


def test_a_product_deleted_after_a_roll_does_not_come_back_with_the_next(partition: OnePartition) -> None:
    owner = partition.claim()
    commit(owner, version("gone", 0), version("stays", 1))
    roll(owner)
    commit(owner, Tombstone("gone", 2))
    assert answered(partition.view()) == {"stays": 1}

    roll(owner, 1)

    assert answered(partition.view()) == {"stays": 1}


@pytest.mark.parametrize("again", [[], [version("gone", 2)]], ids=["deleted once", "made again in between"])
def test_a_delete_rolled_apart_from_what_it_hides_goes_on_hiding_it(
    partition: OnePartition, again: list[Change]
) -> None:
    owner = partition.claim()
    commit(owner, version("gone", 0), version("stays", 1))
    roll(owner)
    commit(owner, *again, version("new", 3))
    roll(owner, 1)
    commit(owner, Tombstone("gone", 4))

    # A rolled shard and a fresh one become one, and the shard with the product is older than both.
    roll(owner, 1)

    assert [entry.kind for entry in owner.manifest.shards] == ["rolled", "rolled"]
    assert answered(partition.view()) == {"stays": 1, "new": 3}
    compact(owner)
    assert answered(partition.view()) == {"stays": 1, "new": 3}


def test_a_product_deleted_while_a_compaction_is_built_is_not_in_what_it_leaves(
    partition: OnePartition, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = partition.claim()
    commit(owner, version("gone", 0), version("stays", 1))
    roll(owner)
    commit(owner, version("new", 2))

    def built_while_deleting(*arguments: object) -> Path:
        built = merge_rolled(*arguments)  # type: ignore[arg-type]
        commit(owner, Tombstone("gone", 3))
        return built

    monkeypatch.setattr(publish, "build_rolled", built_while_deleting)
    assert roll(owner) > 0

    assert answered(partition.view()) == {"stays": 1, "new": 2}
    monkeypatch.setattr(publish, "build_rolled", merge_rolled)
    compact(owner)
    assert answered(partition.view()) == {"stays": 1, "new": 2}


@pytest.mark.parametrize("rolled", [False, True], ids=["fresh", "rolled"])
def test_an_event_from_before_the_delete_that_is_published_again_comes_too_late(
    partition: OnePartition, rolled: bool
) -> None:
    owner = partition.claim()
    commit(owner, version("stays", 0), version("gone", 1))
    roll(owner)
    commit(owner, Tombstone("gone", 2), version("new", 3))
    if rolled:
        roll(owner, 1)

    assert commit(owner, version("gone", 1)) == 1

    assert answered(partition.view()) == {"stays": 0, "new": 3}


def test_of_one_commit_with_the_delete_and_an_older_event_again_the_delete_counts(partition: OnePartition) -> None:
    owner = partition.claim()
    commit(owner, version("stays", 0), version("gone", 1))

    commit(owner, Tombstone("gone", 2), version("gone", 1))

    assert answered(partition.view()) == {"stays": 0}


def test_a_delete_that_is_published_again_does_not_take_a_newer_product_away(partition: OnePartition) -> None:
    owner = partition.claim()
    commit(owner, version("back", 0))
    commit(owner, Tombstone("back", 1))
    commit(owner, version("back", 2))

    assert commit(owner, Tombstone("back", 1)) == 1

    assert answered(partition.view()) == {"back": 2}


def test_a_withdrawn_product_that_is_put_into_the_log_again_is_counted_as_superseded_and_not_found(shop: Shop) -> None:
    """By processes: as `vitrine dlq replay` puts it there."""
    client, picture = shop.calls.client, shop.products[0].pictures[0]
    [made, _] = published(client, [upsert("gone", picture), upsert("stays", picture)])
    indexed(client, [made])
    log = EmbeddedLog.open(shop.stack.settings.folder / "stream.sqlite", partitions=2)
    [value] = [record.value for record in log.read(made, 1)]
    indexed(client, published(client, [Delete("gone")]))
    shop.calls.indexer.Roll(indexer_pb2.RollRequest(), timeout=60)
    indexed(client, published(client, [Delete("gone")]))

    indexed(client, log.append([Entry("gone", value, headers=((REPLAYED_OFFSET, b"%d" % made.offset),))]))
    log.close()

    assert all_found(client) == ["stays"]
    assert metric(shop.stack.addresses["indexer"].http, "vitrine_indexer_superseded_events_total") == 1
    shop.calls.indexer.Compact(indexer_pb2.CompactRequest(), timeout=60)
    eventually(lambda: {shard.kind for part in client.status().partitions for shard in part.shards} == {"rolled"})
    assert all_found(client) == ["stays"]


@pytest.mark.parametrize("seed", range(4))
def test_after_every_step_of_a_random_history_the_last_event_of_each_product_counts(
    partition: OnePartition, seed: int
) -> None:
    history = History(partition, random.Random(seed))
    for _ in range(80):
        history.step()
        view = partition.view()
        assert answered(view) == history.expected
        assert {name: view.live_attributes(name) for name in history.prices} == history.prices


class History:
    """Random events of a few products, and random upkeep between them. `expected`: offset of each product's version."""

    def __init__(self, partition: OnePartition, random: random.Random) -> None:
        self.expected: dict[str, int] = {}
        self.prices: dict[str, dict[str, float]] = {}
        self._partition = partition
        self._random = random
        self._owner: Publisher = partition.claim()
        self._events: list[Change] = []
        self._prices = 0

    def step(self) -> None:
        steps = [self._events_come] * 5 + [self._prices_come, self._old_events_again, self._rolls, self._compacts]
        self._random.choice([*steps, self._claims])()

    def _events_come(self) -> None:
        begin = len(self._events)
        for offset in range(begin, begin + self._random.randint(1, 6)):
            name = f"p{self._random.randrange(9)}"
            if self._random.random() < 0.4:
                self._events.append(Tombstone(name, offset))
                self.expected.pop(name, None)
            else:
                self._events.append(version(name, offset, images=self._random.randint(1, 3)))
                self.expected[name] = offset
        commit(self._owner, *self._events[begin:])

    def _prices_come(self) -> None:
        for _ in range(self._random.randint(1, 4)):
            name = f"p{self._random.randrange(9)}"
            self.prices[name] = {"price": float(self._prices)} if self._random.random() < 0.8 else {}
            commit(self._owner, live=[LiveVersion(name, self._prices, self.prices[name])])
            self._prices += 1

    def _old_events_again(self) -> None:
        # Of a product that nothing is known of any more, only the log can tell that an event came before its delete:
        # whoever publishes it again asks the log.
        known = [event for event in self._events if event.product_id in self.expected]
        if known:
            commit(self._owner, *self._random.sample(known, min(3, len(known))))

    def _rolls(self) -> None:
        places = range(len(self._owner.manifest.shards) + 1)
        if len(places) > 1:
            first, last = sorted(self._random.sample(places, 2))
            roll(self._owner, first, last)

    def _compacts(self) -> None:
        compact(self._owner)

    def _claims(self) -> None:
        self._owner = self._partition.claim()
