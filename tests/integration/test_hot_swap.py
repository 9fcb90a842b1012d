"""Commits under constant queries: no error, and every answer is of one moment."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.integration.shop import ANY_VECTOR, Drawn, calls_to, drawn, indexed, published, upsert
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import Stack, StackSettings, running_stack
from vitrine.client import Answer, VisualSearchClient
from vitrine.stream.events import Upsert

COMMITS = 20
ASKERS = 3
CHANGING = "changing"


@dataclass
class Asker:
    """Asks one query after the other and keeps every answer."""

    client: VisualSearchClient
    answers: list[Answer] = field(default_factory=list)

    def ask_until(self, done: threading.Event) -> None:
        while not done.is_set():
            self.answers.append(self.client.search(vector=ANY_VECTOR, k=1_000, require_complete=True))


@pytest.fixture(scope="module")
def swapping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Commits and rolls as often as it can."""
    often = ("--commit-interval-s", "0.05", "--roll-idle-rows", "8", "--roll-idle-s", "0.2")
    settings = StackSettings(tmp_path_factory.mktemp("swap"), DEFAULT_MODEL, indexer_options=often)
    with running_stack(settings) as running:
        yield running


def test_queries_never_notice_that_shards_are_swapped_under_them(swapping: Stack) -> None:
    products = drawn()
    base = products[:20]
    with calls_to(swapping) as calls, ThreadPoolExecutor(ASKERS) as threads:
        indexed(calls.client, published(calls.client, [product.upsert() for product in base]))
        indexed(calls.client, published(calls.client, [_version(0, products)]))
        askers = [Asker(calls.client) for _ in range(ASKERS)]
        done = threading.Event()
        asking = [threads.submit(asker.ask_until, done) for asker in askers]
        for number in range(1, COMMITS + 1):
            added = products[20 + number].upsert()
            indexed(calls.client, published(calls.client, [_version(number, products), added]))
        done.set()
        for future in asking:
            future.result()  # raises what a query raised

    assert _manifests(swapping) >= COMMITS
    for asker in askers:
        assert len(asker.answers) > COMMITS
        _check_in_order(asker.answers, products, first_products=len(base) + 1)


def _version(number: int, products: tuple[Drawn, ...]) -> Upsert:
    """A product that changes its picture and its category together: an answer may never mix two versions."""
    return upsert(CHANGING, _picture(number, products), category=str(number))


def _picture(version: int, products: tuple[Drawn, ...]) -> bytes:
    return products[100 + version % 2].pictures[0]


def _check_in_order(answers: list[Answer], products: tuple[Drawn, ...], first_products: int) -> None:
    seen_version, seen_products, seen_us = 0, first_products, 0
    for answer in answers:
        ids = [hit.product_id for hit in answer.hits]
        scores = [hit.score for hit in answer.hits]
        assert len(set(ids)) == len(ids)
        assert scores == sorted(scores, reverse=True)
        assert answer.coverage.complete
        # Nothing that one answer showed is missing from a later one.
        assert len(ids) >= seen_products
        assert answer.index_time_us >= seen_us
        changing = next(hit for hit in answer.hits if hit.product_id == CHANGING)
        version = int(changing.category)
        assert version >= seen_version
        assert changing.sha256 == hashlib.sha256(_picture(version, products)).digest()
        seen_version, seen_products, seen_us = version, len(ids), answer.index_time_us


def _manifests(stack: Stack) -> int:
    return len(list(Path(stack.settings.store_url).glob("default/p*/manifests/*.json")))
