"""A catalogue in plain Python, and what every search over it has to answer.

No shards, no masks, no trees: a dict of products, a loop over it, and the formulas of the scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from vitrine.attributes import Attributes, AttributeValue
from vitrine.filters import AnyString, Condition, Filter, IsBool, NumberRange
from vitrine.shards.query import Query, RankedPlace
from vitrine.vectors import Vectors

METRICS: Final = ("angular", "euclidean", "manhattan", "hamming")


@dataclass(frozen=True)
class Product:
    """`vectors`: one a picture, shape (pictures, dim); the index keeps them as float16."""

    product_id: str
    vectors: Vectors = field(repr=False)
    category: str = ""
    attributes: Attributes = field(default_factory=dict)
    expires_at_us: int | None = None


@dataclass
class Catalogue:
    """Products, and what changes by the minute about them, whether they are there or not."""

    metric: str
    products: dict[str, Product] = field(default_factory=dict)
    live: dict[str, Attributes] = field(default_factory=dict)

    def matching(self, wanted: Filter | None, now_us: int) -> list[Product]:
        """Products that are there, have not expired, and meet the filter."""
        return [
            product
            for product in self.products.values()
            if product.expires_at_us is None or product.expires_at_us > now_us
            if wanted is None or meets(self.facts(product), wanted)
        ]

    def answer(self, query: Query, products: Sequence[Product]) -> list[RankedPlace]:
        """The best `query.k` of `products`, which match, with the scores of their best pictures; ties by id."""
        places = []
        for product, score in zip(products, best_scores(self.metric, query.vector, products), strict=True):
            place = RankedPlace(score, product.product_id)
            too_low = query.min_score is not None and score < query.min_score
            too_early = query.after is not None and _rank(place) <= _rank(query.after)
            if not too_low and not too_early and product.product_id not in query.exclude:
                places.append(place)
        return sorted(places, key=_rank)[: query.k]

    def facts(self, product: Product) -> dict[str, AttributeValue]:
        """Everything that a filter can ask about a product, by field."""
        facts: dict[str, AttributeValue] = {"category": product.category}
        for name, value in product.attributes.items():
            facts[f"attributes.{name}"] = value
        for name, value in self.live.get(product.product_id, {}).items():
            facts[f"live.{name}"] = value
        return facts


def meets(facts: dict[str, AttributeValue], wanted: Filter) -> bool:
    return (
        all(holds(facts, condition) for condition in wanted.all_of)
        and (not wanted.any_of or any(holds(facts, condition) for condition in wanted.any_of))
        and not any(holds(facts, condition) for condition in wanted.none_of)
    )


def holds(facts: dict[str, AttributeValue], condition: Condition) -> bool:
    """A missing field, and one of another type, hold nothing."""
    match condition.test, facts.get(condition.field):
        case AnyString(values), str(value):
            return value in values
        case AnyString(values), tuple(items):
            return any(item in values for item in items)
        case IsBool(wanted), bool(value):
            return value is wanted
        case NumberRange(), bool():
            return False
        case NumberRange(gt, gte, lt, lte), float(value):
            above = (gt is None or value > gt) and (gte is None or value >= gte)
            return above and (lt is None or value < lt) and (lte is None or value <= lte)
    return False


def best_scores(metric: str, vector: Vectors, products: Sequence[Product]) -> list[float]:
    """The score of each product's best picture."""
    if not products:
        return []
    scores = picture_scores(metric, vector, np.concatenate([product.vectors for product in products]))
    begins = np.cumsum([0, *(len(product.vectors) for product in products[:-1])])
    best: list[float] = np.maximum.reduceat(scores, begins).tolist()
    return best


def picture_scores(metric: str, vector: Vectors, pictures: Vectors) -> npt.NDArray[np.float32]:
    """Cosine, or 1 / (1 + distance); worked out in float64 and rounded once, as scores travel."""
    query, rows = vector.astype(np.float64), pictures.astype(np.float16).astype(np.float64)
    if metric == "euclidean":
        scores = 1 / (1 + np.sqrt(((rows - query) ** 2).sum(axis=1)))
    elif metric == "manhattan":
        scores = 1 / (1 + np.abs(rows - query).sum(axis=1))
    else:
        scores = (rows * query).sum(axis=1).clip(-1, 1)
        # Stored vectors are rounded: the same picture is a few 1e-7 away from 1.
        scores[scores > 1 - 1e-6] = 1
    rounded: npt.NDArray[np.float32] = scores.astype(np.float32)
    return rounded


def _rank(place: RankedPlace) -> tuple[float, str]:
    return -place.score, place.product_id
