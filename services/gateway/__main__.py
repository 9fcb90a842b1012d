"""python -m services.gateway: the gateway's wiring."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import grpc.aio

from services.gateway.admission import Admission
from services.gateway.callers import Callers
from services.gateway.catalogue import CatalogueServicer
from services.gateway.coalesce import Limits
from services.gateway.directory import Directory
from services.gateway.fanout import Fanout
from services.gateway.feedback import ShopperFeedback
from services.gateway.feedback_writer import FeedbackWriter
from services.gateway.gate import Gate
from services.gateway.resolve import Resolver
from services.gateway.roles import ROLES
from services.gateway.servicer import VisualSearchServicer
from services.gateway.settings import GatewaySettings
from vitrine.affinity import Learned
from vitrine.index.pictures import Pictures
from vitrine.index.store import Store
from vitrine.runtime import server, settings
from vitrine.runtime.access import Access
from vitrine.runtime.channels import Credentials, internal_channel
from vitrine.stream.opening import open_log
from vitrine.v1 import catalogue_pb2_grpc, gateway_pb2_grpc


async def build(chosen: GatewaySettings) -> server.Service:
    access = Access("gateway", chosen.tokens, ROLES) if chosen.tokens else None
    store = Store.open(chosen.store)
    await asyncio.to_thread(store.require_reachable)
    directory = Directory(store, chosen.index)
    pictures = Pictures(store, chosen.index)
    limits = Limits(chosen.coalesced_queries, chosen.coalesced_calls)
    credentials = Credentials.of(chosen.tls)
    fanout = Fanout(chosen.topology, chosen.status_interval_s, limits, chosen.hedge_share, credentials)
    embedder = internal_channel(chosen.embedder, credentials)
    resolver = Resolver(embedder, fanout, chosen.embedding_cache_bytes, chosen.embedding_cache_s)
    admission = Admission(chosen.in_flight_cost, fanout.give_up_silent)
    learned = Learned.open(chosen.affinity) if chosen.affinity else None
    log = await asyncio.to_thread(open_log, chosen)
    writer = FeedbackWriter(log)
    feedback = ShopperFeedback(writer)
    search = VisualSearchServicer(
        directory, resolver, fanout, pictures, log.log_id, chosen.default_timeout_s, chosen.scans, feedback, learned
    )
    catalogue = CatalogueServicer(directory, log, pictures, ThreadPoolExecutor(16, thread_name_prefix="pictures"))

    def register(grpc_server: grpc.aio.Server) -> None:
        gateway_pb2_grpc.add_VisualSearchServicer_to_server(search, grpc_server)
        catalogue_pb2_grpc.add_CatalogueServicer_to_server(catalogue, grpc_server)

    def not_ready() -> str | None:
        if not directory.known:
            return "the index does not exist yet"
        return None if fanout.serving() else "no searcher answers for any partition"

    return server.Service(
        name="gateway",
        register=register,
        full_names=["vitrine.v1.VisualSearch", "vitrine.v1.Catalogue"],
        not_ready=not_ready,
        background=[fanout.watch, directory.look, writer.write],
        access=access,
        interceptors=[Gate(Callers(chosen.caller_limits), admission)],
    )


def start() -> int:
    chosen = settings.parse(GatewaySettings, "vitrine-gateway")
    return server.run(chosen, lambda: build(chosen), "gateway")


if __name__ == "__main__":
    server.main("gateway", start)
