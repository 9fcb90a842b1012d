"""vitrine bench search: gateway searches by vector, their recall, and the searcher's memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

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
MEMORY_CALLS: Final = 500
_SEED: Final = 3


def bench_search(
    data: Annotated[Path | None, typer.Option(help="catalogue: folder, .csv or .parquet; default: drawn")] = None,
    model: Annotated[Path, typer.Option(help="model folder")] = commands.DEFAULT_MODEL,
    partitions: Annotated[int, typer.Option(min=1, help=commands.PARTITIONS_HELP)] = 1,
    calls: Annotated[int, typer.Option(min=100, help="calls of each load")] = 8_000,
) -> None:
    """Searches through the gateway: one at a time, then 16 in flight; recall against exact search."""
    with bench_stack(model, partitions) as (stack, folder):
        catalogue = catalogue_of(data, folder)
        product_ids = [item.product_id for item in catalogue.items()]
        small = filled(stack, folder, catalogue.first(catalogue.products // 8))
        small_bytes = _private_after_restart(stack, product_ids)
        report = filled(stack, folder, catalogue)
        full_bytes = _private_after_restart(stack, product_ids)
        requests, queries = _requests(stack.gateway, product_ids)
        console.err.print("Searching …")
        one = run_load(stack.gateway, SEARCH_METHOD, requests, 1, calls // 2)
        many = run_load(stack.gateway, SEARCH_METHOD, requests, IN_FLIGHT, calls)
        recall = _recall(stack.gateway, queries)
    commands.print_json(
        {
            "bench": "search",
            "images": report.images,
            "partitions": partitions,
            "p50_ms_1": one.percentile_ms(50),
            "p99_ms_1": one.percentile_ms(99),
            "qps_1": round(one.per_s, 1),
            "qps_16": round(many.per_s, 1),
            "p50_ms_16": many.percentile_ms(50),
            "p99_ms_16": many.percentile_ms(99),
            "recall_at_10": recall,
            "searcher_private_bytes_per_row": _per_row(small_bytes, full_bytes, report.images - small.images),
            "source": data.name if data else "drawn sample",
            "machine": machine(),
        }
    )


def _private_after_restart(stack: Stack, product_ids: Sequence[str]) -> int | None:
    """Private memory of a searcher that has opened the index as it is and answered a few hundred searches.

    Compared between two sizes: what the program itself needs is in both.
    """
    stack.kill("searcher")
    stack.watch()
    stack.wait_ready("searcher")
    requests, _ = _requests(stack.gateway, product_ids)
    run_load(stack.gateway, SEARCH_METHOD, requests, IN_FLIGHT, MEMORY_CALLS)
    return private_bytes(stack.pid("searcher"))


def _per_row(small_bytes: int | None, full_bytes: int | None, rows: int) -> float | None:
    if small_bytes is None or full_bytes is None:
        return None
    return round((full_bytes - small_bytes) / rows, 1)


def _requests(gateway: str, product_ids: Sequence[str]) -> tuple[list[bytes], Vectors]:
    """Encoded requests, and the query vectors in them."""
    queries = _query_vectors(gateway, product_ids)
    requests = [
        gateway_pb2.SearchRequest(vector=to_wire(vector), page_size=K).SerializeToString() for vector in queries
    ]
    return requests, queries


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
