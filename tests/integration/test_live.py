"""What changes by the minute reaches answers within a commit, and costs no vector; pictures that stay keep theirs."""

from __future__ import annotations

import hashlib
import random
import time
from pathlib import Path
from typing import Final

import pytest

from tests.integration.shop import ANY_VECTOR, Shop, eventually, indexed, metric, published, refused, upsert
from vitrine.attributes import Attributes
from vitrine.client import Product
from vitrine.stream.events import Delete, ImageRef, LiveUpdate, Upsert
from vitrine.stream.log import Position, Stream
from vitrine.v1 import catalogue_pb2, gateway_pb2, indexer_pb2

# The commit interval of the shop, and as much again for a busy machine.
WITHIN_A_COMMIT_S: Final = 2.0
UPDATES: Final = 20_000
PRODUCTS_UPDATED: Final = 500


class TestAnswers:
    def test_a_price_changes_the_answers_within_a_commit(self, open_shop: Shop) -> None:
        sell(open_shop, "priced")
        set_live(open_shop, "priced", price=9.5, in_stock=True)
        started_s = time.monotonic()

        place = set_live(open_shop, "priced", price=8.0, in_stock=False)

        assert product(open_shop, "priced", place).live == {"price": 8.0, "in_stock": False}
        assert time.monotonic() - started_s < WITHIN_A_COMMIT_S
        assert found_live(open_shop, "priced", place) == {"price": 8.0, "in_stock": False}

    def test_it_stands_apart_from_the_products_own_attributes(self, open_shop: Shop) -> None:
        sell(open_shop, "apart", attributes={"price": 1.0, "colour": "red"})

        place = set_live(open_shop, "apart", price=9.5)

        found = product(open_shop, "apart", place)
        assert (found.attributes, found.live) == ({"price": 1.0, "colour": "red"}, {"price": 9.5})

    def test_an_update_is_the_whole_map(self, open_shop: Shop) -> None:
        sell(open_shop, "whole")
        set_live(open_shop, "whole", price=9.5, in_stock=True)

        place = set_live(open_shop, "whole", in_stock=False)

        assert product(open_shop, "whole", place).live == {"in_stock": False}

    def test_an_update_without_attributes_takes_them_all_away(self, open_shop: Shop) -> None:
        sell(open_shop, "cleared")
        set_live(open_shop, "cleared", price=9.5)

        place = set_live(open_shop, "cleared")

        assert product(open_shop, "cleared", place).live == {}
        assert found_live(open_shop, "cleared", place) == {}

    def test_an_update_waits_for_a_product_that_is_not_known_yet(self, open_shop: Shop) -> None:
        place = set_live(open_shop, "later", price=9.5)
        with refused("NOT_FOUND", "later"):
            open_shop.calls.search.GetProduct(get_request("later", place), timeout=10)

        sell(open_shop, "later")

        assert product(open_shop, "later").live == {"price": 9.5}

    def test_it_outlasts_a_product_that_is_withdrawn_and_made_again(self, open_shop: Shop) -> None:
        sell(open_shop, "again")
        set_live(open_shop, "again", price=9.5)

        indexed(open_shop.calls.client, published(open_shop.calls.client, [Delete("again")]))
        with refused("NOT_FOUND", "again"):
            open_shop.calls.search.GetProduct(get_request("again"), timeout=10)
        sell(open_shop, "again", picture=1)

        assert product(open_shop, "again").live == {"price": 9.5}

    def test_it_outlasts_a_new_version_of_the_product(self, open_shop: Shop) -> None:
        sell(open_shop, "renewed")
        set_live(open_shop, "renewed", price=9.5)

        sell(open_shop, "renewed", attributes={"colour": "blue"})

        found = product(open_shop, "renewed")
        assert (found.attributes, found.live) == ({"colour": "blue"}, {"price": 9.5})

    def test_it_outlasts_a_roll_and_a_compaction(self, open_shop: Shop) -> None:
        sell(open_shop, "rolled")
        set_live(open_shop, "rolled", price=9.5)
        open_shop.calls.indexer.Roll(indexer_pb2.RollRequest(), timeout=60)
        place = set_live(open_shop, "rolled", price=8.0)
        assert product(open_shop, "rolled", place).live == {"price": 8.0}

        open_shop.calls.indexer.Compact(indexer_pb2.CompactRequest(), timeout=60)

        eventually(lambda: rolled_only(open_shop))
        assert product(open_shop, "rolled").live == {"price": 8.0}
        assert found_live(open_shop, "rolled") == {"price": 8.0}

    def test_places_in_the_two_logs_are_waited_for_apart(self, open_shop: Shop) -> None:
        [catalogue] = sell(open_shop, "placed")
        place = set_live(open_shop, "placed", price=9.5)

        assert (catalogue.stream, place.stream) == (Stream.CATALOGUE, Stream.LIVE)
        beyond = place._replace(offset=place.offset + 1_000_000)
        with refused("UNAVAILABLE", "live offset", "is not indexed yet"):
            open_shop.calls.search.GetProduct(get_request("placed", beyond), timeout=0.5)

    def test_a_bad_update_is_refused_by_field_and_the_others_go_on(self, open_shop: Shop) -> None:
        sell(open_shop, "sound")
        bad = LiveUpdate("sound", {f"name-{number}": 1.0 for number in range(65)})

        first, second = open_shop.calls.client.publish_live([bad, LiveUpdate("sound", {"price": 3.0})])

        assert first.error.startswith("attributes: has 65")
        assert second.position is not None
        assert product(open_shop, "sound", second.position).live == {"price": 3.0}


