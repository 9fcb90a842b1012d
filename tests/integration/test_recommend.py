"""Recommendations from a history, through real services."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.builders import clustered
from tests.integration.shop import TIMEOUT_S, Shop, channel_to, eventually, indexed, published, refused, upsert
from vitrine import sample
from vitrine.cli.bench.served import index_of, served
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.filters import Filter, any_string, number
from vitrine.filters_codec import filter_message
from vitrine.stream.events import Delete
from vitrine.stream.partitioning import partition_of
from vitrine.v1 import gateway_pb2 as pb
from vitrine.v1 import gateway_pb2_grpc
from vitrine.vectors import Vectors, from_wire

DAY_S = 86_400
NOW_S = 1_700_000_000
DIM = 512

SHOES = "Shoes"
WATCHES = "Watches"
EYEWEAR = "Eyewear"


def liked(product_ids: Iterable[str], days_ago: float = 0, weight: float | None = None) -> list[pb.HistoryItem]:
    time = Timestamp(seconds=int(NOW_S - days_ago * DAY_S))
    return [pb.HistoryItem(product_id=product_id, time=time, weight=weight) for product_id in product_ids]


def some(shop: Shop, category: str, count: int = 3) -> list[str]:
    return [product.product_id for product in shop.products if product.category == category][:count]


def recommended(shop: Shop, history: Sequence[pb.HistoryItem], **fields: object) -> pb.RecommendResponse:
    request = pb.RecommendRequest(history=history)
    request.MergeFrom(pb.RecommendRequest(**fields))  # type: ignore[arg-type]
    return shop.calls.search.Recommend(request, timeout=TIMEOUT_S)


def ids(response: pb.RecommendResponse) -> list[str]:
    return [result.hit.product_id for result in response.results]


def categories(response: pb.RecommendResponse) -> Counter[str]:
    return Counter(result.hit.category for result in response.results)


def vectors_of(shop: Shop, product_ids: Iterable[str]) -> Vectors:
    """Of each product's first image. float32, shape (n, dim)."""
    requests = [pb.GetProductRequest(product_id=product_id, with_vectors=True) for product_id in product_ids]
    products = [shop.calls.search.GetProduct(request, timeout=TIMEOUT_S).product for request in requests]
    return np.stack([from_wire(product.images[0].vector, DIM) for product in products])


def mean_distance(shop: Shop, response: pb.RecommendResponse) -> float:
    """Over all pairs of what is recommended."""
    return float(np.mean([1 - one @ other for one, other in combinations(vectors_of(shop, ids(response)), 2)]))


def test_a_history_of_shoes_brings_other_shoes_and_none_that_was_seen(shop: Shop) -> None:
    seen = some(shop, SHOES)
    response = recommended(shop, liked(seen), page_size=5)

    assert categories(response) == {SHOES: 5}
    assert not set(ids(response)) & set(seen)
    assert len(set(ids(response))) == 5
    assert response.coverage.partitions_answered == response.coverage.partitions_total
    assert not response.coverage.failures
    assert response.coverage.rows_searched == shop.images
    assert response.model_id
    assert len(response.query_id) == 32
    assert response.index_time.seconds > 0
    assert 0.5 < response.recall <= 1


def test_when_taste_changes_recommendations_follow_though_old_things_are_still_in_the_history(shop: Shop) -> None:
    shoes, watches = some(shop, SHOES), some(shop, WATCHES)
    watches_recommended = [
        categories(recommended(shop, history, page_size=10))[WATCHES]
        for history in (
            liked(shoes, 28),
            liked(shoes, 28) + liked(watches[:1], 28),
            liked(shoes, 28) + liked(watches, 14),
            liked(shoes, 28) + liked(watches, 0),
            liked(shoes, 90) + liked(watches, 0),
        )
    ]

    # Three pairs of shoes that are two half-lives old weigh a quarter of three new watches.
    assert watches_recommended[0] == 0
    assert watches_recommended == sorted(watches_recommended)
    assert watches_recommended[3] == 8
    assert watches_recommended[-1] == 10


def test_a_shorter_half_life_forgets_sooner(shop: Shop) -> None:
    history = liked(some(shop, SHOES), 14) + liked(some(shop, WATCHES), 0)
    shoes = [categories(recommended(shop, history, half_life_days=days))[SHOES] for days in (3.5, 14.0, 1e6)]
    assert shoes == [1, 3, 5]


