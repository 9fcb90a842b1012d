"""Hits from several places, made into one ranked list."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Protocol, TypeVar


class Ranked(Protocol):
    """Anything with a score (higher is better) and a product."""

    @property
    def score(self) -> float: ...

    @property
    def product_id(self) -> str: ...


Hit = TypeVar("Hit", bound=Ranked)


def rank(hit: Ranked) -> tuple[float, str]:
    """Sort key: best score first, then product_id, so that equal scores always come in the same order."""
    return (-hit.score, hit.product_id)


def merged(lists: Sequence[Iterable[Hit]], k: int) -> list[Hit]:
    """The best `k` of several lists already in rank order. Products are partitioned, so none comes twice."""
    if len(lists) == 1:
        return list(islice(lists[0], k))
    return list(islice(heapq.merge(*lists, key=rank), k))
