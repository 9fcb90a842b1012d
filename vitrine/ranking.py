"""Hits from several places, made into one ranked list; and lists made less alike."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from vitrine.vectors import Vectors


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


def diversified(scores: npt.NDArray[np.float32], vectors: Vectors, k: int, diversity: float) -> list[int]:
    """Places of `k` candidates, or of all there are, in the order in which they are picked.

    Maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998) with λ = 1 - diversity: each pick has the highest
    λ · score - (1 - λ) · its greatest cosine to one picked before. `scores` float32 (n,), best first; `vectors` float32
    (n, dim), unit length; `diversity` 0 (by score alone) to 1.
    """
    picked: list[int] = []
    nearest = np.zeros(len(scores), np.float32)
    left = np.ones(len(scores), np.bool_)
    for _ in range(min(k, len(scores))):
        gains = (1 - diversity) * scores - diversity * nearest
        # The first of several as good as each other.
        place = int(np.argmax(np.where(left, gains, -np.inf)))
        cosines = vectors @ vectors[place]
        nearest = np.maximum(nearest, cosines) if picked else cosines
        left[place] = False
        picked.append(place)
    return picked
