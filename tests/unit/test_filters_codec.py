"""A filter travels whole; one that cannot be meant is refused by the name of what is wrong."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.filters import AnyString, Condition, Filter, IsBool, NumberRange
from vitrine.filters_codec import filter_from_message, filter_message
from vitrine.runtime.errors import InvalidArgument
from vitrine.v1 import filter_pb2 as pb

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
fields = st.just("category") | st.tuples(st.sampled_from(["attributes.", "live."]), texts.filter(bool)).map("".join)
numbers = st.floats(-1e9, 1e9)
ranges = st.builds(
    lambda low, width, names: NumberRange(**{names[0]: low, names[1]: low + width}),
    numbers,
    st.floats(1, 1e9),
    st.tuples(st.sampled_from(["gt", "gte"]), st.sampled_from(["lt", "lte"])),
) | st.builds(lambda name, bound: NumberRange(**{name: bound}), st.sampled_from(["gt", "gte", "lt", "lte"]), numbers)
tests = st.lists(texts, min_size=1, max_size=4).map(tuple).map(AnyString) | ranges | st.builds(IsBool, st.booleans())
parts = st.lists(st.builds(Condition, fields, tests), max_size=4).map(tuple)


@given(st.builds(Filter, parts, parts, parts).filter(bool))
def test_a_filter_comes_back_as_it_was_sent(sent: Filter) -> None:
    data = filter_message(sent).SerializeToString()

    assert filter_from_message(pb.Filter.FromString(data)) == sent


def test_a_filter_that_demands_nothing_is_none() -> None:
    assert filter_from_message(pb.Filter()) is None
    assert filter_message(Filter()) == pb.Filter()


def test_a_bound_of_zero_is_a_bound() -> None:
    message = pb.Filter(all_of=[pb.Condition(field="live.price", range=pb.NumberRange(gte=0.0))])

    assert filter_from_message(message) == Filter((Condition("live.price", NumberRange(gte=0.0)),))


def test_false_is_a_test() -> None:
    message = pb.Filter(any_of=[pb.Condition(field="live.used", bool=False)])

    assert filter_from_message(message) == Filter((), (Condition("live.used", IsBool(False)),))


FINE = pb.Condition(field="category", any_string=pb.AnyString(values=["Shoes"]))


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (pb.Filter(all_of=[FINE, FINE, FINE, pb.Condition(field="category")]), "all_of[3].test"),
        (pb.Filter(none_of=[pb.Condition()]), "none_of[0].test"),
        (pb.Filter(any_of=[pb.Condition(field="colour", bool=True)]), "any_of[0].field"),
        (pb.Filter(all_of=[pb.Condition(field="category", any_string=pb.AnyString())]), "all_of[0].any_string.values"),
        (pb.Filter(all_of=[pb.Condition(field="live.x", range=pb.NumberRange())]), "all_of[0].range"),
        (pb.Filter(all_of=[pb.Condition(field="live.x", range=pb.NumberRange(lt=math.nan))]), "all_of[0].range.lt"),
        (pb.Filter(any_of=[FINE, pb.Condition(field="live.x", range=pb.NumberRange(gt=2, lt=1))]), "any_of[1].range"),
    ],
)
def test_what_is_wrong_is_named(message: pb.Filter, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        filter_from_message(message, "queries[3].filter")

    assert refused.value.field == f"queries[3].filter.{field}"


def test_ten_thousand_conditions_are_refused_before_they_are_read() -> None:
    # The first has no test: reading it would be refused for that.
    message = pb.Filter(any_of=[pb.Condition(field="category"), *[FINE] * 9_999])

    with pytest.raises(InvalidArgument, match=r"^filter: has 10,000 conditions, at most 64 are accepted"):
        filter_from_message(message)
