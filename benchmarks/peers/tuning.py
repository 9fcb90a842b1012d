"""Equal recall: the same rule for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Settings = dict[str, Any]


def cheapest_reaching(
    target: float, grid: Sequence[Settings], recall_of: Callable[[Settings], float]
) -> tuple[Settings, float]:
    """The first of `grid`, the cheaper ones first, with enough recall; else the one with most. And its recall."""
    best: tuple[Settings, float] = ({}, -1.0)
    for settings in grid:
        recall = recall_of(settings)
        if recall >= target:
            return settings, recall
        best = max(best, (settings, recall), key=lambda measured: measured[1])
    return best
