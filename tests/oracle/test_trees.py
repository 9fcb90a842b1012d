"""Catalogues big enough for trees: answers are whole, and as near to the model's as the recall target says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from tests.builders import clustered
from tests.oracle.model import METRICS, Product
from tests.oracle.shop import Shop
from vitrine.filters import Filter, any_string, is_bool, number
from vitrine.shards import tree
from vitrine.shards.calibrate import moved
from vitrine.shards.query import Query
from vitrine.vectors import Vectors

pytestmark = pytest.mark.skipif(not tree.available(), reason="needs annoy")

DIM: Final = 24
TARGET: Final = 0.99
LOW_TARGET: Final = 0.9
# A mean over a few hundred queries is this uncertain.
RECALL_MARGIN: Final = 0.01
KS: Final = (1, 10, 10, 30, 100)
CATEGORIES: Final = ("shoes", "bags", "hats", "belts")
FILTERS: Final = (
    None,
    Filter(all_of=(any_string("category", "shoes"),)),
    Filter(any_of=(any_string("category", "hats"), is_bool("attributes.used", True))),
    Filter(all_of=(number("attributes.price", lt=5.0),)),
    Filter(all_of=(number("live.price", gte=500.0),), none_of=(any_string("category", "shoes", "bags"),)),
    Filter(all_of=(any_string("category", "belts"), number("attributes.price", gte=100.0, lt=200.0))),
    Filter(none_of=(is_bool("attributes.used", False), any_string("live.unheard-of", "x"))),
)

# Small catalogues are searched by all metrics (test_history.py); big ones take their time.
ONE_METRIC_AT_FIRST: Final = [
    METRICS[0],
    *(pytest.param(metric, marks=pytest.mark.thorough) for metric in METRICS[1:]),
]


class Season:
    """Thousands of products in two partitions, changed at random."""

    def __init__(self, folder: Path, metric: str, seed: int, products: int) -> None:
        self.shop = Shop(folder, metric, DIM)
        self.rng = np.random.default_rng(seed)
        self.pictures = clustered(self.rng, 4 * products, DIM, rank=12)
        self.names = [f"p{place}" for place in range(products)]

    def pass_by(self) -> None:
        """A few commits, and then the fresh shards are merged, or any neighbours become one rolled shard."""
        for _ in range(2):
            self._offer(len(self.names) // 20)
            for name in self._some(len(self.names) // 60):
                self.shop.delete(name)
            for name in self._some(len(self.names) // 30):
                self.shop.update_live(name, {"price": self._price()} if self.rng.random() < 0.9 else {})
            self.shop.commit()
        self.shop.now_us += 1
        for place in range(len(self.shop.partitions)):
            self._rebuild(place)

    def open_with(self, count: int) -> None:
        """The first `count` offers, rolled."""
        self._offer(count)
        self.shop.commit()
        for place in range(len(self.shop.partitions)):
            self.shop.rebuild(place, 0, 1, rolled=True)

    def questions(self, count: int, recall_target: float | None = None) -> list[Query]:
        """As shoppers ask: by a picture that is near some of the catalogue, with every kind of filter."""
        rows = self.rng.choice(len(self.pictures), count, replace=False)
        vectors = moved(self.pictures[rows], 0.9, self.rng)
        return [
            Query(vector, int(self.rng.choice(KS)), recall_target=recall_target, filter=FILTERS[place % len(FILTERS)])
            for place, vector in enumerate(vectors)
        ]

    def _offer(self, count: int) -> None:
        """New products and new versions of known ones."""
        for name in self._some(count):
            pictures = int(self.rng.choice([1, 2, 5, 50], p=[0.85, 0.1, 0.049, 0.001]))
            rows = self.rng.integers(0, len(self.pictures), pictures)
            if self.rng.random() < 0.05:
                rows[0] = 7  # one picture, seen in hundreds of products
            offered = Product(
                name,
                self.pictures[rows],
                str(self.rng.choice(CATEGORIES, p=[0.7, 0.2, 0.09, 0.01])),
                {"price": self._price(), "used": bool(self.rng.random() < 0.02)},
                self.shop.now_us + int(self.rng.integers(1, 10)) if self.rng.random() < 0.1 else None,
            )
            self.shop.upsert(offered)

    def _rebuild(self, place: int) -> None:
        shards = self.shop.partitions[place].shards
        fresh = [at for at, shard in enumerate(shards) if shard.facts.kind == "fresh"]
        if self.rng.random() < 0.5:
            self.shop.rebuild(place, fresh[0], fresh[-1] + 1, rolled=False)
        else:
            first = int(self.rng.integers(0, len(shards)))
            self.shop.rebuild(place, first, int(self.rng.integers(first, len(shards))) + 1, rolled=True)

    def _some(self, count: int) -> list[str]:
        return [str(name) for name in self.rng.choice(self.names, count, replace=False)]

    def _price(self) -> float:
        return float(self.rng.integers(0, 1_000))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("metric", ONE_METRIC_AT_FIRST)
def test_a_catalogue_that_changes_all_the_time_keeps_its_recall(metric: str, tmp_path: Path) -> None:
    season = Season(tmp_path, metric, seed=1, products=4_000)
    season.open_with(3_300)

    recalls, low_recalls = [], []
    for _ in range(3):
        season.pass_by()
        recalls += season.shop.check_promised(season.questions(28))
        low_recalls += season.shop.check_promised(season.questions(14, LOW_TARGET))
        season.shop.check_exact([replace(query, exact=True) for query in season.questions(7)])

    assert season.shop.methods["tree"]
    assert np.mean(recalls) >= TARGET - RECALL_MARGIN
    assert np.mean(low_recalls) >= LOW_TARGET - RECALL_MARGIN


ROWS: Final = 20_000
SELECTIVITIES: Final = (0.5, 0.05, 0.005, 0.0005)
# Where the matching products lie: anywhere; as far from the query as any; as near.
FIELDS: Final = ("attributes.anywhere", "attributes.farthest", "attributes.nearest")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("metric", ONE_METRIC_AT_FIRST)
def test_a_filter_of_any_selectivity_brings_k_wherever_its_products_lie(metric: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    pictures = clustered(rng, ROWS, DIM, rank=12)
    direction = pictures[0]
    shop = Shop(tmp_path, metric, DIM, partitions=1)
    for name, (picture, anywhere, nearest) in enumerate(
        zip(pictures, rng.permutation(ROWS).tolist(), nearness(pictures, direction), strict=True)
    ):
        ranks = {"anywhere": float(anywhere), "nearest": float(nearest), "farthest": float(ROWS - 1 - nearest)}
        shop.upsert(Product(f"p{name}", picture[None, :], attributes=ranks))
    shop.commit()
    shop.rebuild(0, 0, 1, rolled=True)

    for field in FIELDS:
        recalls = []
        for share in SELECTIVITIES:
            wanted = Filter(all_of=(number(field, lt=share * ROWS),))
            vectors = moved(np.repeat(direction[None, :], 4, axis=0), 0.95, rng)
            queries = [Query(vector, k, filter=wanted) for vector in vectors for k in (10, 100)]
            recalls += shop.check_promised(queries)
        # Bits say nothing about the order of vectors that are all far away: there hamming keeps its word on k alone.
        if (metric, field) != ("hamming", "attributes.farthest"):
            assert np.mean(recalls) >= TARGET - RECALL_MARGIN, field


def nearness(pictures: Vectors, direction: Vectors) -> list[int]:
    """0 for the picture nearest to `direction`, and so on."""
    ranks: list[int] = np.argsort(np.argsort(-(pictures @ direction))).tolist()
    return ranks
