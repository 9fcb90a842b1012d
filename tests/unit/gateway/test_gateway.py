"""The gateway between its callers and searchers that are held back, broken, or of several minds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from prometheus_client import REGISTRY

from services.gateway import duplicates, scan, search
from services.gateway.blend import blend
from services.gateway.resolve import Resolver
from tests.unit.gateway.running import BREAKS, DIM, MODEL, PARTITIONS, Running, StubSearcher, calls_in_flight, running
from vitrine.client import Search, VisualSearchClient
from vitrine.index.settings import IndexSettings
from vitrine.runtime.channels import internal_channel
from vitrine.runtime.errors import InvalidArgument, NotFound, ResourceExhausted, Unavailable
from vitrine.stream.partitioning import partition_of
from vitrine.v1 import gateway_pb2 as pb
from vitrine.v1.catalogue_pb2 import LogPosition
from vitrine.v1.filter_pb2 import AnyString, Condition, Filter, NumberRange
from vitrine.vectors import Vectors, to_wire, unit

TIMEOUT_S = 10.0
ALL_KINDS = {"category": ["string"], "attributes.price": ["number"], "attributes.tags": ["string_list"]}


def catalogue(count: int = 40) -> dict[str, Vectors]:
    rng = np.random.default_rng(6)
    return {f"shoe{number}": vector for number, vector in enumerate(unit(rng.normal(size=(count, DIM)).astype("f4")))}


def share(partition: int, products: dict[str, Vectors]) -> dict[str, Vectors]:
    return {name: vector for name, vector in products.items() if partition_of(name, PARTITIONS) == partition}


PRODUCTS = catalogue()
QUERY = to_wire(np.array([1, 2, 3, 4], np.float32))


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Running]:
    """One searcher serves everything."""
    async with running(tmp_path, [[StubSearcher([0, 1], dict(PRODUCTS), ALL_KINDS)]]) as gateway:
        yield gateway


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Running]:
    """A searcher for each of the two partitions; only the second knows of prices."""
    first = StubSearcher([0], share(0, PRODUCTS), {**ALL_KINDS, "attributes.price": []})
    async with running(tmp_path, [[first], [StubSearcher([1], share(1, PRODUCTS), ALL_KINDS)]]) as gateway:
        yield gateway


@pytest.fixture
async def replicas(tmp_path: Path) -> AsyncIterator[Running]:
    """Two searchers for the same partitions."""
    async with running(tmp_path, [[StubSearcher([0, 1], dict(PRODUCTS)) for _ in range(2)]]) as gateway:
        yield gateway


async def test_searches_that_come_together_travel_together(alone: Running) -> None:
    searcher = alone.searchers[0]
    searcher.free.clear()
    first = asyncio.ensure_future(_search(alone))
    await _until(lambda: len(searcher.searches) == 1)
    rest = [asyncio.ensure_future(_search(alone, page_size=size)) for size in range(1, 6)]
    # Theirs, the first one's, and the one to the searcher.
    await _until(lambda: calls_in_flight() == 7)
    searcher.free.set()
    assert len((await first).results) == 10
    assert [len((await call).results) for call in rest] == [1, 2, 3, 4, 5]
    assert searcher.batch_sizes == [1, 5]


@pytest.mark.parametrize(
    "own",
    [
        {"exact": True},
        {"explain": True},
        {"recall_target": 0.9},
        {"facets": ["category"]},
        {"filter": Filter(all_of=[Condition(field="category", any_string=AnyString(values=["shoe"]))])},
        {"page_size": 101},
    ],
    ids=lambda own: str(next(iter(own))),
)
async def test_a_search_with_wishes_of_its_own_waits_for_nobody(alone: Running, own: dict[str, object]) -> None:
    searcher = alone.searchers[0]
    searcher.free.clear()
    plain = [asyncio.ensure_future(_search(alone))]
    await _until(lambda: len(searcher.searches) == 1)
    special = asyncio.ensure_future(_search(alone, **own))
    await _until(lambda: len(searcher.searches) == 2)
    searcher.free.set()
    await asyncio.gather(special, *plain)


async def test_a_failed_searcher_fails_everyone_it_carried_and_is_named(alone: Running) -> None:
    alone.searchers[0].failing = grpc.StatusCode.INTERNAL
    for outcome in await asyncio.gather(_search(alone), _search(alone), return_exceptions=True):
        assert isinstance(outcome, grpc.aio.AioRpcError)
        assert outcome.code() is grpc.StatusCode.UNAVAILABLE
        assert "partition 0: searcher 127.0.0.1" in str(outcome.details())


async def test_another_replica_answers_for_one_that_is_gone(replicas: Running) -> None:
    replicas.searchers[0].failing = grpc.StatusCode.UNAVAILABLE
    answers = await asyncio.gather(*(_search(replicas) for _ in range(6)))
    assert {answer.coverage.partitions_answered for answer in answers} == {2}


async def test_the_idle_replica_is_asked(replicas: Running) -> None:
    first, second = replicas.searchers
    first.free.clear()
    stuck = asyncio.ensure_future(_search(replicas))
    await _until(lambda: len(first.searches) == 1)
    assert len((await _search(replicas)).results) == 10
    assert second.batch_sizes == [1]
    first.free.set()
    await stuck


async def test_a_caller_that_goes_away_takes_only_its_own_query_along(alone: Running) -> None:
    searcher = alone.searchers[0]
    searcher.free.clear()
    stays, goes = (asyncio.ensure_future(_search(alone)) for _ in range(2))
    await _until(lambda: sum(searcher.batch_sizes) >= 1)
    goes.cancel()
    await asyncio.sleep(0.1)
    searcher.free.set()
    assert len((await stays).results) == 10


async def test_the_searcher_is_told_when_nobody_waits_any_more(alone: Running) -> None:
    searcher = alone.searchers[0]
    searcher.free.clear()
    call = asyncio.ensure_future(_search(alone))
    await _until(lambda: len(searcher.searches) == 1)
    call.cancel()
    await _until(lambda: searcher.cancelled == 1)


async def test_a_late_searcher_costs_its_partition_and_is_named(two: Running) -> None:
    two.searchers[0].free.clear()
    answer = await two.stub.Search(pb.SearchRequest(vector=QUERY))
    assert answer.coverage.partitions_answered == 1
    assert [failure.partition for failure in answer.coverage.failures] == [0]
    assert "deadline_exceeded" in answer.coverage.failures[0].reason


async def test_answers_of_several_searchers_become_one_ranking(two: Running) -> None:
    answer = await _search(two, page_size=40)
    assert [hit.product_id for hit in answer.results] == _ranked(PRODUCTS)
    assert answer.recall == pytest.approx(0.99)
    assert answer.coverage.rows_searched == 40


async def test_pages_joined_are_one_long_answer(two: Running) -> None:
    with _client(two) as client:
        pages = await asyncio.to_thread(lambda: list(client.pages(Search(vector=np.frombuffer(QUERY, "<f4"), k=7))))
    assert [len(page.hits) for page in pages] == [7, 7, 7, 7, 7, 5]
    assert [hit.product_id for page in pages for hit in page.hits] == _ranked(PRODUCTS)
    assert [request.queries[0].skipped for request in two.searchers[0].searches] == [0, 7, 14, 21, 28, 35]


async def test_pages_stay_in_order_while_products_come_and_go(two: Running) -> None:
    ranked = _ranked(PRODUCTS)
    first = await _search(two, page_size=10)
    first_searcher = two.searchers[0]
    gone = next(name for name in ranked[5:10] if name in first_searcher.catalogue)
    ahead = next(name for name in ranked[12:] if name in first_searcher.catalogue)
    del first_searcher.catalogue[gone], first_searcher.catalogue[ahead]
    first_searcher.catalogue["newest"] = unit(np.array([[1, 2, 3, 4]], np.float32))[0]
    second = await _search(two, page_size=30, page_token=first.next_page_token)
    found = [hit.product_id for hit in second.results]
    assert found == [name for name in ranked[10:] if name != ahead]


@pytest.mark.parametrize("query", [{"image": b"[1, 2, 3, 4]"}, {"product_id": "shoe3"}], ids=["image", "product"])
async def test_later_pages_keep_the_vector_of_the_first(alone: Running, query: dict[str, object]) -> None:
    first = await alone.stub.Search(pb.SearchRequest(**query), timeout=TIMEOUT_S)  # type: ignore[arg-type]
    alone.searchers[0].catalogue["shoe3"] = -PRODUCTS["shoe3"]
    token = first.next_page_token
    second = await alone.stub.Search(pb.SearchRequest(**query, page_token=token), timeout=TIMEOUT_S)  # type: ignore[arg-type]
    vectors = {request.queries[0].vector for request in alone.searchers[0].searches}
    assert len(vectors) == 1
    assert {hit.product_id for hit in first.results}.isdisjoint(hit.product_id for hit in second.results)
    assert alone.embedder.calls == ([1] if "image" in query else [])


@pytest.mark.parametrize(
    "other",
    [
        {"vector": to_wire(np.array([1, 2, 3, 5], np.float32))},
        {"product_id": "shoe1"},
        {"min_score": 0.5},
        {"exact": True},
        {"recall_target": 0.9},
        {"filter": Filter(all_of=[Condition(field="category", any_string=AnyString(values=["shoe"]))])},
    ],
    ids=lambda other: str(next(iter(other))),
)
async def test_another_querys_token_is_refused(alone: Running, other: dict[str, object]) -> None:
    token = (await _search(alone)).next_page_token
    with _refused("INVALID_ARGUMENT", "page_token: belongs to another query"):
        await _search(alone, page_token=token, **other)


async def test_pages_end_after_a_thousand_products(tmp_path: Path) -> None:
    async with running(tmp_path, [[StubSearcher([0, 1], catalogue(1_100))]]) as gateway:
        first = await _search(gateway, page_size=990)
        last = await _search(gateway, page_size=990, page_token=first.next_page_token)
        assert (len(last.results), last.next_page_token) == (10, "")
        assert (await _search(gateway, page_size=1_000)).next_page_token == ""
        with _client(gateway) as client:
            search = Search(vector=np.frombuffer(QUERY, "<f4"), k=300)
            pages = await asyncio.to_thread(lambda: list(client.pages(search)))
    assert [len(page.hits) for page in pages] == [300, 300, 300, 100]


async def test_a_field_is_unknown_only_if_no_partition_has_it(two: Running) -> None:
    price = Filter(all_of=[Condition(field="attributes.price", range=NumberRange(lt=5))])
    assert (await _search(two, filter=price)).results
    typo = Filter(none_of=[Condition(field="attributes.colr", any_string=AnyString(values=["red"]))])
    with _refused("INVALID_ARGUMENT", 'filter.none_of[0].field: no product has "attributes.colr"'):
        await _search(two, filter=typo)
    with _refused("INVALID_ARGUMENT", 'facets[1]: no product has "live.stock"'):
        await _search(two, facets=["category", "live.stock"])


async def test_a_field_is_not_called_unknown_while_a_partition_is_missing(two: Running) -> None:
    two.searchers[1].missing = {1}
    typo = Filter(all_of=[Condition(field="attributes.colr", any_string=AnyString(values=["red"]))])
    answer = await _search(two, filter=typo)
    assert answer.coverage.partitions_answered == 1


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (
            Condition(field="category", range=NumberRange(lt=5)),
            'filter.any_of[0].range: "category" is a string, not a number',
        ),
        (
            Condition(field="attributes.price", any_string=AnyString(values=["a"])),
            'filter.any_of[0].any_string: "attributes.price" is a number, not a string',
        ),
        (
            Condition(field="attributes.tags", bool=True),
            'filter.any_of[0].bool: "attributes.tags" is a list of strings, not a bool',
        ),
    ],
    ids=["range", "any_string", "bool"],
)
async def test_a_condition_of_another_kind_than_its_field(alone: Running, condition: Condition, words: str) -> None:
    with _refused("INVALID_ARGUMENT", words):
        await _search(alone, filter=Filter(any_of=[condition]))


async def test_facets_count_the_best_thousand_whatever_the_page(two: Running) -> None:
    first = await _search(two, page_size=3, facets=["category"])
    second = await _search(two, page_size=3, facets=["category"], page_token=first.next_page_token)
    assert len(first.results) == len(second.results) == 3
    for answer in (first, second):
        assert [(count.value.string, count.products) for count in answer.facets[0].counts] == [("shoe", 40)]
        assert answer.facets[0].products == 40


async def test_explain_brings_the_plan_of_each_searcher(two: Running) -> None:
    answer = await _search(two, explain=True)
    assert [(plan.partition, plan.method) for plan in answer.plans] == [(0, "exact"), (1, "exact")]
    assert not (await _search(two)).plans


async def test_a_batch_answers_each_search_and_refuses_each_bad_one(two: Running) -> None:
    with _client(two) as client:
        vector = np.frombuffer(QUERY, "<f4")
        asked = [
            Search(vector=vector, k=3),
            Search(vector=vector[:2]),
            Search(image=b"[1, 2, 3, 4]", k=2),
            Search(image=b"no picture"),
            Search(product_id="shoe7", k=4),
            Search(product_id="nothing"),
            Search(vector=vector, k=0),
            Search(vector=vector, page_token="x"),  # noqa: S106  (no password)
        ]
        answers = await asyncio.to_thread(client.search_batch, asked)
    good = [answer for answer in answers if not isinstance(answer, Exception)]
    assert [[hit.product_id for hit in answer.hits] for answer in good[:2]] == [
        _ranked(PRODUCTS)[:3],
        _ranked(PRODUCTS)[:2],
    ]
    assert len(good[2].hits) == 4
    assert "shoe7" not in [hit.product_id for hit in good[2].hits]
    assert [type(answer) for answer in answers if isinstance(answer, Exception)] == [
        *(InvalidArgument, InvalidArgument, NotFound, InvalidArgument, InvalidArgument)
    ]
    fields = [answer.field for answer in answers if isinstance(answer, InvalidArgument)]
    assert fields == ["vector", "image", "page_size", "page_token"]
    assert two.embedder.calls == [2]


async def test_a_batch_travels_in_calls_of_64(alone: Running) -> None:
    searches = [pb.SearchRequest(vector=QUERY, page_size=1 + number % 3) for number in range(130)]
    response = await alone.stub.BatchSearch(pb.BatchSearchRequest(searches=searches), timeout=TIMEOUT_S)
    assert [len(result.response.results) for result in response.results] == [1 + number % 3 for number in range(130)]
    assert sorted(alone.searchers[0].batch_sizes) == [2, 64, 64]


@pytest.mark.parametrize(
    "searches",
    [[], [pb.SearchRequest(vector=QUERY)] * 257, [pb.SearchRequest(image=b"[1]")] * 65],
    ids=["none", "257", "65 pictures"],
)
async def test_a_batch_of_a_wrong_size(alone: Running, searches: Sequence[pb.SearchRequest]) -> None:
    with _refused("INVALID_ARGUMENT", "searches: ha", "are accepted"):
        await alone.stub.BatchSearch(pb.BatchSearchRequest(searches=searches), timeout=TIMEOUT_S)


@pytest.mark.parametrize(
    "searches",
    [[{"page_size": 5_000}] * 2 + [{"page_size": 1}], [{"facets": ["category"]}] * 10 + [{"page_size": 1}]],
    ids=["pages", "facets"],
)
async def test_a_batch_that_asks_for_too_much_in_all(alone: Running, searches: Sequence[dict[str, object]]) -> None:
    asked = [pb.SearchRequest(vector=QUERY, **fields) for fields in searches]  # type: ignore[arg-type]
    with _refused("INVALID_ARGUMENT", "searches: ask for 10,001 products"):
        await alone.stub.BatchSearch(pb.BatchSearchRequest(searches=asked), timeout=TIMEOUT_S)
    response = await alone.stub.BatchSearch(pb.BatchSearchRequest(searches=asked[:-1]), timeout=TIMEOUT_S)
    assert all(result.HasField("response") for result in response.results)


async def test_a_call_of_a_batch_asks_for_two_thousand_products_at_most(alone: Running) -> None:
    searches = [pb.SearchRequest(vector=QUERY, page_size=size) for size in (900, 900, 900, 3_000, 200)]
    await alone.stub.BatchSearch(pb.BatchSearchRequest(searches=searches), timeout=TIMEOUT_S)
    asked = [[query.k for query in request.queries] for request in alone.searchers[0].searches]
    assert sorted(asked) == [[200], [900], [900, 900], [3_000]]


async def test_searches_whose_answers_are_too_large_together_are_asked_alone(alone: Running) -> None:
    alone.searchers[0].hits_fit = 9
    searches = [pb.SearchRequest(vector=QUERY, page_size=size) for size in (5, 6, 10)]
    response = await alone.stub.BatchSearch(pb.BatchSearchRequest(searches=searches), timeout=TIMEOUT_S)
    assert [len(result.response.results) for result in response.results] == [5, 6, 0]
    assert response.results[2].error.message.startswith("page_size: ")
    answers = await asyncio.gather(_search(alone, page_size=5), _search(alone, page_size=6))
    assert [len(answer.results) for answer in answers] == [5, 6]


async def test_a_large_answer_is_put_together_while_others_are_served(
    alone: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[bool] = []

    def watched(response: pb.SearchResponse, *others: Any) -> None:
        threads.append(threading.current_thread() is threading.main_thread())
        blend(response, *others)

    monkeypatch.setattr(search, "blend", watched)
    alone.searchers[0].catalogue.update(catalogue(1_001))
    assert len((await _search(alone, page_size=1_000)).results) == 1_000
    assert len((await _search(alone, page_size=1_001)).results) == 1_001
    assert threads == [True, False]


async def test_a_picture_that_breaks_the_embedder_fails_alone(alone: Running) -> None:
    searches = [
        pb.SearchRequest(image=b"[1, 2, 3, 4]"),
        pb.SearchRequest(image=BREAKS),
        pb.SearchRequest(vector=QUERY),
        pb.SearchRequest(image=b"[4, 3, 2, 1]"),
    ]
    response = await alone.stub.BatchSearch(pb.BatchSearchRequest(searches=searches), timeout=TIMEOUT_S)
    assert [len(result.response.results) for result in response.results] == [10, 0, 10, 10]
    assert response.results[1].error.code == "INTERNAL"
    with _refused("INTERNAL"):
        await alone.stub.Search(searches[1], timeout=TIMEOUT_S)


async def test_no_more_positions_are_waited_for_than_may(alone: Running) -> None:
    await _search(alone, at_least=[LogPosition()] * 1_024)
    with _refused("INVALID_ARGUMENT", "at_least: has 1,025"):
        await _search(alone, at_least=[LogPosition()] * 1_025)


async def test_a_scan_ends_however_far_its_callers_deadline(alone: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "MAX_SCAN_S", 0.3)
    alone.searchers[0].free.clear()
    with _refused("DEADLINE_EXCEEDED", "partition 0"):
        async for _ in alone.stub.Scan(pb.ScanRequest(vector=QUERY, min_score=-1), timeout=TIMEOUT_S):
            pass


async def test_a_scan_that_nobody_reads_gives_its_place_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "MAX_SCAN_S", 3.0)
    # More bytes than fit on the way to a caller that does not read.
    large = {"x" * 10_000 + name: vector for name, vector in catalogue(1_000).items()}
    async with running(tmp_path, [[StubSearcher([0, 1], large)]], scans=1) as gateway:
        unread = gateway.stub.Scan(pb.ScanRequest(vector=QUERY, min_score=-1), timeout=TIMEOUT_S)
        assert (await anext(aiter(unread))).results
        assert scans_running() == 1
        await _until(lambda: scans_running() == 0)
        monkeypatch.setattr(scan, "MAX_SCAN_S", TIMEOUT_S)
        with _client(gateway) as client:
            other = client.scan(vector=np.frombuffer(QUERY, "<f4"), min_score=0.9, require_complete=True)
            assert await asyncio.to_thread(lambda: list(other))
        unread.cancel()


async def test_a_taste_that_cannot_be_looked_up_is_said_to_be_missing(two: Running) -> None:
    two.searchers[1].unread.add(1)
    liked = next(name for name in PRODUCTS if partition_of(name, 2) == 1)
    history = [pb.HistoryItem(product_id=liked)]

    response = await _search(two, history=history)

    assert [(failure.partition, failure.reason) for failure in response.coverage.failures] == [
        (1, "history: not served here")
    ]
    assert response.results
    with pytest.raises(grpc.aio.AioRpcError, match="require_complete: partition 1: history"):
        await _search(two, history=history, require_complete=True)


async def test_duplicates_that_nobody_reads_give_their_place_back(
    two: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "MAX_S", 1.0)
    monkeypatch.setattr(duplicates, "_UNREAD_S", 0.5)
    index = IndexSettings("default", DIM, MODEL, PARTITIONS)
    async with internal_channel(two.address) as channel:
        finding = duplicates.Duplicates(Resolver(channel, two.fanout), two.fanout)

        async def read_one() -> None:
            async with aclosing(finding.find(pb.FindDuplicatesRequest(), index, TIMEOUT_S)) as found:
                await anext(found)
                await asyncio.Event().wait()

        unread = asyncio.ensure_future(read_one())
        await asyncio.wait([unread], timeout=TIMEOUT_S)

        assert unread.done()
        monkeypatch.setattr(duplicates, "MAX_S", TIMEOUT_S)
        assert [message async for message in finding.find(pb.FindDuplicatesRequest(), index, TIMEOUT_S)]
        await asyncio.gather(unread, return_exceptions=True)


async def test_a_search_for_another_index_is_refused_within_its_batch(alone: Running) -> None:
    searches = [pb.SearchRequest(vector=QUERY, index="other"), pb.SearchRequest(vector=QUERY, index="default")]
    response = await alone.stub.BatchSearch(pb.BatchSearchRequest(searches=searches), timeout=TIMEOUT_S)
    assert response.results[0].error.message.startswith("index: is 'other'")
    assert len(response.results[1].response.results) == 10


async def test_a_scan_brings_every_product_and_what_it_cost(two: Running) -> None:
    with _client(two) as client:
        scan = client.scan(vector=np.frombuffer(QUERY, "<f4"), min_score=0.0)
        found = await asyncio.to_thread(lambda: sorted(hit.product_id for hit in scan))
    query = unit(np.array([[1, 2, 3, 4]], np.float32))[0]
    assert found == sorted(name for name, vector in PRODUCTS.items() if float(query @ vector) >= 0)
    assert scan.summary is not None
    assert scan.summary.coverage.complete
    assert (scan.summary.products, scan.summary.rows_scored) == (len(found), len(PRODUCTS))


async def test_a_scan_that_loses_a_searcher_says_so(two: Running) -> None:
    two.searchers[1].breaks_after = 1
    with _client(two) as client:
        scan = client.scan(vector=np.frombuffer(QUERY, "<f4"), min_score=-1)
        await asyncio.to_thread(lambda: list(scan))
        assert scan.summary is not None
        assert list(scan.summary.coverage.failures) == [1]
        complete = client.scan(vector=np.frombuffer(QUERY, "<f4"), min_score=-1, require_complete=True)
        with pytest.raises(Unavailable, match="require_complete"):
            await asyncio.to_thread(lambda: list(complete))


async def test_another_replica_scans_for_one_that_is_gone(replicas: Running) -> None:
    replicas.searchers[0].breaks_after = 0
    with _client(replicas) as client:
        scan = client.scan(vector=np.frombuffer(QUERY, "<f4"), min_score=-1, require_complete=True)
        assert len(await asyncio.to_thread(lambda: list(scan))) == len(PRODUCTS)


async def test_no_product_of_a_scan_comes_twice_because_a_searcher_was_lost(replicas: Running) -> None:
    replicas.searchers[0].breaks_after = 5
    with _client(replicas) as client:
        scan = client.scan(vector=np.frombuffer(QUERY, "<f4"), min_score=-1)
        with pytest.raises(Unavailable, match="partition 0: searcher"):
            await asyncio.to_thread(lambda: list(scan))
    assert replicas.searchers[1].scans == 0


async def test_no_more_scans_run_than_may_and_a_scan_that_ends_early_makes_room(tmp_path: Path) -> None:
    searcher = StubSearcher([0, 1], dict(PRODUCTS))
    async with running(tmp_path, [[searcher]], scans=1) as gateway:
        searcher.free.clear()
        request = pb.ScanRequest(vector=QUERY, min_score=-1)
        call = gateway.stub.Scan(request, timeout=TIMEOUT_S)
        assert (await anext(aiter(call))).results
        with _client(gateway) as client, pytest.raises(ResourceExhausted):
            await asyncio.to_thread(lambda: list(client.scan(vector=np.frombuffer(QUERY, "<f4"), min_score=-1)))
        call.cancel()
        await _until(lambda: searcher.cancelled == 1)
        searcher.free.set()
        assert len([message async for message in gateway.stub.Scan(request, timeout=TIMEOUT_S)]) == len(PRODUCTS) + 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"vector": QUERY}, "min_score: is needed"),
        ({"min_score": 0.5}, "query: one of"),
        ({"vector": QUERY, "min_score": float("nan")}, "min_score: is nan"),
        (
            {"vector": QUERY, "min_score": 0.5, "filter": Filter(all_of=[Condition(field="category")])},
            "filter.all_of[0]",
        ),
    ],
    ids=["no min_score", "no query", "nan", "filter"],
)
async def test_a_scan_that_is_wrong(alone: Running, fields: dict[str, object], words: str) -> None:
    with _refused("INVALID_ARGUMENT", words):
        async for _ in alone.stub.Scan(pb.ScanRequest(**fields), timeout=TIMEOUT_S):  # type: ignore[arg-type]
            pass


class _refused:  # noqa: N801  (used like a function)
    """The block's call fails with `code` and says each of `words`."""

    def __init__(self, code: str, *words: str) -> None:
        self._code, self._words = code, words

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        assert isinstance(error, grpc.aio.AioRpcError), error
        assert error.code().name == self._code, error.details()
        assert [word for word in self._words if word not in str(error.details())] == [], error.details()
        return True


def _client(gateway: Running) -> VisualSearchClient:
    return VisualSearchClient(gateway.address, timeout_s=TIMEOUT_S)


async def _search(gateway: Running, **fields: object) -> pb.SearchResponse:
    query = {} if {"image", "product_id", "vector"} & set(fields) else {"vector": QUERY}
    request = pb.SearchRequest(**query, **fields)  # type: ignore[arg-type]
    response: pb.SearchResponse = await gateway.stub.Search(request, timeout=TIMEOUT_S)
    return response


def scans_running() -> float | None:
    return REGISTRY.get_sample_value("vitrine_gateway_scans_running")


async def _until(condition: object) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110  (what is waited for sends no event)
            await asyncio.sleep(0.01)


def _ranked(products: dict[str, Vectors]) -> list[str]:
    query = unit(np.array([[1, 2, 3, 4]], np.float32))[0]
    return sorted(products, key=lambda name: (-float(query @ products[name]), name))
