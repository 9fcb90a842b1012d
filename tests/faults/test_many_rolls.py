"""Rolls under constant queries: no answer fails, and none shows a product twice, not at all, or as it was before."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.integration.shop import ANY_VECTOR, Shop, calls_to, drawn, indexed, published, upsert
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import StackSettings, running_stack
from vitrine.runtime.errors import VitrineError
from vitrine.v1 import indexer_pb2

PRODUCTS = 24
ROLLS = 100


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    options = ("--commit-interval-s", "0.05", "--roll-rows", "1000000", "--roll-idle-rows", "1000000")
    settings = StackSettings(tmp_path_factory.mktemp("rolls"), DEFAULT_MODEL, partitions=1, indexer_options=options)
    with running_stack(settings) as stack, calls_to(stack) as calls:
        yield Shop(stack, calls, drawn())


@pytest.mark.thorough
@pytest.mark.timeout(400)
def test_queries_never_notice_a_roll(shop: Shop) -> None:
    pictures = [product.pictures[0] for product in shop.products]
    client = shop.calls.client
    indexed(client, published(client, [upsert(_name(n), pictures[n], category="0") for n in range(PRODUCTS)]))
    queries = Queries(shop)
    queries.start()
    rewritten = 0
    for number in range(1, ROLLS + 1):
        changed = [(number * 5 + step) % PRODUCTS for step in range(5)]
        events = [upsert(_name(n), pictures[n], category=str(number)) for n in changed]
        indexed(client, published(client, events))
        rewritten += shop.calls.indexer.Roll(indexer_pb2.RollRequest(), timeout=60).rows_rolled
    queries.stop()

    assert queries.faults == []
    assert rewritten >= ROLLS * 5
    assert queries.answers > ROLLS, "too few answers to have met the rolls"
    print(f"{ROLLS} rolls, {queries.answers} answers, none failed or inconsistent")


class Queries(threading.Thread):
    """Asks for every product, by tree and exactly in turn, and checks each answer against the one before."""

    def __init__(self, shop: Shop) -> None:
        super().__init__(daemon=True)
        self.answers = 0
        self.faults: list[str] = []
        self._client = shop.calls.client
        self._seen: dict[str, int] = {}
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            try:
                answer = self._client.search(
                    vector=ANY_VECTOR, k=1000, exact=self.answers % 2 == 0, require_complete=True
                )
            except VitrineError as error:
                self.faults.append(f"failed: {error}")
                continue
            self.answers += 1
            self._check(
                Counter(hit.product_id for hit in answer.hits), {h.product_id: int(h.category) for h in answer.hits}
            )

    def stop(self) -> None:
        self._over.set()
        self.join()

    def _check(self, counts: Counter[str], versions: dict[str, int]) -> None:
        if set(counts) != {_name(number) for number in range(PRODUCTS)} or set(counts.values()) != {1}:
            self.faults.append(f"answer {self.answers}: {sorted(counts.items())}")
        older = {name for name, version in versions.items() if version < self._seen.get(name, 0)}
        if older:
            self.faults.append(f"answer {self.answers}: {sorted(older)} as they were before")
        self._seen.update(versions)


def _name(number: int) -> str:
    return f"roll-{number:02d}"
