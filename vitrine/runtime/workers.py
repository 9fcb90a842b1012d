"""One server as several processes: each answers gRPC on a port of its own, one parent answers HTTP for all of them.

Worker i listens for gRPC on `port` + i, and for HTTP on `http_port` + 1 + i; the parent has `http_port`: /metrics is
summed over the workers, /readyz says yes when all of them do. Workers are spawned: grpc does not survive a fork.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from importlib import import_module
from multiprocessing.context import SpawnProcess
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.exposition import generate_latest

from vitrine.runtime import logs
from vitrine.runtime.errors import ConfigError
from vitrine.runtime.http import HttpEndpoints
from vitrine.runtime.server import EXIT_CONFIG, EXIT_FAILED
from vitrine.runtime.settings import GrpcSettings
from vitrine.runtime.summed import GaugeRule, SummedMetrics

# A worker that keeps dying is a fault to be read about, not one to hide by starting it for ever.
MAX_RESTARTS: Final = 5
FORGIVEN_AFTER_S: Final = 120.0

_WATCH_INTERVAL_S: Final = 0.2
_ASK_TIMEOUT_S: Final = 2.0
# Beyond the workers' own time to drain.
_STOP_MARGIN_S: Final = 3.0
_HIGHEST_PORT: Final = 65_535
# <sys/prctl.h>: the signal that a process gets when the one that started it ends.
_PR_SET_PDEATHSIG: Final = 1


def run(
    name: str,
    settings: GrpcSettings,
    count: int,
    module: str,
    gauges: Mapping[str, GaugeRule],
) -> int:
    """Runs `count` workers until SIGTERM or SIGINT. Returns the process's exit code. Raises ConfigError.

    `module`: its function `serve` is called in each worker, with the worker's own settings, and returns its exit code.
    `gauges`: how those that are not summed up by their highest value are.
    """
    ports = [_ports_of(settings, number) for number in range(count)]
    _require_free(settings, ports)
    logs.configure(name, settings.log_level)
    stop = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stop.set())
    workers = Workers(name, [settings.model_copy(update=own) for own in ports], module, gauges)
    endpoints = HttpEndpoints(settings.host, settings.http_port, workers.not_ready, workers.metrics)
    try:
        workers.start()
        endpoints.start()
        code = None
        while code is None and not stop.wait(_WATCH_INTERVAL_S) and not _orphaned(settings.parent_pid):
            code = workers.watch()
    finally:
        endpoints.draining = True
        workers.stop(settings.leave_s + settings.drain_s + _STOP_MARGIN_S)
        endpoints.stop()
    logs.logger().info("stopped")
    return code or 0


@dataclass
class _Worker:
    """One process. `in_row`: how often it has died without having run for a while; `started`: how often it was."""

    settings: GrpcSettings
    process: SpawnProcess | None = None
    started: int = 0
    in_row: int = 0
    started_s: float = 0.0


class Workers:
    """The processes of one server. Started and watched from one thread; asked from any."""

    def __init__(
        self, name: str, settings: Sequence[GrpcSettings], module: str, gauges: Mapping[str, GaugeRule]
    ) -> None:
        self._module = module
        self._workers = [_Worker(own) for own in settings]
        self._summed = SummedMetrics(gauges)
        self._own = CollectorRegistry()
        Gauge(f"vitrine_{name}_workers", "Worker processes wanted", registry=self._own).set(len(settings))
        self._ready = Gauge(f"vitrine_{name}_workers_up", "Worker processes that answer", registry=self._own)
        self._restarts = Counter(
            f"vitrine_{name}_worker_restarts", "Worker processes that ended and were started again", registry=self._own
        )
        self._counting = threading.Lock()

    def start(self) -> None:
        for worker in self._workers:
            self._spawn(worker)

    def watch(self) -> int | None:
        """Starts again what has ended. An exit code where that is of no use any more."""
        for number, worker in enumerate(self._workers):
            code = worker.process.exitcode if worker.process else None
            if code is None:
                continue
            if time.monotonic() - worker.started_s > FORGIVEN_AFTER_S:
                worker.in_row = 0
            if code == EXIT_CONFIG and worker.started == 1:
                return EXIT_CONFIG  # it has said why, and would say so again
            if worker.in_row >= MAX_RESTARTS:
                logs.logger().error("worker keeps ending", worker=number, exit_code=code)
                return EXIT_FAILED
            worker.in_row += 1
            self._restarts.inc()
            logs.logger().error("worker ended and is started again", worker=number, exit_code=code)
            self._spawn(worker)
        return None

    def stop(self, patience_s: float) -> None:
        """Drains all at once; what still runs after `patience_s` is killed."""
        running = [worker.process for worker in self._workers if worker.process]
        for process in running:
            process.terminate()
        deadline_s = time.monotonic() + patience_s
        for process in running:
            process.join(max(0.1, deadline_s - time.monotonic()))
            if process.exitcode is None:
                process.kill()
                process.join()

    def not_ready(self) -> str | None:
        """None when every worker can answer."""
        said = [(number, _ask(worker.settings, "/readyz")) for number, worker in enumerate(self._workers)]
        reasons = [
            f"worker {number}: {'does not answer' if answer is None else answer[1].decode().strip()}"
            for number, answer in said
            if answer is None or answer[0] != 200
        ]
        return "; ".join(reasons) or None

    def metrics(self) -> bytes:
        """What all workers report together, and how many they are."""
        with self._counting:
            # Read before asking: a worker started meanwhile is taken for a new one at the next time.
            births = [worker.started for worker in self._workers]
            answers = [_ask(worker.settings, "/metrics") for worker in self._workers]
            for number, (birth, answer) in enumerate(zip(births, answers, strict=True)):
                self._summed.hear(number, birth, answer[1].decode() if answer else None)
            self._ready.set(sum(answer is not None for answer in answers))
            return self._summed.text() + generate_latest(self._own)

    def pids(self) -> list[int | None]:
        return [worker.process.pid if worker.process else None for worker in self._workers]

    def _spawn(self, worker: _Worker) -> None:
        worker.started_s = time.monotonic()
        worker.process = multiprocessing.get_context("spawn").Process(
            target=_work, args=(self._module, worker.settings), name=f"worker-{worker.settings.port}"
        )
        worker.process.start()
        worker.started += 1


def _work(module: str, settings: GrpcSettings) -> None:
    """The whole life of a worker process."""
    _end_with_parent()
    # By name, since a package's __main__ is nothing that a spawned process could be sent a function of.
    sys.exit(import_module(module).serve(settings))


def _end_with_parent() -> None:
    """A parent that is killed takes its workers along, so that whoever starts it again finds their ports free.

    Elsewhere than on Linux they notice within a second by `parent_pid`, and drain.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _ports_of(settings: GrpcSettings, number: int) -> dict[str, int]:
    """What the settings of worker `number` have of their own."""
    own = {"port": settings.port + number, "http_port": settings.http_port + 1 + number, "parent_pid": os.getpid()}
    for field in ("port", "http_port"):
        if own[field] > _HIGHEST_PORT:
            raise ConfigError(field, f"{own[field]} would be worker {number}'s, and there is no such port")
    return own


