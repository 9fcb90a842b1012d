"""The same promise kept end to end: what is published through the gateway is found through it as the model says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any, Final

import numpy as np
import pytest

from tests.integration.shop import Calls, Drawn, calls_to, drawn, eventually, indexed, published, upsert
from tests.oracle.model import Catalogue, Product
from vitrine.attributes import AttributeValue
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import StackSettings, running_stack
from vitrine.client import Answer, Search, VisualSearchClient
from vitrine.filters import Filter, any_string, is_bool, number
from vitrine.shards.query import Query, RankedPlace
from vitrine.shards.records import Hit
from vitrine.stream.events import Delete, Event, LiveUpdate, Upsert
from vitrine.v1 import gateway_pb2, indexer_pb2, searcher_pb2
from vitrine.vectors import unit

DIM: Final = 512
NAMES: Final = tuple(f"product-{place:02d}" for place in range(40))
# Vectors are scaled on the way, which changes their last bits.
SAME: Final = 1e-6
FILTERS: Final = (
    None,
    Filter(all_of=(any_string("attributes.colour", "red", "blue", "black"),)),
    Filter(all_of=(number("attributes.price", gte=20.0, lt=60.0),), none_of=(is_bool("attributes.cheap", False),)),
    Filter(any_of=(number("live.price", lt=50.0), any_string("attributes.tags", "dress", "bag", "white"))),
    Filter(none_of=(is_bool("live.in_stock", False),)),
    Filter(all_of=(is_bool("live.in_stock", True), number("live.price", gt=10.0, lte=70.0))),
    Filter(all_of=(any_string("category", "no such category"),)),
)


class Street:
    """A served shop and the model of it, changed together."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.client: VisualSearchClient = calls.client
        self.model = Catalogue("angular")

    def change(self, events: Sequence[Event], updates: Sequence[LiveUpdate]) -> None:
        """Published, and indexed when it returns."""
        places = published(self.client, events)
        acks = list(self.client.publish_live(updates))
        assert [ack.error for ack in acks if ack.error] == []
        indexed(self.client, [*places, *(ack.position for ack in acks if ack.position)])
        for event in events:
            self.model.products.pop(event.product_id, None)
            if isinstance(event, Upsert):
                vectors = np.zeros((0, DIM), np.float32)
                self.model.products[event.product_id] = Product(
                    event.product_id, vectors, event.category, event.attributes
                )
        for update in updates:
            self.model.live[update.product_id] = update.attributes
        self.read_vectors()

    def leave_alone(self) -> None:
        """What is fresh stays fresh."""

    def roll(self) -> None:
        self.calls.indexer.Roll(indexer_pb2.RollRequest(), timeout=60)
        self._served_rolled()

    def compact(self) -> None:
        self.calls.indexer.Compact(indexer_pb2.CompactRequest(), timeout=60)
        self._served_rolled()

    def _served_rolled(self) -> None:
        """The searcher has taken over what was rolled, and with it vectors of less precision."""
        eventually(lambda: all(shard.kind == "rolled" for shard in self._shards()))
        self.read_vectors()

    def _shards(self) -> list[searcher_pb2.ShardStatus]:
        return [shard for partition in self.client.status().partitions for shard in partition.shards]

    def read_vectors(self) -> None:
        """The model takes vectors from the index: what a picture's is, is the embedder's affair."""
        for name, known in self.model.products.items():
            request = gateway_pb2.GetProductRequest(product_id=name, with_vectors=True)
            images = self.calls.search.GetProduct(request, timeout=10).product.images
            vectors = np.stack([np.frombuffer(image.vector, "<f4") for image in images])
            self.model.products[name] = replace(known, vectors=vectors)

    def expected(self, query: Query) -> list[RankedPlace]:
        """Every product, however many are asked for."""
        return self.model.answer(replace(query, k=len(NAMES)), self.model.matching(query.filter, 0))


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    """Some products, some of them withdrawn or changed since, in fresh and in rolled shards."""
    options = ("--commit-interval-s", "0.2")
    settings = StackSettings(tmp_path_factory.mktemp("street"), DEFAULT_MODEL, indexer_options=options)
    with running_stack(settings) as running, calls_to(running) as calls:
        street = Street(calls)
        rng = np.random.default_rng(0)
        street.change(*random_changes(rng))
        street.roll()
        street.change(*random_changes(rng))
        yield street


def test_every_answer_is_the_models_while_the_catalogue_changes(street: Street) -> None:
    rng = np.random.default_rng(1)
    for upkeep in (street.leave_alone, street.roll, street.leave_alone, street.compact):
        street.change(*random_changes(rng))
        upkeep()
        for query in random_queries(rng, street, 30):
            answer = street.client.search(**asked(query))
            assert_answers(answer.hits, street.expected(query), query.k)
            assert answer.recall == 1


def test_a_product_finds_the_others(street: Street) -> None:
    for name, asked in street.model.products.items():
        [vector] = unit(asked.vectors.mean(axis=0, keepdims=True))
        query = Query(vector, 10, exclude=frozenset({name}))

        hits = street.client.search(product_id=name, k=query.k).hits

        # Its vector is rounded to float16 on the way, so that pages can go on with it.
        assert_answers(hits, street.expected(query), query.k, same=1e-3)


