"""A shop whose services run from their images, on this machine's own network and an S3 store."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from tests.images.engine import Engine, hardened, image
from tests.s3.server import environment
from vitrine.runtime.ports import LOCALHOST, free_ports

SERVICES: Final = {
    "embedder": "embedder-cpu",
    "searcher": "searcher",
    "indexer": "indexer",
    "gateway": "gateway",
    "web": "web",
}

_READY_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.1
_USER: Final = 10001


@dataclass(frozen=True)
class Ports:
    """`own`: gRPC, or the page; `http`: readiness and metrics."""

    own: int
    http: int

    @property
    def address(self) -> str:
        return f"{LOCALHOST}:{self.own}"


@dataclass
class Shop:
    """One container a service. `folder` is theirs too: the log, and who serves what."""

    engine: Engine
    folder: Path
    store_url: str
    s3_port: int
    ports: dict[str, Ports] = field(default_factory=lambda: {name: Ports(*free_ports(2)) for name in SERVICES})

    def start(self) -> None:
        """Returns once all of them are ready."""
        self.folder.mkdir()
        (self.folder / "topology.json").write_text(
            json.dumps({"groups": [{"addresses": [self.ports["searcher"].address]}]})
        )
        shutil.chown(self.folder, _USER, _USER)
        for name in SERVICES:
            self._run(name)
        for name in SERVICES:
            self.wait_ready(name)

    def wait_ready(self, name: str) -> None:
        deadline_s = time.monotonic() + _READY_TIMEOUT_S
        while not self.is_ready(name):
            assert time.monotonic() < deadline_s, f"{name} is not ready: {self.engine.podman('logs', name)}"
            time.sleep(_POLL_S)

    def is_ready(self, name: str) -> bool:
        connection = HTTPConnection(LOCALHOST, self.ports[name].http, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def vitrine(self, *arguments: str, files: Path) -> str:
        """What the command prints, run from its own image with `files` at /files."""
        options = [*hardened(), "--rm", "--volume", f"{files}:/files:ro"]
        return self.engine.podman("run", *options, image("tools"), *arguments)

    def _run(self, name: str) -> None:
        ports = self.ports[name]
        told = {"HOST": LOCALHOST, "PORT": str(ports.own), "HTTP_PORT": str(ports.http), **self._settings(name)}
        variables = {f"VITRINE_{name.upper()}_{field}": value for field, value in told.items()}
        variables |= environment(self.s3_port)
        options = [option for key, value in variables.items() for option in ("--env", f"{key}={value}")]
        folders = ["--volume", f"{self.folder}:/shop", "--volume", f"{name}-cache:/var/cache/vitrine"]
        self.engine.podman("run", "--detach", "--name", name, *hardened(), *folders, *options, image(SERVICES[name]))

    def _settings(self, name: str) -> dict[str, str]:
        store = {"STORE": self.store_url}
        stream = {"STREAM": "/shop/stream.sqlite", "EMBEDDER": self.ports["embedder"].address}
        cache = {"CACHE": "/var/cache/vitrine"}
        return {
            "embedder": {"MODEL": "/opt/vitrine/models/fashion-resnet18"},
            "searcher": {**store, **cache},
            "indexer": {**store, **cache, **stream},
            "gateway": {**store, **stream, "TOPOLOGY": "/shop/topology.json"},
            "web": {"GATEWAY": self.ports["gateway"].address},
        }[name]
