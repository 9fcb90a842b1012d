"""ListProducts: every live product of some partitions, streamed; it takes the place of a scan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from tests.builders import NOW, SECOND
from tests.integration.searching import Searcher, catalogue, index_of, searcher_of
from tests.integration.shop import TIMEOUT_S, eventually, metric, refused
from vitrine.shards.records import LiveVersion
from vitrine.stream.partitioning import partition_of
from vitrine.v1 import filter_pb2 as filters
from vitrine.v1 import searcher_pb2 as pb
from vitrine.vectors import to_wire

PRODUCTS = catalogue(6_000)
# Expired long ago.
PRODUCTS[7] = replace(PRODUCTS[7], expires_at_us=NOW + SECOND)
FRESH = [f"p{number}" for number in range(0, 6_000, 40)]
LIVE = {version.product_id for version in PRODUCTS} - {"p7"}
RUNNING = "vitrine_searcher_scans_running"


@pytest.fixture(scope="module")
def searcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searcher]:
    folder = tmp_path_factory.mktemp("searcher")
    index_of(folder, PRODUCTS, partitions=2, fresh=FRESH, live=[LiveVersion("p40", 0, {"stock": 3.0})])
    with searcher_of(folder, "--scans", "1") as running:
        yield running


def listed(searcher: Searcher, **fields: object) -> tuple[list[pb.Product], pb.ListProductsResponse]:
    """All products, and the last message."""
    *parts, last = searcher.stub.ListProducts(pb.ListProductsRequest(**fields), timeout=TIMEOUT_S)  # type: ignore[arg-type]
    assert not any(part.answers or part.failures for part in parts)
    assert all(part.ByteSize() < 3 << 20 for part in parts)
    assert not last.products
    return [product for part in parts for product in part.products], last


def test_every_live_product_comes_once_and_whole(searcher: Searcher) -> None:
    products, last = listed(searcher)

    found = {product.product_id: product for product in products}
    assert len(found) == len(products)
    assert set(found) == LIVE
    for version in PRODUCTS:
        if version.product_id in LIVE:
            product = found[version.product_id]
            assert [(image.image_id, image.uri, image.sha256, image.vector) for image in product.images] == [
                (image.image_id, image.uri, image.sha256, b"") for image in version.images
            ]
            assert product.attributes["price"].number == version.attributes["price"]
            assert product.position.partition == partition_of(version.product_id, 2)
    assert found["p40"].live["stock"].number == 3
    assert [answer.partition for answer in last.answers] == [0, 1]
    assert sum(answer.rows_searched for answer in last.answers) == len(LIVE)
    assert last.model_id


def test_vectors_come_on_request(searcher: Searcher) -> None:
    products, _ = listed(searcher, with_vectors=True)

    stored = {version.product_id: version.images[0].vector for version in PRODUCTS}
    assert len(products) == len(LIVE)
    for product in products:
        # As precise as shards keep them.
        expected = stored[product.product_id].astype(np.float16).astype(np.float32)
        assert product.images[0].vector == to_wire(expected)


def test_a_filter_chooses_among_them_and_a_typo_in_it_is_said(searcher: Searcher) -> None:
    dear = filters.Condition(field="attributes.price", range=filters.NumberRange(gte=5_000))
    typo = filters.Condition(field="attributes.prise", bool=True)
    products, last = listed(searcher, filter=filters.Filter(all_of=[dear], none_of=[typo]))

    assert {product.product_id for product in products} == {f"p{number}" for number in range(5_000, 6_000)}
    kinds = {facts.field: list(facts.kinds) for facts in last.fields}
    assert kinds == {"attributes.price": ["number"], "attributes.prise": []}


def test_only_partitions_that_are_asked_for_are_listed_and_missing_ones_are_said(searcher: Searcher) -> None:
    products, last = listed(searcher, partitions=[1, 5])

    assert {product.product_id for product in products} == {name for name in LIVE if partition_of(name, 2) == 1}
    assert [(failure.partition, failure.reason) for failure in last.failures] == [(5, "not served here")]


def test_a_listing_takes_the_place_of_a_scan_until_its_caller_goes(searcher: Searcher) -> None:
    unread = searcher.stub.ListProducts(pb.ListProductsRequest(), timeout=60)
    try:
        eventually(lambda: metric(searcher.address.http, RUNNING) == 1)
        with refused("RESOURCE_EXHAUSTED", "as many as are allowed"):
            list(searcher.stub.ListProducts(pb.ListProductsRequest(), timeout=TIMEOUT_S))
    finally:
        unread.cancel()
    eventually(lambda: metric(searcher.address.http, RUNNING) == 0)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("filter.any_of[0].field", {"filter": filters.Filter(any_of=[filters.Condition(field="x", bool=True)])}),
        ("at_least[0].partition", {"at_least": [{"partition": 9}]}),
    ],
)
def test_a_wrong_field_is_refused_by_name(searcher: Searcher, field: str, wrong: dict[str, object]) -> None:
    with refused("INVALID_ARGUMENT", f"{field}: "):
        listed(searcher, **wrong)
