"""One searcher as two processes: either answers, what they count is summed, and one that is killed comes back."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.integration.searching import DIM, Searcher, asking, catalogue, ids, index_of, searcher_of, truth
from tests.integration.shop import TIMEOUT_S, channel_to, eventually, http, metric, serving
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import StackSettings, running_stack
from vitrine.client import VisualSearchClient
from vitrine.v1 import searcher_pb2 as pb
from vitrine.v1 import searcher_pb2_grpc
from vitrine.vectors import unit

PRODUCTS = catalogue(2_000)
VECTOR = unit(np.random.default_rng(6).standard_normal((1, DIM)).astype(np.float32))[0]
BEST = list(truth(PRODUCTS, VECTOR))[:10]
ASKED = "vitrine_searcher_batch_queries_sum"
RESTARTS = "vitrine_searcher_worker_restarts_total"


@pytest.fixture(scope="module")
def searcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searcher]:
    folder = tmp_path_factory.mktemp("searcher")
    index_of(folder, PRODUCTS)
    with searcher_of(folder, "--workers", "2") as running:
        eventually(lambda: http(running.address.http, "/readyz")[0] == 200)
        yield running


def grpc_of(searcher: Searcher, worker: int) -> str:
    return _beyond(searcher.address.grpc, worker)


def http_of(searcher: Searcher, worker: int) -> str:
    return _beyond(searcher.address.http, 1 + worker)


def _beyond(address: str, number: int) -> str:
    host, port = address.rsplit(":", 1)
    return f"{host}:{int(port) + number}"


def ask(searcher: Searcher, worker: int) -> list[str]:
    request = pb.SearcherSearchRequest(queries=[asking(VECTOR, exact=True)])
    with channel_to(grpc_of(searcher, worker)) as channel:
        return ids(searcher_pb2_grpc.SearcherStub(channel).Search(request, timeout=TIMEOUT_S).hits[0])


def pid_of(searcher: Searcher, worker: int) -> int:
    """The process that listens on the worker's port for HTTP."""
    inode = _listening_inode(int(http_of(searcher, worker).rsplit(":", 1)[1]))
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(link.readlink() == Path(f"socket:[{inode}]") for link in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:  # it has ended meanwhile
            continue
    raise AssertionError(f"no process listens for worker {worker}")


def _listening_inode(port: int) -> str:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{port:04X}") and fields[3] == "0A":
            return fields[9]
    raise AssertionError(f"nobody listens on {port}")


def test_every_worker_answers_and_what_they_count_is_summed(searcher: Searcher) -> None:
    assert [ask(searcher, worker) for worker in (0, 1, 1)] == [BEST] * 3

    assert [metric(http_of(searcher, worker), ASKED) for worker in (0, 1)] == [1, 2]
    assert metric(searcher.address.http, ASKED) == 3
    assert metric(searcher.address.http, "vitrine_searcher_live_rows") == len(PRODUCTS)
    assert metric(searcher.address.http, "vitrine_searcher_workers_up") == 2


def test_a_killed_worker_comes_back_while_the_other_answers(searcher: Searcher) -> None:
    ask(searcher, 1)
    before, restarts = metric(searcher.address.http, ASKED), metric(searcher.address.http, RESTARTS)
    killed = pid_of(searcher, 1)

    os.kill(killed, signal.SIGKILL)

    assert ask(searcher, 0) == BEST
    eventually(lambda: serving(grpc_of(searcher, 1)))
    assert ask(searcher, 1) == BEST
    assert pid_of(searcher, 1) != killed
    assert metric(searcher.address.http, RESTARTS) == restarts + 1
    # What the killed one had counted is not forgotten.
    assert metric(searcher.address.http, ASKED) == before + 2


def test_it_is_not_ready_while_one_worker_is_not(searcher: Searcher) -> None:
    os.kill(pid_of(searcher, 0), signal.SIGKILL)

    eventually(lambda: http(searcher.address.http, "/readyz")[0] == 503)
    assert re.match("worker 0: ", http(searcher.address.http, "/readyz")[1])
    eventually(lambda: http(searcher.address.http, "/readyz")[0] == 200)


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    index_of(tmp_path, PRODUCTS)
    with searcher_of(tmp_path, "--workers", "2") as searcher:
        workers = [pid_of(searcher, worker) for worker in (0, 1)]
        os.kill(pid_of_parent(searcher), signal.SIGKILL)

        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), patience_s=5)


def pid_of_parent(searcher: Searcher) -> int:
    return int(Path(f"/proc/{pid_of(searcher, 0)}/stat").read_text().rsplit(")", 1)[1].split()[1])


def test_a_gateway_goes_on_with_the_workers_that_are_left(tmp_path: Path) -> None:
    index_of(tmp_path, PRODUCTS)
    settings = StackSettings(tmp_path, DEFAULT_MODEL, searcher_workers=2, search_only=True)
    with running_stack(settings) as stack, VisualSearchClient(stack.gateway, timeout_s=TIMEOUT_S) as client:
        searcher = Searcher(stack.addresses["searcher"], None)  # type: ignore[arg-type]

        def found() -> list[str]:
            answer = client.search(vector=VECTOR, k=10, exact=True, require_complete=True)
            return [hit.product_id for hit in answer.hits]

        def both_are_known() -> bool:
            return metric(stack.addresses["gateway"].http, "vitrine_gateway_replicas_up") == 2

        assert found() == BEST
        eventually(both_are_known)
        for worker in (0, 1):
            os.kill(pid_of(searcher, worker), signal.SIGKILL)
            assert [found() for _ in range(20)] == [BEST] * 20
            stack.wait_ready("searcher")
            eventually(both_are_known)
