"""Questions asked of several shards and partitions, against every product's score worked out one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import MODEL, NOW, clustered, fresh, product, quarters, rolled, scattered, singles, snapshot
from vitrine.filters import Filter, any_string, number
from vitrine.shards import search
from vitrine.shards.build import TreeSettings, write_fresh, write_rolled
from vitrine.shards.masks import Masks
from vitrine.shards.metric import METRICS
from vitrine.shards.planning import Extent, Task, Way, Ways
from vitrine.shards.query import Answer, Query, RankedPlace
from vitrine.shards.records import ProductVersion, Tombstone
from vitrine.shards.search import answers, scan
from vitrine.shards.shard import Shard
from vitrine.shards.snapshot import Snapshot
from vitrine.shards.table import table_of
from vitrine.vectors import Vectors, unit

DIM = 32
ROWS = 3_000
TREES = TreeSettings(trees=8, projected_dim=12)
ALL = 10_000
PLENTY = {
    "tree": Ways(Way("exact", 9.0), Way("tree", 1.0, 0.9, search_k=100_000, candidates=ROWS, passing=1)),
    "projected": Ways(Way("projected", 1.0, 0.95, candidates=600)),
    "exact": Ways(Way("exact", 1.0)),
}
# A tree that is asked for nearly nothing, and a scan that makes up for it.
STINGY = Ways(
    Way("projected", 1e6, 0.95, candidates=600), Way("tree", 1.0, 0.9, search_k=50, candidates=12, passing=12)
)


class Asked:
    """Some partitions, and what they hold."""

    def __init__(self, *views: Snapshot, catalogue: Sequence[ProductVersion]) -> None:
        self.views = views
        self.catalogue = catalogue
        self.masks = Masks()

    def answers(self, *queries: Query) -> list[Answer]:
        return answers(self.views, queries, self.masks)

    def ids(self, query: Query) -> list[str]:
        return ids(self.answers(query)[0])

    def pages(self, query: Query, sizes: Sequence[int]) -> list[str]:
        """Pages of these sizes, joined."""
        joined: list[str] = []
        after = None
        for size in sizes:
            [answer] = self.answers(replace(query, k=size, after=after, skipped=len(joined)))
            joined += ids(answer)
            if answer.found:
                last = answer.found[-1]
                after = RankedPlace(last.score, last.shard.product_id(last.row))
        return joined


def ids(answer: Answer) -> list[str]:
    return [entry.shard.product_id(entry.row) for entry in answer.found]


def best_first(versions: Sequence[ProductVersion], query: Vectors, metric: str = "angular") -> list[RankedPlace]:
    """Every product by its best image, as it is stored in rolled shards."""
    final = METRICS[metric].final_scores
    places = [
        RankedPlace(
            float(final(query, np.stack([image.vector for image in version.images]).astype(np.float16)).max()),
            version.product_id,
        )
        for version in versions
    ]
    return sorted(places, key=lambda place: (-place.score, place.product_id))


def by_way(shard: Shard, ways: Ways) -> Shard:
    """The shard, which from now on is searched like that."""
    shard.ways = lambda *_: ways  # type: ignore[assignment]
    return shard


def noting(ways: Callable[[Extent, Task], Ways], trusted: list[int]) -> Callable[[Extent, Task], Ways]:
    """The same, and a note of what each search was trusted with."""

    def noted(extent: Extent, task: Task) -> Ways:
        trusted.append(task.trusted)
        return ways(extent, task)

    return noted


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return clustered(np.random.default_rng(0), ROWS, DIM, 8)


@pytest.fixture(scope="module")
def queries(vectors: Vectors) -> Vectors:
    rng = np.random.default_rng(1)
    return unit(vectors[rng.choice(ROWS, 12)] + 0.05 * rng.standard_normal((12, DIM)).astype(np.float32))


@pytest.fixture(scope="module")
def catalogue(vectors: Vectors) -> list[ProductVersion]:
    """`rank`: how far from the first vector, 0 = nearest; `part`: any of a thousand."""
    ranks = np.argsort(np.argsort(-(vectors @ vectors[0])))
    parts = np.random.default_rng(2).permutation(ROWS) % 1_000
    return [
        product(
            f"p{n:04d}", vectors[n : n + 1], n, {"rank": float(ranks[n]), "part": float(parts[n])}, category=f"c{n % 7}"
        )
        for n in range(ROWS)
    ]


@pytest.fixture(scope="module")
def folder(catalogue: list[ProductVersion], tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("annoy")
    parent = tmp_path_factory.mktemp("one")
    return parent / rolled(parent, catalogue, dim=DIM, settings=TREES).facts.shard_id


@pytest.fixture(scope="module")
def crowded(vectors: Vectors) -> list[ProductVersion]:
    """Products of up to 50 images, and neighbours are often of one product."""
    order = np.argsort(vectors @ vectors[0])
    sizes, versions, begin = np.random.default_rng(3).integers(1, 51, ROWS), [], 0
    for offset, size in enumerate(sizes.tolist()):
        versions.append(product(f"p{offset:04d}", vectors[order[begin : begin + size]], offset))
        begin += size
        if begin >= ROWS:
            break
    return versions


@pytest.fixture(scope="module")
def crowded_folder(crowded: list[ProductVersion], tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("annoy")
    parent = tmp_path_factory.mktemp("crowded")
    return parent / rolled(parent, crowded, dim=DIM, settings=TREES).facts.shard_id


@pytest.fixture(scope="module")
def sorted_shards(catalogue: list[ProductVersion], tmp_path_factory: pytest.TempPathFactory) -> list[Shard]:
    """Two with half of the catalogue each, and all that is near the first vector in one of them."""
    pytest.importorskip("annoy")
    parent = tmp_path_factory.mktemp("sorted")
    by_rank = sorted(catalogue, key=lambda version: version.attributes["rank"])
    halves = by_rank[: ROWS // 2], by_rank[ROWS // 2 :]
    return [rolled(parent, half, dim=DIM, settings=TREES) for half in halves]


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """Two partitions with fresh and rolled shards; most products share their picture with many others."""
    parent, rng = tmp_path_factory.mktemp("tied"), np.random.default_rng(4)
    pictures = quarters(rng, 12)
    versions = singles(pictures[rng.integers(0, len(pictures), 400)])
    parts = [versions[begin::4] for begin in range(4)]
    views = [snapshot(rolled(parent, parts[place]), fresh(parent, parts[place + 1]), now_us=NOW) for place in (0, 2)]
    return Asked(*views, catalogue=versions)


@pytest.mark.parametrize("method", PLENTY)
class TestEveryMethod:
    @pytest.mark.parametrize("k", [1, 10, 100])
    def test_finds_the_best_where_it_spends_enough(
        self, folder: Path, catalogue: list[ProductVersion], queries: Vectors, method: str, k: int
    ) -> None:
        asked = Asked(snapshot(by_way(Shard.open(folder), PLENTY[method])), catalogue=catalogue)

        for query, answer in zip(queries, asked.answers(*(Query(query, k) for query in queries)), strict=True):
            assert {plan.method for plan in answer.plans[0]} == {method}
            expected = best_first(catalogue, query)[:k]
            assert [(entry.score, name) for entry, name in zip(answer.found, ids(answer), strict=True)] == expected

    def test_answers_with_the_best_image_of_products_with_many(
        self, crowded_folder: Path, crowded: list[ProductVersion], queries: Vectors, method: str
    ) -> None:
        asked = Asked(snapshot(by_way(Shard.open(crowded_folder), PLENTY[method])), catalogue=crowded)
        images = {version.product_id: version.images for version in crowded}

        for query, answer in zip(queries, asked.answers(*(Query(query, 20) for query in queries)), strict=True):
            assert ids(answer) == [place.product_id for place in best_first(crowded, query)[:20]]
            for hit in (entry.hit() for entry in answer.found):
                best = max(images[hit.product_id], key=lambda image: float(image.vector.astype(np.float16) @ query))
                assert hit.image_id == best.image_id

    def test_looks_only_at_what_passes_a_filter(
        self, folder: Path, catalogue: list[ProductVersion], queries: Vectors, method: str
    ) -> None:
        asked = Asked(snapshot(by_way(Shard.open(folder), PLENTY[method])), catalogue=catalogue)
        wanted = Filter(all_of=(any_string("category", "c1", "c3"),))
        matching = [version for version in catalogue if version.category in ("c1", "c3")]

        for query in queries:
            assert asked.ids(Query(query, 10, filter=wanted)) == [
                place.product_id for place in best_first(matching, query)[:10]
            ]

    def test_pages_joined_are_one_long_answer(
        self, folder: Path, catalogue: list[ProductVersion], queries: Vectors, method: str
    ) -> None:
        asked = Asked(snapshot(by_way(Shard.open(folder), PLENTY[method])), catalogue=catalogue)

        assert asked.pages(Query(queries[0], 1), [7, 1, 20, 12]) == asked.ids(Query(queries[0], 40))


class TestNeverStarved:
    """k products wherever k exist."""

    @pytest.mark.parametrize("k", [1, 10, 50, 200])
    def test_by_products_with_many_images(
        self, crowded_folder: Path, crowded: list[ProductVersion], queries: Vectors, k: int
    ) -> None:
        asked = Asked(snapshot(by_way(Shard.open(crowded_folder), STINGY)), catalogue=crowded)

        for answer in asked.answers(*(Query(query, k) for query in queries)):
            assert len(set(ids(answer))) == len(answer.found) == min(k, len(crowded))

    @pytest.mark.parametrize("share", [0.5, 0.05, 0.005, 0.001])
    def test_by_a_filter_that_only_far_products_pass(
        self, folder: Path, catalogue: list[ProductVersion], vectors: Vectors, share: float
    ) -> None:
        # STINGY stands for a plan that thinks that what passes is everywhere.
        asked = Asked(snapshot(by_way(Shard.open(folder), STINGY)), catalogue=catalogue)
        farthest = Filter(all_of=(number("attributes.rank", gte=ROWS * (1 - share)),))
        matching = [version for version in catalogue if version.attributes["rank"] >= ROWS * (1 - share)]  # type: ignore[operator]

        [answer] = asked.answers(Query(vectors[0], 10, filter=farthest))

        assert [plan.fell_back for plan in answer.plans[0]] == [True]
        assert ids(answer) == [place.product_id for place in best_first(matching, vectors[0])[:10]]

    @pytest.mark.parametrize("share", [0.5, 0.05, 0.005, 0.001])
    @pytest.mark.parametrize("field", ["attributes.rank", "attributes.part"])
    @pytest.mark.parametrize("nearest", [True, False])
    def test_by_any_filter_as_the_shard_itself_plans_it(
        self, folder: Path, catalogue: list[ProductVersion], queries: Vectors, share: float, field: str, nearest: bool
    ) -> None:
        asked = Asked(snapshot(Shard.open(folder)), catalogue=catalogue)
        edge = (ROWS if field == "attributes.rank" else 1_000) * share
        wanted = Filter(all_of=(number(field, lt=edge),)) if nearest else Filter(none_of=(number(field, gte=edge),))
        count = sum(version.attributes[field.removeprefix("attributes.")] < edge for version in catalogue)  # type: ignore[operator]

        for answer in asked.answers(*(Query(query, 10, filter=wanted) for query in queries)):
            assert len(set(ids(answer))) == min(10, count)

    def test_by_a_filter_of_which_the_tree_brings_enough_to_answer_but_not_to_choose_from(
        self, folder: Path, catalogue: list[ProductVersion], queries: Vectors
    ) -> None:
        hopeful = Ways(STINGY.scan, Way("tree", 1.0, 0.9, search_k=3_000, candidates=200, passing=200))
        asked = Asked(snapshot(by_way(Shard.open(folder), hopeful)), catalogue=catalogue)
        tenth = Filter(all_of=(number("attributes.part", lt=100),))
        matching = [version for version in catalogue if version.attributes["part"] < 100]  # type: ignore[operator]

        [answer] = asked.answers(Query(queries[0], 5, filter=tenth))

        [[plan]] = answer.plans
        assert (plan.method, plan.fell_back, plan.nodes_inspected > 3_000) == ("tree", True, True)
        assert ids(answer) == [place.product_id for place in best_first(matching, queries[0])[:5]]

    def test_only_the_queries_that_found_too_little_are_asked_again(
        self, folder: Path, catalogue: list[ProductVersion], vectors: Vectors
    ) -> None:
        asked = Asked(snapshot(by_way(Shard.open(folder), STINGY)), catalogue=catalogue)
        far = catalogue[int(np.argmin(vectors @ vectors[0]))].images[0].vector
        nearest = Filter(all_of=(number("attributes.rank", lt=ROWS / 20),))

        near_answer, far_answer = asked.answers(Query(vectors[0], 5, filter=nearest), Query(far, 5, filter=nearest))

        assert [near_answer.plans[0][0].fell_back, far_answer.plans[0][0].fell_back] == [False, True]
        assert (near_answer.recall, far_answer.recall) == (0.9, 0.95)

    def test_by_dead_rows_all_around_the_query(
        self, folder: Path, catalogue: list[ProductVersion], vectors: Vectors, tmp_path: Path
    ) -> None:
        gone = [version.product_id for version in catalogue if version.attributes["rank"] < 1_000]  # type: ignore[operator]
        left = [version for version in catalogue if version.product_id not in set(gone)]
        withdrawn = fresh(tmp_path, [], [Tombstone(name, ROWS + 1) for name in gone], dim=DIM)
        asked = Asked(snapshot(by_way(Shard.open(folder), STINGY), withdrawn), catalogue=left)

        assert asked.ids(Query(vectors[0], 10)) == [place.product_id for place in best_first(left, vectors[0])[:10]]

    def test_by_a_k_beyond_the_catalogue(self, folder: Path, catalogue: list[ProductVersion], queries: Vectors) -> None:
        asked = Asked(snapshot(Shard.open(folder)), catalogue=catalogue)

        assert asked.ids(Query(queries[0], ALL)) == [place.product_id for place in best_first(catalogue, queries[0])]


class TestSeveralShards:
    def test_one_that_has_them_all_is_asked_again_for_all(
        self, sorted_shards: list[Shard], catalogue: list[ProductVersion], vectors: Vectors
    ) -> None:
        trusted: list[int] = []
        for shard in sorted_shards:
            shard.ways = noting(shard.ways, trusted)  # type: ignore[assignment]
        asked = Asked(snapshot(*sorted_shards), catalogue=catalogue)

        found = asked.ids(Query(vectors[0], 100))

        assert trusted[0] == trusted[1] < 100
        assert trusted[2:] == [100]
        expected = [place.product_id for place in best_first(catalogue, vectors[0])[:100]]
        assert len(set(found) & set(expected)) >= 97

    def test_exact_answers_are_those_of_one_shard(
        self, sorted_shards: list[Shard], catalogue: list[ProductVersion], queries: Vectors
    ) -> None:
        apart = Asked(*(snapshot(shard) for shard in sorted_shards), catalogue=catalogue)
        together = Asked(snapshot(*sorted_shards), catalogue=catalogue)

        for query in queries:
            expected = [place.product_id for place in best_first(catalogue, query)[:30]]
            assert apart.ids(Query(query, 30, exact=True)) == expected
            assert together.ids(Query(query, 30, exact=True)) == expected


class TestPaging:
    @settings(max_examples=60, deadline=None)
    @given(sizes=st.lists(st.integers(1, 90), min_size=1, max_size=12), picture=st.integers(0, 5))
    def test_pages_of_any_sizes_joined_are_one_long_answer(self, tied: Asked, sizes: list[int], picture: int) -> None:
        query = quarters(np.random.default_rng(picture), 1)[0]

        assert tied.pages(Query(query, 1), sizes) == [
            place.product_id for place in best_first(tied.catalogue, query)[: sum(sizes)]
        ]

    def test_products_that_came_in_before_do_not_shorten_a_page(self, tmp_path: Path) -> None:
        vectors = scattered(np.random.default_rng(5), 60)
        query = vectors[0]
        versions = singles(vectors)
        first = Asked(snapshot(fresh(tmp_path, versions)), catalogue=versions)
        expected = first.ids(Query(query, 20))
        [page] = first.answers(Query(query, 10))
        last = page.found[-1]

        newer = fresh(tmp_path, singles(np.repeat(query[None, :], 200, axis=0), "new"))
        second = Asked(snapshot(*(entry.shard for entry in first.views[0].shards), newer), catalogue=versions)
        after = RankedPlace(last.score, last.shard.product_id(last.row))

        assert second.ids(Query(query, 10, after=after, skipped=10)) == expected[10:]

    @pytest.mark.parametrize("metric", METRICS)
    def test_a_product_keeps_its_score_when_it_is_rolled(self, tmp_path: Path, metric: str) -> None:
        vectors = scattered(np.random.default_rng(8), 200, DIM)
        table = table_of(singles(vectors), [], DIM)
        before = snapshot(Shard.open(write_fresh(table, MODEL, tmp_path, metric)))
        after = snapshot(Shard.open(write_rolled(table, MODEL, tmp_path, replace(TREES, metric=metric))))
        asked = [Query(vector, 200, exact=True) for vector in unit(vectors[:5] + vectors[5:10])]

        scores = [
            [[(entry.score, entry.shard.product_id(entry.row)) for entry in answer.found] for answer in found]
            for found in (answers([before], asked, Masks()), answers([after], asked, Masks()))
        ]

        assert scores[0] == scores[1]

    @pytest.mark.parametrize("place", [0.5, -0.25])
    def test_a_place_that_is_far_down_is_found_by_one_pass(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: float
    ) -> None:
        monkeypatch.setattr(search, "_FURTHEST_SKIPPED", 10)
        noted: list[int] = []
        found = search._found

        def noting_depth(sources: Sequence[search._Source], vectors: Vectors, task: Task) -> object:
            noted.append(task.k)
            return found(sources, vectors, task)

        monkeypatch.setattr(search, "_found", noting_depth)
        versions = singles(quarters(np.random.default_rng(9), 900))
        views = (snapshot(rolled(tmp_path, versions[:500]), fresh(tmp_path, versions[500:800])),)
        asked = Asked(*views, snapshot(fresh(tmp_path, versions[800:])), catalogue=versions)
        query = quarters(np.random.default_rng(10), 1)[0]
        ranked = best_first(versions, query)
        after = RankedPlace(place, "p4")
        rest = [entry.product_id for entry in ranked if (-entry.score, entry.product_id) > (-place, "p4")]

        [answer] = asked.answers(Query(query, 7, after=after, skipped=1, exclude=frozenset({rest[2]})))

        assert ids(answer) == (rest[:2] + rest[3:])[:7]
        assert max(noted) <= 4 * (10 + 7)
        assert sum(plan.rows_scored for plans in answer.plans for plan in plans) == 900

    def test_a_page_after_the_last_product_is_empty(self, tied: Asked) -> None:
        query = quarters(np.random.default_rng(0), 1)[0]
        last = best_first(tied.catalogue, query)[-1]

        assert tied.ids(Query(query, 10, after=last, skipped=400)) == []


class TestWhatIsLeftOut:
    @pytest.fixture
    def asked(self, tmp_path: Path) -> Asked:
        versions = singles(scattered(np.random.default_rng(6), 200))
        return Asked(snapshot(rolled(tmp_path, versions[:150]), fresh(tmp_path, versions[150:])), catalogue=versions)

    def test_what_scores_below_the_least_score(self, asked: Asked) -> None:
        query = scattered(np.random.default_rng(7), 1)[0]
        everything = asked.answers(Query(query, ALL))[0].found
        least = everything[20].score

        assert len(asked.ids(Query(query, ALL, min_score=least))) == 21
        assert len(asked.ids(Query(query, 5, min_score=least))) == 5
        assert len(asked.ids(Query(query, ALL, min_score=float(np.nextafter(np.float32(least), np.float32(2)))))) == 20

    @pytest.mark.parametrize("k", [1, 10, 199, 200])
    def test_the_product_that_asks(self, asked: Asked, k: int) -> None:
        version = asked.catalogue[3]
        found = asked.ids(Query(version.images[0].vector, k, exclude=frozenset({version.product_id})))

        everything = asked.ids(Query(version.images[0].vector, ALL))
        assert everything[0] == version.product_id
        assert found == everything[1 : k + 1]

    def test_an_unknown_product_that_asks_changes_nothing(self, asked: Asked) -> None:
        query = scattered(np.random.default_rng(7), 1)[0]

        assert asked.ids(Query(query, 10, exclude=frozenset({"nobody"}))) == asked.ids(Query(query, 10))

    @pytest.mark.parametrize("left_out", [2, 16, 17, 60, 195, 200])
    @pytest.mark.parametrize("k", [1, 10, 100])
    def test_many_products_the_best_of_all(self, asked: Asked, left_out: int, k: int) -> None:
        query = scattered(np.random.default_rng(7), 1)[0]
        everything = asked.ids(Query(query, ALL))

        found = asked.ids(Query(query, k, exclude=frozenset(everything[:left_out])))

        assert found == everything[left_out : left_out + k]

    def test_many_products_on_every_page(self, asked: Asked) -> None:
        query = scattered(np.random.default_rng(7), 1)[0]
        everything = asked.ids(Query(query, ALL))
        left_out = frozenset(everything[3:90])

        pages = asked.pages(Query(query, 1, exclude=left_out), [10, 1, 30])

        assert pages == [product_id for product_id in everything if product_id not in left_out][:41]

    def test_a_long_list_of_far_products_costs_no_more_than_a_short_one(self, asked: Asked) -> None:
        query = scattered(np.random.default_rng(7), 1)[0]
        far = frozenset(asked.ids(Query(query, ALL))[50:])

        assert Query(query, 10, exclude=far).depth == 26
        assert asked.ids(Query(query, 10, exclude=far)) == asked.ids(Query(query, 10))


def test_a_batch_of_all_kinds_is_answered_as_each_of_it_alone(
    folder: Path, catalogue: list[ProductVersion], queries: Vectors
) -> None:
    asked = Asked(snapshot(by_way(Shard.open(folder), PLENTY["exact"])), catalogue=catalogue)
    wanted = Filter(all_of=(number("attributes.part", lt=100),))
    batch = [
        *(Query(query, 10) for query in queries[:4]),
        *(Query(query, 3, filter=wanted) for query in queries[:4]),
        Query(queries[4], 10, exact=True),
        Query(queries[5], 10, recall_target=0.9, exclude=frozenset({"p0001"})),
        *(Query(query, 10, min_score=0.5) for query in queries[6:]),
    ]

    together = asked.answers(*batch)

    for query, answer in zip(batch, together, strict=True):
        [alone] = asked.answers(query)
        assert [tuple(entry) for entry in answer.found] == [tuple(entry) for entry in alone.found]


def test_no_queries_get_no_answers(folder: Path) -> None:
    assert answers([snapshot(Shard.open(folder))], [], Masks()) == []


@pytest.mark.parametrize("partitions", [0, 1, 3])
def test_nothing_is_found_where_nothing_is(partitions: int) -> None:
    views = [Snapshot.of([], DIM, NOW)] * partitions
    query = scattered(np.random.default_rng(0), 1, DIM)[0]

    [answer] = answers(views, [Query(query, 10)], Masks())

    assert answer == Answer([], 1.0, [[]] * partitions)


class TestPlans:
    def test_say_what_each_shard_did(self, folder: Path, queries: Vectors, tmp_path: Path) -> None:
        rolled_shard = by_way(Shard.open(folder), PLENTY["projected"])
        views = [snapshot(rolled_shard), snapshot(fresh(tmp_path, singles(queries), dim=DIM))]

        [answer] = answers(views, [Query(queries[0], 10)], Masks())

        [[one], [other]] = answer.plans
        assert (one.shard_id, one.method, one.rows_live, one.rows_matching) == (folder.name, "projected", ROWS, ROWS)
        assert (other.shard_id, other.method, other.rows_live) == ("", "exact", len(queries))
        assert min(one.search_us, other.search_us) > 0
        assert answer.recall == 0.95

    def test_say_that_no_row_matches(self, folder: Path, queries: Vectors) -> None:
        nothing = Filter(all_of=(any_string("category", "hats"),))

        [answer] = answers([snapshot(Shard.open(folder))], [Query(queries[0], 10, filter=nothing)], Masks())

        [[plan]] = answer.plans
        assert (answer.found, answer.recall, plan.method, plan.rows_matching) == ([], 1.0, "none", 0)

    def test_an_exact_answer_has_full_recall(self, folder: Path, queries: Vectors) -> None:
        [answer] = answers([snapshot(Shard.open(folder))], [Query(queries[0], 10, exact=True)], Masks())

        assert (answer.recall, answer.plans[0][0].method) == (1.0, "exact")


class TestScan:
    @pytest.mark.parametrize("least", [0.9, 0.5, 0.0, -1.0])
    @pytest.mark.parametrize("wanted", [None, Filter(all_of=(number("attributes.part", lt=500),))])
    def test_it_finds_everything_that_scores_enough(
        self, folder: Path, catalogue: list[ProductVersion], queries: Vectors, least: float, wanted: Filter | None
    ) -> None:
        matching = [version for version in catalogue if wanted is None or version.attributes["part"] < 500]  # type: ignore[operator]

        parts = list(scan(snapshot(Shard.open(folder)), queries[0], least, wanted, Masks()))

        found = [(entry.score, entry.shard.product_id(entry.row)) for part in parts for entry in part.found]
        assert sorted(found) == sorted(place for place in best_first(matching, queries[0]) if place.score >= least)
        assert sum(part.rows_scored for part in parts) >= len(matching)

    def test_a_product_with_many_images_comes_once(
        self, crowded_folder: Path, crowded: list[ProductVersion], queries: Vectors, tmp_path: Path
    ) -> None:
        newer = [replace(version, product_id=f"n{version.product_id}") for version in crowded[:10]]
        view = snapshot(Shard.open(crowded_folder), fresh(tmp_path, newer, dim=DIM))

        parts = list(scan(view, queries[0], -1.0, None, Masks()))

        found = [entry.shard.product_id(entry.row) for part in parts for entry in part.found]
        assert sorted(found) == sorted(version.product_id for version in (*crowded, *newer))

    @pytest.mark.parametrize("metric", ["euclidean", "manhattan"])
    @pytest.mark.parametrize("least", [0.0, -1.0])
    def test_the_lowest_least_score_leaves_nothing_out(self, tmp_path: Path, metric: str, least: float) -> None:
        versions = singles(scattered(np.random.default_rng(8), 50))
        shard = rolled(tmp_path, versions, settings=TreeSettings(metric=metric))

        [part] = scan(snapshot(shard), versions[0].images[0].vector, least, None, Masks())

        assert len(part.found) == 50
