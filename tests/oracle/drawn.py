"""Random products, filters and questions. Few names and few values: everything meets everything."""

from __future__ import annotations

from typing import Final

import numpy as np
from hypothesis import strategies as st

from tests.builders import quarters, scattered
from tests.oracle.model import Product
from vitrine.attributes import Attributes
from vitrine.filters import Condition, Filter, any_string, is_bool, number
from vitrine.shards.query import Query, RankedPlace
from vitrine.vectors import unit

DIM: Final = 8
NAMES: Final = tuple(f"product-{letter}" for letter in "abcdefgh")
CATEGORIES: Final = ("shoes", "bags", "hats")
WORDS: Final = ("red", "blue", "wool")
NUMBERS: Final = (0.0, 1.0, 2.5, 40.0)


_rng = np.random.default_rng(0)
# Cosines of quarters are multiples of ¼: they tie at every rank.
VECTORS: Final = np.concatenate([quarters(_rng, 20, DIM), scattered(_rng, 12, DIM)])
QUERIES: Final = unit(np.concatenate([VECTORS[::4], scattered(_rng, 6, DIM)]))

_values = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(NUMBERS),
    st.booleans(),
    st.lists(st.sampled_from(WORDS), max_size=3).map(tuple),
)
# "mixed" is of any type; the others are what a shop would say of its products.
attributes: st.SearchStrategy[Attributes] = st.fixed_dictionaries(
    {},
    optional={
        "colour": st.sampled_from(WORDS),
        "size": st.sampled_from(NUMBERS),
        "used": st.booleans(),
        "materials": st.lists(st.sampled_from(WORDS), max_size=3).map(tuple),
        "mixed": _values,
    },
)
live_maps: st.SearchStrategy[Attributes] = st.fixed_dictionaries(
    {}, optional={"price": st.sampled_from(NUMBERS), "in_stock": st.booleans(), "mixed": _values}
)
names = st.sampled_from(NAMES)
lifetimes_us = st.none() | st.integers(-2, 8)


# Once in a while one product has most of the pictures.
_pictures = st.lists(st.integers(0, len(VECTORS) - 1), min_size=1, max_size=4) | st.just([*range(20)] * 2)


def products(now_us: int) -> st.SearchStrategy[Product]:
    return st.builds(
        Product,
        names,
        _pictures.map(lambda rows: VECTORS[rows]),
        st.sampled_from(CATEGORIES),
        attributes,
        lifetimes_us.map(lambda lifetime: None if lifetime is None else now_us + lifetime),
    )


# Fields of the kind, of any, of another, and one that nobody has.
_ODD: Final = ("attributes.mixed", "live.mixed", "attributes.materials", "attributes.unheard-of")
_string_fields = st.sampled_from(["category", "attributes.colour", *_ODD])
_number_fields = st.sampled_from(["attributes.size", "live.price", *_ODD])
_bool_fields = st.sampled_from(["attributes.used", "live.in_stock", *_ODD])


@st.composite
def _ranges(draw: st.DrawFn) -> Condition:
    """With one bound or two, which leave something between them."""
    low, high = sorted(draw(st.lists(st.sampled_from(NUMBERS), min_size=2, max_size=2)))
    lower = draw(st.sampled_from(["gt", "gte"])) if low < high else "gte"
    upper = draw(st.sampled_from(["lt", "lte"])) if low < high else "lte"
    kept = draw(st.sampled_from([{lower: low}, {upper: high}, {lower: low, upper: high}]))
    return number(draw(_number_fields), **kept)


_strings = st.lists(st.sampled_from([*CATEGORIES, *WORDS, "unheard-of"]), min_size=1, max_size=3)
conditions: st.SearchStrategy[Condition] = st.one_of(
    st.builds(lambda field, values: any_string(field, *values), _string_fields, _strings),
    _ranges(),
    st.builds(is_bool, _bool_fields, st.booleans()),
)


def _some(most: int) -> st.SearchStrategy[tuple[Condition, ...]]:
    return st.lists(conditions, max_size=most).map(tuple)


filters = st.builds(Filter, _some(2), _some(3), _some(2))

# How much to spend: `exact` or a recall target of its own, never both.
_effort = st.sampled_from([(True, None), (False, None), (False, 0.5), (False, 0.9), (False, 0.999)])


@st.composite
def _queries(draw: st.DrawFn) -> Query:
    exact, recall_target = draw(_effort)
    return Query(
        vector=QUERIES[draw(st.integers(0, len(QUERIES) - 1))],
        k=draw(st.sampled_from([1, 2, 3, 5, 20])),
        exact=exact,
        recall_target=recall_target,
        # Some of them are scores that tie.
        min_score=draw(st.none() | st.sampled_from([-1.0, 0.0, 0.25, 0.5, 0.6])),
        exclude=draw(st.frozensets(names, max_size=3)),
        filter=draw(st.none() | filters),
        # Of a page asked for before the catalogue changed: more products or fewer than `skipped` may precede it now.
        after=draw(st.none() | st.builds(RankedPlace, st.sampled_from([-0.25, 0.0, 0.25, 0.5, 1.0]), names)),
        skipped=draw(st.integers(0, 6)),
    )


queries = _queries()
