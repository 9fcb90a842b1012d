"""Exact search is exact: against every product's best image, worked out one by one."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.builders import found, fresh, quarters, rolled, scattered, searched, singles, snapshot
from vitrine.shards.halves import as_float32
from vitrine.shards.metric import METRICS, Metric
from vitrine.shards.scoring import Gallery, best_of_all, best_of_candidates, packed
from vitrine.shards.selection import Mask, Selection
from vitrine.vectors import unit

ONE_EACH = "one image each"
SIZES = {
    ONE_EACH: np.ones(6_000, np.int64),
    "up to 50 images": np.random.default_rng(2).integers(1, 51, 400),
    "wider than a chunk": np.array([1, 5_000, 2, 4_096, 1]),
    "one product": np.array([3]),
}


def starts_of(sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(sizes)])


def selection_of(alive: Mask) -> Selection:
    return Selection(alive, int(alive.sum()), lambda *_: None)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("k", [1, 10, 100, 10_000])
@pytest.mark.parametrize("dead_share", [0.0, 0.2, 0.7, 1.0])
@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())
def test_scoring_all_rows_finds_the_best_live_products_by_their_best_images(
    sizes: npt.NDArray[np.int64], k: int, dead_share: float, metric: Metric
) -> None:
    rng = np.random.default_rng(1)
    vectors, queries = scattered(rng, int(sizes.sum())), scattered(rng, 3)
    alive = rng.random(len(sizes)) >= dead_share
    gallery = Gallery.of(vectors, starts_of(sizes))

    best = best_of_all(gallery, metric, selection_of(np.repeat(alive, sizes)), queries, k)

    by_product = np.maximum.reduceat(metric.scores(queries, vectors), gallery.product_starts[:-1], axis=1)
    wanted = min(k, int(alive.sum()))
    for number in range(3):
        products = best.products[number][best.products[number] >= 0]
        scores = best.scores[number][: len(best.products[number])][best.products[number] >= 0]
        assert alive[products].all()
        assert len(set(products.tolist())) == len(products)
        np.testing.assert_allclose(scores, by_product[number][products], atol=1e-6)
        # Those that may be as good as the last one are there too.
        np.testing.assert_allclose(
            np.sort(scores)[::-1][:wanted], np.sort(by_product[number][alive])[::-1][:wanted], atol=1e-6
        )


def test_what_may_be_as_good_as_the_last_one_wanted_is_kept() -> None:
    vectors = np.repeat(scattered(np.random.default_rng(0), 1), 9_000, axis=0)
    gallery = Gallery.of(vectors, np.arange(9_001))

    best = best_of_all(gallery, METRICS["angular"], None, vectors[:1], 3)

    assert set(best.products[0].tolist()) == set(range(9_000))


def test_many_candidates_of_one_query_are_copied_few_at_a_time() -> None:
    vectors = scattered(np.random.default_rng(1), 20_000, 64)
    gallery = Gallery.of(vectors, np.arange(20_001))
    tracemalloc.start()
    try:
        best = best_of_candidates(gallery, METRICS["angular"], vectors[:1], np.arange(20_000)[None, :])
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    np.testing.assert_allclose(best.scores[0], vectors @ vectors[0], atol=1e-6)
    assert peak_bytes < vectors.nbytes / 2


@pytest.mark.parametrize("sizes", [np.ones(6_000, np.int64), SIZES["up to 50 images"]], ids=["single", "grouped"])
def test_candidates_become_products_by_their_best_rows(sizes: npt.NDArray[np.int64]) -> None:
    rng = np.random.default_rng(1)
    gallery = Gallery.of(scattered(rng, int(sizes.sum())), starts_of(sizes))
    queries = scattered(rng, 5)
    lists = [rng.permutation(len(gallery.vectors))[:size] for size in (400, 1, 0, 700, 399)]

    best = best_of_candidates(gallery, METRICS["angular"], queries, packed(lists))

    owners = np.repeat(np.arange(len(sizes)), sizes)
    for number, rows in enumerate(lists):
        expected = np.full(len(sizes), -np.inf, np.float32)
        np.maximum.at(expected, owners[rows], gallery.vectors[rows] @ queries[number])
        there = best.products[number] >= 0
        assert sorted(best.products[number][there].tolist()) == np.flatnonzero(np.isfinite(expected)).tolist()
        np.testing.assert_allclose(best.scores[number][there], expected[best.products[number][there]], atol=1e-6)
        assert np.isneginf(best.scores[number][~there]).all()


def test_the_rows_of_products_are_found_with_their_owners() -> None:
    gallery = Gallery.of(np.zeros((10, 2), np.float32), starts_of(np.array([2, 1, 4, 3])))

    rows, owners = gallery.rows_of(np.array([3, 0]))

    assert (rows.tolist(), owners.tolist()) == ([7, 8, 9, 0, 1], [0, 0, 0, 1, 1])


def test_a_batch_answers_each_query_as_if_it_were_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    view, queries = snapshot(rolled(tmp_path, singles(quarters(rng, 500)))), quarters(rng, 20)

    together = searched(view, queries, 10, exact=True)

    assert together == [searched(view, query[None, :], 10, exact=True)[0] for query in queries]


def test_no_queries_get_no_answers(tmp_path: Path) -> None:
    view = snapshot(fresh(tmp_path, singles(quarters(np.random.default_rng(0), 9))))

    assert searched(view, np.zeros((0, 8), np.float32), 5) == []


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
        vectors = np.repeat(unit(random.standard_normal((1, 512)).astype(np.float32)), rows, axis=0)
        gallery, metric = Gallery.of(vectors, np.arange(rows + 1)), METRICS["angular"]
        for best in (
            best_of_all(gallery, metric, None, vectors[:1], rows),
            best_of_candidates(gallery, metric, vectors[:1], np.arange(rows)[None, :]),
        ):
            assert best.scores.tolist() == [[1.0] * rows]
