"""The same changes for the model and for real shards, and the comparison of their answers.

Real: partitions of shards on disk, committed, merged and rolled by the library as the indexer has it do.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.builders import MODEL, NOW, product
from tests.oracle.model import Catalogue, Product, picture_scores
from vitrine.attributes import Attributes
from vitrine.filters import Filter
from vitrine.shards import search
from vitrine.shards.build import TreeSettings, write_fresh, write_rolled
from vitrine.shards.listing import products_of
from vitrine.shards.masks import Masks
from vitrine.shards.merge import merged_table
from vitrine.shards.planning import Method
from vitrine.shards.query import Answer, Query, RankedPlace
from vitrine.shards.records import LiveVersion, ProductVersion, Tombstone
from vitrine.shards.shard import Shard
from vitrine.shards.snapshot import Snapshot
from vitrine.shards.table import table_of

# A product is found if its score is at least that of the k-th best less this: neighbours that close are as good.
SCORE_TOLERANCE = 1e-3


class Seen(NamedTuple):
    """One product of an answer, and the score of the picture that the answer names."""

    score: float
    product_id: str
    picture_score: float


class Matching(NamedTuple):
    """What a filter leaves."""

    products: list[Product]
    pictures: int

    @staticmethod
    def of(products: list[Product]) -> Matching:
        return Matching(products, sum(len(product.vectors) for product in products))


@dataclass
class Partition:
    """What one partition is made of, and what waits for its next commit."""

    shards: list[Shard] = field(default_factory=list)
    changes: dict[str, Product | None] = field(default_factory=dict)
    live: dict[str, Attributes] = field(default_factory=dict)
    view: Snapshot | None = None


class Shop:
    def __init__(self, folder: Path, metric: str, dim: int, *, partitions: int = 2, mask_bytes: int = 1 << 20) -> None:
        self.folder = folder
        self.dim = dim
        self.model = Catalogue(metric)
        self.partitions = [Partition() for _ in range(partitions)]
        self.settings = TreeSettings(metric=metric)
        self.masks = Masks(mask_bytes)
        self.now_us = NOW
        self.methods: Counter[Method] = Counter()
        self._offset = 0

    def upsert(self, changed: Product) -> None:
        self._partition_of(changed.product_id).changes[changed.product_id] = changed

    def delete(self, product_id: str) -> None:
        self._partition_of(product_id).changes[product_id] = None

    def update_live(self, product_id: str, attributes: Attributes) -> None:
        self._partition_of(product_id).live[product_id] = attributes

    def commit(self) -> None:
        """What waits becomes one fresh shard a partition, and true in the model."""
        for partition in self.partitions:
            versions, tombstones = self._records(partition.changes)
            live = [LiveVersion(name, self._next(), attributes) for name, attributes in partition.live.items()]
            if versions or tombstones or live:
                table = table_of(versions, tombstones, self.dim, live)
                partition.shards.append(Shard.open(write_fresh(table, MODEL, self.folder, self.model.metric)))
            for name, changed in partition.changes.items():
                self.model.products.pop(name, None)
                if changed is not None:
                    self.model.products[name] = changed
            self.model.live.update(partition.live)
            partition.changes, partition.live = {}, {}

    def rebuild(self, number: int, first: int, last: int, *, rolled: bool) -> None:
        """Shards first:last of partition `number`, oldest first, become one: fresh ones merged, or rolled."""
        partition = self.partitions[number]
        table = merged_table(self._view(partition).shards[first:last], reaches_oldest=first == 0)
        if rolled:
            built = write_rolled(table, MODEL, self.folder, self.settings)
        else:
            built = write_fresh(table, MODEL, self.folder, self.model.metric)
        partition.shards[first:last] = [Shard.open(built)]

    def restart(self) -> None:
        """As a searcher that starts anew: nothing is remembered of snapshots and masks."""
        self.masks = Masks(1 << 20)
        for partition in self.partitions:
            partition.view = None

    def views(self) -> list[Snapshot]:
        return [self._view(partition) for partition in self.partitions]

    def answers(self, queries: Sequence[Query]) -> list[Answer]:
        return search.answers(self.views(), queries, self.masks)

    def check_exact(self, queries: Sequence[Query]) -> None:
        """Every answer is the model's: the same products in the same order with the same scores and pictures."""
        matching = self._matching(queries)
        for query, answer in zip(queries, self.answers(queries), strict=True):
            expected = self.model.answer(query, matching[query.filter].products)
            seen = self._seen(query, answer)
            assert [RankedPlace(entry.score, entry.product_id) for entry in seen] == expected, query
            assert [entry.picture_score for entry in seen] == [place.score for place in expected], query
            self._check_plans(query, answer, matching)

    def check_promised(self, queries: Sequence[Query]) -> list[float]:
        """Every answer holds as many products as there are, each really matching. Returns the recall of each."""
        matching = self._matching(queries)
        recalls = []
        for query, answer in zip(queries, self.answers(queries), strict=True):
            everything = self.model.answer(
                replace(query, k=len(self.model.products) + 1), matching[query.filter].products
            )
            seen = self._seen(query, answer)
            self._check_promised(query, seen, everything)
            self._check_plans(query, answer, matching)
            recalls.append(self._recall(seen, everything[: query.k]))
        return recalls

    def check_pages(self, query: Query, sizes: Sequence[int], *, exact: bool) -> None:
        """Pages of these `sizes`, over and over until one is empty, are one long ranking."""
        check = self.check_exact if exact else self.check_promised
        joined: list[Seen] = []
        for size in cycle(sizes):
            after = RankedPlace(joined[-1].score, joined[-1].product_id) if joined else query.after
            page = replace(query, k=size, after=after, skipped=query.skipped + len(joined))
            check([page])
            [answer] = self.answers([page])
            if not answer.found:
                break
            joined += self._seen(page, answer)
        names = [entry.product_id for entry in joined]
        assert len(set(names)) == len(names), f"a product is on two pages: {query}"

    def check_scan(self, query: Query) -> None:
        """A scan answers every matching product that scores enough, once, in any order."""
        min_score = -1.0 if query.min_score is None else query.min_score
        scans = (search.scan(view, query.vector, min_score, query.filter, self.masks) for view in self.views())
        found = [entry for scan in scans for part in scan for entry in part.found]
        products = self.model.matching(query.filter, self.now_us)
        everything = Query(query.vector, len(products), min_score=min_score)
        seen = [RankedPlace(entry.score, entry.shard.product_id(entry.row)) for entry in found]
        assert sorted(seen) == sorted(self.model.answer(everything, products)), query

    def check_listing(self, wanted: Filter | None) -> None:
        """A listing holds every matching product once, as it was published last, with all its pictures."""
        listed = [version for view in self.views() for version in products_of(view, wanted, self.masks)]
        matching = self.model.matching(wanted, self.now_us)
        assert sorted(version.product_id for version in listed) == sorted(product.product_id for product in matching)
        known = {product.product_id: product for product in matching}
        for version in listed:
            expected = known[version.product_id]
            assert (version.category, version.attributes) == (expected.category, expected.attributes)
            vectors = np.stack([image.vector for image in version.images])
            assert np.array_equal(vectors.astype(np.float16), expected.vectors.astype(np.float16))

    def _check_promised(self, query: Query, seen: Sequence[Seen], everything: Sequence[RankedPlace]) -> None:
        best = {place.product_id: place.score for place in everything}
        names = [entry.product_id for entry in seen]
        assert len(set(names)) == len(names), f"a product comes twice: {query}"
        assert set(names) <= set(best), f"{set(names) - set(best)} do not match: {query}"
        if query.min_score is None:
            assert len(seen) == min(query.k, len(everything)), f"{len(seen)} of {len(everything)} products: {query}"
        places = [(-entry.score, entry.product_id) for entry in seen]
        assert places == sorted(places), f"not in order: {query}"
        assert [entry.score for entry in seen] == [best[name] for name in names], query
        assert [entry.picture_score for entry in seen] == [best[name] for name in names], query

    def _recall(self, seen: Sequence[Seen], wanted: Sequence[RankedPlace]) -> float:
        if not wanted:
            return 1.0
        kth = wanted[-1].score
        # Scores made of distances can be small: there it is a thousandth of them.
        threshold = kth - SCORE_TOLERANCE * (1 if self.model.metric in ("angular", "hamming") else kth)
        return sum(entry.score >= threshold for entry in seen) / len(wanted)

    def _matching(self, queries: Sequence[Query]) -> dict[Filter | None, Matching]:
        wanted = {None, *(query.filter for query in queries)}
        return {each: Matching.of(self.model.matching(each, self.now_us)) for each in wanted}

    def _seen(self, query: Query, answer: Answer) -> list[Seen]:
        metric = self.model.metric
        return [
            Seen(
                found.score,
                found.shard.product_id(found.row),
                picture_scores(metric, query.vector, found.shard.table.vectors[found.row : found.row + 1]).item(),
            )
            for found in answer.found
        ]

    def _check_plans(self, query: Query, answer: Answer, matching: Mapping[Filter | None, Matching]) -> None:
        """What plans say of how much there was to choose from."""
        assert len(answer.plans) == len(self.partitions)
        plans = [plan for plans in answer.plans for plan in plans]
        self.methods.update(plan.method for plan in plans)
        assert sum(plan.rows_live for plan in plans) == matching[None].pictures, query
        assert sum(plan.rows_matching for plan in plans) == matching[query.filter].pictures, query

    def _view(self, partition: Partition) -> Snapshot:
        partition.view = Snapshot.of(partition.shards, self.dim, self.now_us, partition.view)
        return partition.view

    def _partition_of(self, product_id: str) -> Partition:
        return self.partitions[zlib.crc32(product_id.encode()) % len(self.partitions)]

    def _records(self, changes: dict[str, Product | None]) -> tuple[list[ProductVersion], list[Tombstone]]:
        versions, tombstones = [], []
        for name, changed in changes.items():
            if changed is None:
                tombstones.append(Tombstone(name, self._next()))
            else:
                versions.append(
                    product(
                        name,
                        changed.vectors,
                        self._next(),
                        changed.attributes,
                        changed.expires_at_us,
                        changed.category,
                    )
                )
        return versions, tombstones

    def _next(self) -> int:
        self._offset += 1
        return self._offset
