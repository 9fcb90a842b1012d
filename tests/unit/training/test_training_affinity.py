"""A map to what goes together is learned from pairs, chosen and measured on pairs it has not seen."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.affinity import Gallery, Named, Outcome, learned, read_pairs
from training.affinity.figures import ranked
from training.affinity.pairs import TEST, Pairs, placed
from training.affinity.ridge import Ridge
from vitrine.affinity import Learned, untrained
from vitrine.model_folder import VectorPart
from vitrine.runtime.errors import ConfigError
from vitrine.vectors import Vectors, unit

PARTS = (VectorPart("kind", 8, 0.7), VectorPart("colour", 6, 0.3))
DIM = 14
STYLE = untrained(PARTS, DIM)
CATEGORIES = ("Bags", "Shoes", "Tops")


def gallery(count: int = 900, seed: int = 2) -> Gallery:
    """Products of three categories: the kind says which, the colour is free."""
    random = np.random.default_rng(seed)
    kinds = unit(random.normal(size=(3, 8)).astype("f4"))
    categories = random.integers(3, size=count)
    spread = random.normal(size=(count, 8)).astype("f4") * np.float32(0.2)
    kind = unit(kinds[categories] + spread) * 0.7**0.5
    colour = unit(random.normal(size=(count, 6)).astype("f4")) * 0.3**0.5
    vectors = np.concatenate([kind, colour], axis=1).astype(np.float32)
    return Gallery.of([f"p{n}" for n in range(count)], [CATEGORIES[code] for code in categories], vectors)


def pairs_by(wanted: Vectors, known: Gallery) -> Named:
    """Each product beside the one of each other category whose colour is nearest to `wanted` (n, 6) of it."""
    ids = []
    for place, colour in enumerate(wanted):
        for category in set(range(3)) - {int(known.categories[place])}:
            offered = np.flatnonzero(known.categories == category)
            best = offered[np.argmax(known.vectors[offered, 8:] @ colour)]
            ids.append((known.ids[place], known.ids[best]))
    return Named(np.array(ids, dtype=object), np.ones(len(ids)), None)


def contrasting(known: Gallery) -> Named:
    """Pairs by a rule that is its own inverse and not likeness: two of six colour numbers change their sign."""
    return pairs_by(known.vectors[:, 8:] * np.array([1, 1, 1, 1, -1, -1], np.float32), known)


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    known = gallery()
    return learned(contrasting(known), known, STYLE, "m" * 64, 1, lambda line: None)


def test_a_rule_that_is_not_likeness_is_learned(outcome: Outcome) -> None:
    held_out = outcome.affinity.facts["held_out"]
    assert outcome.better
    assert held_out["learned"]["ndcg_at_10"]["low"] > held_out["style"]["ndcg_at_10"]["high"]
    assert held_out["learned"]["recall_at_10"]["value"] > 0.5


def test_it_is_measured_beside_style_and_the_whole_vector(outcome: Outcome) -> None:
    assert set(outcome.affinity.facts["held_out"]) == {"learned", "style", "vector"}
    assert outcome.rival in ("style", "vector")


def test_pairs_by_chance_are_no_better_than_likeness() -> None:
    known, random = gallery(), np.random.default_rng(4)
    ids = np.array([[known.ids[a], known.ids[b]] for a, b in random.integers(len(known.ids), size=(3000, 2))], object)
    by_chance = learned(Named(ids, np.ones(len(ids)), None), known, STYLE, "m" * 64, 1, lambda line: None)
    assert not by_chance.better


def test_where_likeness_is_the_rule_what_is_learned_stays_near_it() -> None:
    known = gallery()
    by_likeness = learned(pairs_by(known.vectors[:, 8:], known), known, STYLE, "m" * 64, 1, lambda line: None)
    held_out = by_likeness.affinity.facts["held_out"]
    assert held_out["learned"]["ndcg_at_10"]["value"] > held_out["style"]["ndcg_at_10"]["value"] - 0.02


def test_the_largest_penalty_ranks_as_style() -> None:
    known = gallery()
    pairs = placed(contrasting(known), known, seed=1)
    matrix, offsets = Ridge.of(pairs, known, STYLE).fitted(1e9)
    map_ = Learned("", matrix, {"": offsets[0]}, {})
    assert np.allclose(map_.query(known.vectors[0], ""), STYLE.query(known.vectors[0], ""), atol=1e-4)


def test_no_product_of_a_held_out_pair_is_seen_before() -> None:
    known = gallery()
    pairs = placed(contrasting(known), known, seed=1)
    held_out, others = pairs.places[pairs.splits == TEST], pairs.places[(pairs.splits >= 0) & (pairs.splits != TEST)]
    assert len(held_out) > 20
    assert np.intersect1d(held_out, others).size == 0


def test_a_companion_that_comes_first_counts_fully_and_one_in_second_place_less() -> None:
    vectors = np.array([[1, 0], [1, 0], [0.8, 0.6], [0, 1]], np.float32)
    known = Gallery.of(["tee", "best", "good", "worst"], ["Tops", "Bags", "Bags", "Bags"], vectors)
    whole = untrained((), 2)
    figures = {}
    for name in ("best", "good"):
        pairs = Pairs(np.array([[0, known.ids.index(name)]]), np.ones(1), np.array([TEST]), {})
        asked = ranked(pairs, known, whole)
        figures[name] = asked.values[asked.products == 0][0].tolist()
    assert figures["best"] == [1, 1, 1]
    assert figures["good"] == pytest.approx([1, 1 / 2, 1 / np.log2(3)])


def test_a_pair_that_is_told_twice_counts_once_with_both_weights() -> None:
    known = gallery()
    named = contrasting(known)
    twice = Named(np.concatenate([named.ids, named.ids[:, ::-1]]), np.tile([2.0, 3.0], len(named.ids)), None)
    assert len(placed(twice, known, 1)) == len(placed(named, known, 1))
    assert placed(twice, known, 1).weights.sum() == twice.weights.sum()


def test_pairs_that_cannot_be_used_are_counted_by_why() -> None:
    known = gallery()
    some = known.ids[:2]
    same = [one for one, code in zip(known.ids, known.categories, strict=True) if code == 0][:2]
    odd = np.array([[some[0], "sold-out"], same], dtype=object)
    named = contrasting(known)
    pairs = placed(Named(np.concatenate([named.ids, odd]), np.ones(len(named.ids) + 2), None), known, 1)
    assert pairs.left_out["of unknown products"] == 1
    assert pairs.left_out["within a category"] == 1
    assert pairs.left_out["half held out"] > 0


def test_products_without_a_category_go_with_nothing() -> None:
    known = gallery(2400)
    nameless = Gallery(known.ids, known.categories, ("", "Shoes", "Tops"), known.vectors)
    named, code_of = contrasting(known), dict(zip(known.ids, known.categories.tolist(), strict=True))
    expected = sum(0 in (code_of[one], code_of[other]) for one, other in named.ids.tolist())
    assert expected > 100
    assert placed(named, nameless, 2).left_out["without a category"] == expected


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    def written(columns: Sequence[str], *rows: Sequence[object]) -> Path:
        path = tmp_path / "pairs.csv"
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([columns, *rows])
        return path

    return written


IDS = ("product_id", "other_product_id")


def test_ids_that_look_like_numbers_stay_as_they_are(table: Callable[..., Path]) -> None:
    named = read_pairs(table((*IDS, "weight"), ("007", "12", 2), ("12", "9", 0.5)))
    assert named.product_ids() == ["007", "12", "9"]
    assert named.weights.tolist() == [2, 0.5]
    assert named.splits is None


def test_a_parquet_file_of_pairs_is_read(tmp_path: Path) -> None:
    columns = {"product_id": ["a"], "other_product_id": ["b"], "split": ["test"]}
    pq.write_table(pa.Table.from_pydict(columns), tmp_path / "pairs.parquet")
    named = read_pairs(tmp_path / "pairs.parquet")
    assert named.ids.tolist() == [["a", "b"]]
    assert named.splits is not None
    assert named.splits.tolist() == [TEST]


@pytest.mark.parametrize(
    ("columns", "row", "told"),
    [
        (("product_id", "other"), ("a", "b"), "no column other_product_id"),
        ((*IDS, "weight"), ("a", "b", 0), r"row 0: the weight is 0\.0, not above 0"),
        ((*IDS, "weight"), ("a", "b", "nan"), "row 0: the weight is nan"),
        ((*IDS, "weight"), ("a", "b", "much"), "string in weight, not numbers"),
        ((*IDS, "split"), ("a", "b", "holdout"), "row 0: the split is 'holdout'"),
    ],
)
def test_a_table_that_is_wrong_is_refused(
    table: Callable[..., Path], columns: tuple[str, ...], row: tuple[object, ...], told: str
) -> None:
    with pytest.raises(ConfigError, match=rf"^pairs: .*{told}"):
        read_pairs(table(columns, row))


def test_a_table_without_rows_is_refused(table: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match="has no rows"):
        read_pairs(table(IDS))


def test_too_few_pairs_are_refused_with_what_was_left_out() -> None:
    known = gallery()
    ids = np.array([(known.ids[0], "sold-out")] * 60, dtype=object)
    with pytest.raises(ConfigError, match=r"0 pairs for train are too few, .* left out: 60 of unknown products"):
        placed(Named(ids, np.ones(60), None), known, 1)


def test_a_given_split_that_shows_what_is_held_out_is_refused() -> None:
    known = gallery()
    named = contrasting(known)
    splits = np.zeros(len(named.ids), np.int64)
    splits[::2] = TEST
    with pytest.raises(ConfigError, match="products are in pairs of test and of another split, such as 'p"):
        placed(Named(named.ids, named.weights, splits), known, 1)
