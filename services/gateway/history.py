"""What a shopper liked lately, checked and weighed: the same for Recommend and for a search that it bends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.checks import check_product_id, check_weight
from vitrine.runtime.errors import InvalidArgument
from vitrine.v1 import gateway_pb2 as pb

MAX_HISTORY: Final = 200
DEFAULT_HALF_LIFE_DAYS: Final = 14.0

_DAY_S: Final = 86_400.0
# 0001-01-01 to 9999-12-31, as timestamp.proto says.
_MIN_SECONDS: Final = -62_135_596_800
_MAX_SECONDS: Final = 253_402_300_799
# What is older still weighs 2^-50, about nothing, but never 0: a cluster of things that weigh 0 has no centre.
_MAX_HALVINGS: Final = 50.0


class Liked(NamedTuple):
    """A checked item. `time_s`: seconds since 1970; None = as recent as the most recent one."""

    product_id: str
    weight: float
    time_s: float | None


def checked_history(items: Sequence[pb.HistoryItem]) -> list[Liked]:
    """One an item, in order. Raises InvalidArgument: `history`, `history[3].weight`."""
    if len(items) > MAX_HISTORY:
        raise InvalidArgument("history", f"has {len(items):,} items, at most {MAX_HISTORY} are accepted")
    return [_checked(item, f"history[{number}]") for number, item in enumerate(items)]


def taste_weights(history: Sequence[Liked], half_life_days: float = DEFAULT_HALF_LIFE_DAYS) -> dict[str, float]:
    """What each product weighs, the weightiest first; together 1.

    Something half as recent by `half_life_days`, counted from the most recent thing, weighs half. A product that is
    named twice has its weights together.
    """
    newest_s = max((liked.time_s for liked in history if liked.time_s is not None), default=0.0)
    weights: dict[str, float] = {}
    for liked in history:
        age_s = 0.0 if liked.time_s is None else newest_s - liked.time_s
        halvings = min(age_s / _DAY_S / half_life_days, _MAX_HALVINGS)
        weights[liked.product_id] = weights.get(liked.product_id, 0.0) + liked.weight * 2.0**-halvings
    total = sum(weights.values())
    ordered = sorted(weights.items(), key=lambda item: (-item[1], item[0]))
    return {product_id: weight / total for product_id, weight in ordered}


def _checked(item: pb.HistoryItem, field: str) -> Liked:
    check_product_id(item.product_id, f"{field}.product_id")
    weight = item.weight if item.HasField("weight") else 1.0
    check_weight(weight, f"{field}.weight")
    return Liked(item.product_id, weight, _time_s(item.time, f"{field}.time") if item.HasField("time") else None)


def _time_s(time: Timestamp, field: str) -> float:
    if not (_MIN_SECONDS <= time.seconds <= _MAX_SECONDS and 0 <= time.nanos < 1_000_000_000):
        raise InvalidArgument(field, "is no time between the years 1 and 9999")
    return time.seconds + time.nanos / 1e9