def test_pages_of_any_sizes_are_one_long_answer(street: Street) -> None:
    rng = np.random.default_rng(2)
    for query in random_queries(rng, street, 8):
        joined: list[Hit] = []
        token = ""
        for size in cycle(rng.integers(1, 6, size=3).tolist()):
            answer = street.client.search(**asked(replace(query, k=size)), page_token=token)
            joined += answer.hits
            token = answer.next_page_token
            if not token:
                break

        assert_answers(joined, street.expected(query), len(NAMES))


def test_every_search_of_a_batch_has_the_models_answer(street: Street) -> None:
    queries = random_queries(np.random.default_rng(3), street, 40)

    answers = street.client.search_batch([Search(**asked(query)) for query in queries])

    for query, answer in zip(queries, answers, strict=True):
        assert isinstance(answer, Answer)
        assert_answers(answer.hits, street.expected(query), query.k)


def test_facets_count_what_the_model_counts(street: Street) -> None:
    fields = ("category", "attributes.colour", "attributes.tags", "live.in_stock")
    for query in random_queries(np.random.default_rng(5), street, 8):
        answer = street.client.search(**asked(query), facets=fields)

        best = [street.model.products[place.product_id] for place in street.expected(query)]
        for facet, field in zip(answer.facets, fields, strict=True):
            values = [street.model.facts(product).get(field) for product in best]
            counted = Counter(item for value in values if value is not None for item in each(value))
            assert {count.value: count.products for count in facet.counts} == counted
            assert (facet.products, facet.products_without) == (len(best), values.count(None))


def test_a_scan_finds_every_product_above_a_score(street: Street) -> None:
    for query in random_queries(np.random.default_rng(4), street, 8):
        least = 0.5 if query.min_score is None else query.min_score

        hits = list(street.client.scan(vector=query.vector, min_score=least, filter=query.filter))

        best_first = sorted(hits, key=lambda hit: (-hit.score, hit.product_id))
        assert_answers(best_first, street.expected(replace(query, min_score=least)), len(NAMES))


def random_changes(rng: np.random.Generator) -> tuple[list[Event], list[LiveUpdate]]:
    """Products made or changed, products withdrawn, and what changes by the minute about some, there or not."""
    made = [upsert_of(name, rng) for name in some(rng, 14)]
    gone = [Delete(name) for name in some(rng, 3)]
    updates = [
        LiveUpdate(
            name,
            {"price": float(rng.integers(0, 100)), "in_stock": bool(rng.random() < 0.7)} if rng.random() < 0.9 else {},
        )
        for name in some(rng, 10)
    ]
    return [*made, *gone], updates


def upsert_of(name: str, rng: np.random.Generator) -> Upsert:
    """Pictures and attributes of drawn products. Few pictures: some are in several products, and tie."""
    shown: list[Drawn] = [drawn()[place] for place in rng.integers(0, 30, size=rng.choice([1, 1, 2, 4]))]
    pictures = (product.pictures[0] for product in shown)
    return replace(shown[0].upsert(), product_id=name, images=upsert(name, *pictures).images)


def some(rng: np.random.Generator, count: int) -> list[str]:
    return [str(name) for name in rng.choice(NAMES, count, replace=False)]


def random_queries(rng: np.random.Generator, street: Street, count: int) -> list[Query]:
    """Near what is there, or the very same."""
    pictures = np.concatenate([product.vectors for product in street.model.products.values()])
    vectors = pictures[rng.integers(0, len(pictures), count)]
    noise = rng.choice([0.0, 0.02], (count, 1)) * rng.standard_normal(vectors.shape)
    vectors = unit(vectors + noise.astype(np.float32))
    return [
        Query(
            vector,
            int(rng.choice([1, 3, 10, 50])),
            exact=bool(rng.random() < 0.3),
            min_score=float(rng.choice([0.2, 0.5, 0.8])) if rng.random() < 0.3 else None,
            filter=FILTERS[int(rng.integers(len(FILTERS)))],
        )
        for vector in vectors
    ]


def asked(query: Query) -> dict[str, Any]:
    """The query as the client takes it."""
    return {
        "vector": query.vector,
        "k": query.k,
        "filter": query.filter,
        "min_score": query.min_score,
        "exact": query.exact,
        "require_complete": True,
    }


def each(value: AttributeValue) -> tuple[AttributeValue, ...]:
    """The values of a list, each once."""
    return tuple(set(value)) if isinstance(value, tuple) else (value,)


def assert_answers(hits: Sequence[Hit], everything: Sequence[RankedPlace], k: int, same: float = SAME) -> None:
    """The best `k`, in order. Products whose scores are the `same` may stand for each other, but not out of order."""
    true = {place.product_id: place.score for place in everything}
    places = [(-hit.score, hit.product_id) for hit in hits]
    assert len({hit.product_id for hit in hits}) == len(hits) == min(k, len(everything))
    assert places == sorted(places)
    assert [hit.score for hit in hits] == pytest.approx([true[hit.product_id] for hit in hits], abs=same)
    assert [hit.score for hit in hits] == pytest.approx([place.score for place in everything[:k]], abs=same)
