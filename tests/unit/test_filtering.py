"""Filters as they are typed on the command line."""

from __future__ import annotations

import pytest

from vitrine.cli.filtering import filter_of
from vitrine.filters import Condition, Filter, any_string, is_bool, number
from vitrine.runtime.errors import ConfigError, InvalidArgument


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("category=Shoes", any_string("category", "Shoes")),
        ("category=Shoes|Flip Flops", any_string("category", "Shoes", "Flip Flops")),
        (" attributes.colour = red ", any_string("attributes.colour", "red")),
        ("live.price<50", number("live.price", lt=50)),
        ("live.price<=50", number("live.price", lte=50)),
        ("live.price > 9.5", number("live.price", gt=9.5)),
        ("live.price>=-1", number("live.price", gte=-1)),
        ("attributes.size==42", number("attributes.size", gte=42, lte=42)),
        ("attributes.used=true", is_bool("attributes.used", True)),
        ("attributes.used=false", is_bool("attributes.used", False)),
        ('attributes.answer="true"', any_string("attributes.answer", "true")),
        ("attributes.sum=1+1=2", any_string("attributes.sum", "1+1=2")),
    ],
)
def test_a_condition_means_what_it_says(text: str, condition: Condition) -> None:
    assert filter_of([text]) == Filter(all_of=(condition,))
    assert filter_of(["!" + text]) == Filter(none_of=(condition,))


def test_all_conditions_must_be_met() -> None:
    wanted = filter_of(["category=Shoes", "!attributes.used=true", "live.price<50"])
    assert wanted == Filter(
        all_of=(any_string("category", "Shoes"), number("live.price", lt=50)),
        none_of=(is_bool("attributes.used", True),),
    )


def test_no_condition_is_no_filter() -> None:
    assert filter_of([]) is None


@pytest.mark.parametrize("text", ["", "category", "=Shoes", "!", "live.price<cheap", "attributes.size==", "a!=b"])
def test_what_cannot_be_read_is_quoted(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^filter: ") as caught:
        filter_of([text])
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["price<5", "live.price<nan", "attributes.=x"])
def test_what_no_product_could_mean_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^filter\.all_of\[0\]"):
        filter_of([text])
