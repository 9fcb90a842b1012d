"""Two indexers on one store and one log: the second takes the partitions, the first stops writing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.integration.shop import ANY_VECTOR, Shop, channel_to, eventually, http, indexed, published, running_service
from vitrine.v1 import indexer_pb2, indexer_pb2_grpc


def test_the_one_that_was_there_first_is_fenced(shop: Shop, tmp_path: Path) -> None:
    client, settings = shop.calls.client, shop.stack.settings
    indexed(client, published(client, [product.upsert() for product in shop.products[:10]]))
    options = ["--store", settings.store_url, "--stream", str(settings.folder / "stream.sqlite")]
    options += ["--embedder", shop.stack.addresses["embedder"].grpc, "--commit-interval-s", "0.1"]

    with running_service("indexer", options, tmp_path / "second.log") as second, channel_to(second.grpc) as channel:
        claims = [_newest_manifest(shop, partition) for partition in (0, 1)]
        assert [claim["writer_epoch"] for claim in claims] == [2, 2]

        for product in shop.products[10:20]:
            indexed(client, published(client, [product.upsert()]))
        eventually(lambda: all("another owner" in state for state in _states(shop.calls.indexer)))
        assert _states(indexer_pb2_grpc.IndexerStub(channel)) == ["running", "running"]
        status, reason = http(shop.stack.addresses["indexer"].http, "/readyz")
        assert status == 503
        assert "another owner" in reason

        more = published(client, [product.upsert() for product in shop.products[20:40]])
        indexed(client, more)
        found = client.search(vector=ANY_VECTOR, k=1000, exact=True).hits
        assert sorted(hit.product_id for hit in found) == [product.product_id for product in shop.products[:40]]
        for partition, claim in enumerate(claims):
            written = [manifest["writer_id"] for manifest in _manifests(shop, partition) if _after(manifest, claim)]
            assert set(written) == {claim["writer_id"]}


def _states(indexer: indexer_pb2_grpc.IndexerStub) -> list[str]:
    return [
        partition.state for partition in indexer.GetStatus(indexer_pb2.IndexerStatusRequest(), timeout=5).partitions
    ]


def _manifests(shop: Shop, partition: int) -> list[dict[str, Any]]:
    """Oldest first."""
    paths = Path(shop.stack.settings.store_url).glob(f"default/p{partition:05d}/manifests/*.json")
    return [json.loads(path.read_bytes()) for path in sorted(paths)]


def _newest_manifest(shop: Shop, partition: int) -> dict[str, Any]:
    return _manifests(shop, partition)[-1]


def _after(manifest: dict[str, Any], claim: dict[str, Any]) -> bool:
    return bool(manifest["version"] >= claim["version"])
