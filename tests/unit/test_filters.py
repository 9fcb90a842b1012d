"""A filter that cannot be meant is refused by the name of what is wrong with it."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.filters import (
    MAX_ALL_VALUES,
    MAX_CONDITIONS,
    MAX_NAME_BYTES,
    MAX_VALUE_BYTES,
    MAX_VALUES,
    AnyString,
    Condition,
    Filter,
    NumberRange,
    any_string,
    is_bool,
    number,
)
from vitrine.runtime.errors import InvalidArgument

CHEAP = number("live.price", lt=50.0)
SHOES = any_string("category", "Shoes", "Sandals")
USED = is_bool("attributes.used", True)


@pytest.mark.parametrize(
    "fine",
    [
        Filter(),
        Filter((SHOES, CHEAP), (USED,), (USED,)),
        Filter((any_string("category", ""),)),
        Filter((any_string("attributes.x", *map(str, range(MAX_VALUES))),)),
        Filter((any_string("attributes.x", "ü" * (MAX_VALUE_BYTES // 2)),)),
        Filter((number(f"live.{'x' * MAX_NAME_BYTES}", gte=1, lte=1),)),
        Filter((number("live.price", gt=-math.inf, lt=math.inf),)),
        Filter((number("live.a.b:c", gt=1, gte=2, lt=4, lte=3),)),
        Filter((SHOES,) * MAX_CONDITIONS),
    ],
)
def test_what_can_be_meant_is_accepted(fine: Filter) -> None:
    assert fine.validated() is fine


@pytest.mark.parametrize(
    ("condition", "field"),
    [
        (any_string("", "x"), "field"),
        (any_string("Category", "x"), "field"),
        (any_string("category.x", "x"), "field"),
        (any_string("colour", "x"), "field"),
        (any_string("attributes", "x"), "field"),
        (any_string("attributes.", "x"), "field"),
        (any_string("live.", "x"), "field"),
        (any_string(f"live.{'x' * (MAX_NAME_BYTES + 1)}", "x"), "field"),
        (any_string(f"attributes.{'ü' * (MAX_NAME_BYTES // 2 + 1)}", "x"), "field"),
        (any_string("category"), "any_string.values"),
        (any_string("category", *map(str, range(MAX_VALUES + 1))), "any_string.values"),
        (any_string("category", "x", "x" * (MAX_VALUE_BYTES + 1)), "any_string.values[1]"),
        (number("live.price"), "range"),
        (number("live.price", gt=math.nan), "range.gt"),
        (number("live.price", gte=math.nan, lt=1), "range.gte"),
        (number("live.price", lt=math.nan), "range.lt"),
        (number("live.price", gte=1, lte=math.nan), "range.lte"),
        (number("live.price", gte=2, lte=1), "range"),
        (number("live.price", gt=1, lte=1), "range"),
        (number("live.price", gte=1, lt=1), "range"),
        (number("live.price", gt=1, lt=1), "range"),
        (number("live.price", gte=0, gt=1, lte=1), "range"),
        (number("live.price", gt=math.inf), "range"),
        (number("live.price", lt=-math.inf), "range"),
    ],
)
@pytest.mark.parametrize("part", ["all_of", "any_of", "none_of"])
def test_what_is_wrong_is_named(part: str, condition: Condition, field: str) -> None:
    wrong = Filter(**{part: (SHOES, condition)})

    with pytest.raises(InvalidArgument) as refused:
        wrong.validated("queries[3].filter")

    assert refused.value.field == f"queries[3].filter.{part}[1].{field}"


def test_too_many_conditions_are_too_many_wherever_they_stand() -> None:
    with pytest.raises(InvalidArgument, match=r"^filter: has 65 conditions"):
        Filter((SHOES,) * 30, (CHEAP,) * 30, (USED,) * 5).validated()


def test_a_long_name_is_not_quoted_in_full() -> None:
    with pytest.raises(InvalidArgument) as refused:
        Filter((any_string("x" * 100_000, "y"),)).validated()

    assert len(str(refused.value)) < 300


def test_a_filter_is_true_if_it_demands_anything() -> None:
    assert [bool(Filter()), *map(bool, (Filter((SHOES,)), Filter((), (SHOES,)), Filter((), (), (SHOES,))))] == [
        False,
        True,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("filter_", "live"),
    [
        (Filter((SHOES, USED)), False),
        (Filter((any_string("attributes.live.x", "y"),)), False),
        (Filter((SHOES,), (USED,), (CHEAP,)), True),
        (Filter((SHOES,), (CHEAP,)), True),
    ],
)
def test_a_filter_knows_whether_it_depends_on_the_minute(filter_: Filter, live: bool) -> None:
    assert filter_.names_live is live


names = st.sampled_from(["attributes.a", "live.a", "live.b"])
bounds = st.none() | st.sampled_from([0.0, 1.0, 2.5])
tests = (
    st.builds(AnyString, st.lists(st.sampled_from(["x", "y", "x, y", "'"]), max_size=3).map(tuple))
    | st.builds(NumberRange, bounds, bounds, bounds, bounds)
    | st.booleans().map(lambda value: is_bool("live.a", value).test)
)
parts = st.lists(st.builds(Condition, names, tests), max_size=3).map(tuple)
filters = st.builds(Filter, parts, parts, parts)


def _meaning(filter_: Filter) -> object:
    return tuple(
        frozenset(
            (one.field, frozenset(one.test.values) if isinstance(one.test, AnyString) else one.test) for one in part
        )
        for part in (filter_.all_of, filter_.any_of, filter_.none_of)
    )


def _shuffled(filter_: Filter, order: random.Random) -> Filter:
    def mixed(part: tuple[Condition, ...]) -> tuple[Condition, ...]:
        turned = [
            Condition(one.field, AnyString(tuple(order.sample(one.test.values, len(one.test.values)))))
            if isinstance(one.test, AnyString)
            else one
            for one in part
        ]
        order.shuffle(turned)
        return tuple(turned)

    return Filter(mixed(filter_.all_of), mixed(filter_.any_of), mixed(filter_.none_of))


@given(filters, st.randoms(use_true_random=False))
def test_order_makes_no_other_key(filter_: Filter, order: random.Random) -> None:
    assert _shuffled(filter_, order).key == filter_.key


@given(filters, filters)
def test_keys_are_alike_only_where_the_meaning_is(left: Filter, right: Filter) -> None:
    assert (left.key == right.key) == (_meaning(left) == _meaning(right))


def test_keys_are_the_same_in_every_process() -> None:
    assert Filter((SHOES, CHEAP), none_of=(USED,)).key.hex()[:16] == "2ed44e4ea5ae420d"


def test_a_whole_number_is_the_same_bound_as_its_float() -> None:
    assert number("live.price", lt=50).key == CHEAP.key


def test_the_values_of_all_conditions_together_are_bounded() -> None:
    full = any_string("category", *map(str, range(MAX_VALUES)))
    fine = (full,) * (MAX_ALL_VALUES // MAX_VALUES)
    assert Filter(fine).validated()
    with pytest.raises(InvalidArgument, match=r"^filter: has 4,097 values in all"):
        Filter(fine[:2], fine[2:], (any_string("category", "x"),)).validated()
