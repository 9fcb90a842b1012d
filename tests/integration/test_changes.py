"""A product's life: what was published is what is found, from the moment that `at_least` promises."""

from __future__ import annotations

import threading
import time

import pytest

from tests.integration.shop import ANY_VECTOR, Shop, indexed, published, refused, upsert
from vitrine.client import Answer
from vitrine.runtime.errors import NotFound
from vitrine.stream.events import Delete, Event
from vitrine.stream.log import Position
from vitrine.stream.partitioning import partition_of
from vitrine.v1 import catalogue_pb2, gateway_pb2
from vitrine.vectors import to_wire

EVERYTHING = 10_000


def test_a_product_can_be_found_changed_and_withdrawn(open_shop: Shop) -> None:
    client = open_shop.calls.client
    first, second = (product.pictures[0] for product in open_shop.products[20:22])

    born = published(client, [upsert("life", first, category="old", attributes={"price": 10.0, "colour": "red"})])
    assert _score(client.search(image=first, k=100, at_least=born), "life") == pytest.approx(1, abs=1e-3)

    changed = published(client, [upsert("life", second, category="new", attributes={"price": 12.0})])
    product = client.product("life", at_least=changed)
    assert (product.category, product.attributes, product.position) == ("new", {"price": 12.0}, changed[0])
    assert _score(client.search(image=second, k=100), "life") == pytest.approx(1, abs=1e-3)
    assert _score(client.search(image=first, k=EVERYTHING), "life") < 0.999

    gone = published(client, [Delete("life")])
    with pytest.raises(NotFound):
        client.product("life", at_least=gone)
    with pytest.raises(NotFound):
        client.search(product_id="life")
    assert "life" not in _ids(client.search(image=second, k=EVERYTHING))


def test_a_withdrawn_product_can_come_back(open_shop: Shop) -> None:
    client, picture = open_shop.calls.client, open_shop.products[22].pictures[0]
    events: list[Event] = [upsert("phoenix", picture), Delete("phoenix"), upsert("phoenix", picture, category="again")]
    positions = published(client, events)
    assert client.product("phoenix", at_least=positions).category == "again"
    assert _ids(client.search(image=picture, k=EVERYTHING)).count("phoenix") == 1


def test_of_many_changes_at_once_the_last_one_counts(open_shop: Shop) -> None:
    client, picture = open_shop.calls.client, open_shop.products[23].pictures[0]
    positions = published(client, [upsert("busy", picture, category=str(number)) for number in range(100)])
    assert client.product("busy", at_least=positions).category == "99"


def test_deleting_what_never_was_is_no_error(open_shop: Shop) -> None:
    client = open_shop.calls.client
    positions = published(client, [Delete("never-was")])
    with pytest.raises(NotFound):
        client.product("never-was", at_least=positions)
    assert "never-was" not in [letter.product_id for letter in client.refusals()]


def test_a_product_with_fewer_pictures_than_before_has_only_those(open_shop: Shop) -> None:
    client, pictures = open_shop.calls.client, [product.pictures[0] for product in open_shop.products[24:27]]
    published(client, [upsert("shrinking", *pictures)])
    positions = published(client, [upsert("shrinking", pictures[2])])
    assert list(client.product("shrinking", at_least=positions).image_sha256s) == ["0"]
    assert _score(client.search(image=pictures[0], k=EVERYTHING), "shrinking") < 0.999


def test_a_product_disappears_the_moment_it_expires(open_shop: Shop) -> None:
    client, picture = open_shop.calls.client, open_shop.products[28].pictures[0]
    expires_s = time.time() + 2.5
    positions = published(client, [upsert("short-lived", picture, expires_at_us=int(expires_s * 1e6))])
    indexed(client, positions)
    last_seen_s = first_missed_s = 0.0
    while not first_missed_s:
        asked_s = time.time()
        if "short-lived" in _ids(client.search(image=picture, k=EVERYTHING)):
            last_seen_s = asked_s
        else:
            first_missed_s = time.time()
    assert 0 < last_seen_s <= expires_s <= first_missed_s < expires_s + 1
    with pytest.raises(NotFound):
        client.product("short-lived")
    with pytest.raises(NotFound):
        client.search(product_id="short-lived")