class TestWorkSaved:
    def test_an_update_writes_no_row_and_no_vector_and_asks_no_gpu(self, open_shop: Shop) -> None:
        sell(open_shop, "cheap")
        open_shop.calls.indexer.Compact(indexer_pb2.CompactRequest(), timeout=60)
        eventually(lambda: rolled_only(open_shop))
        rows, embedded, saved = rows_stored(open_shop), images_embedded(open_shop), work_saved(open_shop, "live")

        for number in range(10):
            place = set_live(open_shop, "cheap", price=float(number))

        assert product(open_shop, "cheap", place).live == {"price": 9.0}
        assert rows_stored(open_shop) == rows
        assert fresh_live_rows(open_shop) > 0
        assert images_embedded(open_shop) == embedded
        assert work_saved(open_shop, "live") == saved + 10

    def test_a_picture_known_by_its_hash_is_not_even_fetched(self, open_shop: Shop) -> None:
        picture = open_shop.products[3].pictures[0]
        sha256 = hashlib.sha256(picture).digest()
        indexed(open_shop.calls.client, published(open_shop.calls.client, [upsert("kept", picture)]))
        embedded, saved = images_embedded(open_shop), work_saved(open_shop, "unchanged")
        before = open_shop.calls.client.search(product_id="kept", k=3).hits

        event = Upsert("kept", (ImageRef("", uri="https://nobody.example/a.jpg", sha256=sha256),), "new", {"size": 4.0})
        indexed(open_shop.calls.client, published(open_shop.calls.client, [event]))

        found = product(open_shop, "kept")
        assert (found.category, found.attributes, found.image_sha256s) == ("new", {"size": 4.0}, {"0": sha256})
        assert [hit.score for hit in open_shop.calls.client.search(product_id="kept", k=3).hits] == [
            hit.score for hit in before
        ]
        assert images_embedded(open_shop) == embedded
        assert work_saved(open_shop, "unchanged") == saved + 1
        assert [refusal for refusal in open_shop.calls.client.refusals() if refusal.product_id == "kept"] == []

    def test_of_two_pictures_only_the_changed_one_is_embedded(self, open_shop: Shop) -> None:
        first, second, third = (open_shop.products[number].pictures[0] for number in (5, 6, 7))
        indexed(open_shop.calls.client, published(open_shop.calls.client, [upsert("halves", first, second)]))
        embedded = images_embedded(open_shop)
        saved = work_saved(open_shop, "unchanged") + work_saved(open_shop, "same_bytes")

        indexed(open_shop.calls.client, published(open_shop.calls.client, [upsert("halves", first, third)]))

        assert images_embedded(open_shop) == embedded + 1
        assert work_saved(open_shop, "unchanged") + work_saved(open_shop, "same_bytes") == saved + 1
        hits = open_shop.calls.client.search(image=third, k=20).hits
        assert next(hit for hit in hits if hit.product_id == "halves").score == pytest.approx(1, abs=1e-3)

    def test_a_product_made_again_after_a_delete_is_embedded_again(self, open_shop: Shop) -> None:
        sell(open_shop, "reborn", picture=8)
        indexed(open_shop.calls.client, published(open_shop.calls.client, [Delete("reborn")]))
        embedded = images_embedded(open_shop)

        sell(open_shop, "reborn", picture=8)

        assert images_embedded(open_shop) == embedded + 1


