"""What a history is about: clusters, what stands for them, and their turns."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, islice

import numpy as np
import numpy.typing as npt
import pytest

from vitrine.interests import ALIKE, LEAST_SHARE, clusters, interests_of, turns
from vitrine.vectors import Vectors, unit

DIM = 16
Floats = npt.NDArray[np.float64]


def around(directions: list[int], count: int, spread: float = 0.1, seed: int = 1) -> Vectors:
    """`count` unit vectors near each of some axes, axis by axis."""
    noise = np.random.default_rng(seed).standard_normal((len(directions) * count, DIM))
    return unit((np.eye(DIM)[np.repeat(directions, count)] + spread * noise).astype(np.float32))


def even(count: int) -> Floats:
    return np.full(count, 1 / count)


def merged_by_definition(vectors: Vectors, masses: Floats, most: int) -> set[frozenset[int]]:
    """Ward's method as it is defined, all centres worked out anew for every merger."""
    groups = [frozenset([place]) for place in range(len(vectors))]

    def cost(pair: tuple[frozenset[int], frozenset[int]]) -> float:
        (one, its), (other, others) = (
            (np.average(vectors[list(group)], axis=0, weights=masses[list(group)]), masses[list(group)].sum())
            for group in pair
        )
        return float(its * others / (its + others) * np.sum((one - other) ** 2))

    while len(groups) > most:
        one, other = min(combinations(groups, 2), key=cost)
        groups = [group for group in groups if group not in (one, other)] + [one | other]
    return set(groups)


@pytest.mark.parametrize("seed", range(20))
def test_costs_carried_forward_merge_what_wards_definition_merges(seed: int) -> None:
    random = np.random.default_rng(seed)
    # Nothing here is alike, so nothing is merged beyond what `most` asks for.
    vectors = unit(random.standard_normal((14, 64)).astype(np.float32))
    # Nor does any of it weigh too little.
    masses = 0.052 + 0.272 * random.dirichlet(np.ones(14))
    for most in (10, 4):
        found = {frozenset(cluster) for cluster in clusters(vectors, masses, most)}
        assert found == merged_by_definition(vectors, masses, most)


@pytest.mark.parametrize("kinds", [1, 2, 3, 4])
def test_each_kind_of_thing_is_an_interest(kinds: int) -> None:
    found = interests_of(around(list(range(kinds)), 6), even(6 * kinds), 10)

    assert sorted(sorted(interest.members) for interest in found) == [
        list(range(6 * kind, 6 * kind + 6)) for kind in range(kinds)
    ]


def test_no_more_interests_than_asked_for() -> None:
    vectors = around(list(range(8)), 3)
    assert [len(interests_of(vectors, even(24), most)) for most in (8, 5, 2, 1)] == [8, 5, 2, 1]


def test_whatever_is_asked_for_every_item_is_in_one_interest() -> None:
    vectors = around(list(range(8)), 3)
    for most in (8, 3, 1):
        found = interests_of(vectors, even(24), most)
        assert sorted(place for interest in found for place in interest.members) == list(range(24))
        assert sum(interest.weight for interest in found) == pytest.approx(1)


def test_of_too_many_kinds_the_light_ones_go_together() -> None:
    vectors = around([0, 1, 2, 3], 1)
    found = interests_of(vectors, np.array([5.0, 5.0, 1.0, 1.0]), 3)

    assert [interest.members for interest in found] == [(0,), (1,), (2, 3)]


def test_the_weightiest_interest_comes_first_and_its_weightiest_item() -> None:
    weights = np.array([1.0, 1.0, 1.0, 2.0, 4.0, 3.0])
    first, second = interests_of(around([0, 1], 3), weights, 3)

    assert (first.members, second.members) == ((4, 5, 3), (0, 1, 2))
    assert [first.weight, second.weight] == pytest.approx([9 / 12, 3 / 12])


def test_several_interests_are_looked_for_by_the_real_things_nearest_to_their_own() -> None:
    vectors = around([0, 1], 7, spread=0.2)
    weights = np.random.default_rng(3).uniform(0.1, 5, 14)
    for interest in interests_of(vectors, weights, 3):
        own = list(interest.members)
        spreads = [weights[own] @ np.sum((vectors[own] - vectors[place]) ** 2, axis=1) for place in own]
        assert interest.medoid == own[int(np.argmin(spreads))]
        np.testing.assert_array_equal(interest.query, vectors[interest.medoid])


