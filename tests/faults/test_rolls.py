"""Rolls go on beside everything else: nothing is lost in one, and nothing comes back."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.integration.shop import (
    ANY_VECTOR,
    Calls,
    Shop,
    all_found,
    calls_to,
    drawn,
    eventually,
    indexed,
    published,
    upsert,
)
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import StackSettings, running_stack
from vitrine.stream.events import Delete, Event, Upsert
from vitrine.v1 import indexer_pb2, searcher_pb2

ROLL_OPTIONS = ("--roll-rows", "64", "--roll-idle-rows", "32", "--roll-idle-s", "1", "--commit-interval-s", "0.1")


@pytest.fixture(scope="module")
def rolling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Rolls what is fresh early and often. Tests have product ids of their own."""
    settings = StackSettings(tmp_path_factory.mktemp("rolling"), DEFAULT_MODEL, indexer_options=ROLL_OPTIONS)
    with running_stack(settings) as stack, calls_to(stack) as calls:
        yield Shop(stack, calls, drawn())


def test_fresh_shards_become_rolled_ones_and_everything_stays(rolling: Shop) -> None:
    client = rolling.calls.client
    indexed(client, published(client, _events(rolling, "many", range(200))))
    eventually(lambda: _rows(rolling.calls, "rolled") > 100)
    assert _found(rolling, "many") == _names("many", range(200))

    # Idle: what is left becomes rolled too.
    eventually(lambda: _rows(rolling.calls, "fresh") < 32 * 2)
    assert _found(rolling, "many") == _names("many", range(200))


def test_a_delete_stays_a_delete_whether_before_or_after_a_roll(rolling: Shop) -> None:
    client = rolling.calls.client
    indexed(client, published(client, _events(rolling, "less", range(60))))
    indexed(client, published(client, map(Delete, _names("less", range(10)))))
    _roll(rolling.calls)
    assert _found(rolling, "less") == _names("less", range(10, 60))

    indexed(client, published(client, map(Delete, _names("less", range(10, 20)))))
    assert _found(rolling, "less") == _names("less", range(20, 60))
    _roll(rolling.calls)
    assert _found(rolling, "less") == _names("less", range(20, 60))

    rolling.stack.kill("searcher")
    rolling.stack.watch()
    rolling.stack.wait_ready("searcher")
    assert _found(rolling, "less") == _names("less", range(20, 60))


def test_changes_while_a_roll_is_built_are_kept(rolling: Shop) -> None:
    client, picture = rolling.calls.client, rolling.products[0].pictures[0]
    indexed(client, published(client, _events(rolling, "during", range(60))))
    roll = rolling.calls.indexer.Roll.future(indexer_pb2.RollRequest(), timeout=60)
    number = 0
    while not roll.done() and number < 59:
        changed = upsert(_name("during", 59), picture, category=str(number))
        events: list[Event] = [Delete(_name("during", number)), changed]
        indexed(client, published(client, events))
        number += 1
    assert roll.result().rows_rolled > 0
    assert number > 1, "the roll was over before anything changed"
    _roll(rolling.calls)
    assert _found(rolling, "during") == _names("during", range(number, 60))
    assert client.product(_name("during", 59)).category == str(number - 1)


def test_shards_that_are_mostly_withdrawn_give_their_room_back(rolling: Shop) -> None:
    client = rolling.calls.client
    indexed(client, published(client, _events(rolling, "gone", range(60))))
    _roll(rolling.calls)
    indexed(client, published(client, map(Delete, _names("gone", range(60)))))
    _roll(rolling.calls)
    eventually(lambda: all(shard.rows_live >= 0.7 * shard.rows for shard in _shards(rolling.calls)), patience_s=5)


def test_an_indexer_that_is_killed_while_it_builds_leaves_no_process(rolling: Shop) -> None:
    client = rolling.calls.client
    indexed(client, published(client, _events(rolling, "orphan", range(30))))
    indexer = rolling.stack.pid("indexer")
    roll = rolling.calls.indexer.Roll.future(indexer_pb2.RollRequest(), timeout=30)
    eventually(lambda: _children(indexer, "spawn_main"))
    builders = _children(indexer, "spawn_main")
    rolling.stack.kill("indexer")
    assert isinstance(roll.exception(), grpc.RpcError)
    rolling.stack.watch()
    rolling.stack.wait_ready("indexer")
    assert _found(rolling, "orphan") == _names("orphan", range(30))
    eventually(lambda: not any(map(_lives, builders)), patience_s=10)


def test_an_indexer_killed_again_and_again_loses_nothing(rolling: Shop) -> None:
    client = rolling.calls.client
    for attempt in range(3):
        published(client, _events(rolling, "again", range(attempt * 50, attempt * 50 + 50)))
        time.sleep(0.15 + 0.4 * attempt)  # in the middle of another step each time
        rolling.stack.kill("indexer")
        rolling.stack.watch()
    rolling.stack.wait_ready("indexer")
    indexed(client, published(client, map(Delete, _names("again", range(20)))))
    assert _found(rolling, "again") == _names("again", range(20, 150))


def _name(prefix: str, number: int) -> str:
    return f"{prefix}-{number:04d}"


def _names(prefix: str, numbers: range) -> list[str]:
    return [_name(prefix, number) for number in numbers]


def _events(shop: Shop, prefix: str, numbers: range) -> list[Upsert]:
    pictures = [shop.products[number % len(shop.products)].pictures[0] for number in numbers]
    return [upsert(name, picture) for name, picture in zip(_names(prefix, numbers), pictures, strict=True)]


def _found(shop: Shop, prefix: str) -> list[str]:
    """Every product that a search finds, twice if it is there twice."""
    answer = shop.calls.client.search(vector=ANY_VECTOR, k=10_000, require_complete=True)
    usual, exact = sorted(hit.product_id for hit in answer.hits), all_found(shop.calls.client)
    assert usual == exact
    return [product_id for product_id in exact if product_id.startswith(prefix)]


def _shards(calls: Calls) -> list[searcher_pb2.ShardStatus]:
    return [shard for partition in calls.client.status().partitions for shard in partition.shards]


def _rows(calls: Calls, kind: str) -> int:
    return sum(shard.rows_live for shard in _shards(calls) if shard.kind == kind)


def _roll(calls: Calls) -> None:
    """Rolls everything fresh and waits until the searcher has it."""
    calls.indexer.Roll(indexer_pb2.RollRequest(), timeout=60)
    eventually(lambda: _rows(calls, "fresh") == 0)


def _children(pid: int, words: str) -> list[int]:
    """Processes started by `pid` whose command line holds `words`."""
    children = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
            command = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:  # it has ended meanwhile
            continue
        if parent == pid and words in command:
            children.append(int(process.name))
    return children


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
