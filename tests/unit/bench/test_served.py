"""An index made straight from vectors is found by real searches through real processes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from vitrine.cli.bench.served import index_of, served, shard_table
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.client import VisualSearchClient
from vitrine.vectors import Vectors, unit

ROWS = 600
PARTITIONS = 2
SHARDS = 3


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    random = np.random.default_rng(1).standard_normal((ROWS, 16)).astype(np.float32)
    return unit(random)


@pytest.fixture(scope="module")
def labels() -> pa.Table:
    return pa.table(
        {
            "product_id": [f"product-{row}" for row in range(ROWS)],
            "category": ["Shoes" if row % 2 else None for row in range(ROWS)],
            "colour": ["red" if row % 3 else None for row in range(ROWS)],
            "price": [float(row) for row in range(ROWS)],
            "view": pa.array(range(ROWS), pa.int32()),
            "in_stock": [row % 5 == 0 for row in range(ROWS)],
        }
    )


@pytest.fixture(scope="module")
def client(
    vectors: Vectors, labels: pa.Table, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VisualSearchClient]:
    folder = tmp_path_factory.mktemp("served")
    index_of(vectors.astype(np.float16), labels, folder, partitions=PARTITIONS, shards=SHARDS)
    with served(folder, DEFAULT_MODEL, partitions=PARTITIONS) as stack, VisualSearchClient(stack.gateway) as client:
        yield client


def test_each_row_is_found_by_its_own_vector(client: VisualSearchClient, vectors: Vectors) -> None:
    found = [client.search(vector=vectors[row], k=1).hits[0].product_id for row in range(0, ROWS, 37)]
    assert found == [f"product-{row}" for row in range(0, ROWS, 37)]


def test_every_row_of_every_partition_and_shard_is_searched(client: VisualSearchClient, vectors: Vectors) -> None:
    answer = client.search(vector=vectors[0], k=ROWS)
    assert {hit.product_id for hit in answer.hits} == {f"product-{row}" for row in range(ROWS)}
    assert len(client.status().partitions) == PARTITIONS
    assert {len(partition.shards) for partition in client.status().partitions} == {SHARDS}


def test_a_product_lies_in_the_partition_where_its_id_is_looked_up(client: VisualSearchClient) -> None:
    # The gateway asks for a product only where murmur2 of its id says.
    assert client.product("product-7").attributes == {"colour": "red", "price": 7.0, "view": 7.0, "in_stock": False}
    assert client.product("product-7").category == "Shoes"


def test_what_a_row_has_no_label_for_it_has_not(client: VisualSearchClient) -> None:
    assert client.product("product-6").category == ""
    assert client.product("product-6").attributes == {"price": 6.0, "view": 6.0, "in_stock": False}


def test_a_table_of_some_rows_holds_those_rows(vectors: Vectors, labels: pa.Table) -> None:
    table = shard_table(vectors, labels, np.array([5, 3]))
    rows = {int(product_id.removeprefix("product-")) for product_id in table.rows.column("product_id").to_pylist()}
    assert rows == {3, 5}
    places = [int(product_id.removeprefix("product-")) for product_id in table.rows.column("product_id").to_pylist()]
    np.testing.assert_array_equal(table.vectors, vectors[places])
    assert (table.keys[:-1] <= table.keys[1:]).all()
