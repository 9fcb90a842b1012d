"""vitrine search with a crop and with examples, vitrine recommend, vitrine look."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.command import last_json, succeeded, vitrine
from tests.e2e.pictures import saved
from tests.integration.shop import Drawn, drawn


@pytest.fixture(scope="module")
def products() -> dict[str, Drawn]:
    """By product id: what is ingested here."""
    return {f"suggest-{product.product_id}": product for product in drawn()[80:110]}


@pytest.fixture(scope="module")
def shop(folder: Path, products: dict[str, Drawn], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of their pictures."""
    pictures = tmp_path_factory.mktemp("suggest")
    names = saved(pictures, list(products.values()), "suggest")
    with (pictures / "table.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["product_id", "image", "category", "colour"])
        for name, (product_id, product) in zip(names, products.items(), strict=True):
            table.writerow([product_id, name, product.category, product.colour])
    succeeded("ingest", pictures / "table.csv", "--folder", folder)
    return pictures


def test_the_product_in_a_picture_is_looked_for(folder: Path, shop: Path, products: dict[str, Drawn]) -> None:
    product_id = next(iter(products))
    arguments: tuple[str | Path, ...] = ("search", shop / f"{product_id}.jpg", "--folder", folder, "--crop", "auto")
    answer = last_json(succeeded(*arguments, "--json"))
    left, top, right, bottom = answer["region"]["crop"]
    assert 0 <= left < right <= 1
    assert 0 <= top < bottom <= 1
    assert product_id in [hit["product_id"] for hit in answer["hits"][:3]]
    assert "Asked with the part" in vitrine(*arguments).stderr


def test_a_part_of_a_picture_is_asked_with(folder: Path, shop: Path, products: dict[str, Drawn]) -> None:
    product_id = next(iter(products))
    answer = last_json(
        succeeded("search", shop / f"{product_id}.jpg", "--folder", folder, "--crop", "0, 0, 1, 1", "--json")
    )
    assert answer["hits"][0]["product_id"] == product_id
    assert answer["region"] is None


@pytest.mark.parametrize("crop", ["0.5,0,0.2,1", "0,0,1", "everything", "0,0,1,nan", "0,0,2,1"])
def test_a_crop_that_is_none_is_said_in_one_line(folder: Path, shop: Path, crop: str) -> None:
    done = vitrine("search", next(shop.glob("*.jpg")), "--folder", folder, "--crop", crop)
    assert done.returncode == 2
    assert [line.startswith(f"vitrine: crop: '{crop}' is neither") for line in done.stderr.splitlines()] == [True]


def test_what_is_liked_draws_the_answer_and_what_is_not_pushes_it_away(
    folder: Path, shop: Path, products: dict[str, Drawn]
) -> None:
    """Examples are products and pictures alike; products named as examples are not in the answer."""
    query, liked, disliked = list(products)[:3]
    arguments: list[str | Path] = ["search", query, "--folder", folder, "--k", "1000", "--json"]
    plain = _scores(*arguments)
    assert _scores(*arguments, "--like", liked, "--dislike", disliked).keys() & {query, liked, disliked} == set()
    # The picture of a product is one more example, and does not leave the product out.
    assert _scores(*arguments, "--like", shop / f"{liked}.jpg")[liked] > plain[liked]
    assert _scores(*arguments, "--dislike", shop / f"{disliked}.jpg")[disliked] < plain[disliked]


def test_a_history_brings_others_and_says_because_of_what(
    folder: Path, shop: Path, products: dict[str, Drawn], tmp_path: Path
) -> None:
    history = list(products)[:4]
    arguments: tuple[str | Path, ...] = ("recommend", *history, "--folder", folder, "--k", "6")
    found = last_json(succeeded(*arguments, "--json"))
    assert len(found["results"]) == 6
    assert {result["because_product_id"] for result in found["results"]} <= set(history)
    assert {result["hit"]["product_id"] for result in found["results"]} & set(history) == set()
    grid = tmp_path / "grid.png"
    table = succeeded(*arguments, "--save", grid)
    assert found["results"][0]["hit"]["product_id"] in table
    with Image.open(grid) as picture:
        picture.load()


def test_products_of_a_history_that_are_gone_are_named(folder: Path, shop: Path, products: dict[str, Drawn]) -> None:
    done = vitrine("recommend", next(iter(products)), "long-gone", "--folder", folder)
    assert done.returncode == 0
    assert "Not in the index: long-gone" in done.stderr


def test_a_look_is_made_of_other_categories(
    folder: Path, shop: Path, products: dict[str, Drawn], tmp_path: Path
) -> None:
    product_id, product = next(iter(products.items()))
    grid = tmp_path / "grid.png"
    arguments: tuple[str | Path, ...] = ("look", product_id, "--folder", folder, "--per-category", "2")
    found = last_json(succeeded(*arguments, "--json"))
    assert found["own_category"] == product.category
    others = {category["category"] for category in found["categories"]}
    assert others
    assert product.category not in others
    assert max(len(category["hits"]) for category in found["categories"]) == 2
    assert min(others) in succeeded(*arguments, "--save", grid)
    with Image.open(grid) as picture:
        picture.load()


def test_a_look_for_a_picture_in_chosen_categories(folder: Path, shop: Path, products: dict[str, Drawn]) -> None:
    product_id, product = next(iter(products.items()))
    wanted = next(other.category for other in products.values() if other.category != product.category)
    found = last_json(
        succeeded(
            *("look", shop / f"{product_id}.jpg", "--folder", folder, "--json"),
            *("--category", wanted, "--own-category", product.category, "--crop", "auto"),
        )
    )
    assert [category["category"] for category in found["categories"]] == [wanted]
    assert found["own_category"] == product.category
    assert found["region"] is not None


def _scores(*arguments: str | Path) -> dict[str, float]:
    """Score of each product found."""
    return {hit["product_id"]: hit["score"] for hit in last_json(succeeded(*arguments))["hits"]}
