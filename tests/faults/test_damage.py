"""Files of the store that are not what was written: never opened, always said, and the rest goes on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.shop import (
    ANY_VECTOR,
    Shop,
    calls_to,
    drawn,
    eventually,
    http,
    indexed,
    metric,
    published,
    refused,
)
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import StackSettings, running_stack
from vitrine.stream.partitioning import partition_of
from vitrine.v1 import gateway_pb2, indexer_pb2
from vitrine.vectors import to_wire

pytestmark = pytest.mark.thorough

DAMAGED = 0
PARTITIONS = 2
FRESH, ROLLED = "fresh.arrow", "vectors.npy"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A rolled and a fresh shard in each partition. Every test mends what it has damaged.

    A stack restarts a service five times, so there are at most five tests here.
    """
    settings = StackSettings(tmp_path_factory.mktemp("damage"), DEFAULT_MODEL)
    with running_stack(settings) as stack, calls_to(stack) as calls:
        products = drawn()[:60]
        indexed(calls.client, published(calls.client, [product.upsert() for product in products[:40]]))
        calls.indexer.Roll(indexer_pb2.RollRequest(), timeout=60)
        indexed(calls.client, published(calls.client, [product.upsert() for product in products[40:]]))
        yield Shop(stack, calls, products)


@pytest.mark.parametrize(
    ("file", "damage"), [(FRESH, "cut short"), (FRESH, "one bit turned"), (ROLLED, "one bit turned")]
)
def test_a_damaged_shard_is_never_opened_and_the_other_partition_answers(shop: Shop, file: str, damage: str) -> None:
    with damaged(_shard_file(shop, file), damage):
        restart_searcher(shop)

        answer = shop.calls.client.search(vector=ANY_VECTOR, k=1000)
        assert (answer.coverage.partitions_total, answer.coverage.partitions_answered) == (PARTITIONS, 1)
        assert file in answer.coverage.failures[DAMAGED]
        assert sorted(hit.product_id for hit in answer.hits) == _ids(shop, partition=1)

        with refused("UNAVAILABLE", f"partition {DAMAGED}", file):
            request = gateway_pb2.SearchRequest(vector=to_wire(ANY_VECTOR), require_complete=True)
            shop.calls.search.Search(request, timeout=10)
        with refused("UNAVAILABLE", f"partition {DAMAGED}", file):
            product = gateway_pb2.GetProductRequest(product_id=_ids(shop, partition=DAMAGED)[0])
            shop.calls.search.GetProduct(product, timeout=10)
        assert shop.calls.client.product(_ids(shop, partition=1)[0])
        assert [failure.partition for failure in shop.calls.client.status().coverage.failures] == [DAMAGED]

        searcher = shop.stack.addresses["searcher"].http
        assert metric(searcher, "vitrine_searcher_refused_shards_total", partition=str(DAMAGED)) == 1
        assert metric(searcher, "vitrine_searcher_refused_shards_total") == 1
    # Mended: found again without a restart.
    eventually(lambda: shop.calls.client.search(vector=ANY_VECTOR).coverage.complete)


def test_a_searcher_with_one_damaged_partition_is_ready_to_answer_the_other(shop: Shop) -> None:
    with damaged(_shard_file(shop, FRESH), "one bit turned"):
        restart_searcher(shop)
        status, reason = http(shop.stack.addresses["searcher"].http, "/readyz")
        assert status == 200, reason
    eventually(lambda: shop.calls.client.search(vector=ANY_VECTOR).coverage.complete)


def test_a_damaged_manifest_is_passed_over(shop: Shop) -> None:
    newest = sorted(_partition(shop).glob("manifests/*.json"))[-1]
    with damaged(newest, "one bit turned"):
        restart_searcher(shop)
        answer = shop.calls.client.search(vector=ANY_VECTOR, k=1000)
        assert answer.coverage.complete
        searcher = shop.stack.addresses["searcher"].http
        assert metric(searcher, "vitrine_searcher_refused_manifests_total", partition=str(DAMAGED)) == 1

        # A writer goes beyond it, and its next manifest is served.
        product = next(product for product in drawn()[60:] if partition_of(product.product_id, PARTITIONS) == DAMAGED)
        indexed(shop.calls.client, published(shop.calls.client, [product.upsert()]))
        assert shop.calls.client.product(product.product_id)


@contextmanager
def damaged(path: Path, damage: str) -> Iterator[None]:
    """The file with something wrong with it, and as it was before at the end."""
    kept = path.with_suffix(".kept")
    shutil.copy(path, kept)
    content = path.read_bytes()
    middle = len(content) // 2
    spoilt = content[:middle] if damage == "cut short" else _turned(content, middle)
    # Written anew: a searcher that has the old file mapped keeps it.
    path.unlink()
    path.write_bytes(spoilt)
    try:
        yield
    finally:
        kept.replace(path)


def restart_searcher(shop: Shop) -> None:
    """kill -9 and start; answers come again, from however many partitions."""
    shop.stack.kill("searcher")
    shop.stack.watch()
    eventually(lambda: shop.calls.search.Search(gateway_pb2.SearchRequest(vector=to_wire(ANY_VECTOR)), timeout=5))


def _turned(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def _partition(shop: Shop) -> Path:
    return Path(shop.stack.settings.store_url) / "default" / f"p{DAMAGED:05d}"


def _shard_file(shop: Shop, name: str) -> Path:
    """That file of the shard that is live."""
    live = {shard.shard_id for shard in shop.calls.client.status().partitions[DAMAGED].shards}
    [path] = [path for path in _partition(shop).glob(f"shards/*/{name}") if path.parent.name in live]
    return path


def _ids(shop: Shop, partition: int) -> list[str]:
    ids = [product.product_id for product in shop.products]
    return sorted(product_id for product_id in ids if partition_of(product_id, PARTITIONS) == partition)
