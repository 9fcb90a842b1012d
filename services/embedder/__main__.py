"""python -m services.embedder: the embedder's wiring."""

from __future__ import annotations

import asyncio

from services.embedder import metrics
from services.embedder.batcher import Batcher, BatchLimits
from services.embedder.model import Model
from services.embedder.servicer import EmbedderServicer
from services.embedder.settings import EmbedderSettings
from vitrine.runtime import server, settings
from vitrine.runtime.cores import usable_cores
from vitrine.v1 import embedder_pb2_grpc


async def build(chosen: EmbedderSettings) -> server.Service:
    model = await asyncio.to_thread(Model.load, chosen.model, chosen.providers, chosen.variant, chosen.model_threads)
    metrics.PROVIDER.labels(model.provider, model.variant).set(1)
    metrics.ON_WANTED_PROVIDER.set(model.provider == chosen.providers[0])
    limits = BatchLimits(
        chosen.max_batch_images,
        chosen.interactive_queue_images,
        chosen.bulk_queue_images,
        chosen.bulk_batch_ms,
        chosen.shared_batch_ms,
    )
    servicer = EmbedderServicer(model, Batcher(model, chosen.workers or usable_cores(), limits))
    return server.Service(
        name="embedder",
        register=lambda grpc_server: embedder_pb2_grpc.add_EmbedderServicer_to_server(servicer, grpc_server),
        full_names=["vitrine.v1.Embedder"],
        not_ready=lambda: None,  # it listens only once the model is warm
    )


def start() -> int:
    chosen = settings.parse(EmbedderSettings, "vitrine-embedder")
    return server.run(chosen, lambda: build(chosen), "embedder")


if __name__ == "__main__":
    server.main("embedder", start)