def test_a_purchase_may_count_more_than_a_look(shop: Shop) -> None:
    history = liked(some(shop, SHOES)) + liked(some(shop, WATCHES), weight=4)
    assert categories(recommended(shop, history)) == {WATCHES: 8, SHOES: 2}


def test_several_interests_are_kept_apart_and_explained(shop: Shop) -> None:
    history = {category: some(shop, category) for category in (WATCHES, SHOES, EYEWEAR)}
    weights = {WATCHES: 3.0, SHOES: 2.0, EYEWEAR: 1.0}
    items = [item for category, seen in history.items() for item in liked(seen, weight=weights[category])]
    response = recommended(shop, items, page_size=12)

    assert [sorted(interest.history_product_ids) for interest in response.interests] == list(history.values())
    assert [interest.weight for interest in response.interests] == pytest.approx([1 / 2, 1 / 3, 1 / 6])
    assert categories(response) == {WATCHES: 6, SHOES: 4, EYEWEAR: 2}
    for interest, category in zip(response.interests, history, strict=True):
        assert interest.product_id in history[category]
    for result in response.results:
        interest = response.interests[result.interest]
        assert result.because_product_id in interest.history_product_ids
        assert result.because_product_id in history[result.hit.category]


def test_what_explains_a_product_is_what_it_is_most_like(shop: Shop) -> None:
    seen = some(shop, SHOES, 6)
    response = recommended(shop, liked(seen), page_size=5, max_interests=1)

    found, known = vectors_of(shop, ids(response)), vectors_of(shop, seen)
    for result, cosines in zip(response.results, found @ known.T, strict=True):
        because = cosines[seen.index(result.because_product_id)]
        # A product's place in the history is the mean of its images; here the first one stands for it.
        assert because >= cosines.max() - 0.05


def test_within_an_interest_the_best_comes_first(shop: Shop) -> None:
    response = recommended(shop, liked(some(shop, SHOES)) + liked(some(shop, WATCHES)), page_size=10)
    for interest in range(len(response.interests)):
        scores = [result.hit.score for result in response.results if result.interest == interest]
        assert scores == sorted(scores, reverse=True)


def test_one_interest_is_one_taste_that_lies_between(shop: Shop) -> None:
    history = liked(some(shop, SHOES)) + liked(some(shop, WATCHES))
    response = recommended(shop, history, max_interests=1)

    assert len(response.interests) == 1
    assert response.interests[0].weight == 1
    assert len(response.interests[0].history_product_ids) == 6


def test_diversity_makes_a_page_less_alike_and_keeps_it_relevant(shop: Shop) -> None:
    seen = some(shop, "Topwear", 4)
    plain, diverse = (
        recommended(shop, liked(seen), page_size=6, diversity=diversity, max_interests=1) for diversity in (0.0, 0.5)
    )

    assert mean_distance(shop, diverse) > 1.2 * mean_distance(shop, plain)
    scores = [[result.hit.score for result in response.results] for response in (plain, diverse)]
    assert np.mean(scores[1]) > 0.8 * np.mean(scores[0])
    assert ids(diverse)[0] == ids(plain)[0]


