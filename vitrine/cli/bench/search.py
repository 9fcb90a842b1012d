"""vitrine bench search: gateway searches by vector, their recall, and the searcher's memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import grpc
import numpy as np
import typer

from vitrine.cli import commands, console
from vitrine.cli.bench.load import SEARCH_METHOD, run_load
from vitrine.cli.bench.machine import machine, private_bytes
from vitrine.cli.bench.stack import bench_stack, catalogue_of, filled
from vitrine.cli.demo import exact_recall
from vitrine.cli.stack import Stack
from vitrine.client import VisualSearchClient
from vitrine.runtime.channels import CHANNEL_OPTIONS
from vitrine.runtime.errors import NotFound
from vitrine.shards.calibrate import MOVED_COSINE, moved
from vitrine.v1 import gateway_pb2, gateway_pb2_grpc
from vitrine.vectors import Vectors, from_wire, to_wire

K: Final = 10
QUERIES: Final = 1_000
RECALL_QUERIES: Final = 300
IN_FLIGHT: Final = 16
_SEED: Final = 3


def bench_search(
    data: Annotated[Path | None, typer.Option(help="catalogue: folder, .csv or .parquet; default: drawn")] = None,
    model: Annotated[Path, typer.Option(help="model folder")] = commands.DEFAULT_MODEL,
    partitions: Annotated[int, typer.Option(min=1)] = 2,
    calls: Annotated[int, typer.Option(min=100, help="calls of each load")] = 8_000,
) -> None:
    """Searches through the gateway: one at a time, then 16 in flight; recall against exact search."""
    with bench_stack(model, partitions) as (stack, folder):
        empty = private_bytes(stack.pid("searcher"))
        report = filled(stack, folder, data)
        _settle(stack)
        path, catalogue = catalogue_of(data, folder)
        product_ids = [item.product_id for item in catalogue.items()]
        queries = _query_vectors(stack.gateway, product_ids)
        requests = [
            gateway_pb2.SearchRequest(vector=to_wire(vector), page_size=K).SerializeToString() for vector in queries
        ]
        console.err.print("Searching …")
        one = run_load(stack.gateway, SEARCH_METHOD, requests, 1, calls // 2)
        many = run_load(stack.gateway, SEARCH_METHOD, requests, IN_FLIGHT, calls)
        full = private_bytes(stack.pid("searcher"))
        result: dict[str, Any] = {
            "bench": "search",
            "images": report.images,
            "partitions": partitions,
            "p50_ms_1": one.percentile_ms(50),
            "p99_ms_1": one.percentile_ms(99),
            "qps_1": round(one.per_s, 1),
            "qps_16": round(many.per_s, 1),
            "p50_ms_16": many.percentile_ms(50),
            "p99_ms_16": many.percentile_ms(99),
            "recall_at_10": _recall(stack.gateway, queries),
            "searcher_private_bytes_per_row": None
            if not (empty and full)
            else round((full - empty) / report.images, 1),
            "source": path.name,
            "machine": machine(),
        }
    commands.print_json(result)


def _settle(stack: Stack) -> None:
    """Until the searcher serves what the roll has published."""
    with VisualSearchClient(stack.gateway) as client:
        for _ in range(100):
            kinds = {shard.kind for partition in client.status().partitions for shard in partition.shards}
            if kinds <= {"rolled"}:
                return
            time.sleep(0.2)


def _query_vectors(gateway: str, product_ids: Sequence[str]) -> Vectors:
    """Vectors of products spread over the catalogue, half of them moved to cosine 0.8. float32, shape (n, dim)."""
    rng = np.random.default_rng(_SEED)
    chosen = rng.choice(np.array(product_ids, dtype=object), size=min(QUERIES, len(product_ids)), replace=False)
    found = []
    with grpc.insecure_channel(gateway, options=CHANNEL_OPTIONS) as channel:
        stub = gateway_pb2_grpc.VisualSearchStub(channel)
        dim = stub.GetIndexStatus(gateway_pb2.GetIndexStatusRequest()).dim
        for product_id in chosen.tolist():
            try:
                response = stub.GetProduct(gateway_pb2.GetProductRequest(product_id=product_id, with_vectors=True))
            except grpc.RpcError as error:
                if error.code().name == "NOT_FOUND":
                    continue
                raise
            found.append(from_wire(response.product.images[0].vector, dim))
    if not found:
        raise NotFound("product_id: none of the catalogue's products is in the index")
    vectors = np.stack(found)
    vectors[::2] = moved(vectors[::2], MOVED_COSINE, rng)
    return vectors


def _recall(gateway: str, queries: Vectors) -> float:
    recalls = []
    with VisualSearchClient(gateway) as client:
        for vector in queries[:RECALL_QUERIES]:
            found = [hit.score for hit in client.search(vector=vector, k=K).hits]
            exact = [hit.score for hit in client.search(vector=vector, k=K, exact=True).hits]
            recalls.append(exact_recall(found, exact))
    return round(float(np.mean(recalls)), 4)
