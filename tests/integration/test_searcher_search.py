"""What the searcher answers to queries with filters, places to go on from, facets and plans; and what it refuses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tests.integration.searching import DIM, Searcher, asking, catalogue, ids, index_of, searcher_of, truth
from tests.integration.shop import TIMEOUT_S, metric, refused
from vitrine.shards.records import LiveVersion
from vitrine.stream.partitioning import partition_of
from vitrine.v1 import filter_pb2 as filters
from vitrine.v1 import searcher_pb2 as pb
from vitrine.v1.catalogue_pb2 import LogPosition
from vitrine.vectors import to_wire, unit

PRODUCTS = catalogue(4_000)
FRESH = [f"p{number}" for number in range(0, 4_000, 50)]
VECTOR = unit(np.random.default_rng(3).standard_normal((1, DIM)).astype(np.float32))[0]
TRUTH = truth(PRODUCTS, VECTOR)
BLUE = filters.Condition(field="attributes.colour", any_string=filters.AnyString(values=["blue"]))


@pytest.fixture(scope="module")
def searcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searcher]:
    folder = tmp_path_factory.mktemp("searcher")
    index_of(folder, PRODUCTS, partitions=2, fresh=FRESH, live=[LiveVersion("p0", 0, {"stock": 3.0})])
    with searcher_of(folder) as running:
        yield running


def answer(searcher: Searcher, *queries: pb.VectorQuery) -> pb.SearcherSearchResponse:
    return searcher.stub.Search(pb.SearcherSearchRequest(queries=queries), timeout=TIMEOUT_S)


def test_queries_that_want_different_things_are_answered_together(searcher: Searcher) -> None:
    excluded, exact, filtered = answer(
        searcher,
        asking(VECTOR, 5, exact=True, exclude_product_ids=[next(iter(TRUTH)), "nobody"]),
        asking(VECTOR, 20, exact=True),
        asking(VECTOR, 20, filter=filters.Filter(all_of=[BLUE])),
    ).hits

    assert ids(exact) == list(TRUTH)[:20]
    assert ids(excluded) == list(TRUTH)[1:6]
    blue = {version.product_id for version in PRODUCTS if version.attributes["colour"] == "blue"}
    assert len(filtered.hits) == 20
    assert set(ids(filtered)) <= blue


def test_pages_continue_strictly_after_a_place(searcher: Searcher) -> None:
    whole = answer(searcher, asking(VECTOR, 30, exact=True)).hits[0]
    pages, after = [], None
    for skipped in (0, 10, 20):
        page = answer(searcher, asking(VECTOR, 10, exact=True, after=after, skipped=skipped)).hits[0]
        pages += ids(page)
        after = pb.RankedPlace(score=page.hits[-1].score, product_id=page.hits[-1].product_id)

    assert pages == ids(whole)


def test_products_below_min_score_are_left_out(searcher: Searcher) -> None:
    scores = list(TRUTH.values())
    between = (scores[6] + scores[7]) / 2

    [hits] = answer(searcher, asking(VECTOR, 50, exact=True, min_score=between)).hits

    assert ids(hits) == list(TRUTH)[:7]


def test_hits_beyond_the_whole_ones_carry_the_facet_fields_only(searcher: Searcher) -> None:
    fields = ["category", "attributes.colour"]
    [hits] = answer(searcher, asking(VECTOR, 500, whole_hits=2, facet_fields=fields)).hits

    assert [bool(hit.uri and hit.sha256) for hit in hits.hits] == [True] * 2 + [False] * 498
    assert [set(hit.attributes) for hit in hits.hits[:2]] == [{"colour", "price", "sale"}] * 2
    assert {tuple(hit.attributes) for hit in hits.hits[2:]} == {("colour",)}
    assert all(hit.category for hit in hits.hits)
    assert {facts.field: list(facts.kinds) for facts in hits.fields} == {
        "category": ["string"],
        "attributes.colour": ["string"],
    }


def test_a_field_that_nobody_has_is_said(searcher: Searcher) -> None:
    unknown = filters.Condition(field="attributes.colr", bool=True)
    [hits] = answer(searcher, asking(VECTOR, filter=filters.Filter(none_of=[unknown]))).hits

    assert [(facts.field, list(facts.kinds)) for facts in hits.fields] == [("attributes.colr", [])]
    assert len(hits.hits) == 10


def test_vectors_come_with_every_hit_on_request_only(searcher: Searcher) -> None:
    plain, whole, partly = answer(
        searcher,
        asking(VECTOR, 40),
        asking(VECTOR, 40, with_vectors=True),
        asking(VECTOR, 40, with_vectors=True, whole_hits=1, facet_fields=["category"]),
    ).hits

    stored = {version.product_id: version.images[0].vector for version in PRODUCTS}
    assert not plain.vectors
    assert whole.vectors == partly.vectors
    assert {len(vector) for vector in whole.vectors} == {4 * DIM}
    for product_id, vector in zip(ids(whole), whole.vectors, strict=True):
        assert vector == to_wire(stored[product_id].astype(np.float16).astype(np.float32))


def test_plans_are_explained_on_request_only(searcher: Searcher) -> None:
    plain, exact = answer(searcher, asking(VECTOR), asking(VECTOR, exact=True, explain=True)).hits

    assert not plain.plans
    assert {plan.partition for plan in exact.plans} == {0, 1}
    assert {plan.method for plan in exact.plans} == {"exact"}
    assert sum(plan.rows_scored for plan in exact.plans) == len(PRODUCTS)
    assert exact.recall == 1


def test_the_recall_of_what_was_spent_is_said(searcher: Searcher) -> None:
    [hits] = answer(searcher, asking(VECTOR, recall_target=0.9)).hits

    assert 0.9 <= hits.recall <= 1


def test_live_attributes_can_be_filtered_by(searcher: Searcher) -> None:
    in_stock = filters.Condition(field="live.stock", range=filters.NumberRange(gt=2))
    [hits] = answer(searcher, asking(VECTOR, filter=filters.Filter(all_of=[in_stock]))).hits

    assert [(hit.product_id, hit.live["stock"].number) for hit in hits.hits] == [("p0", 3)]


def test_an_exact_query_is_answered_alike_alone_and_among_others(searcher: Searcher) -> None:
    vectors = unit(np.random.default_rng(4).standard_normal((32, DIM)).astype(np.float32))
    queries = [asking(vector, exact=True) for vector in vectors]

    together = answer(searcher, *queries).hits

    assert [answer(searcher, query).hits[0].hits for query in queries] == [hits.hits for hits in together]


WRONG: list[tuple[str, Callable[[pb.VectorQuery], object]]] = [
    ("queries[1].k", lambda query: setattr(query, "k", 10_001)),
    ("queries[1].vector", lambda query: setattr(query, "vector", b"\0" * 4 * DIM)),
    ("queries[1].vector", lambda query: setattr(query, "vector", b"1234")),
    ("queries[1].recall_target", lambda query: setattr(query, "recall_target", 0.49)),
    ("queries[1].recall_target", lambda query: setattr(query, "recall_target", 1.0)),
    ("queries[1].recall_target", lambda query: setattr(query, "recall_target", float("nan"))),
    ("queries[1].recall_target", lambda query: query.MergeFrom(pb.VectorQuery(exact=True, recall_target=0.9))),
    ("queries[1].min_score", lambda query: setattr(query, "min_score", float("nan"))),
    ("queries[1].min_score", lambda query: setattr(query, "min_score", float("inf"))),
    ("queries[1].after.score", lambda query: setattr(query.after, "score", float("nan"))),
    ("queries[1].skipped", lambda query: setattr(query, "skipped", 3)),
    ("queries[1].skipped", lambda query: query.MergeFrom(pb.VectorQuery(after=pb.RankedPlace(), skipped=1_001))),
    ("queries[1].exclude_product_ids", lambda query: query.exclude_product_ids.extend(["p1"] * 1_001)),
    ("queries[1].exclude_product_ids[1]", lambda query: query.exclude_product_ids.extend(["p1", ""])),
    ("queries[1].exclude_product_ids[0]", lambda query: query.exclude_product_ids.append("ü" * 129)),
    ("queries[1].facet_fields", lambda query: query.facet_fields.extend(["category"] * 17)),
    ("queries[1].facet_fields[1]", lambda query: query.facet_fields.extend(["category", "colour"])),
    ("queries[1].filter.all_of[0].field", lambda query: query.filter.all_of.add(field="colour", bool=True)),
    ("queries[1].filter.none_of[0].test", lambda query: query.filter.none_of.add(field="category")),
]


@pytest.mark.parametrize(("field", "spoil"), WRONG, ids=[f"{number}-{case[0]}" for number, case in enumerate(WRONG)])
def test_a_wrong_field_is_refused_by_name(
    searcher: Searcher, field: str, spoil: Callable[[pb.VectorQuery], object]
) -> None:
    query = asking(VECTOR)
    spoil(query)

    with refused("INVALID_ARGUMENT", f"{field}: "):
        answer(searcher, asking(VECTOR), query)


def test_too_many_places_to_wait_for_are_refused(searcher: Searcher) -> None:
    request = pb.SearcherSearchRequest(queries=[asking(VECTOR)], at_least=[LogPosition(partition=0)] * 1_025)

    with refused("INVALID_ARGUMENT", "at_least: "):
        searcher.stub.Search(request, timeout=TIMEOUT_S)


@pytest.mark.parametrize(
    ("turn", "queries"),
    [
        ("quick", [asking(VECTOR, 20)] * 25),
        ("longer", [asking(VECTOR, 20)] * 26),
        ("longer", [asking(VECTOR, 1, after=pb.RankedPlace(score=0.5))]),
    ],
)
def test_little_work_is_quick(searcher: Searcher, turn: str, queries: list[pb.VectorQuery]) -> None:
    def count() -> float:
        return metric(searcher.address.http, "vitrine_searcher_search_seconds_count", turn=turn)

    before = count()
    answer(searcher, *queries)

    assert count() - before == 1


def test_searches_are_counted_by_method(searcher: Searcher) -> None:
    def count(method: str) -> float:
        return metric(searcher.address.http, "vitrine_searcher_shard_searches_total", method=method)

    before = count("exact")
    answer(searcher, *[asking(VECTOR, exact=True)] * 3)

    assert count("exact") - before == 3 * 2 * 2  # in each of two partitions, a rolled shard and the fresh ones
    assert metric(searcher.address.http, "vitrine_searcher_batch_queries_sum") >= 3


def test_masks_are_counted_and_kept(searcher: Searcher) -> None:
    def count(cached: str) -> float:
        return metric(searcher.address.http, "vitrine_searcher_masks_total", cached=cached)

    costly = filters.Condition(field="attributes.price", range=filters.NumberRange(gte=1_234))
    query = asking(VECTOR, filter=filters.Filter(all_of=[costly]))
    made, at_hand = count("no"), count("yes")
    answer(searcher, query)
    answer(searcher, query)

    assert (count("no") - made, count("yes") - at_hand) == (4, 4)
    assert metric(searcher.address.http, "vitrine_searcher_mask_cache_bytes") > 0


def test_status_says_what_shards_promise_and_which_fields_there_are(searcher: Searcher) -> None:
    status = searcher.stub.GetStatus(pb.SearcherStatusRequest(), timeout=TIMEOUT_S)

    shards = [shard for partition in status.partitions for shard in partition.shards]
    assert all(shard.target_reached and 0.9 < shard.recall_at_100 <= 1 for shard in shards)
    fields = {facts.field: list(facts.kinds) for facts in status.partitions[0].fields}
    assert fields["attributes.price"] == ["number"]
    assert fields["attributes.sale"] == ["bool"]
    assert fields["live.stock"] == ["number"]


def test_status_says_how_many_rows_each_category_has(searcher: Searcher) -> None:
    status = searcher.stub.GetStatus(pb.SearcherStatusRequest(), timeout=TIMEOUT_S)

    for partition in status.partitions:
        here = [version for version in PRODUCTS if partition_of(version.product_id, 2) == partition.partition]
        counted = Counter(version.category for version in here).most_common()
        assert [(count.category, count.rows) for count in partition.categories] == counted
