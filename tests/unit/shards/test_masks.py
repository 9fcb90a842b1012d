"""A filter chooses the rows that a plain look at every product would choose, now and after every change."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from weakref import ref

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import MODEL, NOW, fresh, product, rolled, scattered
from vitrine.attributes import Attributes, AttributeValue
from vitrine.filters import AnyString, Condition, Filter, IsBool, NumberRange, any_string, is_bool, number
from vitrine.shards import live, masks
from vitrine.shards.build import TreeSettings, write_rolled
from vitrine.shards.live import LiveRows
from vitrine.shards.masks import Masks, all_fields, fields_of
from vitrine.shards.records import LiveVersion, ProductVersion, Tombstone
from vitrine.shards.shard import Shard
from vitrine.shards.snapshot import Snapshot
from vitrine.shards.table import ShardTable, table_of

DIM = 8
VECTORS = scattered(np.random.default_rng(0), 3)
ONE = VECTORS[:1]

RED = Filter((any_string("attributes.colour", "red"),))
CHEAP = Filter((number("live.price", lt=10),))


def view_of(*shards: Shard, previous: Snapshot | None = None) -> Snapshot:
    return Snapshot.of(shards, DIM, NOW, previous)


def chosen(kept: Masks, view: Snapshot, wanted: Filter | None) -> set[str]:
    """The products of which all rows are selected: by shard, and again by the block of fresh ones."""
    by_shard = [rows_selected(kept, view, number, wanted) for number in range(len(view.shards))]
    ids = [product_id for rows in by_shard for product_id in rows]
    in_fresh = kept.select_fresh(view, wanted).selection
    places = view.fresh.places[in_fresh.rows].tolist()
    assert len(places) == in_fresh.count
    assert [view.shards[shard].shard.product_id(row) for shard, row in places] == [
        product_id
        for rows, entry in zip(by_shard, view.shards, strict=True)
        for product_id in rows
        if entry.shard.facts.kind == "fresh"
    ]
    return set(ids)


def rows_selected(kept: Masks, view: Snapshot, number: int, wanted: Filter | None) -> list[str]:
    """The product of each selected row of one shard."""
    entry = view.shards[number]
    selection = kept.select(entry, view.live_blocks, wanted).selection
    by_mask = np.arange(entry.shard.rows) if selection.mask is None else np.flatnonzero(selection.mask)
    assert selection.rows.tolist() == by_mask.tolist()
    assert selection.count == len(by_mask)
    assert selection.rows.dtype == np.int64
    return entry.shard.product_ids(selection.rows)


# The same in plain Python.


def meets(condition: Condition, version: ProductVersion, live_attributes: Attributes) -> bool:
    namespace, _, name = condition.field.partition(".")
    value: AttributeValue | None
    if namespace == "category":
        value = version.category
    else:
        value = (version.attributes if namespace == "attributes" else live_attributes).get(name)
    match condition.test:
        case AnyString(values):
            return any(one in values for one in (value if isinstance(value, tuple) else (value,)))
        case IsBool(wanted):
            return value is wanted
        case NumberRange(gt, gte, lt, lte):
            return (
                isinstance(value, float)
                and (gt is None or value > gt)
                and (gte is None or value >= gte)
                and (lt is None or value < lt)
                and (lte is None or value <= lte)
            )


def passes(wanted: Filter, version: ProductVersion, live_attributes: Attributes) -> bool:
    def met(condition: Condition) -> bool:
        return meets(condition, version, live_attributes)

    return (
        all(map(met, wanted.all_of))
        and (not wanted.any_of or any(map(met, wanted.any_of)))
        and not any(map(met, wanted.none_of))
    )


words = st.sampled_from(["", "red", "blue", "größe"])
amounts = st.sampled_from([-1.5, 0.0, 1.0, 2.0])
values = words | amounts | st.booleans() | st.lists(words, max_size=3).map(tuple)
attributes = st.dictionaries(st.sampled_from(["a", "b", "x:y"]), values, max_size=3)
ids = st.sampled_from("pqrstu")
versions = st.builds(
    lambda product_id, images, attributes, category, lifetime_us: product(
        product_id, VECTORS[:images], 0, attributes, None if lifetime_us is None else NOW + lifetime_us, category
    ),
    ids,
    st.integers(1, 3),
    attributes,
    words,
    st.none() | st.sampled_from([0, 1]),
)
# What one shard says: a product at most once, as a version or as withdrawn.
changes = st.dictionaries(ids, st.none() | versions, max_size=4).map(
    lambda found: {key: version and replace(version, product_id=key) for key, version in found.items()}
)
live_changes = st.dictionaries(ids, attributes, max_size=4)
commits = st.lists(st.tuples(changes, live_changes, st.sampled_from([fresh, rolled])), min_size=1, max_size=5)

fields = st.sampled_from(
    ["category", *(f"{where}.{name}" for where in ("attributes", "live") for name in "ab"), "live.x:y"]
)
bounds = st.none() | amounts
tests = (
    st.lists(words, min_size=1, max_size=2).map(tuple).map(AnyString)
    | st.builds(NumberRange, bounds, bounds, bounds, bounds)
    | st.builds(IsBool, st.booleans())
)
parts = st.lists(st.builds(Condition, fields, tests), max_size=2).map(tuple)
filters = st.builds(Filter, parts, parts, parts)


@pytest.mark.parametrize("bound_bytes", [masks.BOUND_BYTES, 5_000, 0])
@settings(max_examples=40)
@given(history=commits, asked=st.lists(filters, min_size=1, max_size=4), block_rows=st.sampled_from([1, 4, 1_000]))
def test_the_rows_chosen_are_those_of_products_that_pass(
    bound_bytes: int,
    history: Sequence[tuple[dict[str, ProductVersion | None], dict[str, Attributes], object]],
    asked: Sequence[Filter],
    block_rows: int,
) -> None:
    catalogue: dict[str, ProductVersion | None] = {}
    live_now: dict[str, Attributes] = {}
    kept, view, shards = Masks(bound_bytes), view_of(), []
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "BLOCK_ROWS", block_rows)
        for changed, live_changed, made in history:
            shards.append(commit(Path(folder), changed, live_changed, made))
            catalogue |= changed
            live_now |= live_changed
            view = view_of(*shards, previous=view)
            for wanted in asked:
                assert chosen(kept, view, wanted) == {
                    product_id
                    for product_id, version in catalogue.items()
                    if version is not None
                    and (version.expires_at_us is None or version.expires_at_us > NOW)
                    and passes(wanted, version, live_now.get(product_id, {}))
                }
                assert kept.size_bytes <= bound_bytes


def commit(
    parent: Path, changed: dict[str, ProductVersion | None], live_changed: dict[str, Attributes], made: object
) -> Shard:
    assert callable(made)
    shard: Shard = made(
        parent,
        [version for version in changed.values() if version is not None],
        [Tombstone(product_id, 0) for product_id, version in changed.items() if version is None],
        live=[LiveVersion(product_id, 0, found) for product_id, found in live_changed.items()],
    )
    return shard


def painted(parent: Path, *colours: str | None, prefix: str = "p") -> Shard:
    """A fresh shard of products p0, p1, … of these colours."""
    return fresh(
        parent,
        [
            product(f"{prefix}{n}", ONE, attributes={"colour": colour} if colour else {})
            for n, colour in enumerate(colours)
        ],
    )


def prices(parent: Path, **amounts: float | None) -> Shard:
    """A shard of live rows; None: the product has no live attributes any more."""
    return fresh(
        parent,
        [],
        live=[LiveVersion(name, 0, {} if price is None else {"price": price}) for name, price in amounts.items()],
    )


class TestKept:
    def test_a_filter_used_again_has_the_same_selection(self, tmp_path: Path) -> None:
        kept, view = Masks(), view_of(painted(tmp_path, "red", "blue"))

        first, second = (kept.select(view.shards[0], view.live_blocks, RED) for _ in range(2))

        assert (first.cached, second.cached, second.mask_us) == (False, True, 0.0)
        assert first.mask_us > 0
        assert first.selection is second.selection

    def test_the_order_of_conditions_does_not_matter(self, tmp_path: Path) -> None:
        kept, view = Masks(), view_of(painted(tmp_path, "red", "blue"))
        one, other = any_string("category", "shoes", "bags"), any_string("attributes.colour", "red")
        kept.select(view.shards[0], view.live_blocks, Filter((one, other)))

        again = Filter((other, any_string("category", "bags", "shoes")))

        assert kept.select(view.shards[0], view.live_blocks, again).cached

    def test_a_filter_that_names_nothing_live_is_not_made_anew_for_a_live_update(self, tmp_path: Path) -> None:
        shard = painted(tmp_path, "red", "blue")
        kept, before = Masks(), view_of(shard)
        kept.select(before.shards[0], before.live_blocks, RED)
        kept.select_fresh(before, RED)

        after = view_of(shard, prices(tmp_path, p0=5), previous=before)

        assert kept.select(after.shards[0], after.live_blocks, RED).cached
        assert kept.select_fresh(after, RED).cached

    def test_every_row_needs_no_mask(self, tmp_path: Path) -> None:
        view = view_of(painted(tmp_path, "red", "red"))

        for wanted in (None, Filter(), RED):
            selection = Masks().select(view.shards[0], view.live_blocks, wanted).selection
            assert (selection.mask, selection.rows.tolist()) == (None, [0, 1])

    def test_a_closed_shard_is_not_kept_alive(self, tmp_path: Path) -> None:
        kept = Masks()
        shard = painted(tmp_path, "red", "blue")
        view = view_of(shard, prices(tmp_path, p0=5))
        for wanted in (RED, CHEAP):
            for block in (kept.select(view.shards[0], view.live_blocks, wanted), kept.select_fresh(view, wanted)):
                block.selection.block(lambda rows: rows)
        assert kept.size_bytes > 0
        held = ref(shard)

        del shard, view

        gc.collect()
        assert held() is None
        assert kept.size_bytes == 0

    def test_rows_and_blocks_count_as_bytes(self, tmp_path: Path) -> None:
        kept, view = Masks(), view_of(painted(tmp_path, *["red", "blue"] * 50))
        selection = kept.select(view.shards[0], view.live_blocks, RED).selection
        before = kept.size_bytes

        selection.block(lambda rows: np.zeros((len(rows), 64), np.float16))

        assert kept.size_bytes == before + 50 * 8 + 50 * 64 * 2

    def test_a_block_is_made_once(self, tmp_path: Path) -> None:
        view = view_of(painted(tmp_path, "red", "blue", "red"))
        selection = Masks().select(view.shards[0], view.live_blocks, RED).selection

        blocks = [selection.block(lambda rows: rows * 2) for _ in range(2)]

        assert blocks[0] is blocks[1]
        assert blocks[0].tolist() == (selection.rows * 2).tolist()

    def test_a_large_block_is_not_kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("vitrine.shards.selection.BLOCK_ROWS", 1)
        view = view_of(painted(tmp_path, "red", "blue", "red"))
        selection = Masks().select(view.shards[0], view.live_blocks, RED).selection

        blocks = [selection.block(lambda rows: rows * 2) for _ in range(2)]

        assert blocks[0] is not blocks[1]
        assert blocks[0].tolist() == blocks[1].tolist()

    def test_many_filters_stay_within_the_bound(self, tmp_path: Path) -> None:
        kept, view = Masks(40_000), view_of(painted(tmp_path, *["red"] * 2_000))

        for n in range(100):
            wanted = Filter((number("live.price", lt=n),), none_of=(any_string("attributes.colour", str(n)),))
            kept.select(view.shards[0], view.live_blocks, wanted).selection.block(lambda rows: rows)
            assert kept.size_bytes <= 40_000
        assert kept.size_bytes > 20_000

    def test_several_threads_get_right_answers_while_snapshots_change(self, tmp_path: Path) -> None:
        shards = [painted(tmp_path, "red", "blue", prefix=prefix) for prefix in "abcd"]
        kept = Masks(20_000)

        def ask(count: int) -> list[set[str]]:
            return [
                chosen(kept, view_of(*shards[: n % 4 + 1], prices(tmp_path, a1=n % 20)), wanted)
                for n in range(count)
                for wanted in (RED, CHEAP)
            ]

        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(ask, [40] * 4))

        wanted = []
        for n in range(40):
            wanted += [{f"{prefix}0" for prefix in "abcd"[: n % 4 + 1]}, {"a1"} if n % 20 < 10 else set()]
        assert answers == [wanted] * 4


class TestLive:
    def test_an_update_counts_at_the_next_snapshot(self, tmp_path: Path) -> None:
        kept, shards = Masks(), [painted(tmp_path, "red", "blue"), prices(tmp_path, p0=5, p1=15)]
        before = view_of(*shards)
        assert chosen(kept, before, CHEAP) == {"p0"}

        after = view_of(*shards, prices(tmp_path, p0=50, p1=1), previous=before)

        assert chosen(kept, after, CHEAP) == {"p1"}
        assert chosen(kept, before, CHEAP) == {"p0"}

    def test_none_any_more_hides_what_an_older_block_says(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(live, "BLOCK_ROWS", 1)
        view = view_of(painted(tmp_path, "red", "blue"), prices(tmp_path, p0=5, p1=5), prices(tmp_path, p0=None))

        assert len(view.live_blocks.blocks) == 2
        assert chosen(Masks(), view, CHEAP) == {"p1"}

    def test_it_waits_for_a_product_that_comes_later(self, tmp_path: Path) -> None:
        kept, earlier = Masks(), prices(tmp_path, p0=5)
        before = view_of(earlier)
        assert chosen(kept, before, CHEAP) == set()

        assert chosen(kept, view_of(earlier, painted(tmp_path, "red"), previous=before), CHEAP) == {"p0"}

    def test_only_the_changed_block_is_matched_anew(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(live, "BLOCK_ROWS", 2)
        shards = [painted(tmp_path, "red", "blue"), prices(tmp_path, p0=5, p1=15)]
        kept, before = Masks(), view_of(*shards)
        chosen(kept, before, CHEAP)
        matched, match = [], masks._live_of_shard

        def noted(shard: Shard, rows: LiveRows) -> object:
            matched.append((shard, rows))
            return match(shard, rows)

        monkeypatch.setattr(masks, "_live_of_shard", noted)

        after = view_of(*shards, prices(tmp_path, p1=1), previous=before)

        assert rows_selected(kept, after, 0, CHEAP) == after.shards[0].shard.product_ids()
        assert matched == [(shards[0], after.live_blocks.blocks[1].merged)]


@pytest.mark.parametrize("live_rows", [1, 3])
def test_products_that_share_a_key_keep_their_own_live_rows(tmp_path: Path, live_rows: int) -> None:
    table = table_of([product(name, VECTORS[:2]) for name in ("p", "q")], [], DIM)
    names, amounts = (["q", "zzz", "p"][:live_rows], [5.0, 1.0, 15.0][:live_rows])
    colliding = ShardTable(
        table.rows,
        np.full(4, 7, np.uint64),
        table.vectors,
        table.tombstones,
        pa.RecordBatch.from_pydict(
            {
                "key": pa.array([7] * live_rows, pa.uint64()),
                "product_id": names,
                "log_offset": [0] * live_rows,
                "attr:n:price": amounts,
            }
        ),
    )
    shard = Shard.open(write_rolled(colliding, MODEL, tmp_path, TreeSettings()))
    assert shard.table.keys.tolist() == [7] * 4

    assert chosen(Masks(), view_of(shard), CHEAP) == {"q"}
    assert chosen(Masks(), view_of(shard), Filter(none_of=CHEAP.all_of)) == {"p"}


class TestFields:
    def test_each_field_has_the_kinds_of_its_values(self, tmp_path: Path) -> None:
        found: Iterable[Attributes] = ({"a": "x"}, {"a": 1.0, "b": ("x",)}, {"b": True, "x:y": ()})
        shard = fresh(
            tmp_path,
            [product(f"p{n}", ONE, attributes=each) for n, each in enumerate(found)],
            live=[LiveVersion("p0", 0, {"a": False})],
        )
        view = view_of(rolled(tmp_path, [product("q", ONE, attributes={"c": 1.0})]), shard)
        wanted = {
            "category": {"string"},
            "attributes.a": {"string", "number"},
            "attributes.b": {"bool", "string_list"},
            "attributes.c": {"number"},
            "attributes.x:y": {"string_list"},
            "live.a": {"bool"},
        }

        assert all_fields(view) == wanted
        assert fields_of(view, [*wanted, "live.b", "attributes.colr"]) == {
            **wanted,
            "live.b": set(),
            "attributes.colr": set(),
        }

    def test_where_there_is_nothing_nothing_is_known(self, tmp_path: Path) -> None:
        assert all_fields(view_of()) == {}
        assert fields_of(view_of(prices(tmp_path, p=None)), ["category", "live.price"]) == {
            "category": set(),
            "live.price": set(),
        }

    def test_a_column_without_a_value_makes_no_field(self, tmp_path: Path) -> None:
        table = table_of([product("p", ONE)], [], DIM)
        rows = table.rows.append_column("attr:n:price", pa.nulls(1, pa.float64()))
        shard = Shard.open(write_rolled(replace(table, rows=rows), MODEL, tmp_path, TreeSettings()))

        assert all_fields(view_of(shard)) == {"category": {"string"}}

    def test_a_field_of_another_type_is_met_by_nobody(self, tmp_path: Path) -> None:
        view = view_of(painted(tmp_path, "red", None))
        wrong = (number("category", gt=0), is_bool("attributes.colour", True), any_string("attributes.colr", "red"))

        for condition in wrong:
            assert chosen(Masks(), view, Filter((condition,))) == set()
            assert chosen(Masks(), view, Filter(none_of=(condition,))) == {"p0", "p1"}
