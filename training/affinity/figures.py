"""How early the true companions of a product come among all products of their category."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from training.affinity.pairs import Codes, Gallery, Pairs
from training.evaluation.intervals import Figure, Resamples
from vitrine.affinity import Affinity
from vitrine.vectors import Vectors

K: Final = 10
MEASURES: Final = (f"recall_at_{K}", "mrr", f"ndcg_at_{K}")

_SEED: Final = 17
_DISCOUNTS: Final = 1 / np.log2(np.arange(K) + 2)
_IDEAL: Final = np.cumsum(_DISCOUNTS)

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ranked:
    """One row a question, which is a product and one category that it has companions in.

    `products` int64 (n,): who asked. `values` float64 (n, 3): its MEASURES.
    """

    products: Codes
    values: Values

    def figures(self) -> dict[str, Figure]:
        """Means with their 95 % intervals. Questions of one product are drawn together: they are not independent."""
        return {name: self._mean(self.values[:, place]) for place, name in enumerate(MEASURES)}

    def less(self, other: Ranked) -> dict[str, Figure]:
        """By how much this is better than `other`, which ranked for the same questions."""
        return Ranked(self.products, self.values - other.values).figures()

    def _mean(self, values: Values) -> Figure:
        _, asker = np.unique(self.products, return_inverse=True)
        questions = np.bincount(asker).astype(np.float64)
        sums = np.bincount(asker, weights=values).astype(np.float64)
        return Resamples.of(len(questions), _SEED).ratio(sums, questions)


def ranked(pairs: Pairs, gallery: Gallery, affinity: Affinity) -> Ranked:
    """Both products of each pair ask for the other, among all of the gallery that are of its category."""
    products: list[int] = []
    values: list[Values] = []
    for category, asking in _questions(pairs, gallery).items():
        offered = np.flatnonzero(gallery.categories == category)
        queries = [affinity.query(gallery.vectors[asker], _category(gallery, asker)) for asker in asking]
        # As the index ranks: affinity itself is told only of what is found.
        scores = np.stack(queries) @ gallery.vectors[offered].T
        for row, companions in zip(scores, asking.values(), strict=True):
            values.append(_measured(row, np.searchsorted(offered, companions)))
        products += asking
    return Ranked(np.array(products, np.int64), np.array(values))


def _questions(pairs: Pairs, gallery: Gallery) -> dict[int, dict[int, list[int]]]:
    """By category, and by who asks: the companions that are to be found."""
    questions: dict[int, dict[int, list[int]]] = {}
    begin, end, _ = pairs.both_ways()
    for asker, companion in zip(begin.tolist(), end.tolist(), strict=True):
        asking = questions.setdefault(int(gallery.categories[companion]), {})
        asking.setdefault(asker, []).append(companion)
    return questions


def _category(gallery: Gallery, product: int) -> str:
    return gallery.names[int(gallery.categories[product])]


def _measured(scores: Vectors, companions: Codes) -> Values:
    """MEASURES of one question. `companions`: places of the true ones; of equal scores theirs comes last.

    NDCG with a gain of 1 for each: Järvelin & Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002.
    """
    ranks = np.count_nonzero(scores >= scores[companions][:, np.newaxis], axis=1)
    near = ranks[ranks <= K]
    findable = min(K, len(companions))
    return np.array([len(near) / findable, 1 / ranks.min(), _DISCOUNTS[near - 1].sum() / _IDEAL[findable - 1]])