def test_a_single_interest_is_looked_for_by_its_centre() -> None:
    vectors, weights = around([0], 5, spread=0.2), np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    (interest,) = interests_of(vectors, weights, 3)

    centre = np.average(vectors, axis=0, weights=weights)
    np.testing.assert_allclose(interest.query, centre / np.linalg.norm(centre), atol=1e-6)


def test_one_taste_of_unlike_things_is_their_mean() -> None:
    vectors = np.eye(2, DIM, dtype=np.float32)
    (interest,) = interests_of(vectors, np.array([3.0, 1.0]), 1)

    np.testing.assert_allclose(interest.query[:3], np.array([3, 1, 0]) / np.sqrt(10), atol=1e-6)


def test_one_taste_of_opposite_things_is_one_of_them() -> None:
    vectors = np.stack([np.eye(DIM, dtype=np.float32)[0], -np.eye(DIM, dtype=np.float32)[0]])
    (interest,) = interests_of(vectors, np.array([1.0, 1.0]), 1)

    np.testing.assert_array_equal(interest.query, vectors[0])


def test_things_are_one_interest_from_the_cosine_on_that_is_documented() -> None:
    def pair(cosine: float) -> Vectors:
        return np.array([[1, 0], [cosine, np.sqrt(1 - cosine**2)]], np.float32)

    assert len(interests_of(pair(ALIKE + 0.01), even(2), 3)) == 1
    assert len(interests_of(pair(ALIKE - 0.01), even(2), 3)) == 2


def test_what_weighs_too_little_is_no_interest_of_its_own() -> None:
    vectors = np.eye(2, DIM, dtype=np.float32)
    found = [
        interests_of(vectors, np.array([1 - share, share]), 3) for share in (LEAST_SHARE + 0.01, LEAST_SHARE - 0.01)
    ]
    assert [[interest.members for interest in interests] for interests in found] == [[(0,), (1,)], [(0, 1)]]


def test_what_weighs_next_to_nothing_changes_nothing_about_the_rest() -> None:
    vectors = around([0, 1, 2], 5)
    weights = np.array([1.0] * 10 + [2.0**-50] * 5)
    found = interests_of(vectors, weights, 2)

    assert [interest.medoid for interest in found] == [
        interest.medoid for interest in interests_of(vectors[:10], weights[:10], 2)
    ]
    assert sum(len(interest.members) for interest in found) == 15


def test_the_same_history_has_the_same_interests() -> None:
    vectors = around(list(range(6)), 30, spread=0.3)
    found = [[interest.members for interest in interests_of(vectors, even(180), 4)] for _ in range(2)]
    assert found[0] == found[1]


def test_turns_are_spread_as_nginx_spreads_them() -> None:
    lists = [[f"{name}{number}" for number in range(9)] for name in "abc"]
    taken = list(islice(turns(lists, [5, 1, 1]), 7))

    assert "".join(lists[number][place][0] for number, place in taken) == "aabacaa"


@pytest.mark.parametrize("weights", [[1.0], [0.5, 0.5], [0.9, 0.1], [0.6, 0.3, 0.1], [0.7, 0.1, 0.1, 0.1]])
def test_however_few_are_taken_each_list_gives_about_its_share(weights: list[float]) -> None:
    lists = [[f"{number} {place}" for place in range(100)] for number in range(len(weights))]
    for count in (1, 3, 10, 50):
        given = Counter(number for number, _ in islice(turns(lists, weights), count))
        assert all(abs(given[number] - weight * count) <= 1 for number, weight in enumerate(weights))


def test_each_list_gives_in_its_own_order() -> None:
    taken = list(turns([["a", "b", "c"], ["d", "e"]], [0.5, 0.5]))
    assert [place for number, place in taken if number == 0] == [0, 1, 2]
    assert [place for number, place in taken if number == 1] == [0, 1]


def test_a_list_that_is_exhausted_leaves_its_turns_to_the_others() -> None:
    taken = list(turns([["a"], ["b", "c", "d", "e"], []], [0.8, 0.1, 0.1]))
    assert taken == [(0, 0), (1, 0), (1, 1), (1, 2), (1, 3)]


def test_nothing_comes_twice_and_a_turn_is_not_lost_to_what_came_before() -> None:
    lists = [["a", "b", "c"], ["a", "b", "d"]]
    taken = [(number, lists[number][place]) for number, place in turns(lists, [0.5, 0.5])]
    assert taken == [(0, "a"), (1, "b"), (0, "c"), (1, "d")]


@pytest.mark.parametrize("lists", [[], [[]], [[], []]])
def test_there_are_no_turns_of_nothing(lists: list[list[str]]) -> None:
    assert list(turns(lists, [1.0] * len(lists))) == []
