"""Filter ↔ its message."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from vitrine.filters import AnyString, Condition, Filter, IsBool, NumberRange, check_count
from vitrine.runtime.errors import InvalidArgument
from vitrine.v1 import filter_pb2 as pb

_BOUNDS: Final = ("gt", "gte", "lt", "lte")


def filter_from_message(message: pb.Filter, field: str = "filter") -> Filter | None:
    """The checked filter; None if it demands nothing. Raises InvalidArgument naming what is wrong, below `field`."""
    # Before anything is made of them: ten thousand conditions cost no more than a look.
    check_count(len(message.all_of) + len(message.any_of) + len(message.none_of), field)
    found = Filter(
        _conditions(message.all_of, f"{field}.all_of"),
        _conditions(message.any_of, f"{field}.any_of"),
        _conditions(message.none_of, f"{field}.none_of"),
    )
    return found.validated(field) if found else None


def filter_message(wanted: Filter) -> pb.Filter:
    """The filter on the wire."""
    return pb.Filter(
        all_of=map(_condition_message, wanted.all_of),
        any_of=map(_condition_message, wanted.any_of),
        none_of=map(_condition_message, wanted.none_of),
    )


def _conditions(messages: Iterable[pb.Condition], field: str) -> tuple[Condition, ...]:
    return tuple(
        Condition(message.field, _test(message, f"{field}[{number}]")) for number, message in enumerate(messages)
    )


def _test(message: pb.Condition, field: str) -> AnyString | NumberRange | IsBool:
    match message.WhichOneof("test"):
        case "any_string":
            return AnyString(tuple(message.any_string.values))
        case "range":
            bounds = message.range
            return NumberRange(*(getattr(bounds, name) if bounds.HasField(name) else None for name in _BOUNDS))
        case "bool":
            return IsBool(message.bool)
        case _:
            raise InvalidArgument(f"{field}.test", "one of any_string, range or bool must be set")


def _condition_message(condition: Condition) -> pb.Condition:
    match condition.test:
        case AnyString(values):
            return pb.Condition(field=condition.field, any_string=pb.AnyString(values=values))
        case NumberRange(gt, gte, lt, lte):
            return pb.Condition(field=condition.field, range=pb.NumberRange(gt=gt, gte=gte, lt=lt, lte=lte))
        case IsBool(value):
            return pb.Condition(field=condition.field, bool=value)
