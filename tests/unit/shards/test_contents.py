"""What goes into a shard comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.builders import MODEL, NOW, fresh, product, rolled, scattered, searched, singles, snapshot
from vitrine.shards import files
from vitrine.shards.records import ProductVersion, Tombstone
from vitrine.shards.shard import Shard
from vitrine.shards.table import table_of

Write = Callable[[Path, Sequence[ProductVersion], Sequence[Tombstone]], Shard]

both_kinds = pytest.mark.parametrize("write", [fresh, rolled])


def vectors(count: int = 1) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return scattered(np.random.default_rng(count), count)


def assert_holds(shard: Shard, version: ProductVersion) -> None:
    """The shard gives back `version`: every field, and vectors in half precision."""
    read = shard.version(shard.rows_of(version.product_id))
    assert read == version  # vectors take no part in it
    for before, after in zip(version.images, read.images, strict=True):
        np.testing.assert_array_equal(after.vector, before.vector.astype(np.float16))


@both_kinds
@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"colour": "red"},
        {"price": 9.5},
        {"price": 3},
        {"in_stock": True},
        {"in_stock": False},
        {"sizes": ("S", "M")},
        {"sizes": ()},
        {"colour": ""},
        {"größe": "über", "a:b:c": "colons", "attr:s:x": "a prefix", "": "no name"},
        {"colour": "red", "price": 9.5, "in_stock": True, "sizes": ("S",)},
    ],
)
def test_attributes_of_every_type_come_back(
    tmp_path: Path, write: Write, attributes: dict[str, str | float | bool | tuple[str, ...]]
) -> None:
    version = product("p", vectors(), attributes=attributes)

    assert_holds(write(tmp_path, [version], []), version)


@both_kinds
def test_one_name_may_have_another_type_in_every_product(tmp_path: Path, write: Write) -> None:
    versions = [
        product("a", vectors(), attributes={"size": "M"}),
        product("b", vectors(), attributes={"size": 42.0}),
        product("c", vectors(), attributes={"size": ("S", "M")}),
        product("d", vectors(), attributes={"size": True}),
        product("e", vectors()),
    ]

    shard = write(tmp_path, versions, [])

    for version in versions:
        assert_holds(shard, version)


@both_kinds
def test_a_boolean_does_not_turn_into_a_number(tmp_path: Path, write: Write) -> None:
    shard = write(tmp_path, [product("p", vectors(), attributes={"new": True})], [])

    assert shard.version(shard.rows_of("p")).attributes["new"] is True


@both_kinds
@pytest.mark.parametrize(
    "product_id", ["a", "シューズ-1", "ß", "e\u0301", "\u00e9", "👟" * 64, " ", "a\nb", "a\0b", "../x"]
)
def test_any_text_is_an_id(tmp_path: Path, write: Write, product_id: str) -> None:
    version = product(product_id, vectors())

    assert_holds(write(tmp_path, [version, product("other", vectors())], []), version)


@both_kinds
@pytest.mark.parametrize("images", [1, 2, 50])
def test_a_product_keeps_all_its_images_in_their_order(tmp_path: Path, write: Write, images: int) -> None:
    version = product("many", vectors(images))

    assert_holds(write(tmp_path, [product("a", vectors()), version, product("z", vectors(3))], []), version)


@both_kinds
@pytest.mark.parametrize("expires_at_us", [None, NOW + 1, NOW - 1, 0, -1, 2**62])
def test_an_expiry_comes_back(tmp_path: Path, write: Write, expires_at_us: int | None) -> None:
    version = product("p", vectors(), expires_at_us=expires_at_us)

    assert_holds(write(tmp_path, [version, product("q", vectors())], []), version)


@both_kinds
def test_tombstones_come_back(tmp_path: Path, write: Write) -> None:
    shard = write(tmp_path, [product("p", vectors())], [Tombstone("gone", 7), Tombstone("weg", 9)])

    assert shard.tombstones == {"gone": 7, "weg": 9}


@both_kinds
def test_the_facts_count_what_is_inside(tmp_path: Path, write: Write) -> None:
    versions = [product("a", vectors(3)), product("b", vectors(2))]

    facts = write(tmp_path, versions, [Tombstone("gone", 7)]).facts

    assert (facts.rows, facts.products, facts.tombstones, facts.dim, facts.model_id) == (5, 2, 1, 8, MODEL)


@both_kinds
def test_the_facts_know_the_size_of_all_files(tmp_path: Path, write: Write) -> None:
    facts = write(tmp_path, [product("a", vectors())], []).facts
    folder = tmp_path / facts.shard_id

    assert facts.size_bytes == sum(path.stat().st_size for path in folder.iterdir() if path.name != files.FACTS_FILE)


@both_kinds
def test_the_facts_survive_their_own_json(tmp_path: Path, write: Write) -> None:
    facts = write(tmp_path, [product("a", vectors())], []).facts

    assert files.ShardFacts.from_json(facts.to_json(), "here") == facts


@both_kinds
def test_a_shard_without_rows_hides_and_answers_nothing_else(tmp_path: Path, write: Write) -> None:
    older = fresh(tmp_path, [product("gone", vectors()), product("stays", vectors())])
    empty = write(tmp_path, [], [Tombstone("gone", 7)])

    view = snapshot(older, empty)

    assert [hit.product_id for hit in searched(view, vectors(), 9)[0]] == ["stays"]


@both_kinds
def test_a_shard_with_nothing_at_all_can_be_searched(tmp_path: Path, write: Write) -> None:
    view = snapshot(write(tmp_path, [], []))

    assert searched(view, vectors(3), 5, exact=True) == [[], [], []]


@both_kinds
def test_an_unknown_product_has_no_rows(tmp_path: Path, write: Write) -> None:
    assert len(write(tmp_path, singles(vectors(20)), []).rows_of("nobody")) == 0


@both_kinds
def test_a_hit_carries_what_the_shop_needs_to_show(tmp_path: Path, write: Write) -> None:
    wanted = vectors(2)
    version = product("p", wanted, attributes={"colour": "red"}, category="boots")

    hit = searched(snapshot(write(tmp_path, [version], [])), wanted[1:], 1)[0][0]

    image = version.images[1]
    assert (hit.product_id, hit.image_id, hit.uri, hit.sha256) == ("p", image.image_id, image.uri, image.sha256)
    assert (hit.category, hit.attributes) == ("boots", {"colour": "red"})
    assert hit.score == pytest.approx(1, abs=1e-3)


def test_a_score_never_leaves_the_range_of_a_cosine(tmp_path: Path) -> None:
    # float16 makes some unit vectors a little longer than one.
    everything = scattered(np.random.default_rng(3), 100)
    view = snapshot(rolled(tmp_path, singles(everything)))

    scores = [hit.score for hits in searched(view, everything, 100, exact=True) for hit in hits]

    assert -1 <= min(scores) < max(scores) == 1


@both_kinds
def test_a_product_is_one_hit_with_its_best_image(tmp_path: Path, write: Write) -> None:
    wanted = vectors(50)
    view = snapshot(write(tmp_path, [product("many", wanted), product("other", -wanted[:1])], []))

    hits = searched(view, wanted[17:18], 9)[0]

    assert [(hit.product_id, hit.image_id) for hit in hits] == [("many", "17"), ("other", "0")]


def test_a_fresh_shard_is_one_file_and_its_facts(tmp_path: Path) -> None:
    folder = tmp_path / fresh(tmp_path, singles(vectors(5)), [Tombstone("gone", 7)]).facts.shard_id

    assert {path.name for path in folder.iterdir()} == {files.FRESH_FILE, files.FACTS_FILE}


def test_a_rolled_shard_keeps_half_precision(tmp_path: Path) -> None:
    assert rolled(tmp_path, singles(vectors(5))).table.vectors.dtype == np.float16


def test_a_fresh_shard_keeps_half_precision_at_hand_as_float32(tmp_path: Path) -> None:
    kept = fresh(tmp_path, singles(vectors(5))).table.vectors

    assert kept.dtype == np.float32
    np.testing.assert_array_equal(kept, kept.astype(np.float16))


def test_no_two_shards_share_an_id(tmp_path: Path) -> None:
    same = singles(vectors(1))

    assert len({fresh(tmp_path, same).facts.shard_id for _ in range(20)}) == 20


def test_rows_lie_in_key_order_with_products_together() -> None:
    versions = [product(f"p{number}", vectors(1 + number % 3)) for number in range(60)]

    table = table_of(versions, [], 8)

    ids = table.rows.column("product_id").to_pylist()
    assert (np.diff(table.keys.astype(object)) >= 0).all()
    assert len([here for here, before in zip(ids, ["", *ids], strict=False) if here != before]) == 60
