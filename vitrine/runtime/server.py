"""One lifecycle for every server: listen, become ready, serve, drain, stop.

Stop order: health says NOT_SERVING, callers who watch it go elsewhere (`leave_s`), calls under way finish (at most
`drain_s`), background work ends.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from vitrine.runtime import logs
from vitrine.runtime.access import Access
from vitrine.runtime.channels import MESSAGE_OPTIONS
from vitrine.runtime.connections import Connections
from vitrine.runtime.context import Context
from vitrine.runtime.cores import one_blas_thread
from vitrine.runtime.errors import ConfigError, VitrineError
from vitrine.runtime.http import HttpEndpoints
from vitrine.runtime.interceptors import Edge
from vitrine.runtime.memory import return_large_blocks
from vitrine.runtime.metrics import CallMetrics, ReloadMetrics, expose_certificates
from vitrine.runtime.settings import GrpcSettings, ServerSettings
from vitrine.runtime.tls import certificates_in, pair_of, server_credentials

EXIT_CONFIG: Final = 2
EXIT_FAILED: Final = 1

_READY_INTERVAL_S: Final = 0.25
_PARENT_INTERVAL_S: Final = 1.0


@dataclass(frozen=True)
class Service:
    """What a service hands to the lifecycle.

    register    adds its servicers to the server
    full_names  gRPC services it answers, for health and reflection
    not_ready   why it cannot answer yet, or None when it can
    background  coroutines that run as long as the server; one that fails stops the server
    stopping    called once calls are drained, to cut short background work that cannot be cancelled
    access      who may make which of its calls; None = everybody each
    interceptors  around its calls, within the one that turns errors into statuses
    """

    name: str
    register: Callable[[grpc.aio.Server], None]
    full_names: Sequence[str]
    not_ready: Callable[[], str | None]
    background: Sequence[Callable[[], Awaitable[None]]] = ()
    stopping: Callable[[], None] | None = None
    options: Sequence[tuple[str, Any]] = field(default=())
    access: Access | None = None
    interceptors: Sequence[grpc.aio.ServerInterceptor] = ()


def run(settings: GrpcSettings, build: Callable[[], Awaitable[Service]], name: str) -> int:
    """Runs a server until SIGTERM or SIGINT. Returns the process's exit code."""
    return until_stopped(settings, _serve(settings, build), name)


def until_stopped(settings: ServerSettings, serving: Coroutine[Any, Any, int], name: str) -> int:
    """Runs `serving`, a server's whole life, in a process set up for it. Returns the process's exit code."""
    logs.configure(name, settings.log_level)
    one_blas_thread()
    return_large_blocks()
    try:
        return _runner(serving)
    except VitrineError as error:
        print(f"{name}: {error}", file=sys.stderr)  # noqa: T201  (the one line an operator sees)
        return EXIT_CONFIG


def main(name: str, start: Callable[[], int]) -> None:
    """Runs `start` and exits; settings that are wrong become one line and exit code 2."""
    try:
        sys.exit(start())
    except ConfigError as error:
        print(f"{name}: {error}", file=sys.stderr)  # noqa: T201  (the one line an operator sees)
        sys.exit(EXIT_CONFIG)


def _runner(coroutine: Any) -> int:
    try:
        import uvloop
    except ImportError:
        return int(asyncio.run(coroutine))
    return int(uvloop.run(coroutine))


async def _serve(settings: GrpcSettings, build: Callable[[], Awaitable[Service]]) -> int:
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    if settings.tls:
        # Before anything is waited for.
        pair_of(certificates_in(settings.tls))
    service = await _built(build, stop)
    if service is None:
        return 0
    connections = Connections(service.name, settings.max_connection_age_s) if settings.tls else None
    health = _Health(connections)
    server = _listening(settings, service, health, connections)
    endpoints = HttpEndpoints(settings.host, settings.http_port, service.not_ready)
    await server.start()
    endpoints.start()
    logs.logger().info("listening", address=f"{settings.host}:{settings.port}", http_port=settings.http_port)
    tasks = [asyncio.ensure_future(work()) for work in service.background]
    watch = asyncio.create_task(_report_health(service, health))
    orphan = asyncio.create_task(stop_with_parent(settings.parent_pid, stop))
    try:
        failed = await _until_stopped(stop, tasks)
    finally:
        watch.cancel()
        orphan.cancel()
        endpoints.draining = True
        await health.enter_graceful_shutdown()
        # What arrives once gRPC stops is cancelled, and a caller cannot know whether it was begun.
        await asyncio.sleep(settings.leave_s)
        await server.stop(settings.drain_s)
        for task in tasks:
            task.cancel()
        if service.stopping:
            service.stopping()
        await asyncio.gather(*tasks, return_exceptions=True)
        endpoints.stop()
    logs.logger().info("stopped")
    return EXIT_FAILED if failed else 0


