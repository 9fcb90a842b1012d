"""A searcher follows what is published, goes on while the store is away, and says how fresh its answers are."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.unit.searcher.shop import AwayStore, Shop, following, metric, product_ids, until, version_of
from vitrine.index import cache
from vitrine.index.store import Store

FRESHNESS = "vitrine_searcher_freshness_seconds"
SERVED = 2  # the claim is the first manifest


@pytest.fixture
def store() -> AwayStore:
    return AwayStore()


@pytest.fixture
def shop(tmp_path: Path, store: AwayStore) -> Shop:
    shop = Shop(tmp_path, store)
    shop.publish(shop.shard("shoe"))
    return shop


async def test_what_is_published_is_served(shop: Shop) -> None:
    async with following(shop.searcher()) as searcher:
        await until(lambda: version_of(searcher) == SERVED)
        shop.publish(shop.shard("shoe", "hat"))

        await until(lambda: version_of(searcher) == SERVED + 1)
        assert product_ids(searcher) == ["hat", "shoe"]


async def test_a_searcher_waits_for_an_index_that_does_not_exist_yet(tmp_path: Path, store: AwayStore) -> None:
    unborn = Shop(tmp_path, AwayStore())
    unborn.store = store
    async with following(unborn.searcher()) as searcher:
        assert searcher.not_ready() == "index 'shop' does not exist yet"
        Shop(tmp_path, store)

        await until(lambda: searcher.not_ready() is None)


async def test_while_the_store_is_away_answers_go_on_and_it_is_said(shop: Shop, store: AwayStore) -> None:
    async with following(shop.searcher()) as searcher:
        await until(lambda: version_of(searcher) == SERVED)
        store.away = True

        await until(lambda: "no route" in searcher.failure(0))
        assert (product_ids(searcher), searcher.not_ready()) == (["shoe"], None)
        assert metric("vitrine_searcher_from_cache", partition="0") == 0


async def test_once_the_store_is_back_what_was_published_meanwhile_is_served(shop: Shop, store: AwayStore) -> None:
    async with following(shop.searcher()) as searcher:
        await until(lambda: version_of(searcher) == SERVED)
        store.away = True
        await until(lambda: searcher.failure(0))
        store.away = False
        shop.publish(shop.shard("hat"))

        await until(lambda: version_of(searcher) == SERVED + 1)
        await until(lambda: searcher.failure(0) == "")


async def test_a_store_that_is_back_with_nothing_new_is_no_longer_a_failure(shop: Shop, store: AwayStore) -> None:
    async with following(shop.searcher()) as searcher:
        await until(lambda: version_of(searcher) == SERVED)
        store.away = True
        await until(lambda: searcher.failure(0))
        store.away = False

        await until(lambda: searcher.failure(0) == "")


async def test_an_outage_is_said_once_however_long(
    shop: Shop, store: AwayStore, capsys: pytest.CaptureFixture[str]
) -> None:
    async with following(shop.searcher()) as searcher:
        await until(lambda: version_of(searcher) == SERVED)
        store.away = True
        asked = [searcher.failure(0)]
        while len(set(asked)) < 5:
            await until(lambda: searcher.failure(0) != asked[-1])
            asked.append(searcher.failure(0))

    captured = capsys.readouterr()
    assert (captured.out + captured.err).count("store cannot be read") == 1


async def test_freshness_is_observed_for_every_sample_of_every_manifest_passed_over(shop: Shop) -> None:
    async with following(shop.searcher(probe_interval_s=0.3)) as searcher:
        await until(lambda: version_of(searcher) == SERVED)
        count, seconds = metric(f"{FRESHNESS}_count"), metric(f"{FRESHNESS}_sum")
        five_seconds_ago_us = time.time_ns() // 1_000 - 5_000_000
        shop.publish(sampled_append_us=(five_seconds_ago_us,) * 3)
        shop.publish(sampled_append_us=(five_seconds_ago_us,))

        await until(lambda: version_of(searcher) == SERVED + 2)
        await until(lambda: metric(f"{FRESHNESS}_count") - count == 4)
        assert 5 <= (metric(f"{FRESHNESS}_sum") - seconds) / 4 < 10


async def test_freshness_is_not_observed_for_what_a_start_finds(shop: Shop) -> None:
    shop.publish(sampled_append_us=(1,))
    count = metric(f"{FRESHNESS}_count")

    async with following(shop.searcher()) as searcher:
        await until(lambda: version_of(searcher) == SERVED + 1)

    assert metric(f"{FRESHNESS}_count") == count


async def test_live_shards_stay_in_a_cache_too_small_for_them_and_others_go(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "IN_USE_S", -1.0)
    monkeypatch.setattr("services.searcher.shard_set.CACHE_INTERVAL_S", 0.01)
    copies = shop.folder / "cache" / "shop" / "p00000"
    live = [shop.shard("shoe", "hat"), shop.shard("sock")]
    async with following(shop.searcher(cache_bytes=1)) as searcher:
        await until(lambda: version_of(searcher) == SERVED)
        shop.publish(*live)

        await until(lambda: version_of(searcher) == SERVED + 1)
        await until(lambda: {path.name for path in copies.iterdir() if path.is_dir()} == {e.shard_id for e in live})
        await until(lambda: metric("vitrine_searcher_cache_bytes") > sum(entry.size_bytes for entry in live))
        assert metric("vitrine_searcher_cache_spared_bytes") == metric("vitrine_searcher_cache_bytes")
        assert product_ids(searcher) == ["hat", "shoe", "sock"]


async def test_a_folder_store_needs_no_cache(tmp_path: Path) -> None:
    shop = Shop(tmp_path, Store.open(str(tmp_path / "store")))
    shop.publish(shop.shard("shoe"))

    async with following(shop.searcher()) as searcher:
        await until(lambda: version_of(searcher) == SERVED)

    assert not (tmp_path / "cache").exists()
