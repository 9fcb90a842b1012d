"""How often each value occurs among the best products."""

from __future__ import annotations

from vitrine.attributes import AttributeValue
from vitrine.facets import MAX_VALUES, ValueCount, counted


def counts(*values: AttributeValue | None) -> list[tuple[AttributeValue, int]]:
    return [(entry.value, entry.products) for entry in counted("attributes.x", values).counts]


def test_the_most_frequent_value_comes_first() -> None:
    assert counts("red", "blue", "blue") == [("blue", 2), ("red", 1)]


def test_equally_frequent_values_come_in_their_own_order() -> None:
    assert counts("c", "a", "b") == [("a", 1), ("b", 1), ("c", 1)]
    assert counts(10.0, 9.5, -1.0) == [(-1.0, 1), (9.5, 1), (10.0, 1)]


def test_products_without_the_field_are_counted_apart() -> None:
    facet = counted("attributes.x", [None, "red", None])

    assert (facet.counts, facet.products, facet.products_without) == ((ValueCount("red", 1),), 3, 2)


def test_a_list_counts_each_of_its_strings_once_a_product() -> None:
    assert counts(("S", "M", "S"), ("M",), "M", ()) == [("M", 3), ("S", 1)]


def test_true_is_not_the_number_one() -> None:
    found = counted("attributes.x", [True, 1.0, True, 1.0, 1.0]).counts

    assert [(type(entry.value), entry.products) for entry in found] == [(float, 3), (bool, 2)]


def test_values_of_several_kinds_have_one_order() -> None:
    assert counts("a", 2.0, False, "a") == [("a", 2), (False, 1), (2.0, 1)]


def test_of_too_many_values_the_rarest_are_left_out_and_counted() -> None:
    values = [f"{number:04}" for number in range(MAX_VALUES + 3)]

    facet = counted("category", [*values, values[-1]])

    assert len(facet.counts) == MAX_VALUES
    assert (facet.counts[0], facet.values_left_out) == (ValueCount(values[-1], 2), 3)
    assert {entry.value for entry in facet.counts}.isdisjoint(values[MAX_VALUES - 1 : -1])


def test_nothing_is_counted_over_nothing() -> None:
    facet = counted("category", [])

    assert (facet.field, facet.counts, facet.products, facet.products_without) == ("category", (), 0, 0)
