"""An embedder with more work than it can do: it says so, serves shoppers first, and recovers."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Iterator

import grpc
import pytest

from tests.integration.shop import TIMEOUT_S, Drawn, channel_to, drawn, metric, running_service
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import Address
from vitrine.v1 import embedder_pb2, embedder_pb2_grpc

QUEUE_IMAGES = 4
BULK_CALLS = 6
BULK_CALL_IMAGES = 64


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """An embedder whose queue for shoppers holds next to nothing."""
    options = ["--model", str(DEFAULT_MODEL), "--interactive-queue-images", str(QUEUE_IMAGES)]
    with running_service("embedder", options, tmp_path_factory.mktemp("busy") / "log") as address:
        yield address


@pytest.fixture(scope="module")
def embedder(busy: Address) -> Iterator[embedder_pb2_grpc.EmbedderStub]:
    with channel_to(busy.grpc) as channel:
        yield embedder_pb2_grpc.EmbedderStub(channel)


def test_a_full_queue_refuses_and_says_when_to_come_back(
    embedder: embedder_pb2_grpc.EmbedderStub, busy: Address
) -> None:
    request = _request(drawn()[0])
    calls = [embedder.Embed.future(request, timeout=TIMEOUT_S) for _ in range(64)]
    errors = [call.exception() for call in calls]

    refusals = [error for error in errors if isinstance(error, grpc.RpcError)]
    assert 0 < len(refusals) < 64
    for refusal in refusals:
        assert refusal.code().name == "RESOURCE_EXHAUSTED"
        assert _retry_after_ms(refusal) > 0
    assert metric(busy.http, "vitrine_embedder_refused_images_total", priority="interactive") >= len(refusals)

    assert len(embedder.Embed(request, timeout=TIMEOUT_S).results) == 1
    assert metric(busy.http, "vitrine_embedder_queued_images") == 0


def test_bulk_does_not_take_the_place_of_shoppers(embedder: embedder_pb2_grpc.EmbedderStub) -> None:
    one = _request(drawn()[0])
    many = _request(*itertools.islice(itertools.cycle(drawn()), BULK_CALL_IMAGES), priority=embedder_pb2.PRIORITY_BULK)
    done = threading.Event()
    bulk_s: list[float] = []

    def flood() -> None:
        while not done.is_set():
            bulk_s.append(_seconds(embedder, many))

    floods = [threading.Thread(target=flood) for _ in range(BULK_CALLS)]
    for thread in floods:
        thread.start()
    while len(bulk_s) < BULK_CALLS:
        time.sleep(0.01)
    interactive_s = [_seconds(embedder, one) for _ in range(30)]
    done.set()
    for thread in floods:
        thread.join()
    # A shopper waits for the batch that runs, bulk for all that is queued before it.
    assert statistics.median(interactive_s) < statistics.median(bulk_s) / 2


def _retry_after_ms(refusal: grpc.RpcError) -> int:
    return next(int(hint.value) for hint in refusal.trailing_metadata() if hint.key == "retry-after-ms")


def _request(
    *products: Drawn, priority: embedder_pb2.Priority.ValueType = embedder_pb2.PRIORITY_INTERACTIVE
) -> embedder_pb2.EmbedRequest:
    images = [embedder_pb2.ImageInput(data=product.pictures[0]) for product in products]
    return embedder_pb2.EmbedRequest(images=images, priority=priority)


def _seconds(embedder: embedder_pb2_grpc.EmbedderStub, request: embedder_pb2.EmbedRequest) -> float:
    started_s = time.perf_counter()
    response = embedder.Embed(request, timeout=60)
    assert all(result.HasField("embedding") for result in response.results)
    return time.perf_counter() - started_s
