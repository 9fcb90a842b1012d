"""Which values a field has among products, and how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from vitrine.attributes import AttributeValue

MAX_VALUES: Final = 256


class ValueCount(NamedTuple):
    value: str | float | bool
    products: int


@dataclass(frozen=True)
class Facet:
    """The values of one field. `counts`: most frequent first, then by value; at most MAX_VALUES of them.

    products          products counted over
    products_without  those of them without the field
    values_left_out   values not in `counts`
    """

    field: str
    counts: tuple[ValueCount, ...]
    products: int
    products_without: int
    values_left_out: int


def counted(field: str, values: Iterable[AttributeValue | None]) -> Facet:
    """The facet over `values`, one a product; None = it lacks the field. A list counts once for each of its strings."""
    listed = list(values)
    # By kind too: to Python, True and 1.0 are the same key.
    found = Counter((type(one).__name__, one) for value in listed for one in _each(value))
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    counts = tuple(ValueCount(value, products) for (_, value), products in ordered[:MAX_VALUES])
    return Facet(field, counts, len(listed), listed.count(None), len(ordered) - len(counts))


def _each(value: AttributeValue | None) -> Iterable[str | float | bool]:
    if value is None:
        return ()
    return set(value) if isinstance(value, tuple) else (value,)