async def _built(build: Callable[[], Awaitable[Service]], stop: asyncio.Event) -> Service | None:
    """The service, or None if a signal came while it was being built (it may be waiting for another to answer)."""
    building, stopped = asyncio.ensure_future(build()), asyncio.ensure_future(stop.wait())
    waited: list[asyncio.Future[Any]] = [building, stopped]
    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if building.done():
        return building.result()
    building.cancel()
    await asyncio.gather(building, return_exceptions=True)
    return None


class _Health(health_aio.HealthServicer):
    """For everybody, with or without a token."""

    def __init__(self, connections: Connections | None) -> None:
        super().__init__()
        self._connections = connections

    async def Check(self, request: Any, context: Context) -> Any:  # noqa: N802  (the contract's name)
        if self._connections:
            self._connections.called(context)
        return await super().Check(request, context)

    async def Watch(self, request: Any, context: Context) -> None:  # noqa: N802  (the same)
        if self._connections:
            self._connections.called(context)
        await super().Watch(request, context)


def _listening(
    settings: GrpcSettings, service: Service, health: Any, connections: Connections | None
) -> grpc.aio.Server:
    edge = Edge(CallMetrics(service.name), connections.called if connections else None)
    access = [service.access] if service.access else []
    # Calls of a connection that has come to its age go on: none is cut off.
    age_ms = int(settings.max_connection_age_s * 1000)
    own = (("grpc.so_reuseport", 0), ("grpc.max_connection_age_ms", age_ms))
    server = grpc.aio.server(
        interceptors=[edge, *access, *service.interceptors], options=[*MESSAGE_OPTIONS, *own, *service.options]
    )
    service.register(server)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    if service.access:
        ReloadMetrics(service.name, "tokens", service.access.tokens)
        if not settings.tls:
            logs.logger().warning("bearer tokens come in unencrypted, unless something in front ends TLS: set tls")
    else:
        # What there is to call is nothing for callers who are not let in.
        names = [*service.full_names, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name]
        reflection.enable_server_reflection([*names, reflection.SERVICE_NAME], server)
    _bind(server, settings, service.name, connections)
    return server


def _bind(server: grpc.aio.Server, settings: GrpcSettings, name: str, connections: Connections | None) -> None:
    """Raises ConfigError (`port`, `tls`)."""
    address = f"{settings.host}:{settings.port}"
    try:
        if settings.tls and connections:
            certificates = certificates_in(settings.tls)
            ask_clients = settings.tls_client_certificates
            credentials = server_credentials(certificates, ask_clients, connections.began)
            expose_certificates(name, certificates)
            bound = server.add_secure_port(address, credentials)
        else:
            bound = server.add_insecure_port(address)
    except RuntimeError as error:
        raise ConfigError("port", f"{address} cannot be listened on; is it taken?") from error
    if bound == 0:
        raise ConfigError("port", f"{address} cannot be listened on; is it taken?")


async def stop_with_parent(parent_pid: int, stop: asyncio.Event) -> None:
    """A server started by `vitrine up` does not outlive it, however that ended."""
    while parent_pid and os.getppid() == parent_pid:  # noqa: ASYNC110  (the kernel sends no event for it)
        await asyncio.sleep(_PARENT_INTERVAL_S)
    if parent_pid:
        stop.set()


async def _report_health(service: Service, health: Any) -> None:
    """Health says SERVING exactly as long as the service says it can answer."""
    said: str | None = "starting"
    await _set_health(service, health, serving=False)
    while True:
        reason = service.not_ready()
        if (reason is None) != (said is None):
            await _set_health(service, health, serving=reason is None)
            logs.logger().info("ready" if reason is None else "not ready", reason=reason)
        said = reason
        await asyncio.sleep(_READY_INTERVAL_S)


async def _set_health(service: Service, health: Any, serving: bool) -> None:
    status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
    for name in ("", *service.full_names):
        await health.set(name, status)


async def _until_stopped(stop: asyncio.Event, tasks: Sequence[asyncio.Future[None]]) -> bool:
    """Waits for a signal or for background work to end. True if background work failed."""
    stopped = asyncio.ensure_future(stop.wait())
    waited: list[asyncio.Future[Any]] = [stopped, *tasks]
    done, _ = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    for task in tasks:
        if task in done and not task.cancelled() and (error := task.exception()) is not None:
            logs.logger().error("background work failed", exc_info=error)
            return True
    return False
