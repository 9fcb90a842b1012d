"""A history, checked and weighed."""

from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.history import MAX_HISTORY, checked_history, taste_weights
from vitrine.runtime.errors import InvalidArgument
from vitrine.v1.gateway_pb2 import HistoryItem

DAY_S = 86_400
NOW_S = 1_700_000_000


def item(product_id: str, days_ago: float | None = None, weight: float | None = None) -> HistoryItem:
    time = None if days_ago is None else Timestamp(seconds=int(NOW_S - days_ago * DAY_S))
    return HistoryItem(product_id=product_id, time=time, weight=weight)


def weights(*items: HistoryItem, half_life_days: float = 14) -> dict[str, float]:
    return taste_weights(checked_history(items), half_life_days)


def test_what_is_older_by_a_half_life_weighs_half() -> None:
    assert weights(item("new", 0), item("old", 10), half_life_days=10) == {
        "new": pytest.approx(2 / 3),
        "old": pytest.approx(1 / 3),
    }


def test_ages_count_from_the_most_recent_thing_not_from_today() -> None:
    assert weights(item("a", 300), item("b", 314)) == pytest.approx(weights(item("a", 0), item("b", 14)))


def test_what_has_no_time_is_as_recent_as_the_most_recent_thing() -> None:
    found = weights(item("a", 5), item("b", 19), item("undated"))
    assert found["undated"] == pytest.approx(found["a"])


def test_a_product_named_twice_has_its_weights_together() -> None:
    assert weights(item("a", 0), item("a", 14), item("b", 0, weight=3)) == {
        "b": pytest.approx(3 / 4.5),
        "a": pytest.approx(1.5 / 4.5),
    }


def test_the_weightiest_comes_first_whatever_the_order_they_are_given_in() -> None:
    given = [item("c"), item("light", weight=0.5), item("a"), item("heavy", weight=7)]
    assert list(weights(*given)) == list(weights(*reversed(given))) == ["heavy", "a", "c", "light"]


def test_even_the_oldest_thing_weighs_something() -> None:
    found = weights(item("new", 0), item("ancient", 40 * 365), half_life_days=1e-300)
    assert 0 < found["ancient"] < 1e-12


@pytest.mark.parametrize("weight", [0, -1, 100.5, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_named(weight: float) -> None:
    with pytest.raises(InvalidArgument, match=r"^history\[1\]\.weight: "):
        weights(item("a"), item("b", weight=weight))


@pytest.mark.parametrize("product_id", ["", "x" * 257])
def test_a_product_id_that_is_none_is_named(product_id: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^history\[2\]\.product_id: "):
        weights(item("a"), item("b"), item(product_id))


@pytest.mark.parametrize("time", [Timestamp(nanos=-1), Timestamp(seconds=10**12), Timestamp(seconds=-(10**11))])
def test_a_time_that_is_none_is_named(time: Timestamp) -> None:
    with pytest.raises(InvalidArgument, match=r"^history\[0\]\.time: "):
        weights(HistoryItem(product_id="a", time=time))


def test_a_history_has_a_longest_length() -> None:
    items = [item(f"p{number}") for number in range(MAX_HISTORY + 1)]
    assert len(weights(*items[:-1])) == MAX_HISTORY
    with pytest.raises(InvalidArgument, match=r"^history: has 201"):
        weights(*items)


def test_no_history_weighs_nothing() -> None:
    assert weights() == {}
