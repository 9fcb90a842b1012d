"""Scan: every product above a score, streamed; few at once, and never in the way of shoppers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

from tests.integration.searching import DIM, Searcher, asking, catalogue, index_of, searcher_of, truth
from tests.integration.shop import TIMEOUT_S, eventually, metric, refused
from vitrine.runtime.interceptors import RETRY_AFTER_METADATA
from vitrine.v1 import filter_pb2 as filters
from vitrine.v1 import searcher_pb2 as pb
from vitrine.vectors import to_wire, unit

PRODUCTS = catalogue(20_000)
FRESH = [f"p{number}" for number in range(0, 20_000, 40)]
VECTOR = unit(np.random.default_rng(5).standard_normal((1, DIM)).astype(np.float32))[0]
TRUTH = truth(PRODUCTS, VECTOR)
ABOVE = 0.1
RUNNING = "vitrine_searcher_scans_running"


@pytest.fixture(scope="module")
def searcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searcher]:
    folder = tmp_path_factory.mktemp("searcher")
    index_of(folder, PRODUCTS, partitions=2, fresh=FRESH)
    with searcher_of(folder, "--scans", "1") as running:
        yield running


def request(**fields: object) -> pb.SearcherScanRequest:
    wanted = {"vector": to_wire(VECTOR), "min_score": ABOVE, **fields}
    return pb.SearcherScanRequest(**wanted)  # type: ignore[arg-type]


def scanned(searcher: Searcher, **fields: object) -> tuple[list[pb.Hit], pb.SearcherScanResponse]:
    """All hits, and the last message."""
    *parts, last = searcher.stub.Scan(request(**fields), timeout=TIMEOUT_S)
    assert not any(part.answers or part.HasField("cost") for part in parts)
    assert not last.hits
    return [hit for part in parts for hit in part.hits], last


def unread(searcher: Searcher) -> grpc.RpcContext:
    """A scan that cannot end, since nobody reads what it finds."""
    call: grpc.RpcContext = searcher.stub.Scan(request(min_score=-1.0), timeout=60)
    eventually(lambda: metric(searcher.address.http, RUNNING) == 1)
    return call


def test_every_product_above_the_score_is_found_once(searcher: Searcher) -> None:
    hits, last = scanned(searcher)

    expected = {product_id: score for product_id, score in TRUTH.items() if score >= ABOVE}
    assert len(hits) == len(expected) > 1_000
    assert {hit.product_id: pytest.approx(hit.score, abs=5e-4) for hit in hits} == expected
    assert all(hit.uri and hit.attributes for hit in hits)
    assert [answer.partition for answer in last.answers] == [0, 1]
    assert last.model_id
    assert last.cost.rows_scored == len(PRODUCTS)
    assert last.cost.scoring_s > 0


def test_a_filter_and_an_excluded_product_hold_for_a_scan_too(searcher: Searcher) -> None:
    blue = filters.Condition(field="attributes.colour", any_string=filters.AnyString(values=["blue"]))
    hits, last = scanned(searcher, filter=filters.Filter(all_of=[blue]), exclude_product_id=next(iter(TRUTH)))

    names = {hit.product_id for hit in hits}
    excluded = {next(iter(TRUTH))}
    assert names == {f"p{number}" for number in range(1, 20_000, 4) if TRUTH[f"p{number}"] >= ABOVE} - excluded
    # A quarter of a shard is too much to be picked out: all of it is scored; no fresh product is blue.
    assert last.cost.rows_scored == len(PRODUCTS) - len(FRESH)
    assert [(facts.field, list(facts.kinds)) for facts in last.fields] == [("attributes.colour", ["string"])]


def test_one_scan_too_many_is_refused_and_told_when_to_come_again(searcher: Searcher) -> None:
    first = unread(searcher)
    try:
        with refused("RESOURCE_EXHAUSTED", "1 scans are running") as _:
            second = searcher.stub.Scan(request(), timeout=TIMEOUT_S)
            list(second)
        assert RETRY_AFTER_METADATA in dict(second.trailing_metadata())
    finally:
        first.cancel()


def test_a_scan_whose_caller_goes_ends_and_makes_room(searcher: Searcher) -> None:
    unread(searcher).cancel()

    eventually(lambda: metric(searcher.address.http, RUNNING) == 0)
    assert scanned(searcher)[0]


def test_a_scan_ends_with_its_callers_deadline(searcher: Searcher) -> None:
    with refused("DEADLINE_EXCEEDED"):
        list(searcher.stub.Scan(request(min_score=-1.0), timeout=0.005))

    eventually(lambda: metric(searcher.address.http, RUNNING) == 0)


def test_shoppers_are_answered_while_a_scan_runs(searcher: Searcher) -> None:
    query = pb.SearcherSearchRequest(queries=[asking(VECTOR)])
    with ThreadPoolExecutor(1) as pool:
        scan = pool.submit(scanned, searcher, min_score=-1.0)
        answered = 0
        while not scan.done():
            answered += len(searcher.stub.Search(query, timeout=TIMEOUT_S).hits)

    assert len(scan.result()[0]) == len(PRODUCTS)
    assert answered > 5


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("vector", {"vector": b"\0" * 4 * DIM}),
        ("min_score", {"min_score": float("nan")}),
        ("filter.any_of[0].field", {"filter": filters.Filter(any_of=[filters.Condition(field="x", bool=True)])}),
        ("at_least[0].partition", {"at_least": [{"partition": 9}]}),
    ],
)
def test_a_wrong_field_is_refused_by_name(searcher: Searcher, field: str, wrong: dict[str, object]) -> None:
    with refused("INVALID_ARGUMENT", f"{field}: "):
        list(searcher.stub.Scan(request(**wrong), timeout=TIMEOUT_S))
