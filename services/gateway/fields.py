"""Fields that a filter or a facet names: only who has heard every partition can say that one is unknown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from vitrine.filters import CATEGORY, AnyString, Condition, Filter, NumberRange
from vitrine.runtime.errors import InvalidArgument
from vitrine.v1 import filter_pb2
from vitrine.v1 import gateway_pb2 as pb

_NAMES: Final = {"string": "a string", "number": "a number", "bool": "a bool", "string_list": "a list of strings"}


def within_category(wanted: filter_pb2.Filter, category: str) -> filter_pb2.Filter:
    """`wanted`, of one category only."""
    narrowed = filter_pb2.Filter()
    narrowed.CopyFrom(wanted)
    narrowed.all_of.add(field=CATEGORY, any_string=filter_pb2.AnyString(values=[category]))
    return narrowed


def check_known(
    wanted: Filter | None,
    facets: Iterable[str],
    facts: Iterable[filter_pb2.FieldFacts],
    coverage: pb.Coverage,
) -> None:
    """Raises InvalidArgument for a field that no product has, or only with values of another kind than is asked for.

    `facts`: what the partitions that answered know. Nothing is said while one is missing, or there are no products.
    """
    if coverage.failures or not coverage.rows_searched:
        return
    # Every product has a category, if an empty one.
    kinds: dict[str, set[str]] = {CATEGORY: {"string"}}
    for fact in facts:
        kinds.setdefault(fact.field, set()).update(fact.kinds)
    for number, name in enumerate(facets):
        if not kinds.get(name):
            raise InvalidArgument(f"facets[{number}]", f'no product has "{name}"')
    for where, condition in wanted.conditions() if wanted else ():
        _check_condition(condition, kinds.get(condition.field, set()), f"filter.{where}")


def check_number(name: str, facts: Iterable[filter_pb2.FieldFacts], coverage: pb.Coverage) -> None:
    """Raises InvalidArgument where products are to be ordered by a field that none has, or none as a number."""
    if coverage.failures or not coverage.rows_searched:
        return
    kinds = {kind for fact in facts if fact.field == name for kind in fact.kinds}
    if "number" not in kinds:
        reason = f'"{name}" is no number' if kinds else f'no product has "{name}"'
        raise InvalidArgument("order_by.field", reason)


def _check_condition(condition: Condition, kinds: set[str], field: str) -> None:
    if not kinds:
        raise InvalidArgument(f"{field}.field", f'no product has "{condition.field}"')
    test, fitting, expected = _expected(condition)
    if not kinds & fitting:
        found = " or ".join(_NAMES.get(kind, kind) for kind in sorted(kinds))
        raise InvalidArgument(f"{field}.{test}", f'"{condition.field}" is {found}, not {expected}')


def _expected(condition: Condition) -> tuple[str, set[str], str]:
    """The test's name in the contract, the kinds it can meet, and how to call them."""
    match condition.test:
        case AnyString():
            return "any_string", {"string", "string_list"}, "a string"
        case NumberRange():
            return "range", {"number"}, "a number"
        case _:
            return "bool", {"bool"}, "a bool"
