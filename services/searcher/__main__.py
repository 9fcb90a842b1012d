"""python -m services.searcher: the searcher's wiring."""

from __future__ import annotations

from services.searcher.servicer import SearcherServicer
from services.searcher.settings import SearcherSettings
from services.searcher.shard_set import ShardSet
from services.searcher.workers import Workers
from vitrine.index.store import Store
from vitrine.runtime import server, settings
from vitrine.runtime.cores import usable_cores
from vitrine.runtime.metrics import StoreRequests
from vitrine.v1 import searcher_pb2_grpc


async def build(chosen: SearcherSettings) -> server.Service:
    store = Store.open(chosen.store)
    StoreRequests("searcher", store.requests)
    shard_set = ShardSet(store, chosen)
    servicer = SearcherServicer(shard_set, Workers(chosen.threads or max(1, usable_cores() // 2)))
    return server.Service(
        name="searcher",
        register=lambda grpc_server: searcher_pb2_grpc.add_SearcherServicer_to_server(servicer, grpc_server),
        full_names=["vitrine.v1.Searcher"],
        not_ready=shard_set.not_ready,
        background=[shard_set.follow],
    )


def start() -> int:
    chosen = settings.parse(SearcherSettings, "vitrine-searcher")
    return server.run(chosen, lambda: build(chosen), "searcher")


if __name__ == "__main__":
    server.main("searcher", start)
