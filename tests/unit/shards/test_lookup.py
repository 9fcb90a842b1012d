"""The newest shard that mentions a product says what is known of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.builders import NOW, fresh, product, rolled, scattered, singles
from vitrine.shards.keys import key_of
from vitrine.shards.lookup import newest_live, newest_mention
from vitrine.shards.records import LiveVersion, ProductVersion, Tombstone

VECTORS = scattered(np.random.default_rng(0), 40)
ONE = VECTORS[:1]


def test_the_newest_version_is_found(tmp_path: Path) -> None:
    shards = [fresh(tmp_path, [product("p", VECTORS[n : n + 1], n)]) for n in range(3)]

    assert newest_mention(shards, "p") == product("p", VECTORS[2:3], 2)


def test_it_comes_with_its_vectors_in_half_precision(tmp_path: Path) -> None:
    found = newest_mention([fresh(tmp_path, [product("p", VECTORS[:3])]), fresh(tmp_path, singles(VECTORS))], "p")

    assert isinstance(found, ProductVersion)
    np.testing.assert_array_equal([image.vector for image in found.images], VECTORS[:3].astype(np.float16))


def test_a_withdrawn_product_is_told_from_an_unknown_one(tmp_path: Path) -> None:
    shards = [rolled(tmp_path, [product("gone", ONE)]), fresh(tmp_path, [], [Tombstone("gone", 7)])]

    assert newest_mention(shards, "gone") == Tombstone("gone", 7)
    assert newest_mention(shards, "unknown") is None


def test_a_product_that_came_back_is_there(tmp_path: Path) -> None:
    shards = [fresh(tmp_path, [], [Tombstone("p", 7)]), rolled(tmp_path, [product("p", ONE, 8)])]

    assert newest_mention(shards, "p") == product("p", ONE, 8)


def test_an_expired_version_is_still_a_mention(tmp_path: Path) -> None:
    expired = product("p", ONE, 3, expires_at_us=NOW - 1)

    assert newest_mention([fresh(tmp_path, [expired])], "p") == expired


def test_a_live_row_is_no_mention_of_the_product(tmp_path: Path) -> None:
    assert newest_mention([fresh(tmp_path, [], live=[LiveVersion("p", 1, {"price": 9.5})])], "p") is None


def test_a_live_row_without_attributes_is_told_from_none(tmp_path: Path) -> None:
    shards = [fresh(tmp_path, [], live=[LiveVersion("p", 1, {"price": 9.5})]), fresh(tmp_path, [])]
    said_nothing_any_more = fresh(tmp_path, [], live=[LiveVersion("p", 2, {})])

    assert newest_live([*shards, said_nothing_any_more], "p") == LiveVersion("p", 2, {})
    assert newest_live(shards, "unknown") is None


def test_without_shards_nothing_is_known() -> None:
    assert (newest_mention([], "p"), newest_live([], "p")) == (None, None)


@pytest.mark.parametrize("images", [1, 2, 50])
def test_a_key_that_is_known_already_finds_the_same_rows(tmp_path: Path, images: int) -> None:
    shard = rolled(tmp_path, [*singles(VECTORS, "q"), product("p", np.repeat(ONE, images, axis=0))])

    rows = shard.rows_of("p", key_of("p"))

    assert len(rows) == images
    assert rows == shard.rows_of("p")
