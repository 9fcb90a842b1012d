"""Pairs of products → groups."""

from __future__ import annotations

import random

from services.gateway.groups import Groups, Member


def paired(*pairs: str) -> Groups:
    """Groups of pairs such as "ab", each with the score 0.99."""
    groups = Groups()
    for one, other in map(list, pairs):
        groups.join(one, other)
        groups.note(one, "0", 0.99)
        groups.note(other, "0", 0.99)
    return groups


def names(groups: Groups) -> list[str]:
    return ["".join(member.product_id for member in group) for group in groups.listed()]


def test_a_chain_is_one_group() -> None:
    assert names(paired("ab", "cd", "bc")) == ["abcd"]


def test_groups_come_by_size_and_then_by_their_first_product() -> None:
    assert names(paired("yz", "cd", "ba", "mn", "no")) == ["mno", "ab", "cd", "yz"]


def test_the_order_of_pairs_does_not_matter() -> None:
    pairs = [f"{one}{other}" for one, other in zip("abcdefghijk", "cdefghijklm", strict=True)]
    expected = names(paired(*pairs))
    for seed in range(20):
        shuffled = random.Random(seed).sample(pairs, len(pairs))
        assert names(paired(*(pair[::-1] if seed % 2 else pair for pair in shuffled))) == expected


def test_each_product_is_shown_by_its_best_image() -> None:
    groups = paired("ab")
    groups.note("a", "1", 0.995)
    groups.note("a", "2", 0.98)

    assert groups.listed() == [[Member("a", "1", 0.995), Member("b", "0", 0.99)]]


def test_a_long_chain_costs_no_deep_recursion() -> None:
    groups = Groups()
    for number in range(50_000):
        groups.join(f"{number + 1:06}", f"{number:06}")
    for number in range(50_001):
        groups.note(f"{number:06}", "0", 1.0)

    [group] = groups.listed()
    assert len(group) == 50_001
