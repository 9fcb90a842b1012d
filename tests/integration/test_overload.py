"""More work than can be done: embedder and gateway say so, serve those they can, and recover."""

from __future__ import annotations

import itertools
import json
import statistics
import threading
import time
from collections.abc import Iterator

import grpc
import pytest

from tests.integration.shop import ANY_VECTOR, TIMEOUT_S, Drawn, Shop, channel_to, drawn, metric, running_service
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import STREAM_FILE, Address
from vitrine.v1 import embedder_pb2, embedder_pb2_grpc, gateway_pb2, gateway_pb2_grpc
from vitrine.vectors import to_wire

QUEUE_IMAGES = 4
BULK_CALLS = 6
BULK_CALL_IMAGES = 64
TOPOLOGY_FILE = "topology.json"


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


@pytest.fixture(scope="module")
def narrow(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """Another gateway for the same shop, which answers little at once, and one caller seldom."""
    stack = shop.stack
    options = [
        *("--store", stack.settings.store_url, "--embedder", stack.addresses["embedder"].grpc),
        *("--stream", str(stack.settings.folder / STREAM_FILE), "--partitions", str(stack.settings.partitions)),
        *("--topology", str(stack.settings.folder / TOPOLOGY_FILE)),
        *("--in-flight-cost", "4", "--caller-limits", json.dumps({"batch-job": 2})),
    ]
    with running_service("gateway", options, tmp_path_factory.mktemp("narrow") / "log") as address:
        yield address


def test_a_gateway_refuses_what_it_cannot_answer_in_time_and_says_when_to_come_back(narrow: Address) -> None:
    request = gateway_pb2.SearchRequest(vector=to_wire(ANY_VECTOR), exact=True)
    with channel_to(narrow.grpc) as channel:
        stub = gateway_pb2_grpc.VisualSearchStub(channel)
        calls = [stub.Search.future(request, timeout=TIMEOUT_S) for _ in range(200)]
        errors = [call.exception() for call in calls]

        refusals = [error for error in errors if isinstance(error, grpc.RpcError)]
        assert 0 < len(refusals) < len(calls)
        assert {refusal.code().name for refusal in refusals} == {"RESOURCE_EXHAUSTED"}
        assert all(_retry_after_ms(refusal) > 0 for refusal in refusals)
        assert metric(narrow.http, "vitrine_gateway_calls_by_caller_total", outcome="refused") == len(refusals)

        assert len(stub.Search(request, timeout=TIMEOUT_S).results) == 10


def test_a_caller_over_its_limit_does_not_take_the_place_of_others(narrow: Address) -> None:
    request = gateway_pb2.SearchRequest(vector=to_wire(ANY_VECTOR))
    with channel_to(narrow.grpc) as channel:
        stub = gateway_pb2_grpc.VisualSearchStub(channel)
        job = (("vitrine-caller", "batch-job"),)
        calls = [stub.Search.future(request, timeout=TIMEOUT_S, metadata=job) for _ in range(4)]
        assert sum(call.exception() is None for call in calls) == 2
        page = (("vitrine-caller", "product-page"),)
        assert len(stub.Search(request, timeout=TIMEOUT_S, metadata=page).results) == 10
    assert metric(narrow.http, "vitrine_gateway_calls_by_caller_total", caller="batch-job", outcome="limited") == 2


def test_the_same_picture_is_embedded_once(narrow: Address, shop: Shop) -> None:
    request = gateway_pb2.SearchRequest(image=shop.products[0].pictures[0])
    with channel_to(narrow.grpc) as channel:
        stub = gateway_pb2_grpc.VisualSearchStub(channel)
        first, second = (stub.Search(request, timeout=TIMEOUT_S) for _ in range(2))
    assert [hit.product_id for hit in first.results] == [hit.product_id for hit in second.results]
    assert metric(narrow.http, "vitrine_gateway_embeddings_looked_up_total", result="miss") == 1
    assert metric(narrow.http, "vitrine_gateway_embeddings_looked_up_total", result="hit") == 1
    assert metric(narrow.http, "vitrine_gateway_embed_seconds_count") == 1


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
