"""What a shopper liked lately bends an answer."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from tests.integration.asking import one_of, search, vector_by_id
from tests.integration.shop import Drawn, Shop, refused
from vitrine.v1 import gateway_pb2 as pb
from vitrine.vectors import to_wire

NAN = float("nan")


def test_a_history_bends_the_answer_towards_it(shop: Shop) -> None:
    asked, liked = one_of(shop, "Topwear"), [one_of(shop, "Bags", skip) for skip in range(3)]
    history = [pb.HistoryItem(product_id=product.product_id) for product in liked]

    bags = [
        sum(hit.category == "Bags" for hit in search(shop, image=asked.pictures[0], page_size=20, **bent).results)
        for bent in ({}, {"history": history}, {"history": history, "history_weight": 0.9})
    ]

    assert bags[0] <= bags[1] < bags[2]


def test_what_was_liked_lately_counts_more(shop: Shop) -> None:
    old, new = one_of(shop, "Shoes"), one_of(shop, "Watches")
    asked = to_wire(vector_by_id(shop, one_of(shop, "Socks").product_id))

    def watches(days_ago: float) -> int:
        history = [liked(old, 0), liked(new, days_ago)]
        found = search(shop, vector=asked, history=history, history_weight=1, page_size=20)
        return sum(hit.category == "Watches" for hit in found.results)

    assert watches(0) > watches(60)


def test_a_history_of_nothing_known_changes_nothing(shop: Shop) -> None:
    picture = shop.products[0].pictures[0]
    history = [pb.HistoryItem(product_id="sold long ago")]

    bent = search(shop, image=picture, history=history)

    assert [hit.product_id for hit in bent.results] == [hit.product_id for hit in search(shop, image=picture).results]


def test_wrong_histories_are_refused_by_name(shop: Shop) -> None:
    picture = shop.products[0].pictures[0]
    known = pb.HistoryItem(product_id=shop.products[1].product_id)
    for field, fields in (
        ("history_weight", {"history": [known], "history_weight": 1.5}),
        ("history_weight", {"history": [known], "history_weight": NAN}),
        ("history_weight", {"history_weight": 0.5}),
        ("history[1].weight", {"history": [known, pb.HistoryItem(product_id="p", weight=0)]}),
        ("history[0].product_id", {"history": [pb.HistoryItem()]}),
        ("history", {"history": [known] * 201}),
    ):
        with refused("INVALID_ARGUMENT", field):
            search(shop, image=picture, **fields)


def liked(product: Drawn, days_ago: float) -> pb.HistoryItem:
    item = pb.HistoryItem(product_id=product.product_id, time=Timestamp())
    item.time.FromSeconds(int(1_790_000_000 - days_ago * 86_400))
    return item
