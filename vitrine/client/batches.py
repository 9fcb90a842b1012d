"""Many searches, and many pages of one, in calls that the gateway takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from vitrine.client.answers import Answer
from vitrine.client.questions import Example, Examples, Search, Thing

# The pages of one search hold no more products than these together.
MAX_PAGED: Final = 1_000

# What the gateway takes in one call: searches, pictures of all of them, and products that it has to find for them.
_BATCH: Final = 256
_BATCH_PICTURES: Final = 64
_BATCH_PRODUCTS: Final = 10_000
# Facets are counted over so many, a diverse page is chosen from some for each of its places, an order is made of all.
_FACET_PRODUCTS: Final = 1_000
_ORDERED_PRODUCTS: Final = 1_000
_DIVERSE_CANDIDATES: Final = 5
_FEWEST_CANDIDATES: Final = 50


def batches(searches: Sequence[Search]) -> Iterator[list[Search]]:
    """`searches` in order, as many at a time as the gateway takes in one call."""
    batch: list[Search] = []
    pictures = products = 0
    for search in searches:
        shown, wanted = _pictures(search), _products(search)
        too_many = pictures + shown > _BATCH_PICTURES or products + wanted > _BATCH_PRODUCTS
        if batch and (too_many or len(batch) == _BATCH):
            yield batch
            batch, pictures, products = [], 0, 0
        batch.append(search)
        pictures, products = pictures + shown, products + wanted
    if batch:
        yield batch


class Paging:
    """The pages of `search`: each strictly after the one before. `next`: what to ask for now; None = that was all."""

    def __init__(self, search: Search) -> None:
        self._answered = 0
        self.next: Search | None = replace(search, k=min(search.k, MAX_PAGED))

    def took(self, page: Answer) -> None:
        """`page` is the answer to `next`."""
        assert self.next is not None
        self._answered += len(page.hits)
        left = MAX_PAGED - self._answered
        more = page.next_page_token and left > 0
        k = min(self.next.k, left)
        self.next = replace(self.next, k=k, page_token=page.next_page_token) if more else None


def _pictures(search: Search) -> int:
    examples = search.examples or Examples(())
    shown = sum(isinstance(_thing(example), bytes) for example in (*examples.positive, *examples.negative))
    return shown + (search.image is not None)


def _thing(example: Example | Thing) -> Thing:
    return example.thing if isinstance(example, Example) else example


def _products(search: Search) -> int:
    """As many as the gateway has to find to answer it."""
    wanted = search.k
    if search.order_by:
        wanted = _ORDERED_PRODUCTS
    elif search.diversity:
        wanted = max(_DIVERSE_CANDIDATES * search.k, _FEWEST_CANDIDATES)
    return max(wanted, _FACET_PRODUCTS) if search.facets else wanted
