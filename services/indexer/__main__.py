"""python -m services.indexer: the indexer's wiring."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

from services.indexer.compact import abort_builds
from services.indexer.embed import FETCH_THREADS, Embedding
from services.indexer.embedder import EmbedderClient
from services.indexer.fetch import UriFetcher
from services.indexer.partition import Claim
from services.indexer.pipeline import Pipeline
from services.indexer.publish import Publisher
from services.indexer.roles import ROLES
from services.indexer.servicer import IndexerServicer
from services.indexer.settings import IndexerSettings
from services.indexer.upkeep import Upkeep
from vitrine.index.cache import ShardCache
from vitrine.index.manifest import ManifestLog
from vitrine.index.pictures import Pictures
from vitrine.index.settings import IndexSettings, create_or_check
from vitrine.index.shelf import Shelf
from vitrine.index.store import Store
from vitrine.runtime import failpoints, server, settings
from vitrine.runtime.access import Access
from vitrine.runtime.channels import Credentials, internal_channel
from vitrine.runtime.metrics import StoreRequests
from vitrine.stream.opening import Membership, open_log
from vitrine.v1 import indexer_pb2_grpc


async def build(chosen: IndexerSettings) -> server.Service:
    access = Access("indexer", chosen.tokens, ROLES) if chosen.tokens else None
    store = Store.open(chosen.store)
    StoreRequests("indexer", store.requests)
    await asyncio.to_thread(store.require_reachable)
    member = Membership(chosen.group, chosen.kafka_group_instance_id, chosen.kafka_session_timeout_s)
    log = await asyncio.to_thread(open_log, chosen, member)
    fetcher = UriFetcher(chosen.uri_allow, chosen.uri_timeout_s, allow_private=chosen.uri_allow_private)
    channel = internal_channel(chosen.embedder, Credentials.of(chosen.tls))
    embedder = EmbedderClient(channel, chosen.embed_calls, chosen.embed_call_images)
    await embedder.connect()
    wanted = IndexSettings(
        chosen.index,
        embedder.dim,
        embedder.model_id,
        chosen.partitions,
        metric=chosen.metric,
        recall_target=chosen.recall_target,
        retention_s=chosen.retention_s,
    )
    index = await asyncio.to_thread(create_or_check, store, wanted)
    cache = ShardCache(chosen.cache / index.name, chosen.cache_bytes)

    def claims(number: int) -> Claim:
        manifests = ManifestLog(store, index.name, number)
        shelf = Shelf(store, index.name, number, cache)
        return lambda begin_at, wanted: Publisher.claim(index, manifests, shelf, log.log_id, begin_at, wanted)

    threads = ThreadPoolExecutor(FETCH_THREADS, thread_name_prefix="pictures")
    pipeline = Pipeline(log, index, claims, Embedding(Pictures(store, index.name), fetcher, embedder, threads), chosen)
    upkeep = Upkeep(lambda: list(pipeline.partitions.values()), chosen)
    servicer = IndexerServicer(pipeline, upkeep, log, index.name)
    return server.Service(
        name="indexer",
        register=lambda grpc_server: indexer_pb2_grpc.add_IndexerServicer_to_server(servicer, grpc_server),
        full_names=["vitrine.v1.Indexer"],
        not_ready=pipeline.not_ready,
        background=[pipeline.read, pipeline.survey, upkeep.roll_when_due, upkeep.collect_now_and_then],
        stopping=abort_builds,
        access=access,
    )


def start() -> int:
    failpoints.arm(os.environ.get(failpoints.VARIABLE, ""))
    chosen = settings.parse(IndexerSettings, "vitrine-indexer")
    return server.run(chosen, lambda: build(chosen), "indexer")


if __name__ == "__main__":
    server.main("indexer", start)
