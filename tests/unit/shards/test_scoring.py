"""Exact search is exact: against every product's best image, worked out one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.builders import found, fresh, quarters, rolled, scattered, singles, snapshot
from vitrine.shards.scoring import as_float32, best_of_block, best_of_rows

ONE_EACH = "one image each"
SIZES = {
    ONE_EACH: np.ones(6_000, np.int64),
    "up to 50 images": np.random.default_rng(2).integers(1, 51, 400),
    "wider than a chunk": np.array([1, 5_000, 2, 4_096, 1]),
    "one product": np.array([3]),
}


def starts_of(sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(sizes)])


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("k", [1, 10, 100, 10_000])
@pytest.mark.parametrize("dead_share", [0.0, 0.5, 1.0])
def test_a_block_answers_with_the_best_image_of_each_live_product(
    sizes: npt.NDArray[np.int64], k: int, dead_share: float
) -> None:
    rng = np.random.default_rng(1)
    vectors = scattered(rng, int(sizes.sum()))
    queries = scattered(rng, 3)
    alive = rng.random(len(sizes)) >= dead_share
    starts, live = starts_of(sizes), np.repeat(alive, sizes)

    bests = best_of_block(vectors, starts, live, queries, k)

    for query, best in zip(queries, bests, strict=True):
        by_product = np.maximum.reduceat(vectors @ query, starts[:-1])[alive]
        np.testing.assert_allclose(best.scores, np.sort(by_product)[::-1][:k], atol=1e-6)
        np.testing.assert_allclose(vectors[best.rows] @ query, best.scores, atol=1e-6)


@pytest.mark.parametrize("k", [1, 10, 100])
def test_candidates_are_ranked_by_product_too(k: int) -> None:
    rng = np.random.default_rng(1)
    sizes = SIZES["up to 50 images"]
    vectors, query = scattered(rng, int(sizes.sum())), scattered(rng, 1)[0]
    product_of_row = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    rows = rng.permutation(len(vectors))[:2_000]

    best = best_of_rows(vectors, product_of_row, rows, query, k)

    expected = np.full(len(sizes), -np.inf, np.float32)
    np.maximum.at(expected, product_of_row[rows], vectors[rows] @ query)
    np.testing.assert_allclose(best.scores, np.sort(expected[np.isfinite(expected)])[::-1][:k], atol=1e-6)
    assert len(set(product_of_row[best.rows].tolist())) == len(best.rows)


def test_no_candidates_give_no_answers() -> None:
    query = scattered(np.random.default_rng(1), 1)[0]

    assert len(best_of_rows(query[None, :], np.zeros(1, np.int32), np.empty(0, np.int64), query, 5).rows) == 0


def test_a_batch_answers_each_query_as_if_it_were_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    view, queries = snapshot(rolled(tmp_path, singles(quarters(rng, 500)))), quarters(rng, 20)

    together = view.search(queries, 10, exact=True)

    assert together == [view.search(query[None, :], 10, exact=True)[0] for query in queries]


def test_no_queries_get_no_answers(tmp_path: Path) -> None:
    view = snapshot(fresh(tmp_path, singles(quarters(np.random.default_rng(0), 9))))

    assert view.search(np.zeros((0, 8), np.float32), 5) == []


@pytest.mark.parametrize("k", [1, 7, 100, 5_000])
def test_the_same_picture_in_thousands_of_products_is_answered_in_the_order_of_their_ids(
    tmp_path: Path, k: int
) -> None:
    picture = quarters(np.random.default_rng(0), 1)
    same = np.repeat(picture, 5_000, axis=0)
    view = snapshot(rolled(tmp_path, singles(same[:2_500], "x")), fresh(tmp_path, singles(same[2_500:], "y")))

    expected = sorted(f"{prefix}{number}" for prefix in "xy" for number in range(2_500))
    assert found(view, picture[0], k) == expected[:k]


def test_a_longer_list_begins_with_the_shorter_one(tmp_path: Path) -> None:
    # Pages depend on it.
    rng = np.random.default_rng(5)
    view = snapshot(
        rolled(tmp_path, singles(quarters(rng, 400), "x")), fresh(tmp_path, singles(quarters(rng, 100), "y"))
    )
    query = quarters(rng, 1)[0]

    everything = found(view, query, 500)

    assert all(found(view, query, k) == everything[:k] for k in range(1, 500, 7))


def test_every_finite_float16_is_widened_exactly() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]

    widened = as_float32(finite)

    assert widened.dtype == np.float32
    np.testing.assert_array_equal(widened.view(np.uint32), finite.astype(np.float32).view(np.uint32))


def test_widening_leaves_the_vectors_as_they_were() -> None:
    vectors = scattered(np.random.default_rng(0), 10).astype(np.float16)
    before = vectors.copy()
    vectors.flags.writeable = False

    as_float32(vectors)

    np.testing.assert_array_equal(vectors, before)


@pytest.mark.parametrize("part", [slice(None, None, 2), slice(3, 3), slice(9, 0, -1)])
def test_any_part_of_a_matrix_can_be_widened(part: slice) -> None:
    vectors = scattered(np.random.default_rng(0), 10).astype(np.float16)[part]

    np.testing.assert_array_equal(as_float32(vectors), vectors.astype(np.float32))


def test_equal_vectors_score_one_wherever_their_rows_stand() -> None:
    random = np.random.default_rng(4)
    for rows in range(1, 40):
        vectors = random.standard_normal((rows, 512)).astype(np.float32)
        vectors[:] = vectors[0] / np.linalg.norm(vectors[0])
        starts = np.arange(rows + 1)
        [best] = best_of_block(vectors, starts, None, vectors[:1], rows)
        assert best.scores.tolist() == [1.0] * rows
        assert best_of_rows(vectors, None, np.arange(rows), vectors[0], rows).scores.tolist() == [1.0] * rows
