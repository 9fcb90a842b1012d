"""python -m services.searcher: the searcher's wiring."""

from __future__ import annotations

import asyncio

from services.searcher import metrics
from services.searcher.probe import RecallProbe
from services.searcher.scan import Scans
from services.searcher.servicer import SearcherServicer
from services.searcher.settings import SearcherSettings
from services.searcher.shard_set import ShardSet
from services.searcher.threads import SearchThreads
from vitrine.index.store import Store
from vitrine.runtime import server, settings, workers
from vitrine.runtime.metrics import StoreRequests
from vitrine.shards.masks import Masks
from vitrine.v1 import searcher_pb2_grpc


async def build(chosen: SearcherSettings) -> server.Service:
    store = Store.open(chosen.store)
    StoreRequests("searcher", store.requests)
    shard_set, masks = ShardSet(store, chosen), Masks(chosen.mask_cache_bytes)
    await asyncio.to_thread(shard_set.require_start)
    metrics.MASK_CACHE_BYTES.set_function(lambda: masks.size_bytes)
    threads = SearchThreads(chosen.search_threads)
    probe = RecallProbe(shard_set, threads, masks, chosen.probe_recall_interval_s)
    servicer = SearcherServicer(shard_set, threads, masks, Scans(chosen.scans), probe)
    return server.Service(
        name="searcher",
        register=lambda grpc_server: searcher_pb2_grpc.add_SearcherServicer_to_server(servicer, grpc_server),
        full_names=["vitrine.v1.Searcher"],
        not_ready=shard_set.not_ready,
        background=[shard_set.follow, probe.follow],
    )


def serve(chosen: SearcherSettings) -> int:
    return server.run(chosen, lambda: build(chosen), "searcher")


def start() -> int:
    chosen = settings.parse(SearcherSettings, "vitrine-searcher")
    if chosen.workers == 1:
        return serve(chosen)
    return workers.run("searcher", chosen, chosen.workers, "services.searcher.__main__", metrics.ACROSS_WORKERS)


if __name__ == "__main__":
    server.main("searcher", start)