def test_when_an_interest_runs_dry_the_others_fill_the_page(shop: Shop) -> None:
    watches = [product for product in shop.products if product.category == WATCHES]
    cheap = sorted(watches, key=lambda product: product.price)[: len(watches) // 2]
    wanted = filter_message(Filter(all_of=(any_string("category", WATCHES, SHOES), number("attributes.price", lt=1e6))))
    history = liked(some(shop, SHOES)) + liked([product.product_id for product in cheap[:3]])
    response = recommended(shop, history, page_size=100, filter=wanted)

    expected = {product.product_id for product in shop.products if product.category in (WATCHES, SHOES)}
    assert sorted(ids(response)) == sorted(expected - {item.product_id for item in history})


def test_a_filter_and_a_least_score_hold_for_every_interest(shop: Shop) -> None:
    history = liked(some(shop, SHOES)) + liked(some(shop, WATCHES))
    wanted = filter_message(Filter(all_of=(number("attributes.price", lt=60),)))
    response = recommended(shop, history, page_size=100, filter=wanted, min_score=0.5)

    price = {product.product_id: product.price for product in shop.products}
    assert {result.interest for result in response.results} == {0, 1}
    assert all(price[product_id] < 60 for product_id in ids(response))
    assert all(result.hit.score >= 0.5 for result in response.results)
    everything = recommended(shop, history, page_size=100).results
    assert not all(price[result.hit.product_id] < 60 for result in everything if result.hit.score >= 0.5)
    assert not all(result.hit.score >= 0.5 for result in everything)


def test_the_same_history_is_answered_the_same_in_whatever_order_it_is_told(shop: Shop) -> None:
    history = [
        item
        for days, category in enumerate((SHOES, EYEWEAR, WATCHES, "Topwear"))
        for item in liked(some(shop, category), days)
    ]
    answers = [
        recommended(shop, told, page_size=20, diversity=0.3) for told in (history, history, list(reversed(history)))
    ]
    assert answers[0].results
    for answer in answers[1:]:
        assert answer.results == answers[0].results
        assert answer.interests == answers[0].interests


def test_a_product_that_is_named_twice_counts_with_its_weights_together(shop: Shop) -> None:
    shoe, watch = some(shop, SHOES, 1) + some(shop, WATCHES, 1)
    response = recommended(shop, liked([shoe, watch, shoe, shoe]))

    weights = {interest.product_id: interest.weight for interest in response.interests}
    assert weights == {shoe: pytest.approx(0.75), watch: pytest.approx(0.25)}


def test_what_is_not_in_the_index_is_passed_over_and_named(shop: Shop) -> None:
    seen = some(shop, SHOES)
    response = recommended(shop, liked([*seen, "gone"], weight=1) + liked(["never-was"], weight=2))

    assert response.unknown_product_ids == ["never-was", "gone"]
    assert sorted(response.interests[0].history_product_ids) == seen
    assert response.interests[0].weight == pytest.approx(1)


def test_a_withdrawn_product_counts_no_more_and_a_new_one_does(open_shop: Shop) -> None:
    # A picture of their own: what other tests have published must not fill the page.
    picture = sample.draw(sample.catalogue(len(open_shop.products) + 30)[-1], 0)
    names = [f"recommend-{number}" for number in range(4)]
    indexed(open_shop.calls.client, published(open_shop.calls.client, [upsert(name, picture) for name in names]))
    positions = published(open_shop.calls.client, [Delete(names[0]), Delete(names[3])])
    indexed(open_shop.calls.client, positions)
    response = recommended(open_shop, liked(names[:2]), page_size=100)

    assert response.unknown_product_ids == [names[0]]
    assert names[2] in ids(response)
    assert not {names[0], names[1], names[3]} & set(ids(response))


BAD: dict[str, tuple[pb.RecommendRequest, str]] = {
    "no history": (pb.RecommendRequest(), "history: is empty"),
    "a long history": (pb.RecommendRequest(history=liked(map(str, range(201)))), "history: has 201"),
    "no product": (pb.RecommendRequest(history=liked(["a", ""])), "history[1].product_id"),
    "a weight of 0": (pb.RecommendRequest(history=liked(["a", "b", "c"]) + liked(["d"], 0, 0)), "history[3].weight"),
    "a weight that is none": (pb.RecommendRequest(history=liked(["a"], 0, float("nan"))), "history[0].weight"),
    "a weight below 0": (pb.RecommendRequest(history=liked(["a"], 0, -1)), "history[0].weight"),
    "a weight over 100": (pb.RecommendRequest(history=liked(["a"], 0, 101)), "history[0].weight"),
    "a time that is none": (
        pb.RecommendRequest(history=[pb.HistoryItem(product_id="a", time=Timestamp(nanos=-5))]),
        "history[0].time",
    ),
    "no half-life": (pb.RecommendRequest(history=liked(["a"]), half_life_days=0), "half_life_days"),
    "a half-life below 0": (pb.RecommendRequest(history=liked(["a"]), half_life_days=-1), "half_life_days"),
    "a half-life that is none": (
        pb.RecommendRequest(history=liked(["a"]), half_life_days=float("nan")),
        "half_life_days",
    ),
    "no interests": (pb.RecommendRequest(history=liked(["a"]), max_interests=0), "max_interests"),
    "many interests": (pb.RecommendRequest(history=liked(["a"]), max_interests=11), "max_interests"),
    "an empty page": (pb.RecommendRequest(history=liked(["a"]), page_size=0), "page_size"),
    "a large page": (pb.RecommendRequest(history=liked(["a"]), page_size=101), "page_size"),
    "diversity over 1": (pb.RecommendRequest(history=liked(["a"]), diversity=1.1), "diversity"),
    "diversity that is none": (pb.RecommendRequest(history=liked(["a"]), diversity=float("nan")), "diversity"),
    "a score over 1": (pb.RecommendRequest(history=liked(["a"]), min_score=1.5), "min_score"),
    "a surface with spaces": (pb.RecommendRequest(history=liked(["a"]), surface="my page"), "surface"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_refused_by_the_name_of_its_field(shop: Shop, case: str) -> None:
    request, words = BAD[case]
    with refused("INVALID_ARGUMENT", words):
        shop.calls.search.Recommend(request, timeout=TIMEOUT_S)


def test_a_typo_in_a_filter_is_named(shop: Shop) -> None:
    typo = filter_message(Filter(all_of=(any_string("attributes.colr", "Pink"),)))
    with refused("INVALID_ARGUMENT", "filter.all_of[0].field", "attributes.colr"):
        recommended(shop, liked(some(shop, SHOES)), filter=typo)


def test_a_history_of_nothing_that_is_known_is_not_found(shop: Shop) -> None:
    with refused("NOT_FOUND", "history: "):
        recommended(shop, liked(["gone", "never-was"]))


def test_another_index_is_not_found(shop: Shop) -> None:
    with refused("NOT_FOUND", "index: "):
        recommended(shop, liked(some(shop, SHOES)), index="other")


PRODUCTS = [f"p{number}" for number in range(200)]
HERE, AWAY = (
    [product_id for product_id in PRODUCTS if partition_of(product_id, 2) == partition] for partition in (0, 1)
)


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gateway_pb2_grpc.VisualSearchStub]:
    """A gateway to two partitions, the second of which no searcher serves any more."""
    folder = tmp_path_factory.mktemp("half")
    vectors = clustered(np.random.default_rng(2), len(PRODUCTS), 32, rank=8)
    index_of(vectors, pa.table({"product_id": PRODUCTS}), folder, partitions=2)
    with served(folder, DEFAULT_MODEL, partitions=2) as stack, channel_to(stack.gateway) as channel:
        group = {"partitions": [0], "addresses": [stack.addresses["searcher"].grpc]}
        (folder / "topology.json").write_text(json.dumps({"groups": [group]}))
        stub = gateway_pb2_grpc.VisualSearchStub(channel)
        request = pb.RecommendRequest(history=liked(HERE[:1]))
        eventually(lambda: stub.Recommend(request, timeout=TIMEOUT_S).coverage.partitions_answered == 1)
        yield stub


def test_a_partition_that_is_away_is_said_and_the_rest_is_answered(half: gateway_pb2_grpc.VisualSearchStub) -> None:
    request = pb.RecommendRequest(history=liked([HERE[0], AWAY[0], "never-was"]))
    response = half.Recommend(request, timeout=TIMEOUT_S)

    assert len(response.results) == 10
    assert {result.hit.product_id for result in response.results} <= set(HERE)
    assert (response.coverage.partitions_answered, response.coverage.partitions_total) == (1, 2)
    assert [failure.partition for failure in response.coverage.failures] == [1]
    # Nobody can say that it is not in the index.
    assert AWAY[0] not in response.unknown_product_ids


def test_a_partial_answer_is_refused_where_it_is_not_wanted(half: gateway_pb2_grpc.VisualSearchStub) -> None:
    request = pb.RecommendRequest(history=liked([HERE[0]]), require_complete=True)
    with refused("UNAVAILABLE", "require_complete", "partition 1"):
        half.Recommend(request, timeout=TIMEOUT_S)


def test_a_history_that_is_all_away_is_not_said_to_be_unknown(half: gateway_pb2_grpc.VisualSearchStub) -> None:
    request = pb.RecommendRequest(history=liked(AWAY[:3]))
    with refused("UNAVAILABLE", "history", "partition 1"):
        half.Recommend(request, timeout=TIMEOUT_S)
