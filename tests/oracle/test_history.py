"""Any history of a small catalogue: every answer is the one that the plain model gives."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.oracle.drawn import DIM, NAMES, QUERIES, live_maps, names, products, queries
from tests.oracle.model import METRICS
from tests.oracle.shop import Shop
from vitrine.attributes import Attributes
from vitrine.filters import Filter, any_string, is_bool, number
from vitrine.shards.files import ScanCosts, ScanEffort, SearchPlan, TreeEffort
from vitrine.shards.metric import Metric
from vitrine.shards.planning import Method
from vitrine.shards.query import Query
from vitrine.shards.scoring import Gallery
from vitrine.shards.shard import FirstStage

# Nobody would choose it: microseconds, or for a row nanoseconds.
DEAR: Final = 1e9

# Asked after every step; others are drawn.
ALWAYS_ASKED = [
    Query(vector, k, filter=asked)
    for vector in QUERIES[:2]
    for k, asked in (
        (20, None),
        (1, None),
        (2, None),
        (20, Filter(all_of=(any_string("category", "shoes"),))),
        (20, Filter(all_of=(number("live.price", lt=2.0),), none_of=(is_bool("attributes.used", True),))),
        (20, Filter(any_of=(any_string("attributes.mixed", "red"), any_string("attributes.materials", "red")))),
        (20, Filter(all_of=(number("attributes.size", gt=1.0, lte=2.5),))),
        (20, Filter(none_of=(is_bool("live.in_stock", False), number("attributes.mixed", gte=1.0)))),
    )
] + [Query(QUERIES[0], 1, exclude=frozenset({name})) for name in NAMES]
# At a score that ties.
ALWAYS_SCANNED = Query(QUERIES[0], 1, min_score=0.25)


def planned_hastily(
    method: Method, gallery: Gallery, metric: Metric, stage: FirstStage, plan: SearchPlan
) -> SearchPlan:
    """Instead of a calibration: `method` looks far cheaper than all others, and spends too little to find much."""
    tree = TreeEffort(1, search_k=2, rerank=1, recall=0.5, recall_lower95=0.999, cost_us=0.0)
    if method == "projected":
        tree = replace(tree, cost_us=DEAR)
    scan = ScanEffort(1, candidates=1, recall=0.5, recall_lower95=0.999)
    scans = () if stage.projected is None else (scan,)
    costs = ScanCosts(exact_row_ns=DEAR, projected_row_ns=1.0, rerank_row_ns=DEAR)
    return replace(plan, efforts=(tree,), scans=scans, costs=costs)


class SmallCatalogue(RuleBasedStateMachine):
    """Too small for trees; or trees are planted all the same, and searched so hastily that they miss a lot."""

    @initialize(
        metric=st.sampled_from(METRICS),
        partitions=st.sampled_from([1, 2]),
        mask_bytes=st.sampled_from([0, 400, 1 << 20]),
        live_block_rows=st.sampled_from([1, 6, 1_000]),
        hasty=st.sampled_from([None, "tree", "projected"]),
    )
    def open_it(
        self, metric: str, partitions: int, mask_bytes: int, live_block_rows: int, hasty: Method | None
    ) -> None:
        self.shop = Shop(self.folder, metric, DIM, partitions=partitions, mask_bytes=mask_bytes)
        self.patch.setattr("vitrine.shards.live.BLOCK_ROWS", live_block_rows)
        self.hasty = hasty is not None
        if hasty is not None:
            self.patch.setattr("vitrine.shards.build.TREE_MIN_ROWS", 4)
            self.patch.setattr("vitrine.shards.planning._TREE_SHARE", 1.0)
            self.patch.setattr("vitrine.shards.build.calibrated", partial(planned_hastily, hasty))

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.patch = pytest.MonkeyPatch()

    def teardown(self) -> None:
        self.patch.undo()
        shutil.rmtree(self.folder)

    @rule(
        data=st.data(),
        gone=st.lists(names, max_size=3),
        updates=st.dictionaries(names, live_maps, max_size=3),
        ticks=st.integers(0, 4),
    )
    def commit(self, data: st.DataObject, gone: list[str], updates: dict[str, Attributes], ticks: int) -> None:
        """Products made, changed and withdrawn; live attributes of such as are there and such as are not."""
        for product in data.draw(st.lists(products(self.shop.now_us), max_size=5)):
            self.shop.upsert(product)
        for name in gone:
            self.shop.delete(name)
        for name, attributes in updates.items():
            self.shop.update_live(name, attributes)
        self.shop.commit()
        self.shop.now_us += ticks

    @precondition(lambda self: any(partition.shards for partition in self.shop.partitions))
    @rule(data=st.data(), rolled=st.booleans())
    def rebuild(self, data: st.DataObject, rolled: bool) -> None:
        """Any neighbours become one: fresh ones are merged, all others rolled or compacted."""
        numbers = [number for number, partition in enumerate(self.shop.partitions) if partition.shards]
        number = data.draw(st.sampled_from(numbers))
        shards = self.shop.partitions[number].shards
        first = data.draw(st.integers(0, len(shards) - 1))
        last = data.draw(st.integers(first + 1, len(shards)))
        only_fresh = all(shard.facts.kind == "fresh" for shard in shards[first:last])
        self.shop.rebuild(number, first, last, rolled=rolled or not only_fresh)

    @rule(drawn=st.lists(queries, min_size=1, max_size=8), restarted=st.booleans())
    def ask(self, drawn: list[Query], restarted: bool) -> None:
        if restarted:
            self.shop.restart()
        self._check(drawn)
        self.shop.check_scan(drawn[0])
        self.shop.check_listing(drawn[0].filter)

    @rule(query=queries, sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4))
    def turn_pages(self, query: Query, sizes: list[int]) -> None:
        self.shop.check_pages(query, sizes, exact=query.exact or not self.hasty)

    @invariant()
    def answers_as_the_model(self) -> None:
        self._check(ALWAYS_ASKED)
        self.shop.check_scan(ALWAYS_SCANNED)
        self.shop.check_listing(None)

    def _check(self, asked: list[Query]) -> None:
        if self.hasty:
            self.shop.check_promised(asked)
            asked = [replace(query, exact=True, recall_target=None) for query in asked]
        self.shop.check_exact(asked)


class SmallCatalogueForLonger(SmallCatalogue):
    """The same, with longer histories and more of them."""


TestSmallCatalogue = pytest.mark.timeout(600)(SmallCatalogue.TestCase)
TestSmallCatalogue.settings = settings(max_examples=25, stateful_step_count=25)

TestSmallCatalogueForLonger = pytest.mark.thorough(pytest.mark.timeout(900)(SmallCatalogueForLonger.TestCase))
TestSmallCatalogueForLonger.settings = settings(max_examples=100, stateful_step_count=40)
