"""A searcher that starts while the store is away answers from what its machine has, says so, and follows again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.unit.searcher.shop import AwayStore, Shop, following, metric, product_ids, until, version_of
from vitrine.index import cache
from vitrine.index.settings import settings_key
from vitrine.runtime.errors import ConfigError
from vitrine.shards.files import FRESH_FILE

SERVED = 2


@pytest.fixture
def store() -> AwayStore:
    return AwayStore()


@pytest.fixture
async def shop(tmp_path: Path, store: AwayStore) -> Shop:
    """A searcher has run here; now the store is away."""
    shop = Shop(tmp_path, store)
    shop.publish(shop.shard("shoe"))
    async with following(shop.searcher()) as searcher:
        await until(lambda: version_of(searcher) == SERVED)
        await until(lambda: (tmp_path / "cache" / settings_key("shop")).exists())
    store.away = True
    return shop


async def test_what_was_served_last_is_served_and_it_is_said(shop: Shop) -> None:
    async with following(shop.searcher()) as searcher:
        await until(lambda: searcher.not_ready() is None)

        assert product_ids(searcher) == ["shoe"]
        assert searcher.failure(0).startswith(f"manifest {SERVED} is served from the cache: store: no route")
        assert metric("vitrine_searcher_from_cache", partition="0") == 1


async def test_partitions_answer_without_waiting_for_the_store_each(shop: Shop, store: AwayStore) -> None:
    store.stuck = "manifests"
    try:
        async with following(shop.searcher()) as searcher:
            await until(lambda: searcher.not_ready() is None)
            assert product_ids(searcher) == ["shoe"]
    finally:
        store.released.set()


async def test_a_store_that_goes_away_before_a_partition_was_read_leaves_it_to_the_cache(
    shop: Shop, store: AwayStore
) -> None:
    store.away, store.stuck = False, "manifests"
    async with following(shop.searcher()) as searcher:
        await until(lambda: searcher.index is not None)
        store.away = True
        store.released.set()

        await until(lambda: metric("vitrine_searcher_from_cache", partition="0") == 1)
        assert searcher.not_ready() is None


async def test_a_start_after_a_long_stop_does_not_evict_what_it_is_about_to_serve(
    shop: Shop, store: AwayStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "IN_USE_S", -1.0)
    monkeypatch.setattr(cache, "SERVED_S", -1.0)
    [copy] = [file.parent for file in (shop.folder / "cache").rglob(FRESH_FILE)]
    store.away, store.stuck = False, "manifests"
    async with following(shop.searcher(cache_bytes=1)) as searcher:
        await until(lambda: searcher.index is not None)
        await asyncio.sleep(0.2)  # room has been made, and nothing is served yet

        assert copy.exists()
        store.released.set()


async def test_once_the_store_is_back_the_searcher_follows_again(shop: Shop, store: AwayStore) -> None:
    async with following(shop.searcher()) as searcher:
        await until(lambda: searcher.not_ready() is None)
        store.away = False
        shop.publish(shop.shard("hat"))

        await until(lambda: version_of(searcher) == SERVED + 1)
        await until(lambda: metric("vitrine_searcher_from_cache", partition="0") == 0)
        assert searcher.failure(0) == ""


async def test_a_store_that_is_back_with_nothing_new_ends_it_too(shop: Shop, store: AwayStore) -> None:
    async with following(shop.searcher()) as searcher:
        await until(lambda: searcher.not_ready() is None)
        store.away = False

        await until(lambda: metric("vitrine_searcher_from_cache", partition="0") == 0)
        assert (searcher.failure(0), version_of(searcher)) == ("", SERVED)


@pytest.mark.parametrize("damage", ["missing", "bit rot"])
async def test_a_partition_of_which_a_shard_is_missing_or_damaged_is_not_served(shop: Shop, damage: str) -> None:
    [file] = (shop.folder / "cache").rglob(FRESH_FILE)
    file.unlink() if damage == "missing" else file.write_bytes(b"bit rot")
    async with following(shop.searcher()) as searcher:
        await until(lambda: searcher.index is not None)
        await until(lambda: "no route" in (searcher.not_ready() or ""))

        assert isinstance(searcher.view(0), str)


async def test_a_searcher_that_has_never_run_waits_and_says_why(shop: Shop, store: AwayStore, tmp_path: Path) -> None:
    async with following(shop.searcher(cache=tmp_path / "another")) as searcher:
        await until(lambda: "no route" in (searcher.not_ready() or ""))
        store.away = False

        await until(lambda: searcher.not_ready() is None)
        assert version_of(searcher) == SERVED


async def test_an_index_made_anew_meanwhile_is_served_though_its_numbers_are_lower(shop: Shop, tmp_path: Path) -> None:
    anew = AwayStore()
    anew.away = True
    shop.store = anew
    async with following(shop.searcher()) as searcher:
        await until(lambda: version_of(searcher) == SERVED)
        anew.away = False
        Shop(tmp_path, anew)

        await until(lambda: version_of(searcher) == 1)


async def test_an_index_of_another_model_meanwhile_ends_the_searcher(shop: Shop, tmp_path: Path) -> None:
    anew = AwayStore()
    anew.away = True
    shop.store = anew
    searcher = shop.searcher()
    ended = asyncio.create_task(searcher.follow())
    await until(lambda: version_of(searcher) == SERVED)
    anew.away = False
    Shop(tmp_path, anew, model_id="n" * 64)

    with pytest.raises(ConfigError, match=r"index\.json"):
        await ended
