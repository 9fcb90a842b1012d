"""python -m services.indexer: the indexer's wiring."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from services.indexer.compact import abort_builds
from services.indexer.embed import Embedding
from services.indexer.embedder import EmbedderClient
from services.indexer.fetch import UriFetcher
from services.indexer.pipeline import Pipeline
from services.indexer.publish import Publisher
from services.indexer.servicer import IndexerServicer
from services.indexer.settings import IndexerSettings
from vitrine.index.manifest import ManifestLog
from vitrine.index.pictures import Pictures
from vitrine.index.settings import IndexSettings, create_or_check
from vitrine.index.shelf import Shelf
from vitrine.index.store import Store
from vitrine.runtime import server, settings
from vitrine.runtime.channels import internal_channel
from vitrine.stream.embedded import EmbeddedLog
from vitrine.v1 import indexer_pb2_grpc


async def build(chosen: IndexerSettings) -> server.Service:
    store = Store.open(chosen.store)
    log = EmbeddedLog.open(chosen.stream, chosen.partitions)
    fetcher = UriFetcher(chosen.uri_allow, chosen.uri_timeout_s, allow_private=chosen.uri_allow_private)
    embedder = EmbedderClient(internal_channel(chosen.embedder), chosen.embed_calls, chosen.embed_call_images)
    await embedder.connect()
    wanted = IndexSettings(
        chosen.index, embedder.dim, embedder.model_id, chosen.partitions, recall_target=chosen.recall_target
    )
    index = await asyncio.to_thread(create_or_check, store, wanted)

    def claimed(partition: int) -> Publisher:
        shelf = Shelf(store, index.name, partition, chosen.cache / index.name)
        return Publisher.claim(index, ManifestLog(store, index.name, partition), shelf, log.log_id)

    publishers = {number: await asyncio.to_thread(claimed, number) for number in range(index.partitions)}
    threads = ThreadPoolExecutor(16, thread_name_prefix="pictures")
    pipeline = Pipeline(log, Embedding(Pictures(store, index.name), fetcher, embedder, threads), publishers, chosen)
    servicer = IndexerServicer(pipeline, log, index.name)
    return server.Service(
        name="indexer",
        register=lambda grpc_server: indexer_pb2_grpc.add_IndexerServicer_to_server(servicer, grpc_server),
        full_names=["vitrine.v1.Indexer"],
        not_ready=pipeline.not_ready,
        background=[pipeline.read_and_embed, pipeline.commit, pipeline.roll, pipeline.collect],
        stopping=abort_builds,
    )


def start() -> int:
    chosen = settings.parse(IndexerSettings, "vitrine-indexer")
    return server.run(chosen, lambda: build(chosen), "indexer")


if __name__ == "__main__":
    server.main("indexer", start)
