"""A server that is told to stop says so first, so that whoever calls it goes elsewhere before it does."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import grpc
import pytest

from tests.integration.shop import channel_to, eventually, http, metric, serving
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import Stack, StackSettings, running_stack, target_of
from vitrine.runtime.channels import blocking_channel
from vitrine.v1 import embedder_pb2, embedder_pb2_grpc

_CALL_TIMEOUT_S: Final = 10.0
# So long a server that stops is looked at here.
_LEAVE_S: Final = 5.0
_CALLERS: Final = 4


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two embedders."""
    options = ("--leave-s", str(_LEAVE_S))
    folder = tmp_path_factory.mktemp("two")
    settings = StackSettings(folder, DEFAULT_MODEL, embedder_only=True, embedders=2, embedder_options=options)
    with running_stack(settings) as stack:
        yield stack


def test_no_call_fails_while_each_of_two_servers_is_replaced(two: Stack) -> None:
    with _called(two) as ended:
        for name in ("embedder", "embedder1"):
            two.end(name)
            two.start_again(name)
            eventually(lambda name=name: _calls(two, name) > 0)  # type: ignore[misc]  # it is asked again
    assert set(ended) == {"OK"}


def test_a_server_that_stops_says_so_and_answers_for_a_moment(two: Stack) -> None:
    address = two.addresses["embedder"]
    with channel_to(address.grpc) as channel:
        stub = embedder_pb2_grpc.EmbedderStub(channel)
        stub.GetModel(embedder_pb2.GetModelRequest(), timeout=_CALL_TIMEOUT_S)
        os.kill(two.pid("embedder"), signal.SIGTERM)
        eventually(lambda: not serving(address.grpc), patience_s=_LEAVE_S)
        assert http(address.http, "/readyz") == (503, "draining\n")
        assert stub.GetModel(embedder_pb2.GetModelRequest(), timeout=_CALL_TIMEOUT_S).dim
    two.end("embedder")
    two.start_again("embedder")


@contextmanager
def _called(stack: Stack) -> Iterator[Counter[str]]:
    """Calls of all servers of the stack, none of them made twice, by how they ended."""
    ended: Counter[str] = Counter()
    over = threading.Event()

    def call() -> None:
        with blocking_channel(target_of(list(stack.addresses.values()))) as channel:
            stub = embedder_pb2_grpc.EmbedderStub(channel)
            while not over.is_set():
                try:
                    stub.GetModel(embedder_pb2.GetModelRequest(), timeout=_CALL_TIMEOUT_S)
                    ended["OK"] += 1
                except grpc.RpcError as error:
                    ended[f"{error.code().name}: {error.details()}"] += 1

    threads = [threading.Thread(target=call) for _ in range(_CALLERS)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: all(_calls(stack, name) > 0 for name in stack.addresses))
        yield ended
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _calls(stack: Stack, name: str) -> float:
    return metric(stack.addresses[name].http, "vitrine_embedder_call_seconds_count", method="GetModel")
