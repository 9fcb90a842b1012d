"""Click-through@k and mean rank by surface, with the 95 % interval that the number of answers allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from vitrine.cli.displays import Display
from vitrine.stream.feedback import MAX_RANK, FeedbackKind

CLICK_THROUGH_AT: Final = (1, 5, 10)
# Standard deviations on either side of a normal distribution's mean that hold 95 % of it.
_Z_95: Final = 1.959964


@dataclass(frozen=True)
class Figure:
    """A measured value and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SurfaceFigures:
    """What became of the answers that one surface showed.

    click_through  by k: the share of answers of which one of the first k products was clicked
    mean_rank      of clicked products; None without clicks of which it is known
    acts           by kind
    """

    surface: str
    answers: int
    click_through: Mapping[int, Figure]
    mean_rank: Figure | None
    acts: Mapping[str, int]


def figures_by_surface(displays: Iterable[Display]) -> list[SurfaceFigures]:
    """By name."""
    by_surface: dict[str, list[Display]] = {}
    for display in displays:
        by_surface.setdefault(display.shown.surface, []).append(display)
    return [_figures(surface, by_surface[surface]) for surface in sorted(by_surface)]


def _figures(surface: str, displays: Sequence[Display]) -> SurfaceFigures:
    ranks = [_click_ranks(display) for display in displays]
    first = np.array([min(places, default=np.inf) for places in ranks])
    acts = Counter(act.kind for display in displays for act in display.acts)
    return SurfaceFigures(
        surface=surface,
        answers=len(displays),
        click_through={k: share(int((first <= k).sum()), len(displays)) for k in CLICK_THROUGH_AT},
        mean_rank=mean_of_groups(ranks),
        acts={kind.value: acts[kind] for kind in FeedbackKind},
    )


def _click_ranks(display: Display) -> list[int]:
    places = (display.place(act) for act in display.acts if act.kind is FeedbackKind.CLICK)
    return [place for place in places if place is not None]


def share(hits: int, answers: int) -> Figure:
    """Of 1 answer or more, with Wilson's score interval ("Probable inference", JASA 1927)."""
    value, spread = hits / answers, _Z_95**2 / answers
    middle = (value + spread / 2) / (1 + spread)
    reach = _Z_95 / (1 + spread) * (value * (1 - value) / answers + spread / (4 * answers)) ** 0.5
    return Figure(value, max(0.0, middle - reach), min(1.0, middle + reach))


def mean_of_groups(groups: Sequence[Sequence[int]]) -> Figure | None:
    """The mean over all values; None of nothing.

    Values of one group belong together (a shopper's clicks on one answer), so the interval is that of a ratio of sums
    over groups (Cochran, "Sampling Techniques", 1977, 6.4).
    """
    sums = np.array([sum(group) for group in groups if group], np.float64)
    counts = np.array([len(group) for group in groups if group], np.float64)
    if not len(sums):
        return None
    mean = float(sums.sum() / counts.sum())
    spread = float((sums - mean * counts).std(ddof=1)) if len(sums) > 1 else np.inf
    reach = _Z_95 * spread * len(sums) ** 0.5 / float(counts.sum())
    return Figure(mean, max(1.0, mean - reach), min(float(MAX_RANK), mean + reach))
