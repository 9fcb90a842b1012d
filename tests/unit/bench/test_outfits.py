"""Simulated outfits follow their rule."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.affinity.outfits import CARELESS, Labels, simulated, suits

SUBCATEGORIES = ("Topwear", "Bottomwear", "Shoes", "Bags")
COLOURS = ("Black", "White", "Blue", "Brown", "Unheard Of")


@pytest.fixture(scope="module")
def labels() -> Labels:
    random, count = np.random.default_rng(1), 2_000
    subcategories, colours = random.choice(SUBCATEGORIES, count), random.choice(COLOURS, count)
    brands, people = random.choice(["Nike", "Red Tape"], count), random.choice(["Men's", "Women", "Girls"], count)
    columns = {
        "product_id": [str(number) for number in range(count)],
        "title": [f"{brand} {whom} Thing" for brand, whom in zip(brands, people, strict=True)],
        "subcategory": subcategories,
        "colour": colours,
        "usage": random.choice(["Casual", "Sports"], count),
        "split": random.choice(["train", "test"], count),
    }
    return Labels.of(pa.Table.from_pydict(columns))


def test_brand_and_people_are_read_from_titles(labels: Labels) -> None:
    assert set(labels.brands) == {"nike", "red tape"}
    assert set(labels.genders) == {"men", "women", "kids"}


def test_companions_have_another_role_and_the_same_split_and_most_suit(labels: Labels) -> None:
    pairs = simulated(labels, 1_000, seed=2).to_pylist()
    begun = [int(pair["product_id"]) for pair in pairs]
    other = [int(pair["other_product_id"]) for pair in pairs]
    assert len(pairs) > 500
    assert (labels.roles[begun] != labels.roles[other]).all()
    assert (labels.splits[begun] == labels.splits[other]).all()
    assert [pair["split"] for pair in pairs] == labels.splits[begun].tolist()
    fitting = [bool(suits(labels, one, np.array([two]))[0]) for one, two in zip(begun, other, strict=True)]
    assert 1 - CARELESS < np.mean(fitting) < 1


def test_an_outfit_does_not_begin_with_what_the_rule_cannot_judge(labels: Labels) -> None:
    begun = [int(name) for name in simulated(labels, 500, seed=3)["product_id"].to_pylist()]
    assert (labels.colours[begun] != "").all()


def test_the_same_seed_dresses_alike(labels: Labels) -> None:
    assert simulated(labels, 50, seed=4).equals(simulated(labels, 50, seed=4))
    assert not simulated(labels, 50, seed=4).equals(simulated(labels, 50, seed=5))
