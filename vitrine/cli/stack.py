"""All services as processes on one machine: started in order, watched, restarted if one dies, drained together."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import IO, Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from vitrine.runtime.channels import Credentials, blocking_channel
from vitrine.runtime.errors import ConfigError, Unavailable, VitrineError
from vitrine.runtime.ports import LOCALHOST, free_port, free_ports

ADDRESSES_FILE: Final = "addresses.json"
STREAM_FILE: Final = "stream.sqlite"
STORE_FOLDER: Final = "store"
START_TIMEOUT_S: Final = 90.0
STOP_TIMEOUT_S: Final = 25.0
# A service that keeps dying is a fault to be read about, not one to hide by restarting for ever.
MAX_RESTARTS: Final = 5
FORGIVEN_AFTER_S: Final = 120.0

_EXIT_CONFIG: Final = 2


@dataclass(frozen=True)
class StackSettings:
    """What `vitrine up` runs. `folder` holds index, log and logs; `port` is the gateway's, 0 = any that is free.

    `stream_options`: of a log other than the file in `folder`. `search_only`: no embedder and no indexer, to search by
    vector what lies in the store already. `groups`: of partitions, each with `searchers` searchers of its own.
    `searcher_workers`: processes of each searcher. `web_port`: the page's, 0 = any that is free, None = no page. `tls`:
    the folder of certificates of all of them.
    """

    folder: Path
    model: Path
    partitions: int = 2
    searchers: int = 1
    port: int = 0
    store: str = ""
    stream_options: tuple[str, ...] = ()
    indexer_options: tuple[str, ...] = ()
    embedder_options: tuple[str, ...] = ()
    gateway_options: tuple[str, ...] = ()
    embedder_only: bool = False
    search_only: bool = False
    searcher_workers: int = 1
    web_port: int | None = None
    groups: int = 1
    embedders: int = 1
    gateways: int = 1
    tls: Path | None = None

    @property
    def store_url(self) -> str:
        return self.store or str(self.folder / STORE_FOLDER)


@dataclass(frozen=True)
class Address:
    """Where one program of the stack listens. `workers`: its processes, each with a gRPC port, from `grpc`'s on.

    `page`: where people look; its program speaks no gRPC.
    """

    grpc: str
    http: str
    workers: int = 1
    page: str = ""

    @property
    def each(self) -> list[str]:
        """The gRPC addresses of all its workers; of a page, none."""
        if not self.grpc:
            return []
        host, _, port = self.grpc.rpartition(":")
        return [f"{host}:{int(port) + number}" for number in range(self.workers)]


@dataclass
class _Process:
    name: str
    command: list[str]
    address: Address
    log: Path
    running: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    started_s: float = 0.0


@dataclass
class Stack:
    """The processes of one machine. Use `running_stack`."""

    settings: StackSettings
    _processes: dict[str, _Process] = field(default_factory=dict)
    _lock: IO[str] | None = None

    @property
    def addresses(self) -> dict[str, Address]:
        return {name: process.address for name, process in self._processes.items()}

    @property
    def gateway(self) -> str:
        return self._processes["gateway"].address.grpc

    @property
    def all_gateways(self) -> str:
        """One target that stands for each of them."""
        return target_of(
            [process.address for process in self._processes.values() if service_of(process.name) == "gateway"]
        )

    def pid(self, name: str) -> int:
        running = self._processes[name].running
        assert running is not None
        return running.pid

    def start(self) -> None:
        """Starts everything and waits until all of it is ready. Raises ConfigError, Unavailable."""
        self._prepare()
        for process in self._processes.values():
            self._spawn(process)
        deadline_s = time.monotonic() + START_TIMEOUT_S
        for process in self._processes.values():
            self._wait_ready(process, deadline_s)
        known = {name: asdict(address) for name, address in self.addresses.items()}
        (self.settings.folder / ADDRESSES_FILE).write_text(json.dumps(known, indent=1))

    def watch(self) -> list[str]:
        """Restarts what has died. Returns a line about each. Raises Unavailable for one that keeps dying."""
        lines = []
        for process in self._processes.values():
            code = process.running.poll() if process.running else None
            if code is None:
                continue
            if time.monotonic() - process.started_s > FORGIVEN_AFTER_S:
                process.restarts = 0
            if process.restarts >= MAX_RESTARTS:
                raise Unavailable(f"{process.name} has died {process.restarts + 1} times; see {process.log}")
            process.restarts += 1
            lines.append(f"{process.name} ended ({_ending(code)}); started again; see {process.log}")
            self._spawn(process)
        return lines

    def kill(self, name: str) -> None:
        """SIGKILL, as a crash would be. For tests of what survives one."""
        running = self._processes[name].running
        assert running is not None
        running.kill()
        running.wait()

    def end(self, name: str) -> None:
        """SIGTERM; returns when the process has drained and is gone. Nobody misses it until it is started again."""
        process = self._processes[name]
        running, process.running = process.running, None
        assert running is not None
        running.terminate()
        try:
            running.wait(STOP_TIMEOUT_S)
        finally:
            running.kill()

    def start_again(self, name: str) -> None:
        """After `end` or `kill`; returns when it is ready."""
        self._spawn(self._processes[name])
        self.wait_ready(name)

    def wait_ready(self, name: str) -> None:
        self._wait_ready(self._processes[name], time.monotonic() + START_TIMEOUT_S)

    def stop(self) -> None:
        """Drains everything, those who are asked first before those who answer them."""
        order = [process for process in reversed(self._processes.values()) if process.running]
        for process in order:
            assert process.running is not None
            process.running.send_signal(signal.SIGTERM)
        deadline_s = time.monotonic() + STOP_TIMEOUT_S
        for process in order:
            assert process.running is not None
            try:
                process.running.wait(max(0.1, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.running.kill()
                process.running.wait()
        if self._lock:
            # Only who holds the lock may say that nothing runs here.
            (self.settings.folder / ADDRESSES_FILE).unlink(missing_ok=True)
            self._lock.close()

    def _prepare(self) -> None:
        settings = self.settings
        if not (settings.model / "model.json").is_file():
            raise ConfigError("model", f"{settings.model} holds no model.json")
        try:
            (settings.folder / "logs").mkdir(parents=True, exist_ok=True)
            lock = (settings.folder / "lock").open("w")
        except OSError as error:
            raise ConfigError("folder", f"{settings.folder} is not a writable folder ({error.strerror})") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise ConfigError("folder", f"{settings.folder} is in use by another `vitrine up`") from error
        self._lock = lock
        self._plan()

    def _plan(self) -> None:
        settings = self.settings
        store = ["--store", settings.store_url]
        stream = [*(settings.stream_options or ("--stream", str(settings.folder / STREAM_FILE)))]
        stream += ["--partitions", str(settings.partitions)]
        cache = ["--cache", str(settings.folder / "cache")]
        upstream = ["--embedder", self._embedder_address()]
        if settings.embedder_only:
            return
        topology = settings.folder / "topology.json"
        groups = [self._add_group(number, [*store, *cache]) for number in range(settings.groups)]
        topology.write_text(json.dumps({"groups": groups}))
        if not settings.search_only:
            self._add("indexer", [*store, *stream, *upstream, *cache, *settings.indexer_options])
        asked = ["--topology", str(topology), *settings.gateway_options]
        for name in _names("gateway", settings.gateways):
            self._add(name, [*store, *stream, *upstream, *asked], settings.port if name == "gateway" else 0)
        if settings.web_port is not None:
            self._add_page(["--gateway", self.all_gateways], settings.web_port)

    def _add_group(self, number: int, options: list[str]) -> dict[str, list[Any]]:
        """The searchers of a group of partitions, as the topology has it; of the only one, without naming those."""
        settings, workers = self.settings, self.settings.searcher_workers
        own: dict[str, list[Any]] = {}
        if settings.groups > 1:
            own["partitions"] = list(range(number, settings.partitions, settings.groups))
            options = [*options, "--partitions", json.dumps(own["partitions"])]
        options = [*options, "--workers", str(workers)]
        names = list(_names("searcher", settings.groups * settings.searchers))
        names = names[number * settings.searchers : (number + 1) * settings.searchers]
        addresses = [address for name in names for address in self._add(name, options, workers=workers).each]
        return {**own, "addresses": addresses}

    def _embedder_address(self) -> str:
        """Where embedders will listen; nobody does where only what is indexed is searched."""
        if self.settings.search_only:
            return f"{LOCALHOST}:{free_port()}"
        options = ["--model", str(self.settings.model), *self.settings.embedder_options]
        return target_of([self._add(name, options) for name in _names("embedder", self.settings.embedders)])

    def _add(self, name: str, options: list[str], port: int = 0, workers: int = 1) -> Address:
        if port:
            _require_free(port, "port")
        # Workers have a port for HTTP each, and their parent the one before.
        http_ports = free_ports(1 if workers == 1 else 1 + workers)
        grpc_port, http_port = port or free_ports(workers)[0], http_ports[0]
        address = Address(f"{LOCALHOST}:{grpc_port}", f"{LOCALHOST}:{http_port}", workers)
        settings = self.settings
        if max(settings.searchers, settings.embedders, settings.gateways) == 1:
            # Nobody could be called instead of one that stops.
            options = ["--leave-s", "0", *options]
        self._plan_process(name, address, grpc_port, http_port, options)
        return address

    def _add_page(self, options: list[str], port: int) -> None:
        if port:
            _require_free(port, "web_port")
        page_port, http_port = port or free_port(), free_port()
        address = Address("", f"{LOCALHOST}:{http_port}", page=f"{LOCALHOST}:{page_port}")
        self._plan_process("web", address, page_port, http_port, options)

    def _plan_process(self, name: str, address: Address, port: int, http_port: int, options: list[str]) -> None:
        module = f"services.{service_of(name)}"
        ports = ["--port", str(port), "--http-port", str(http_port), "--parent-pid", str(os.getpid())]
        tls = ["--tls", str(self.settings.tls)] if self.settings.tls else []
        command = [sys.executable, "-m", module, *ports, *tls, *options]
        self._processes[name] = _Process(name, command, address, self.settings.folder / "logs" / f"{name}.log")

    def _spawn(self, process: _Process) -> None:
        process.started_s = time.monotonic()
        with process.log.open("ab") as log:
            # A session of its own: Ctrl-C reaches only the parent, which drains the services in order.
            process.running = subprocess.Popen(
                process.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _wait_ready(self, process: _Process, deadline_s: float) -> None:
        if process.address.page:
            self._wait_until(lambda: _ready(process.address.http), process, deadline_s)
        for address in process.address.each:
            with blocking_channel(address, Credentials.of(self.settings.tls)) as channel:
                self._wait_until(partial(_serving, health_pb2_grpc.HealthStub(channel)), process, deadline_s)

    def _wait_until(self, is_ready: Callable[[], bool], process: _Process, deadline_s: float) -> None:
        while not is_ready():
            # Any that has ended is what keeps the others waiting.
            for other in self._processes.values():
                if other.running and other.running.poll() is not None:
                    raise _start_failure(other.name, other.running.returncode, _last_line(other.log))
            if time.monotonic() > deadline_s:
                raise Unavailable(f"{process.name} is not ready after {START_TIMEOUT_S:.0f} s; see {process.log}")
            time.sleep(0.1)


@contextmanager
def running_stack(settings: StackSettings) -> Iterator[Stack]:
    """A stack that is ready, and stopped at the end, whatever the end is."""
    stack = Stack(settings)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


def target_of(addresses: Sequence[Address]) -> str:
    """What a channel takes for all of these; of one, its address."""
    each = [address.grpc for address in addresses]
    return each[0] if len(each) == 1 else f"ipv4:{','.join(each)}"


def known_addresses(folder: Path) -> dict[str, Any]:
    """What a stack running in `folder` has written down; empty if none is."""
    try:
        addresses: dict[str, Any] = json.loads((folder / ADDRESSES_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return addresses


def _names(service: str, count: int) -> Iterator[str]:
    return (f"{service}{number or ''}" for number in range(count))


def service_of(name: str) -> str:
    """Of a process: "searcher" of "searcher1"."""
    return name.rstrip("0123456789")


def _serving(health: Any) -> bool:
    try:
        response = health.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
    except grpc.RpcError:
        return False
    return bool(response.status == health_pb2.HealthCheckResponse.SERVING)


def _ready(address: str) -> bool:
    """What the server at this address answers to /readyz."""
    connection = HTTPConnection(address, timeout=1.0)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def _require_free(port: int, field: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOCALHOST, port))
        except OSError as error:
            raise ConfigError(field, f"{LOCALHOST}:{port} cannot be listened on ({error.strerror})") from error


def _start_failure(name: str, code: int, said: str) -> VitrineError:
    """A service's own last line, as the error it was there."""
    field, _, reason = said.removeprefix(f"{name}: ").partition(": ")
    if code == _EXIT_CONFIG and reason:
        return ConfigError(field, reason)
    return Unavailable(f"{name} ended ({_ending(code)}): {said}")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
