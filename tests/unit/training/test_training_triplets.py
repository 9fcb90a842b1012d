"""Triplets of a file find their pictures among those of train."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from training.data import Pictures
from training.learning.batches import Batches
from training.learning.recipe import Objectives, Recipe
from training.learning.triplets import Triplets, read_triplets
from vitrine.runtime.errors import ConfigError


def test_triplets_of_other_splits_are_left_out_and_counted(tmp_path: Path) -> None:
    train_rows, test_rows = np.array([3, 5, 8, 9]), np.array([4])
    ids = {f"p{row:04}": int(row) for row in (*train_rows[:3], test_rows[0])}
    known, unseen = list(ids)[:3], list(ids)[3]
    lines = [",".join(known), f"{known[0]},{known[1]},{unseen}", f"{known[0]},sold-out,{known[1]}"]
    (tmp_path / "clicks.csv").write_text("anchor,positive,negative\n" + "\n".join(lines))
    triplets = read_triplets(tmp_path / "clicks.csv", train_rows, ids)
    assert train_rows[triplets.places].tolist() == [train_rows[:3].tolist()]
    assert triplets.left_out == 2


def test_products_that_the_data_does_not_have_are_named(tmp_path: Path) -> None:
    ids = {"a": 0, "b": 1, "c": 2}
    (tmp_path / "clicks.csv").write_text("anchor,positive,negative\na,b,c\na,sold-out,c\nb,sold-out,gone\n")
    triplets = read_triplets(tmp_path / "clicks.csv", np.arange(3), ids)
    assert (len(triplets), triplets.left_out, triplets.unknown) == (1, 2, ("gone", "sold-out"))


def test_where_no_product_is_known_the_error_names_some(tmp_path: Path) -> None:
    lines = [f"x{number},y{number},z{number}" for number in range(9)]
    (tmp_path / "clicks.csv").write_text("anchor,positive,negative\n" + "\n".join(lines))
    with pytest.raises(ConfigError, match="x0, x1, x2, x3, x4 and 22 more") as caught:
        read_triplets(tmp_path / "clicks.csv", np.arange(3), {"a": 0})
    assert caught.value.field == "triplets"


def test_triplets_without_a_weight_weigh_the_same(tmp_path: Path) -> None:
    (tmp_path / "clicks.csv").write_text("anchor,positive,negative\n0,1,2\n1,2,0\n")
    assert read_triplets(tmp_path / "clicks.csv", np.arange(3)).weights.tolist() == [1.0, 1.0]


def test_weights_stay_with_their_triplets(tmp_path: Path) -> None:
    (tmp_path / "clicks.csv").write_text("weight,anchor,positive,negative\n9,0,1,7\n0.5,0,1,2\n4,2,1,0\n")
    assert read_triplets(tmp_path / "clicks.csv", np.arange(3)).weights.tolist() == [0.5, 4.0]


def test_a_triplet_is_drawn_as_often_as_it_weighs() -> None:
    triplets = Triplets(np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8]]), np.array([1.0, 0.25, 2.75]))
    pixels = np.full((9, 16, 16, 3), 255, np.uint8)
    labels = {"label": np.arange(9) % 2}
    pictures = Pictures(pixels, labels, np.arange(9), np.zeros((9, 0), np.float32))
    recipe = Recipe(objectives=Objectives(given_per_step=4_000))
    drawn = Batches(pictures, recipe, triplets)._drawn_triplets()
    shares = np.bincount(drawn[:4_000].numpy(), minlength=9)[[0, 3, 6]] / 4_000
    assert shares == pytest.approx([0.25, 0.0625, 0.6875], abs=0.03)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("anchor,positive,negative,weight\n0,1,2,much\n", "a weight that is no number"),
        ("anchor,positive,negative,weight\n0,1,2,0\n", "a weight that is not above 0"),
        ("anchor,positive,negative,weight\n0,1,2,\n0,1,2,3\n", "a weight that is not above 0"),
        ("anchor,positive\n1,2\n", "has no column negative"),
        ("anchor,positive,negative\na,b,c\n", "something else than row numbers"),
        ("anchor,positive,negative\n900,901,902\n", "none of 1 triplets"),
    ],
)
def test_a_triplet_file_without_use_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "clicks.csv").write_text(text)
    with pytest.raises(ConfigError, match=told):
        read_triplets(tmp_path / "clicks.csv", np.arange(5))