@pytest.mark.thorough
class TestManyUpdates:
    def test_twenty_thousand_updates_leave_the_indexer_as_big_as_it_was(self, open_shop: Shop) -> None:
        """A first quarter fills what is kept anyway; from then on it must not grow."""
        client, seeded = open_shop.calls.client, random.Random(0)
        names = [f"busy-{number:03d}" for number in range(PRODUCTS_UPDATED)]
        last: dict[str, float] = {}
        sizes = []
        for begin in range(0, UPDATES, UPDATES // 4):
            updates = []
            for number in range(begin, begin + UPDATES // 4):
                name = seeded.choice(names)
                last[name] = float(number)
                updates.append(LiveUpdate(name, {"price": float(number), "in_stock": number % 2 == 0}))
            places = [ack.position for ack in client.publish_live(updates) if ack.position]
            assert len(places) == len(updates)
            indexed(client, newest_of_each(places))
            sizes.append(resident_bytes(open_shop.stack.pid("indexer")))

        assert sizes[-1] - sizes[0] < 20 << 20, sizes
        picture = open_shop.products[0].pictures[0]
        indexed(client, published(client, [upsert(name, picture) for name in names[:20]]))
        assert {name: client.product(name).live["price"] for name in names[:20]} == {
            name: last[name] for name in names[:20]
        }


def sell(
    shop: Shop,
    product_id: str,
    picture: int = 0,
    attributes: dict[str, str | float | bool | tuple[str, ...]] | None = None,
) -> list[Position]:
    """Indexed when it returns."""
    event = upsert(product_id, shop.products[picture].pictures[0], attributes=attributes)
    places = published(shop.calls.client, [event])
    indexed(shop.calls.client, places)
    return places


def set_live(shop: Shop, product_id: str, **attributes: float | bool) -> Position:
    """Acknowledged when it returns, and perhaps not indexed yet."""
    [ack] = shop.calls.client.publish_live([LiveUpdate(product_id, dict(attributes))])
    assert ack.error == ""
    assert ack.position is not None
    return ack.position


def product(shop: Shop, product_id: str, place: Position | None = None) -> Product:
    return shop.calls.client.product(product_id, [place] if place else [])


def found_live(shop: Shop, product_id: str, place: Position | None = None) -> Attributes:
    """What a search says of it."""
    answer = shop.calls.client.search(vector=ANY_VECTOR, k=10_000, exact=True, at_least=[place] if place else [])
    [hit] = [hit for hit in answer.hits if hit.product_id == product_id]
    return hit.live


def get_request(product_id: str, place: Position | None = None) -> gateway_pb2.GetProductRequest:
    request = gateway_pb2.GetProductRequest(product_id=product_id)
    if place is not None:
        stream = catalogue_pb2.STREAM_LIVE if place.stream is Stream.LIVE else catalogue_pb2.STREAM_CATALOGUE
        request.at_least.add(partition=place.partition, offset=place.offset, stream=stream)
    return request


def newest_of_each(places: list[Position]) -> list[Position]:
    """The last place of each partition: everything before it is indexed with it."""
    return list({place.partition: place for place in places}.values())


def rolled_only(shop: Shop) -> bool:
    shards = [shard for partition in shop.calls.client.status().partitions for shard in partition.shards]
    return all(shard.kind == "rolled" for shard in shards)


def rows_stored(shop: Shop) -> int:
    return sum(shard.rows for partition in shop.calls.client.status().partitions for shard in partition.shards)


def fresh_live_rows(shop: Shop) -> int:
    shards = [shard for partition in shop.calls.client.status().partitions for shard in partition.shards]
    return sum(shard.live_rows for shard in shards if shard.kind == "fresh")


def images_embedded(shop: Shop) -> float:
    """By the embedder's own count of what its model was given."""
    return metric(shop.stack.addresses["embedder"].http, "vitrine_embedder_batch_images_sum")


def work_saved(shop: Shop, reason: str) -> float:
    return metric(shop.stack.addresses["indexer"].http, "vitrine_indexer_saved_embeddings_total", reason=reason)


def resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [kib] = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
    return int(kib) * 1024
