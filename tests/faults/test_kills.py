"""kill -9 of each service while products stream in: none is lost, none is there twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.shop import ANY_VECTOR, Shop, eventually, upsert
from vitrine.cli.ingesting import Journal, Report, ingest
from vitrine.cli.sources import Catalogue
from vitrine.stream.events import Upsert

PRODUCTS = 150
KILL_AT = 60
EVENT_INTERVAL_S = 0.01


@pytest.mark.parametrize("name", ["embedder", "indexer", "searcher", "gateway"])
def test_every_product_is_there_once_though_a_service_was_killed(shop: Shop, tmp_path: Path, name: str) -> None:
    writer = Writer(shop, name, tmp_path / "journal.json")
    writer.start()
    eventually(lambda: writer.acknowledged >= KILL_AT or not writer.is_alive())
    assert writer.acknowledged < PRODUCTS, "the kill must come while products stream in"
    shop.stack.kill(name)
    assert [line.split()[0] for line in shop.stack.watch()] == [name]
    shop.stack.wait_ready(name)
    writer.join(timeout=60)

    report = writer.report
    assert report is not None, "the ingest did not end"
    assert (report.published, report.refused, report.partly) == (PRODUCTS, {}, {})
    wanted = sorted(event.product_id for event in events(shop, name))
    for product_id in wanted:
        assert shop.calls.client.product(product_id).product_id == product_id
    answer = shop.calls.client.search(vector=ANY_VECTOR, k=10_000, exact=True, require_complete=True)
    found = sorted(hit.product_id for hit in answer.hits)
    assert [product_id for product_id in found if product_id.startswith(name)] == wanted
    assert answer.coverage.rows_searched == len(found), "a row that no product of the answer stands for"


class Writer(threading.Thread):
    """An ingest of `PRODUCTS` products that takes a while. `report`: what it says in the end."""

    def __init__(self, shop: Shop, prefix: str, journal: Path) -> None:
        super().__init__(daemon=True)
        self.acknowledged = 0
        self.report: Report | None = None
        self._client = shop.calls.client
        self._events = events(shop, prefix)
        self._journal = Journal(journal)

    def run(self) -> None:
        catalogue = Catalogue(PRODUCTS, PRODUCTS, "", self._items)
        self.report = ingest(self._client, catalogue, self._journal, self._progress)

    def _items(self, skip: int) -> Iterator[Upsert]:
        for event in self._events[skip:]:
            time.sleep(EVENT_INTERVAL_S)
            yield event

    def _progress(self, stage: str, done: int, total: int) -> None:
        if stage == "publish":
            self.acknowledged = done


def events(shop: Shop, prefix: str) -> list[Upsert]:
    upserts = []
    for number in range(PRODUCTS):
        product = shop.products[number % len(shop.products)]
        upserts.append(upsert(f"{prefix}-{number:04d}", product.pictures[0], category=product.category))
    return upserts
