"""Searchers that hang, are lost, or join, seen by shoppers: real processes behind a real gateway."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from tests.integration.searching import DIM, catalogue, index_of
from tests.integration.shop import eventually, metric
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import Stack, StackSettings, running_stack
from vitrine.client import Answer, VisualSearchClient
from vitrine.runtime.errors import Unavailable

TIMEOUT_S = 5.0
QUERY = np.ones(DIM, np.float32)
CALLERS = 8


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two searchers for the same two partitions."""
    folder = tmp_path_factory.mktemp("groups")
    index_of(folder, catalogue(200), partitions=2)
    with running_stack(StackSettings(folder, DEFAULT_MODEL, partitions=2, searchers=2, search_only=True)) as running:
        yield running


@pytest.fixture
def client(stack: Stack) -> Iterator[VisualSearchClient]:
    with VisualSearchClient(stack.gateway, timeout_s=TIMEOUT_S) as opened:
        yield opened


def test_a_group_that_hangs_costs_its_partition_and_nothing_else(stack: Stack, client: VisualSearchClient) -> None:
    first, second = _addresses(stack)
    _write_topology(stack, [{"partitions": [0], "addresses": [first]}, {"partitions": [1], "addresses": [second]}])
    eventually(lambda: client.search(vector=QUERY).coverage.complete)
    os.kill(stack.pid("searcher1"), signal.SIGSTOP)
    try:
        answers = _searches(client, 200)
        with pytest.raises(Unavailable, match="partition 1"):
            client.search(vector=QUERY, require_complete=True)
    finally:
        os.kill(stack.pid("searcher1"), signal.SIGCONT)
    assert {tuple(answer.coverage.failures) for answer in answers} == {(1,)}
    assert all(answer.hits for answer in answers)
    eventually(lambda: client.search(vector=QUERY).coverage.complete)


def test_a_replica_that_hangs_costs_nothing(stack: Stack, client: VisualSearchClient) -> None:
    _write_topology(stack, [{"addresses": _addresses(stack)}])
    eventually(lambda: len(client.status().partitions) == 2 and client.search(vector=QUERY).coverage.complete)
    os.kill(stack.pid("searcher1"), signal.SIGSTOP)
    try:
        answers = _searches(client, 200)
    finally:
        os.kill(stack.pid("searcher1"), signal.SIGCONT)
    assert all(answer.coverage.complete for answer in answers)


def test_a_replica_added_under_load_takes_its_share(stack: Stack, client: VisualSearchClient) -> None:
    first, second = _addresses(stack)
    _write_topology(stack, [{"addresses": [first]}])
    eventually(lambda: _new_queries(stack, client) < 0.05)
    _write_topology(stack, [{"addresses": [first, second]}])
    # Of an even share, 0.7.
    eventually(lambda: _new_queries(stack, client) > 0.35)


def _searches(client: VisualSearchClient, count: int) -> list[Answer]:
    with ThreadPoolExecutor(CALLERS) as callers:
        return list(callers.map(lambda _: client.search(vector=QUERY, exact=True), range(count)))


def _new_queries(stack: Stack, client: VisualSearchClient) -> float:
    """The share of some searches that the second searcher is asked for."""
    https = [stack.addresses[name].http for name in ("searcher", "searcher1")]
    before = [metric(http, "vitrine_searcher_batch_queries_sum") for http in https]
    _searches(client, 100)
    asked = [
        metric(http, "vitrine_searcher_batch_queries_sum") - then for http, then in zip(https, before, strict=True)
    ]
    return asked[1] / sum(asked)


def _addresses(stack: Stack) -> list[str]:
    return [stack.addresses[name].grpc for name in ("searcher", "searcher1")]


def _write_topology(stack: Stack, groups: Sequence[dict[str, Any]]) -> None:
    """In place of the old one: the gateway must not read half of it."""
    path = stack.settings.folder / "topology.json"
    path.with_suffix(".new").write_text(json.dumps({"groups": groups}))
    path.with_suffix(".new").replace(path)
    # It is looked at every second.
    time.sleep(2)
