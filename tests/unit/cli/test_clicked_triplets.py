"""What shoppers did becomes triplets: what was passed over above a click is worse than what was clicked."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.unit.cli.shoppers import act, display, shown
from vitrine.cli.clicked_triplets import KIND_WEIGHTS, MAX_ANCHORS, MAX_SKIPPED, Triplet, triplets_of, write_triplets
from vitrine.runtime.errors import ConfigError
from vitrine.stream.feedback import FeedbackKind, Impression
from vitrine.tables import read_table

CLICK, CART, PURCHASE, DISMISS = (
    FeedbackKind.CLICK,
    FeedbackKind.ADD_TO_CART,
    FeedbackKind.PURCHASE,
    FeedbackKind.DISMISS,
)


def pairs(triplets: Iterable[Triplet]) -> list[str]:
    return [f"{triplet.anchor}{triplet.positive}{triplet.negative}" for triplet in triplets]


def learned(answer: Impression, *acts: tuple[str, FeedbackKind]) -> list[Triplet]:
    done = [act(1, product_id, kind, at=at) for at, (product_id, kind) in enumerate(acts)]
    return list(triplets_of(display(answer, *done)))


def test_what_was_passed_over_above_a_click_is_negative_the_nearest_first() -> None:
    assert pairs(learned(shown(1), ("d", CLICK))) == ["xdc", "xdb", "xda"]


def test_nothing_is_said_of_what_stands_below_a_click() -> None:
    assert learned(shown(1), ("a", CLICK)) == []


def test_what_was_clicked_too_is_no_negative() -> None:
    assert pairs(learned(shown(1), ("b", CLICK), ("d", CLICK))) == ["xba", "xdc", "xda"]


def test_what_was_dismissed_is_negative_wherever_it_stood() -> None:
    assert pairs(learned(shown(1), ("a", CLICK), ("f", DISMISS))) == ["xaf"]


def test_a_dismissal_without_anything_liked_says_nothing() -> None:
    assert learned(shown(1), ("b", DISMISS)) == []


def test_the_last_word_about_a_product_counts() -> None:
    assert pairs(learned(shown(1), ("b", CLICK), ("b", DISMISS), ("c", CLICK))) == ["xcb", "xca"]
    assert pairs(learned(shown(1), ("b", DISMISS), ("b", CLICK))) == ["xba"]


def test_a_purchase_weighs_more_than_a_click_and_a_dismissal_more_than_being_passed_over() -> None:
    [clicked] = learned(shown(1), ("b", CLICK))
    [bought] = learned(shown(1), ("b", CLICK), ("b", PURCHASE))
    [dismissed] = learned(shown(1), ("b", CLICK), ("a", DISMISS))
    assert (clicked.weight, bought.weight) == (KIND_WEIGHTS[CLICK], KIND_WEIGHTS[PURCHASE])
    assert KIND_WEIGHTS[CLICK] < KIND_WEIGHTS[CART] < KIND_WEIGHTS[PURCHASE]
    assert dismissed.weight > clicked.weight


def test_several_products_that_asked_share_the_weight() -> None:
    found = learned(shown(1, asked="xyz", method="Recommend"), ("b", CLICK))
    assert pairs(found) == ["xba", "yba", "zba"]
    assert sum(triplet.weight for triplet in found) == pytest.approx(KIND_WEIGHTS[CLICK], abs=1e-5)


def test_no_more_anchors_and_negatives_than_help() -> None:
    letters = "abcdefghijklmnopqrst"
    found = learned(shown(1, products=letters, asked="ABCDEFGHIJ"), ("t", CLICK))
    assert len({triplet.anchor for triplet in found}) == MAX_ANCHORS
    assert {triplet.negative for triplet in found} == set(letters[-1 - MAX_SKIPPED : -1])


def test_the_first_product_liked_stands_for_a_picture() -> None:
    assert pairs(learned(shown(1, asked=""), ("c", CLICK), ("b", CLICK))) == ["cba"]
    assert learned(shown(1, asked=""), ("c", CLICK)) == []


def test_a_product_that_the_answer_did_not_show_teaches_nothing() -> None:
    assert learned(shown(1), ("z", CLICK)) == []


def test_what_goes_with_a_product_does_not_look_like_it() -> None:
    assert learned(shown(1, method="CompleteTheLook"), ("d", CLICK)) == []


def test_the_file_holds_a_column_for_each_field(tmp_path: Path) -> None:
    odd = Triplet('a,"b', "0007", "c", 0.5, "page", "q")
    write_triplets([odd], tmp_path / "triplets.csv")
    table = read_table(tmp_path / "triplets.csv", "triplets", as_text=("anchor", "positive", "negative"))
    assert table.to_pylist() == [odd._asdict()]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        write_triplets([], tmp_path / "absent" / "triplets.csv")
