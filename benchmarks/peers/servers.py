"""The two servers: Vitrine's searcher and gateway, and `chroma run`."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.peers.environment import Environment
from benchmarks.peers.processes import ClientFailed, last_line, running
from vitrine.cli.bench.served import index_of, served
from vitrine.runtime.cores import usable_cores
from vitrine.runtime.ports import LOCALHOST, free_port

_START_S: Final = 60.0


@dataclass
class Server:
    """`address`: host:port. `pids`: its processes; what is below them is theirs too. `build_s`: making its index.

    `restart`: where settings hold only from the next start on.
    """

    address: str
    pids: tuple[int, ...]
    build_s: float = 0.0
    restart: Callable[[], None] | None = None


@contextmanager
def vitrine_server(vectors: npt.NDArray[np.float32], folder: Path, model: Path) -> Iterator[Server]:
    """A searcher a core and one gateway over rows that are named by their number. `vectors` unit float32 (n, dim).

    Chroma's server uses all cores from one process; a searcher uses one.
    """
    began = time.perf_counter()
    index_of(vectors, pa.table({"product_id": [str(row) for row in range(len(vectors))]}), folder)
    build_s = time.perf_counter() - began
    with served(folder, model, searchers=usable_cores()) as stack:
        yield Server(stack.gateway, tuple(stack.pid(name) for name in stack.addresses), build_s)


@contextmanager
def chroma_server(environment: Environment, folder: Path) -> Iterator[Server]:
    """An empty server. An `ef_search` that is changed holds from its next start on. Raises ClientFailed."""
    port = free_port()
    log = folder / "server.log"
    command: list[str | Path] = [environment.program("chroma"), "run", "--path", folder]
    command += ["--host", LOCALHOST, "--port", str(port)]
    with ExitStack() as life:

        def start() -> tuple[int, ...]:
            process = life.enter_context(running(command, log))
            deadline_s = time.monotonic() + _START_S
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > deadline_s:
                    raise ClientFailed(f"chroma run: {last_line(log)}")
                time.sleep(0.1)
            return (process.pid,)

        def restart() -> None:
            life.close()
            server.pids = start()

        server = Server(f"{LOCALHOST}:{port}", start(), restart=restart)
        yield server


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOCALHOST, port)) == 0