def test_a_product_that_has_expired_already_is_never_found(open_shop: Shop) -> None:
    client, picture = open_shop.calls.client, open_shop.products[29].pictures[0]
    before = published(client, [upsert("outdated", picture)])
    indexed(client, before)
    positions = published(client, [upsert("outdated", picture, expires_at_us=int((time.time() - 60) * 1e6))])
    with pytest.raises(NotFound):
        client.product("outdated", at_least=positions)
    assert "outdated" not in _ids(client.search(image=picture, k=EVERYTHING))


def test_the_same_event_twice_has_the_effect_of_once(open_shop: Shop) -> None:
    client = open_shop.calls.client
    events = [product.upsert() for product in open_shop.products[40:60]]
    indexed(client, published(client, events))
    once = client.search(vector=ANY_VECTOR, k=EVERYTHING, exact=True)
    indexed(client, published(client, [*events, *events]))
    twice = client.search(vector=ANY_VECTOR, k=EVERYTHING, exact=True)
    assert twice.hits == once.hits
    assert twice.coverage == once.coverage


def test_an_answer_waits_for_what_its_caller_has_written(open_shop: Shop) -> None:
    client, picture = open_shop.calls.client, open_shop.products[30].pictures[0]
    for number in range(5):
        positions = published(client, [upsert(f"own-write-{number}", picture)])
        assert f"own-write-{number}" in _ids(client.search(image=picture, k=EVERYTHING, at_least=positions))


def test_a_place_that_is_not_reached_in_time_is_said_within_the_deadline(open_shop: Shop) -> None:
    never = catalogue_pb2.LogPosition(partition=0, offset=10**12)
    request = gateway_pb2.SearchRequest(vector=to_wire(ANY_VECTOR), at_least=[never])
    response = open_shop.calls.search.Search(request, timeout=1)
    assert [failure.partition for failure in response.coverage.failures] == [0]
    assert str(10**12) in response.coverage.failures[0].reason
    assert response.coverage.partitions_answered == 1

    request.require_complete = True
    with refused("UNAVAILABLE", "partition 0", str(10**12)):
        open_shop.calls.search.Search(request, timeout=1)
    product = gateway_pb2.GetProductRequest(product_id=_in_partition_0(), at_least=[never])
    with refused("UNAVAILABLE", "partition 0", str(10**12)):
        open_shop.calls.search.GetProduct(product, timeout=1)


def test_waiting_callers_do_not_hold_up_others(open_shop: Shop) -> None:
    never = catalogue_pb2.LogPosition(partition=0, offset=10**12)
    request = gateway_pb2.SearchRequest(vector=to_wire(ANY_VECTOR), at_least=[never])
    waiting = [open_shop.calls.search.Search.future(request, timeout=10) for _ in range(50)]
    started_s = time.monotonic()
    open_shop.calls.client.search(vector=ANY_VECTOR)
    assert time.monotonic() - started_s < 2
    assert [call.cancel() for call in waiting] == [True] * 50


def test_the_index_time_moves_on_with_every_write(open_shop: Shop) -> None:
    client, picture = open_shop.calls.client, open_shop.products[31].pictures[0]
    before_us = time.time_ns() // 1_000
    positions = published(client, [upsert(f"clock-{number}", picture) for number in range(8)])
    assert {position.partition for position in positions} == {0, 1}
    assert before_us <= indexed(client, positions).index_time_us <= time.time_ns() // 1_000


def test_many_writers_at_once_lose_nothing(open_shop: Shop) -> None:
    client, picture = open_shop.calls.client, open_shop.products[32].pictures[0]
    places: dict[str, Position] = {}

    def write(writer: int) -> None:
        names = [f"writer-{writer}-{number}" for number in range(20)]
        places.update(zip(names, published(client, [upsert(name, picture) for name in names]), strict=True))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(5)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    assert len(set(places.values())) == 100
    indexed(client, places.values())
    assert places.keys() <= set(_ids(client.search(image=picture, k=EVERYTHING)))


def _ids(answer: Answer) -> list[str]:
    return [hit.product_id for hit in answer.hits]


def _score(answer: Answer, product_id: str) -> float:
    return next(hit.score for hit in answer.hits if hit.product_id == product_id)


def _in_partition_0() -> str:
    return next(f"any-{number}" for number in range(100) if partition_of(f"any-{number}", 2) == 0)
