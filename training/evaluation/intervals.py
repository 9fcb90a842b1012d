"""Shares and means with the 95 % interval that the number of queries allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Z_95: Final = 1.959964
"""Standard deviations on either side of a normal distribution's mean that hold 95 % of it."""

RESAMPLES: Final = 1_000
_TAILS_PERCENT: Final = (2.5, 97.5)

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """A measured value and the ends of its 95 % interval; `queries`: how many pictures it was measured on."""

    value: float
    low: float
    high: float
    queries: int

    def as_json(self) -> dict[str, float | int]:
        """Rounded to four digits."""
        ends = {"value": round(self.value, 4), "low": round(self.low, 4), "high": round(self.high, 4)}
        return {**ends, "queries": self.queries}


@dataclass(frozen=True)
class Resamples:
    """Bootstrap draws of n queries with replacement (Efron, "Bootstrap methods", Annals of Statistics 1979).

    `counts` float32 (draws, n): how often each draw has each query. Figures from the same draws can be compared.
    """

    counts: npt.NDArray[np.float32]

    @staticmethod
    def of(n: int, seed: int) -> Resamples:
        """RESAMPLES draws of n ≥ 1 queries, the same for a seed."""
        drawn = np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))
        drawn += n * np.arange(RESAMPLES)[:, None]
        return Resamples(np.bincount(drawn.ravel(), minlength=RESAMPLES * n).reshape(RESAMPLES, n).astype(np.float32))

    def mean(self, values: npt.NDArray[np.floating]) -> Figure:
        """The mean of values (n,)."""
        return self.ratio(values, np.ones(len(values)))

    def ratio(self, upper: npt.NDArray[np.floating], lower: npt.NDArray[np.floating]) -> Figure:
        """The sum of `upper` (n,) over the sum of `lower` (n,), which is not 0; `queries`: how many of `lower` are not.

        Draws whose sum of `lower` is 0 say nothing and are left out.
        """
        sums = self.counts @ np.stack([upper, lower], axis=1).astype(np.float32)
        drawn = sums[:, 0][sums[:, 1] != 0] / sums[:, 1][sums[:, 1] != 0]
        low, high = np.percentile(drawn, _TAILS_PERCENT)
        return Figure(float(upper.sum() / lower.sum()), float(low), float(high), int(np.count_nonzero(lower)))


def share(hits: npt.NDArray[np.bool_]) -> Figure | None:
    """The share of true ones in bool (n,), with Wilson's score interval; None where n is 0.

    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.
    """
    return share_of(int(np.count_nonzero(hits)), len(hits))


def share_of(hits: int, queries: int) -> Figure | None:
    """`hits` of `queries`, as `share`."""
    if queries == 0:
        return None
    value, spread = hits / queries, Z_95**2 / queries
    middle = (value + spread / 2) / (1 + spread)
    reach = Z_95 / (1 + spread) * (value * (1 - value) / queries + spread / (4 * queries)) ** 0.5
    return Figure(value, max(0.0, middle - reach), min(1.0, middle + reach), queries)


def area_under_roc(positive: npt.NDArray[np.floating], negative: npt.NDArray[np.floating]) -> Figure:
    """The chance that a score of `positive` (n,) is above one of `negative` (m,); a tie counts half.

    Interval: DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
    characteristic curves", Biometrics 1988.
    """
    above = _share_below(positive, negative)
    below = 1 - _share_below(negative, positive)
    error = (_variance_of_mean(above) + _variance_of_mean(below)) ** 0.5
    value = float(above.mean())
    low, high = max(0.0, value - Z_95 * error), min(1.0, value + Z_95 * error)
    return Figure(value, low, high, len(positive) + len(negative))


def _share_below(scores: npt.NDArray[np.floating], others: npt.NDArray[np.floating]) -> Values:
    """For each of `scores`, the share of `others` below it, half of those that tie."""
    ordered = np.sort(others)
    both = np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")
    shares: Values = both / (2 * len(others))
    return shares


def _variance_of_mean(values: Values) -> float:
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0
