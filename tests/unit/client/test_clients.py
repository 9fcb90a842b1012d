"""Both clients, over real gRPC, with a gateway that answers what it is told to: they send and read the same."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from tests.unit.client.gateway import COVERAGE, TIMEOUT_S, Awaiting, Blocking, Client, Failure, Script, running
from vitrine.client import (
    AsyncVisualSearchClient,
    Coverage,
    HistoryItem,
    Interest,
    ProductImage,
    RemoteError,
    Search,
    VisualSearchClient,
)
from vitrine.filters import Filter, any_string
from vitrine.filters_codec import filter_message
from vitrine.images import CropBox
from vitrine.runtime.errors import InvalidArgument, NotFound, ResourceExhausted, Unavailable, VitrineError
from vitrine.stream.codec import timestamp
from vitrine.stream.events import Delete, LiveUpdate
from vitrine.stream.log import Position
from vitrine.v1 import embedder_pb2, searcher_pb2
from vitrine.v1 import gateway_pb2 as pb
from vitrine.v1.catalogue_pb2 import AttributeValue, DeadLetter, ItemError, LogPosition

VECTOR = np.ones(4, np.float32)
BOX = embedder_pb2.CropBox(left=0.25, top=0, right=0.75, bottom=1)
HIT = searcher_pb2.Hit(product_id="p1", score=0.5, category="Shoes", live={"price": AttributeValue(number=9.5)})
SHOES = Filter(all_of=(any_string("category", "Shoes"),))
AT_LEAST = [Position(1, 2)]
MORE = "of-the-next-page"
ABOUT: dict[str, Any] = {"coverage": COVERAGE, "index_time": timestamp(5), "model_id": "m", "query_id": "q"}
COMPLETE = Coverage(2, 2, 40, {})


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def address(script: Script) -> Iterator[str]:
    with running(script) as address:
        yield address


@pytest.fixture(params=[Blocking, Awaiting], ids=["blocking", "asyncio"])
def client(request: pytest.FixtureRequest, address: str) -> Iterator[Client]:
    with closing(request.param(address, index="shop", timeout_s=TIMEOUT_S, caller="page")) as client:
        yield client


def test_both_clients_offer_the_same_calls_with_the_same_fields() -> None:
    blocking, awaiting = (_public(kind) for kind in (VisualSearchClient, AsyncVisualSearchClient))
    assert blocking.keys() == awaiting.keys()
    for name, fields in blocking.items():
        assert list(fields.values()) == list(awaiting[name].values()), name


def test_help_shows_the_fields_of_a_search() -> None:
    shown = inspect.signature(VisualSearchClient.search).parameters
    assert list(shown)[1:] == list(inspect.signature(Search).parameters)
    assert VisualSearchClient.search.__doc__ == Search.__doc__


def test_a_search_is_sent_and_read(client: Client, script: Script) -> None:
    script.answers["Search"] = pb.SearchResponse(
        results=[HIT],
        **ABOUT,
        next_page_token=MORE,
        recall=0.5,
        region=pb.FoundRegion(crop=BOX, no_product_score=0.25),
        predicted_category=pb.PredictedCategory(category="Shoes", confidence=0.75, applied=True),
    )
    answer = client.call("search", image=b"jpeg", k=3, crop="auto", category="predict")

    expected = pb.SearchRequest(index="shop", image=b"jpeg", page_size=3)
    expected.crop_mode, expected.category_mode = pb.CROP_MODE_AUTO, pb.CATEGORY_MODE_PREDICT
    assert script.requests("Search") == [expected]
    assert [(hit.product_id, hit.score, hit.category, hit.live) for hit in answer.hits] == [
        ("p1", 0.5, "Shoes", {"price": 9.5})
    ]
    assert (answer.coverage, answer.index_time_us, answer.model_id, answer.query_id) == (COMPLETE, 5, "m", "q")
    assert (answer.next_page_token, answer.recall) == (MORE, 0.5)
    assert (answer.region.crop, answer.region.no_product_score) == (CropBox(0.25, 0, 0.75, 1), 0.25)
    predicted = answer.predicted_category
    assert (predicted.category, predicted.confidence, predicted.applied) == ("Shoes", 0.75, True)


def test_what_an_answer_lacks_is_none(client: Client, script: Script) -> None:
    script.answers["Search"] = pb.SearchResponse(region=pb.FoundRegion())
    answer = client.call("search", product_id="p")
    assert (answer.region.crop, answer.region.no_product_score, answer.predicted_category) == (None, None, None)


def test_a_plain_search_by_vector_is_answered(client: Client, script: Script) -> None:
    script.answers["Search"] = pb.SearchResponse(results=[HIT])
    assert [hit.product_id for hit in client.call("search", vector=VECTOR).hits] == ["p1"]


def test_a_recommendation_is_sent_and_read(client: Client, script: Script) -> None:
    interest = pb.Interest(product_id="a", weight=0.75, history_product_ids=["a", "b"])
    script.answers["Recommend"] = pb.RecommendResponse(
        results=[pb.Recommendation(hit=HIT, interest=1, because_product_id="b")],
        **ABOUT,
        interests=[pb.Interest(product_id="c", weight=0.25), interest],
        unknown_product_ids=["gone"],
        recall=1.0,
    )
    history = ["a", HistoryItem("b", 7, 2.0)]
    wishes = {"k": 4, "half_life_days": 3.5, "max_interests": 2, "diversity": 0.5, "min_score": 0.25}
    found = client.call("recommend", history, **wishes, **_common(surface="strip"))

    expected = pb.RecommendRequest(
        history=[pb.HistoryItem(product_id="a"), pb.HistoryItem(product_id="b", time=timestamp(7), weight=2)],
        page_size=4,
        half_life_days=3.5,
        max_interests=2,
        diversity=0.5,
        min_score=0.25,
        surface="strip",
        **_common_message(),
    )
    assert script.requests("Recommend") == [expected]
    assert _unset(expected) == set()
    assert found.hits == [result.hit for result in found.results]
    assert found.results[0].interest == found.interests[1] == Interest("a", 0.75, ("a", "b"))
    assert (found.results[0].because_product_id, found.unknown_product_ids, found.recall) == ("b", ["gone"], 1)
    assert (found.coverage, found.index_time_us, found.model_id, found.query_id) == (COMPLETE, 5, "m", "q")


def test_a_look_is_sent_and_read(client: Client, script: Script) -> None:
    script.answers["CompleteTheLook"] = pb.CompleteTheLookResponse(
        categories=[pb.LookCategory(category="Bags", results=[HIT])],
        **ABOUT,
        own_category="Shoes",
        affinity="style",
        region=pb.FoundRegion(crop=BOX),
    )
    wishes: dict[str, Any] = {"own_category": "Shoes", "categories": ["Bags"], "per_category": 2}
    found = client.call("complete_the_look", image=b"jpeg", crop="auto", **wishes, **_common(surface="page"))

    expected = pb.CompleteTheLookRequest(
        image=b"jpeg", crop_mode=pb.CROP_MODE_AUTO, surface="page", **wishes, **_common_message()
    )
    assert script.requests("CompleteTheLook") == [expected]
    assert _unset(expected) == {"product_id", "crop"}
    assert [(part.category, [hit.product_id for hit in part.hits]) for part in found.categories] == [("Bags", ["p1"])]
    assert (found.own_category, found.affinity) == ("Shoes", "style")
    assert found.region.crop == CropBox(0.25, 0, 0.75, 1)
    assert (found.coverage, found.index_time_us, found.model_id, found.query_id) == (COMPLETE, 5, "m", "q")


def test_duplicates_come_as_they_are_found_with_progress_and_a_summary(client: Client, script: Script) -> None:
    member = pb.DuplicateMember(product_id="a", image_id="0", uri="u", sha256=b"s", score=0.75, category="Shoes")
    script.answers["FindDuplicates"] = [
        pb.FindDuplicatesResponse(products_compared=1, products_total=3),
        pb.FindDuplicatesResponse(groups=[pb.DuplicateGroup(members=[member, member])]),
        pb.FindDuplicatesResponse(products_compared=3, products_total=3, **ABOUT),
    ]
    progress: list[tuple[int, int]] = []
    groups, summary = client.streamed(
        "find_duplicates", min_score=0.5, progress=lambda *done: progress.append(done), **_common()
    )

    expected = pb.FindDuplicatesRequest(min_score=0.5, **_common_message())
    assert script.requests("FindDuplicates") == [expected]
    assert _unset(expected) == set()
    assert [[(one.product_id, one.image_id, one.uri, one.sha256, one.score) for one in group] for group in groups] == [
        [("a", "0", "u", b"s", 0.75)] * 2
    ]
    assert progress == [(1, 3), (3, 3)]
    assert (summary.products_compared, summary.products_total, summary.coverage) == (3, 3, COMPLETE)


def test_a_scan_is_sent_and_read(client: Client, script: Script) -> None:
    script.answers["Scan"] = [
        pb.ScanResponse(results=[HIT]),
        pb.ScanResponse(products=1, cost=searcher_pb2.ScanCost(rows_scored=40), **ABOUT),
    ]
    hits, summary = client.streamed("scan", min_score=0.5, image=b"jpeg", crop=CropBox(0.25, 0, 0.75, 1), **_common())

    expected = pb.ScanRequest(min_score=0.5, image=b"jpeg", crop=BOX, **_common_message())
    assert script.requests("Scan") == [expected]
    assert _unset(expected) == {"product_id", "vector"}
    assert [hit.product_id for hit in hits] == ["p1"]
    assert (summary.products, summary.rows_scored, summary.coverage) == (1, 40, COMPLETE)


@pytest.mark.parametrize(
    ("method", "name", "fields"),
    [("Scan", "scan", {"vector": VECTOR, "min_score": 0.5}), ("FindDuplicates", "find_duplicates", {})],
)
def test_a_stream_that_ends_without_its_last_message_was_cut_short(
    client: Client, script: Script, method: str, name: str, fields: dict[str, Any]
) -> None:
    script.answers[method] = []
    with pytest.raises(Unavailable, match="was cut short"):
        client.streamed(name, **fields)


def test_feedback_is_sent_with_its_time(client: Client, script: Script) -> None:
    script.answers["SendFeedback"] = pb.SendFeedbackResponse()
    before_us = time.time_ns() // 1_000
    assert client.call("send_feedback", "q", "p1", "add_to_cart", surface="search", rank=3) is None
    client.call("send_feedback", "q", "p1", "click", time_us=7)

    first, second = (request.feedback for request in script.requests("SendFeedback"))
    assert (first.query_id, first.product_id, first.kind, first.surface, first.rank) == ("q", "p1", 2, "search", 3)
    assert before_us <= first.time.ToMicroseconds() <= time.time_ns() // 1_000
    assert (second.kind, second.HasField("rank"), second.time.ToMicroseconds()) == (1, False, 7)


def test_recent_queries_are_read(client: Client, script: Script) -> None:
    query = pb.RecentQuery(time=timestamp(9), method="Search", kind="image", query_product_ids=["a"], results=[HIT])
    script.answers["ListRecentQueries"] = pb.ListRecentQueriesResponse(queries=[query])
    (found,) = client.call("recent_queries", 20)

    assert script.requests("ListRecentQueries") == [pb.ListRecentQueriesRequest(index="shop", count=20)]
    assert (found.time_us, found.method, found.kind, found.query_product_ids) == (9, "Search", "image", ("a",))
    assert [hit.product_id for hit in found.hits] == ["p1"]


def test_a_product_comes_with_its_vectors_if_they_are_asked_for(client: Client, script: Script) -> None:
    images = [
        searcher_pb2.IndexedImage(image_id="0", sha256=b"a", vector=VECTOR.tobytes()),
        searcher_pb2.IndexedImage(image_id="1", uri="u", sha256=b"b"),
    ]
    script.answers["GetProduct"] = pb.GetProductResponse(product=searcher_pb2.Product(product_id="p", images=images))
    found = client.call("product", "p", AT_LEAST, with_vectors=True)

    expected = pb.GetProductRequest(index="shop", product_id="p", with_vectors=True, at_least=_places())
    assert script.requests("GetProduct") == [expected]
    first, second = found.images
    assert isinstance(first, ProductImage)
    assert first.vector is not None
    assert first.vector.dtype == np.float32
    assert first.vector.tolist() == [1, 1, 1, 1]
    assert (second.image_id, second.uri, second.vector) == ("1", "u", None)
    assert found.image_sha256s == {"0": b"a", "1": b"b"}


def test_a_thumbnail_and_the_status_are_read(client: Client, script: Script) -> None:
    script.answers["GetThumbnail"] = pb.GetThumbnailResponse(webp=b"webp")
    script.answers["GetIndexStatus"] = pb.GetIndexStatusResponse(dim=4)
    assert client.call("thumbnail", b"sha") == b"webp"
    assert client.call("status").dim == 4
    assert script.requests("GetThumbnail") == [pb.GetThumbnailRequest(index="shop", sha256=b"sha")]


def test_what_was_refused_is_listed(client: Client, script: Script) -> None:
    letter = DeadLetter(position=LogPosition(partition=1, offset=2), product_id="p", reason="why")
    script.answers["ListDeadLetters"] = [letter, letter]
    refusals = client.call("refusals", AT_LEAST)
    assert [(one.position, one.product_id, one.reason) for one in refusals] == [(Position(1, 2), "p", "why")] * 2
    assert list(script.requests("ListDeadLetters")[0].since) == _places()


def test_searches_of_a_batch_are_answered_one_by_one(client: Client, script: Script) -> None:
    error = pb.BatchSearchResult(error=ItemError(code="NOT_FOUND", message="product_id: no product 'q'"))
    good = pb.BatchSearchResult(response=pb.SearchResponse(results=[HIT]))
    script.answers["BatchSearch"] = pb.BatchSearchResponse(results=[good, error])
    found, missing = client.call("search_batch", [Search(product_id="p"), Search(product_id="q", k=3)])

    assert [hit.product_id for hit in found.hits] == ["p1"]
    assert isinstance(missing, NotFound)
    (request,) = script.requests("BatchSearch")
    assert [(search.product_id, search.page_size, search.index) for search in request.searches] == [
        ("p", 10, ""),
        ("q", 3, ""),
    ]


def test_vectors_are_a_batch(client: Client, script: Script) -> None:
    script.answers["BatchSearch"] = pb.BatchSearchResponse(results=[pb.BatchSearchResult()] * 256)
    client.call("search_batch", np.ones((300, 4), np.float32), 5)
    sizes = [len(request.searches) for request in script.requests("BatchSearch")]
    assert sizes == [256, 44]
    assert {search.page_size for request in script.requests("BatchSearch") for search in request.searches} == {5}


def test_pages_go_on_until_there_is_no_token(client: Client, script: Script) -> None:
    pages = iter(["second", "third", ""])
    script.answers["Search"] = lambda _: pb.SearchResponse(results=[HIT], next_page_token=next(pages))

    found = client.listed("pages", Search(product_id="p", k=1))

    assert len(found) == 3
    assert [request.page_token for request in script.requests("Search")] == ["", "second", "third"]


def test_events_are_published_and_acknowledged_in_order(client: Client, script: Script) -> None:
    acks = client.listed("publish", [Delete("a"), Delete("b")])
    live = client.listed("publish_live", [LiveUpdate("c", {"price": 1.5})])

    assert [(ack.product_id, ack.position, ack.error) for ack in acks] == [
        ("a", Position(1, 0), ""),
        ("b", Position(1, 1), ""),
    ]
    assert [ack.product_id for ack in live] == ["c"]
    assert [event.index for event in script.requests("Publish")] == ["shop", "shop"]
    assert script.requests("PublishLive")[0].attributes["price"].number == 1.5


async def test_events_may_come_as_they_are_made(address: str, script: Script) -> None:
    async def made() -> Any:
        for name in ("a", "b"):
            await asyncio.sleep(0)
            yield Delete(name)

    async with AsyncVisualSearchClient(address) as client:
        assert [ack.product_id async for ack in client.publish(made())] == ["a", "b"]


async def test_searches_of_one_loop_are_under_way_together(address: str, script: Script) -> None:
    script.answers["Search"] = pb.SearchResponse(results=[HIT])
    async with AsyncVisualSearchClient(address) as client:
        answers = await asyncio.gather(*(client.search(vector=VECTOR) for _ in range(20)))
    assert [len(answer.hits) for answer in answers] == [1] * 20


def test_a_call_says_who_calls_and_how_long_it_waits(client: Client, script: Script) -> None:
    script.answers["Search"] = pb.SearchResponse()
    script.answers["Scan"] = [pb.ScanResponse(**ABOUT)]
    client.call("search", product_id="p")
    client.call("search", vector=VECTOR, timeout_s=3)
    client.streamed("scan", vector=VECTOR, min_score=0, timeout_s=5)
    client.listed("publish", [Delete("a")])

    usual, short, scan, publish = script.asked
    assert [asked.metadata.get("vitrine-caller") for asked in script.asked] == ["page"] * 4
    assert [asked.left_s for asked in (usual, short, scan)] == pytest.approx([TIMEOUT_S, 3, 5], abs=0.5)
    assert publish.left_s > 1e6, "events may come for ever"


def test_a_caller_that_no_header_can_hold_is_refused_by_name(address: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^caller: is 'Große Seite'"):
        VisualSearchClient(address, caller="Große Seite")


@pytest.mark.parametrize("code", ["UNAVAILABLE", "CANCELLED"])
def test_a_read_that_finds_the_gateway_away_or_about_to_stop_is_sent_again(
    client: Client, script: Script, code: str
) -> None:
    script.answers["GetIndexStatus"] = pb.GetIndexStatusResponse(dim=4)
    script.failures.extend([Failure(code), Failure(code)])
    assert client.call("status").dim == 4
    assert len(script.asked) == 3
    assert client.client.repeats == 2


def test_three_tries_are_all(client: Client, script: Script) -> None:
    script.failures.extend([Failure("UNAVAILABLE", f"try {number}") for number in range(9)])
    with pytest.raises(Unavailable, match="try 2"):
        client.call("search", product_id="p")
    assert len(script.asked) == 3


def test_a_plain_search_is_sent_again_too(client: Client, script: Script) -> None:
    script.answers["Search"] = pb.SearchResponse(results=[HIT])
    script.failures.append(Failure("UNAVAILABLE"))
    assert len(client.call("search", vector=VECTOR).hits) == 1
    assert len(script.asked) == 2


def test_a_full_queue_is_left_alone_for_as_long_as_it_says(client: Client, script: Script) -> None:
    script.answers["Search"] = pb.SearchResponse()
    script.failures.append(Failure("RESOURCE_EXHAUSTED", "full", (("retry-after-ms", "300"),)))
    client.call("search", product_id="p")
    first, second = (asked.left_s for asked in script.asked)
    assert first - second >= 0.29, "and both tries share one deadline"


def test_nobody_waits_for_a_queue_beyond_the_deadline(client: Client, script: Script) -> None:
    full = "60 calls wait; retry after 60.00 s"
    script.failures.append(Failure("RESOURCE_EXHAUSTED", full, (("retry-after-ms", "60000"),)))
    began_s = time.monotonic()
    with pytest.raises(ResourceExhausted) as caught:
        client.call("search", product_id="p")
    assert time.monotonic() - began_s < TIMEOUT_S / 2
    assert (str(caught.value), caught.value.retry_after_s) == (full, 60)


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        ("INVALID_ARGUMENT", "history[3].weight: is 0", InvalidArgument),
        ("NOT_FOUND", "product_id: no product 'p'", NotFound),
        ("INTERNAL", "internal error 12ab", RemoteError),
    ],
)
def test_what_would_fail_again_is_raised_at_once(
    client: Client, script: Script, code: str, details: str, kind: type[VitrineError]
) -> None:
    script.failures.append(Failure(code, details))
    with pytest.raises(kind, match=details.replace("[", r"\[")):
        client.call("search", product_id="p")
    assert len(script.asked) == 1


def test_the_field_that_is_wrong_has_a_name(client: Client, script: Script) -> None:
    script.failures.append(Failure("INVALID_ARGUMENT", "history[3].weight: is 0, not above 0"))
    with pytest.raises(InvalidArgument) as caught:
        client.call("search", product_id="p")
    assert (caught.value.field, caught.value.reason) == ("history[3].weight", "is 0, not above 0")


def test_a_stream_is_asked_for_again_until_it_has_begun(client: Client, script: Script) -> None:
    script.answers["Scan"] = [pb.ScanResponse(results=[HIT]), pb.ScanResponse(**ABOUT)]
    script.failures.append(Failure("RESOURCE_EXHAUSTED", "scans are running", (("retry-after-ms", "10"),)))
    hits, _ = client.streamed("scan", vector=VECTOR, min_score=0)
    assert len(hits) == 1

    script.answers["Scan"] = [pb.ScanResponse(results=[HIT]), Failure("UNAVAILABLE", "broken off")]
    with pytest.raises(Unavailable, match="broken off"):
        client.streamed("scan", vector=VECTOR, min_score=0)
    assert len(script.asked) == 3, "what has begun is not begun again: hits would come twice"


def test_publishing_is_not_tried_again_here(client: Client, script: Script) -> None:
    script.failures.append(Failure("UNAVAILABLE"))
    with pytest.raises(Unavailable):
        client.listed("publish", [Delete("a")])
    assert len(script.asked) == 1


def test_what_the_callers_own_events_raise_is_raised(client: Client) -> None:
    def events() -> Iterator[Delete]:
        yield Delete("a")
        raise FileNotFoundError("catalogue.csv")

    with pytest.raises(FileNotFoundError, match=r"catalogue\.csv"):
        client.listed("publish", events())


def test_all_of_many_threads_are_answered_though_some_calls_fail(address: str, script: Script) -> None:
    script.answers["Search"] = pb.SearchResponse(results=[HIT])
    script.answers["BatchSearch"] = _each_found
    script.failures.extend([Failure("UNAVAILABLE")] * 3)
    with VisualSearchClient(address) as client, ThreadPoolExecutor(64) as threads:
        answers = list(threads.map(lambda _: client.search(vector=VECTOR), range(300)))
    assert [len(answer.hits) for answer in answers] == [1] * 300
    assert not script.failures


@pytest.mark.parametrize("kind", [Blocking, Awaiting])
def test_a_client_may_be_told_to_try_once(address: str, script: Script, kind: type[Blocking | Awaiting]) -> None:
    script.failures.append(Failure("UNAVAILABLE"))
    with closing(kind(address, max_tries=1)) as client, pytest.raises(Unavailable):
        client.call("status")
    assert len(script.asked) == 1


def test_ending_a_scan_early_ends_the_call(address: str, script: Script) -> None:
    script.answers["Scan"] = (pb.ScanResponse(results=[HIT]) for _ in iter(int, 1))
    with VisualSearchClient(address) as client:
        hits = iter(client.scan(vector=VECTOR, min_score=0))
        next(hits)
        hits.close()
        script.answers["Scan"] = [pb.ScanResponse(**ABOUT)]
        assert list(client.scan(vector=VECTOR, min_score=0)) == []


def _each_found(request: pb.BatchSearchRequest) -> pb.BatchSearchResponse:
    result = pb.BatchSearchResult(response=pb.SearchResponse(results=[HIT]))
    return pb.BatchSearchResponse(results=[result] * len(request.searches))


def _public(kind: type) -> dict[str, dict[str, Any]]:
    """Names and defaults of the fields of each call."""
    return {
        name: {field.name: (field.name, field.default) for field in inspect.signature(call).parameters.values()}
        for name, call in vars(kind).items()
        if callable(call) and not name.startswith("_")
    }


def _common(**more: object) -> dict[str, Any]:
    return {"filter": SHOES, "require_complete": True, "at_least": AT_LEAST, **more}


def _common_message() -> dict[str, Any]:
    return {"index": "shop", "filter": filter_message(SHOES), "require_complete": True, "at_least": _places()}


def _places() -> list[LogPosition]:
    return [LogPosition(partition=1, offset=2)]


def _unset(message: Any) -> set[str]:
    """Fields of the contract that the test has not looked at."""
    return {field.name for field in message.DESCRIPTOR.fields} - {field.name for field, _ in message.ListFields()}
