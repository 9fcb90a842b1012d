"""Filters as they are typed: 'category=Shoes|Sandals', 'live.price<50', '!attributes.used=true'."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from vitrine.filters import Condition, Filter, any_string, is_bool, number
from vitrine.runtime.errors import ConfigError

HELP: Final = (
    "only products that meet it; more than one: all of them. 'category=Shoes|Sandals', 'attributes.size==42', "
    "'live.price<50' (also <=, >, >=), 'attributes.new=true', '!…' = not"
)

_CONDITION: Final = re.compile(r"(!?)\s*([^<>=!]+?)\s*(==|<=|>=|=|<|>)\s*(.*)", re.DOTALL)
_BOUNDS: Final = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
_BOOLS: Final = {"true": True, "false": False}


def filter_of(conditions: Sequence[str]) -> Filter | None:
    """All conditions together; None for none. Raises ConfigError (`filter`) quoting the one that cannot be read."""
    wanted: list[Condition] = []
    unwanted: list[Condition] = []
    for text in conditions:
        not_, field, operator, value = _parts(text)
        (unwanted if not_ else wanted).append(_condition(field, operator, value, text))
    return Filter(all_of=tuple(wanted), none_of=tuple(unwanted)).validated() if conditions else None


def _parts(text: str) -> tuple[str, ...]:
    found = _CONDITION.fullmatch(text.strip())
    if not found:
        raise ConfigError("filter", f"{text!r} is not like category=Shoes, live.price<50 or !attributes.used=true")
    return found.groups()


def _condition(field: str, operator: str, value: str, text: str) -> Condition:
    if operator in _BOUNDS:
        return number(field, **{_BOUNDS[operator]: _number(value, text)})
    if operator == "==":
        equal = _number(value, text)
        return number(field, gte=equal, lte=equal)
    if value in _BOOLS:
        return is_bool(field, _BOOLS[value])
    return any_string(field, *(_unquoted(one) for one in value.split("|")))


def _number(value: str, text: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise ConfigError("filter", f"{text!r}: {value!r} is not a number") from error


def _unquoted(value: str) -> str:
    """Quotes make a string of what would be a bool."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