def _require_free(settings: GrpcSettings, ports: Sequence[Mapping[str, int]]) -> None:
    """Raises ConfigError: a port that is taken, or wanted twice."""
    wanted = [(field, own[field]) for field in ("port", "http_port") for own in ports]
    seen = {settings.http_port}
    for field, port in wanted:
        if port in seen:
            raise ConfigError(field, f"{port} is wanted twice: {len(ports)} workers take {_ranges(settings, ports)}")
        seen.add(port)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.host, port))
            except OSError as error:
                raise ConfigError(field, f"{settings.host}:{port} cannot be listened on; is it taken?") from error


def _ranges(settings: GrpcSettings, ports: Sequence[Mapping[str, int]]) -> str:
    return f"{settings.port} to {ports[-1]['port']} and {settings.http_port} to {ports[-1]['http_port']}"


def _ask(settings: GrpcSettings, path: str) -> tuple[int, bytes] | None:
    """Status and body of a GET from a worker; None if it does not answer."""
    host = "127.0.0.1" if settings.host == "0.0.0.0" else settings.host  # noqa: S104  (compared, not listened on)
    connection = HTTPConnection(host, settings.http_port, timeout=_ASK_TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def _orphaned(parent_pid: int) -> bool:
    return bool(parent_pid) and os.getppid() != parent_pid
