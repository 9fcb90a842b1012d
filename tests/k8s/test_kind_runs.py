"""What the overlay for kind says, run here: each pod's own command with its own settings, on an address of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from deploy.k8s.checks.objects import ROOT, Workload, environment, of_kind
from deploy.k8s.checks.problems import service_of
from tests.integration.shop import all_found, drawn, eventually, http, indexed, published
from tests.k8s.rendered import expanded, overlay, pods_of, servers_of, told_to_operators
from vitrine.client import VisualSearchClient

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.timeout(300),
    # Every address of 127.0.0.0/8 is this machine's: each pod can have its ports as the manifests say them.
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has more than one loopback address"),
]
STOP_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True)
class Node:
    """A folder in which the pods' volumes are, and the address that each service has."""

    folder: Path
    addresses: Mapping[str, str]

    def here(self, value: str) -> str:
        """A setting of a pod as it must be on this machine."""
        for inside, outside in (
            ("/data", self.folder / "data"),
            ("/var/cache/vitrine", self.folder / "cache"),
            ("/opt/vitrine/models", ROOT / "models"),
            ("/etc/vitrine/topology", self.folder / "topology"),
        ):
            if value == inside or value.startswith(f"{inside}/"):
                return f"{outside}{value.removeprefix(inside)}"
        for name, address in self.addresses.items():
            value = value.replace(f"{name}:", f"{address}:") if value.startswith(f"{name}:") else value
            value = value.replace(f"dns:///{name}:", f"ipv4:{address}:").replace(f'"{name}:', f'"{address}:')
        return value

    def environment(self, workload: Workload) -> dict[str, str]:
        told = {name: value or "" for name, value in environment(overlay("kind"), workload).items()}
        return os.environ | {name: self.here(value) for name, value in told.items()}


@pytest.fixture
def node(tmp_path: Path) -> Node:
    names = [each.source["metadata"]["name"] for each in servers_of("kind")]
    node = Node(tmp_path, {name: f"127.83.0.{number}" for number, name in enumerate(names, 1)})
    for folder in ("data", "cache", "topology"):
        (tmp_path / folder).mkdir()
    (topology,) = [
        m["data"]["topology.json"] for m in of_kind(overlay("kind"), "ConfigMap") if "topology.json" in m["data"]
    ]
    (tmp_path / "topology" / "topology.json").write_text(node.here(topology))
    return node


def test_the_pods_of_kind_make_an_index_fill_it_find_in_it_and_verify_it(node: Node) -> None:
    made = _ran_to_its_end(node, "Job/index-create")
    assert made.returncode == 0, made.stderr
    with ExitStack() as running:
        for each in servers_of("kind"):
            running.enter_context(_running(node, each))
        for address in node.addresses.values():
            eventually(partial(_ready, f"{address}:8081"), 120)
        with VisualSearchClient(f"{node.addresses['gateway']}:50051") as client:
            indexed(client, published(client, [product.upsert() for product in drawn()[:12]]))
            assert all_found(client) == sorted(product.product_id for product in drawn()[:12])
            answer = client.search(image=drawn()[0].pictures[0], k=1, require_complete=True)
            assert [hit.product_id for hit in answer.hits] == [drawn()[0].product_id]
            assert answer.coverage.partitions_total == 4
        assert http(f"{node.addresses['web']}:8080", "/")[0] == 200
        for line, said in (
            ("index status $GATEWAY", "partition"),
            ("index ls $STORE", "current"),
            ("index compact 0 --indexer indexer:50051 $INDEXER", "rows rewritten"),
            ("dlq ls $LOG", "No dead letters."),
        ):
            typed = _typed(node, line)
            assert (typed.returncode, said in typed.stdout) == (0, True), (line, typed.stdout, typed.stderr)
    verified = _ran_to_its_end(node, "CronJob/index-verify")
    assert verified.returncode == 0, verified.stderr
    checked = json.loads(verified.stdout)
    assert checked["shards"] > 0
    assert checked["faults"] == []


def _typed(node: Node, line: str) -> subprocess.CompletedProcess[str]:
    """`vitrine …` in the pod for operators."""
    for name, value in told_to_operators("kind").items():
        line = line.replace(f"${name}", value)
    words = [node.here(word) for word in line.split()]
    command = [sys.executable, "-m", "vitrine.cli", *words]
    return subprocess.run(command, cwd=node.folder, capture_output=True, text=True, check=False, timeout=120)


def _ready(address: str) -> bool:
    try:
        return http(address, "/readyz")[0] == 200
    except OSError:
        return False


def _ran_to_its_end(node: Node, name: str) -> subprocess.CompletedProcess[str]:
    """What a Job does, told as Kubernetes tells it."""
    (job,) = [each for each in pods_of("kind") if each.name == name]
    env = node.environment(job)
    command = [sys.executable, "-m", "vitrine.cli", *expanded(job.container["args"], env)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)


@contextmanager
def _running(node: Node, workload: Workload) -> Iterator[None]:
    service = service_of(workload)
    name = workload.source["metadata"]["name"]
    own = ["--host", node.addresses[name], "--parent-pid", str(os.getpid())]
    command = [sys.executable, "-m", f"services.{service}", *own]
    with (
        (node.folder / f"{name}.log").open("wb") as log,
        subprocess.Popen(command, env=node.environment(workload), cwd=ROOT, stdout=log, stderr=log) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            try:
                code = process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert code == 0, (node.folder / f"{name}.log").read_text()
