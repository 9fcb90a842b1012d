"""Which products may be answered at all, whatever they look like.

Filter(
    all_of=(any_string("category", "Shoes", "Sandals"), number("live.price", lt=50.0)),
    none_of=(is_bool("attributes.used", True),),
)
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from vitrine.runtime.errors import InvalidArgument

CATEGORY: Final = "category"
ATTRIBUTES: Final = "attributes."
LIVE: Final = "live."
MAX_CONDITIONS: Final = 64
MAX_VALUES: Final = 1_024
MAX_ALL_VALUES: Final = 4_096
MAX_VALUE_BYTES: Final = 1_024
MAX_NAME_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class AnyString:
    """The string is one of `values`; a list of strings holds at least one of them."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NumberRange:
    """Numbers within bounds: greater than, or equal; less than, or equal."""

    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None


@dataclass(frozen=True, slots=True)
class IsBool:
    value: bool


@dataclass(frozen=True, slots=True)
class Condition:
    """What one field must be. A product without the field does not meet it.

    `field`: "category", "attributes.<name>" or "live.<name>".
    """

    field: str
    test: AnyString | NumberRange | IsBool

    @property
    def key(self) -> bytes:
        """32 bytes, alike for conditions that mean the same in another order, in every process."""
        match self.test:
            case AnyString(values):
                said: object = sorted(set(values))
            case NumberRange(gt, gte, lt, lte):
                said = [None if bound is None else float(bound) for bound in (gt, gte, lt, lte)]
            case IsBool(value):
                said = value
        return _digest([repr((self.field, said)).encode()])


@dataclass(frozen=True)
class Filter:
    """All of `all_of`, at least one of `any_of` (if there are any), none of `none_of`."""

    all_of: tuple[Condition, ...] = ()
    any_of: tuple[Condition, ...] = ()
    none_of: tuple[Condition, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.all_of or self.any_of or self.none_of)

    @cached_property
    def key(self) -> bytes:
        """32 bytes, alike for filters that mean the same in another order, in every process."""
        parts = (self.all_of, self.any_of, self.none_of)
        return _digest(_digest(sorted({condition.key for condition in part})) for part in parts)

    @cached_property
    def names_live(self) -> bool:
        """Whether a condition is on what changes by the minute."""
        return any(condition.field.startswith(LIVE) for _, condition in self.conditions())

    @property
    def fields(self) -> list[str]:
        """What its conditions name, each once."""
        return list(dict.fromkeys(condition.field for _, condition in self.conditions()))

    def conditions(self) -> Iterator[tuple[str, Condition]]:
        """Each condition and where it stands: "all_of[0]"."""
        for part, conditions in (("all_of", self.all_of), ("any_of", self.any_of), ("none_of", self.none_of)):
            for number, condition in enumerate(conditions):
                yield f"{part}[{number}]", condition

    def validated(self, field: str = "filter") -> Filter:
        """Itself. Raises InvalidArgument naming what is wrong, below `field`."""
        check_count(len(self.all_of) + len(self.any_of) + len(self.none_of), field)
        _check_all_values([condition.test for _, condition in self.conditions()], field)
        for where, condition in self.conditions():
            check_field(condition.field, f"{field}.{where}.field")
            _check_test(condition.test, f"{field}.{where}")
        return self


def any_string(field: str, *values: str) -> Condition:
    return Condition(field, AnyString(values))


def number(
    field: str,
    *,
    gt: float | None = None,
    gte: float | None = None,
    lt: float | None = None,
    lte: float | None = None,
) -> Condition:
    return Condition(field, NumberRange(gt, gte, lt, lte))


def is_bool(field: str, value: bool) -> Condition:
    return Condition(field, IsBool(value))


def check_count(conditions: int, field: str) -> None:
    """Raises InvalidArgument (`field`) where there are too many."""
    if conditions > MAX_CONDITIONS:
        raise InvalidArgument(field, f"has {conditions:,} conditions, at most {MAX_CONDITIONS} are accepted")


def check_field(name: str, field: str) -> None:
    """Raises InvalidArgument (`field`) unless `name` can name a field of a product."""
    attribute = name.removeprefix(ATTRIBUTES) if name.startswith(ATTRIBUTES) else name.removeprefix(LIVE)
    if name != CATEGORY and (attribute == name or not 1 <= len(attribute.encode()) <= MAX_NAME_BYTES):
        raise InvalidArgument(field, f'is {name[:80]!r}, not "category", "attributes.<name>" or "live.<name>"')


def _check_all_values(tests: Iterable[AnyString | NumberRange | IsBool], field: str) -> None:
    values = sum(len(test.values) for test in tests if isinstance(test, AnyString))
    if values > MAX_ALL_VALUES:
        raise InvalidArgument(field, f"has {values:,} values in all, at most {MAX_ALL_VALUES:,} are accepted")


def _check_test(test: AnyString | NumberRange | IsBool, field: str) -> None:
    match test:
        case AnyString(values):
            _check_values(values, f"{field}.any_string.values")
        case NumberRange():
            _check_range(test, f"{field}.range")


def _check_values(values: tuple[str, ...], field: str) -> None:
    if not 1 <= len(values) <= MAX_VALUES:
        raise InvalidArgument(field, f"has {len(values):,} values, 1 to {MAX_VALUES:,} are accepted")
    for place, value in enumerate(values):
        if len(value.encode()) > MAX_VALUE_BYTES:
            raise InvalidArgument(f"{field}[{place}]", f"has more than {MAX_VALUE_BYTES:,} bytes")


def _check_range(bounds: NumberRange, field: str) -> None:
    given = {name: getattr(bounds, name) for name in ("gt", "gte", "lt", "lte")}
    given = {name: bound for name, bound in given.items() if bound is not None}
    if not given:
        raise InvalidArgument(field, "has no bound: gt, gte, lt or lte is needed")
    for name, bound in given.items():
        if math.isnan(bound):
            raise InvalidArgument(f"{field}.{name}", "is NaN")
    lowest = max((given[name] for name in ("gt", "gte") if name in given), default=-math.inf)
    highest = min((given[name] for name in ("lt", "lte") if name in given), default=math.inf)
    open_end = given.get("gt") == lowest or given.get("lt") == highest
    if lowest > highest or (lowest == highest and open_end):
        raise InvalidArgument(field, "holds no number: its lower bound is above its upper one")


def _digest(parts: Iterable[bytes]) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()
