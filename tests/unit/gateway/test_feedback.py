"""Feedback on its way from a shopper to the log, and what is remembered of answers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from prometheus_client import REGISTRY

from services.gateway.feedback import MAX_SURFACES, ShopperFeedback
from services.gateway.feedback_writer import FeedbackWriter
from tests.unit.gateway.running import DIM, LOG_FILE, PARTITIONS, Running, StubSearcher, running
from vitrine.runtime.errors import ResourceExhausted, Unavailable
from vitrine.stream.embedded import EmbeddedLog
from vitrine.stream.feedback import Feedback, FeedbackKind, Impression
from vitrine.stream.feedback_codec import decode
from vitrine.stream.log import FeedbackEntry
from vitrine.v1 import feedback_pb2
from vitrine.v1 import gateway_pb2 as pb
from vitrine.vectors import to_wire, unit

TIMEOUT_S = 10.0
QUERY = "0123456789abcdef" * 2
VECTORS = unit(np.random.default_rng(6).normal(size=(30, DIM)).astype(np.float32))
PRODUCTS = {f"shoe{number}": vector for number, vector in enumerate(VECTORS)}


@dataclass
class HeldLog:
    """Of a log what a writer needs. `free`: cleared, it is slow; `failing`: it is away."""

    free: threading.Event = field(default_factory=threading.Event)
    failing: bool = False
    batches: list[list[FeedbackEntry]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.free.set()

    def append_feedback(self, entries: Sequence[FeedbackEntry]) -> None:
        assert self.free.wait(TIMEOUT_S)
        if self.failing:
            raise Unavailable("kafka: away")
        self.batches.append(list(entries))

    @property
    def written(self) -> list[Feedback | Impression]:
        return [decode(entry.value) for batch in self.batches for entry in batch]


def click(product_id: str = "shoe1", rank: int | None = 1, surface: str = "page") -> Feedback:
    return Feedback(QUERY, product_id, FeedbackKind.CLICK, surface, rank, 5)


def shown(number: int = 1, surface: str = "page") -> Impression:
    return Impression(f"{number:032x}", surface, "Search", ("shoe1",), ("shoe2", "shoe3"), "m", 5)


@asynccontextmanager
async def writing(log: HeldLog, most_waiting: int = 100) -> AsyncIterator[FeedbackWriter]:
    writer = FeedbackWriter(log, most_waiting)  # type: ignore[arg-type]
    task = asyncio.create_task(writer.write())
    await asyncio.sleep(0)  # so that it has begun
    try:
        yield writer
    finally:
        log.free.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def until(holds: Any) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class TestWriter:
    async def test_feedback_is_in_the_log_when_its_sender_hears(self) -> None:
        log = HeldLog()
        async with writing(log) as writer:
            await writer.append(click())
            assert log.written == [click()]

    async def test_feedback_does_not_wait_for_company(self) -> None:
        async with writing(HeldLog()) as writer:
            began_s = time.perf_counter()
            await writer.append(click())
            assert time.perf_counter() - began_s < 0.5

    async def test_what_comes_while_the_log_is_busy_goes_together(self) -> None:
        log = HeldLog()
        async with writing(log) as writer:
            log.free.clear()
            first = asyncio.create_task(writer.append(click()))
            await asyncio.sleep(0.05)
            rest = [asyncio.create_task(writer.append(click(f"shoe{number}"))) for number in range(20)]
            await asyncio.sleep(0.05)
            log.free.set()
            await asyncio.gather(first, *rest)
        assert [len(batch) for batch in log.batches] == [1, 20]

    async def test_a_log_that_is_away_is_said_to_the_sender_and_the_next_one_gets_through(self) -> None:
        log = HeldLog(failing=True)
        async with writing(log) as writer:
            with pytest.raises(Unavailable, match="away"):
                await writer.append(click())
            log.failing = False
            await writer.append(click())
        assert len(log.written) == 1

    async def test_a_full_queue_refuses_feedback_with_a_time_to_come_back(self) -> None:
        log = HeldLog()
        async with writing(log, most_waiting=3) as writer:
            log.free.clear()
            under_way = asyncio.create_task(writer.append(click()))
            await asyncio.sleep(0.05)
            waiting = [asyncio.create_task(writer.append(click())) for _ in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(ResourceExhausted, match="retry after"):
                await writer.append(click())
            log.free.set()
            await asyncio.gather(under_way, *waiting)
        assert len(log.written) == 4

    async def test_impressions_beyond_a_full_queue_are_counted_as_lost(self) -> None:
        log = HeldLog()
        lost = metric("vitrine_gateway_impressions_lost_total")
        async with writing(log, most_waiting=10) as writer:
            began_s = time.perf_counter()
            for number in range(25):
                writer.offer(shown(number))
            assert time.perf_counter() - began_s < 0.1
        assert metric("vitrine_gateway_impressions_lost_total") - lost == 15
        assert len(log.written) == 10

    async def test_impressions_that_the_log_refuses_are_counted_as_lost(self) -> None:
        lost = metric("vitrine_gateway_impressions_lost_total")
        async with writing(HeldLog(failing=True)) as writer:
            writer.offer(shown())
        assert metric("vitrine_gateway_impressions_lost_total") - lost == 1

    async def test_impressions_are_written_by_themselves_after_a_moment(self) -> None:
        log = HeldLog()
        async with writing(log) as writer:
            writer.offer(shown())
            await until(lambda: log.written == [shown()])

    async def test_what_waits_when_the_gateway_stops_is_still_written(self) -> None:
        log = HeldLog()
        async with writing(log) as writer:
            for number in range(5):
                writer.offer(shown(number))
        assert len(log.written) == 5

    async def test_a_sender_that_has_gone_stops_nothing(self) -> None:
        log = HeldLog()
        async with writing(log) as writer:
            log.free.clear()
            gone = asyncio.create_task(writer.append(click("shoe1")))
            await asyncio.sleep(0.05)
            gone.cancel()
            log.free.set()
            await writer.append(click("shoe2"))
        assert [record.product_id for record in log.written if isinstance(record, Feedback)] == ["shoe1", "shoe2"]


class TestFigures:
    async def test_click_through_and_mean_rank_can_be_read_by_surface(self) -> None:
        async with writing(HeldLog()) as writer:
            feedback = ShopperFeedback(writer)
            for number in range(4):
                feedback.shown(shown(number, "figures"))
            await feedback.send(_request(rank=3, surface="figures"))
            await feedback.send(_request(rank=7, surface="figures"))
            await feedback.send(_request(rank=1, surface="figures", kind=feedback_pb2.FEEDBACK_KIND_PURCHASE))
        assert metric("vitrine_gateway_answers_shown_total", surface="figures") == 4
        assert metric("vitrine_gateway_click_rank_bucket", surface="figures", le="5.0") == 1
        assert metric("vitrine_gateway_click_rank_bucket", surface="figures", le="10.0") == 2
        assert metric("vitrine_gateway_click_rank_sum", surface="figures") == 10
        assert metric("vitrine_gateway_feedback_total", surface="figures", kind="purchase") == 1

    async def test_feedback_that_was_not_written_is_not_counted(self) -> None:
        async with writing(HeldLog(failing=True)) as writer:
            with pytest.raises(Unavailable):
                await ShopperFeedback(writer).send(_request(surface="unwritten"))
        assert metric("vitrine_gateway_feedback_total", surface="unwritten", kind="click") == 0

    async def test_more_surfaces_than_a_metric_bears_are_counted_together(self) -> None:
        other = metric("vitrine_gateway_answers_shown_total", surface="other")
        async with writing(HeldLog(), most_waiting=1_000) as writer:
            feedback = ShopperFeedback(writer)
            for number in range(MAX_SURFACES + 10):
                feedback.shown(shown(number, f"many-{number}"))
            feedback.shown(shown(0, "many-0"))
        assert metric("vitrine_gateway_answers_shown_total", surface="many-0") == 2
        assert metric("vitrine_gateway_answers_shown_total", surface="other") - other == 10


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, [[StubSearcher([0, 1], dict(PRODUCTS))]]) as found:
        yield found


class TestCalls:
    async def test_feedback_is_durable_when_the_call_returns(self, gateway: Running, tmp_path: Path) -> None:
        await gateway.stub.SendFeedback(_request(rank=2), timeout=TIMEOUT_S)
        [found] = _records(tmp_path)
        assert isinstance(found, Feedback)
        assert (found.query_id, found.product_id, found.kind, found.rank) == (QUERY, "shoe1", FeedbackKind.CLICK, 2)

    @pytest.mark.parametrize(
        ("request_", "code", "field"),
        [
            (pb.SendFeedbackRequest(), "INVALID_ARGUMENT", "feedback.query_id"),
            (pb.SendFeedbackRequest(index="other"), "NOT_FOUND", "index"),
        ],
    )
    async def test_what_is_wrong_is_named(
        self, gateway: Running, request_: pb.SendFeedbackRequest, code: str, field: str
    ) -> None:
        with pytest.raises(grpc.aio.AioRpcError, match=field) as caught:
            await gateway.stub.SendFeedback(request_, timeout=TIMEOUT_S)
        assert caught.value.code().name == code

    async def test_what_a_surface_shows_is_kept_without_the_picture(self, gateway: Running, tmp_path: Path) -> None:
        picture = b"[1, 2, 3, 4]"
        answer = await gateway.stub.Search(pb.SearchRequest(image=picture, surface="page"), timeout=TIMEOUT_S)
        await until(lambda: _records(tmp_path))
        [found] = _records(tmp_path)
        assert isinstance(found, Impression)
        assert (found.query_id, found.surface, found.method) == (answer.query_id, "page", "Search")
        assert found.product_ids == tuple(hit.product_id for hit in answer.results)
        assert found.query_product_ids == ()
        stored = b"".join((tmp_path / LOG_FILE).with_name(LOG_FILE + end).read_bytes() for end in ("", "-wal"))
        assert found.query_id.encode() in stored
        assert picture not in stored
        assert to_wire(np.array([1, 2, 3, 4], np.float32)) not in stored

    async def test_the_products_that_asked_are_kept(self, gateway: Running, tmp_path: Path) -> None:
        liked = [pb.Example(product_id=name) for name in ("shoe3", "shoe4")]
        examples = pb.Examples(positive=liked, negative=[pb.Example(product_id="shoe5")])
        await gateway.stub.Search(pb.SearchRequest(product_id="shoe1", surface="page"), timeout=TIMEOUT_S)
        await gateway.stub.Search(pb.SearchRequest(examples=examples, surface="page"), timeout=TIMEOUT_S)
        await until(lambda: len(_records(tmp_path)) == 2)
        asked = [record.query_product_ids for record in _records(tmp_path) if isinstance(record, Impression)]
        assert asked == [("shoe1",), ("shoe3", "shoe4")]

    async def test_a_batch_keeps_what_each_search_with_a_surface_showed(self, gateway: Running, tmp_path: Path) -> None:
        searches = [
            pb.SearchRequest(product_id="shoe1", surface="page"),
            pb.SearchRequest(product_id="shoe2"),
            pb.SearchRequest(product_id="nobody", surface="page"),
        ]
        answer = await gateway.stub.BatchSearch(pb.BatchSearchRequest(searches=searches), timeout=TIMEOUT_S)
        await until(lambda: _records(tmp_path))
        assert [record.query_id for record in _records(tmp_path)] == [answer.results[0].response.query_id]

    async def test_without_a_surface_nothing_is_kept(self, gateway: Running, tmp_path: Path) -> None:
        await gateway.stub.Search(pb.SearchRequest(product_id="shoe1"), timeout=TIMEOUT_S)
        await gateway.stub.Search(pb.SearchRequest(product_id="shoe2", surface="page"), timeout=TIMEOUT_S)
        await until(lambda: _records(tmp_path))
        assert [record.query_product_ids for record in _records(tmp_path) if isinstance(record, Impression)] == [
            ("shoe2",)
        ]

    async def test_recent_queries_come_newest_first_with_their_best_results(self, gateway: Running) -> None:
        for number in range(3):
            await gateway.stub.Search(pb.SearchRequest(product_id=f"shoe{number}", page_size=20), timeout=TIMEOUT_S)
        await gateway.stub.Search(pb.SearchRequest(image=b"[1, 0, 0, 1]", surface="page"), timeout=TIMEOUT_S)
        listed = await gateway.stub.ListRecentQueries(pb.ListRecentQueriesRequest(), timeout=TIMEOUT_S)
        newest, *others = listed.queries
        assert (newest.method, newest.kind, newest.surface) == ("Search", "image", "page")
        assert [list(query.query_product_ids) for query in others] == [["shoe2"], ["shoe1"], ["shoe0"]]
        assert [len(query.results) for query in others] == [10] * 3
        assert newest.coverage.partitions_answered == PARTITIONS
        assert newest.handled_ms > 0

    async def test_no_more_queries_are_listed_than_asked_for_and_200_are_kept(self, gateway: Running) -> None:
        for number in range(205):
            await gateway.stub.Search(pb.SearchRequest(product_id=f"shoe{number % 30}", page_size=1), timeout=TIMEOUT_S)
        for count in (1, 200):
            listed = await gateway.stub.ListRecentQueries(pb.ListRecentQueriesRequest(count=count), timeout=TIMEOUT_S)
            assert len(listed.queries) == count
            assert listed.queries[0].query_product_ids == ["shoe24"]

    @pytest.mark.parametrize("count", [0, 201])
    async def test_a_count_out_of_range_is_named(self, gateway: Running, count: int) -> None:
        with pytest.raises(grpc.aio.AioRpcError, match="count"):
            await gateway.stub.ListRecentQueries(pb.ListRecentQueriesRequest(count=count), timeout=TIMEOUT_S)


def _request(
    rank: int = 1, surface: str = "page", kind: feedback_pb2.FeedbackKind.ValueType = feedback_pb2.FEEDBACK_KIND_CLICK
) -> pb.SendFeedbackRequest:
    feedback = feedback_pb2.Feedback(query_id=QUERY, product_id="shoe1", kind=kind, surface=surface, rank=rank)
    return pb.SendFeedbackRequest(feedback=feedback)


def _records(folder: Path) -> list[Feedback | Impression]:
    log = EmbeddedLog.open(folder / LOG_FILE, PARTITIONS)
    try:
        return [decode(entry.value) for entry in log.feedback()]
    finally:
        log.close()
