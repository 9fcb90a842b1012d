"""The sample catalogue draws its own pictures: always the same ones, and they look like products on white."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from vitrine import images
from vitrine.sample import CATEGORIES, SampleProduct, catalogue, draw, queries, write
from vitrine.sample.catalogue import ARTICLES
from vitrine.sample.files import COLUMNS
from vitrine.sample.studio import DRAWERS

VIEWS = (0, 1)
# The mean colours of both views of the first products, written down when the drawings were frozen.
FROZEN = {
    "Oriel White Colour Block T-shirt": ((201, 200, 202), (207, 206, 208)),
    "Tamsin Grey Striped Canvas Sneakers": ((217, 218, 222), (208, 209, 213)),
    "Sable Blue Striped Handbag": ((204, 210, 209), (198, 204, 206)),
    "Tamsin Maroon Washed Jeans": ((191, 156, 161), (199, 171, 175)),
    "Oriel Black Leather Watch": ((201, 201, 202), (208, 208, 209)),
    "Northwick Teal Striped Briefs": ((215, 228, 230), (220, 231, 232)),
    "Marlow White Beaded Necklace": ((246, 244, 240), (245, 244, 241)),
    "Sable Navy Blue Tortoise Wayfarer Sunglasses": ((239, 240, 242), (232, 233, 236)),
    "Alder Maroon Crew Socks": ((213, 190, 194), (220, 203, 206)),
}
ONE_OF_EACH_ARTICLE = list({product.article_type: product for product in reversed(catalogue(90))}.values())
BY_ARTICLE = [pytest.param(product, id=product.article_type) for product in ONE_OF_EACH_ARTICLE]


def test_the_catalogue_has_at_least_600_products_balanced_over_nine_categories() -> None:
    products = catalogue()
    sizes = Counter(product.category for product in products)
    assert len(products) >= 600
    assert set(sizes) == set(CATEGORIES)
    assert len(CATEGORIES) == 9
    assert max(sizes.values()) - min(sizes.values()) <= 1


def test_every_category_has_three_silhouettes_or_more() -> None:
    assert all(len(articles) >= 3 for articles in ARTICLES.values())


def test_every_article_can_be_drawn() -> None:
    assert {article.article_type for articles in ARTICLES.values() for article in articles} == set(DRAWERS)


def test_no_two_products_are_the_same_article_in_the_same_colour_and_pattern() -> None:
    looks = Counter((product.article_type, product.colour, product.pattern) for product in catalogue())
    assert max(looks.values()) == 1


def test_identifiers_are_unique() -> None:
    products = catalogue()
    assert len({product.product_id for product in products}) == len(products)


def test_a_longer_catalogue_begins_with_the_shorter_one() -> None:
    assert catalogue(700)[:63] == catalogue(63)


def test_another_seed_makes_another_catalogue() -> None:
    assert catalogue(20, seed=1) != catalogue(20, seed=2)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("product", BY_ARTICLE)
def test_a_drawing_is_always_the_same(product: SampleProduct, view: int) -> None:
    assert draw(product, view) == draw(product, view)


def test_the_drawings_are_frozen() -> None:
    # Another JPEG encoder may round differently; another drawing moves a mean by more than this.
    for product, (title, colours) in zip(catalogue(9), FROZEN.items(), strict=True):
        assert product.title == title
        for view in VIEWS:
            assert _pixels(draw(product, view)).mean(axis=(0, 1)) == pytest.approx(colours[view], abs=1.5)


@pytest.mark.parametrize("product", BY_ARTICLE)
def test_the_two_views_differ(product: SampleProduct) -> None:
    first, second = (_pixels(draw(product, view)) for view in VIEWS)
    assert np.abs(first - second).mean() > 2


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("product", BY_ARTICLE)
def test_a_product_stands_on_white_and_fills_its_picture(product: SampleProduct, view: int) -> None:
    picture = _pixels(draw(product, view))
    brightness = picture.mean(axis=2)
    border = np.concatenate([brightness[:3].ravel(), brightness[-3:].ravel(), *brightness[:, [0, 1, -2, -1]].T])
    drawn = np.argwhere(brightness < 230)
    height, width = np.ptp(drawn, axis=0)
    assert picture.shape == (320, 240, 3)
    assert (border > 225).mean() > 0.97
    assert max(height / 320, width / 240) > 0.5


def test_pictures_and_photos_pass_the_decoder() -> None:
    products = catalogue(9)
    assert {images.decode(draw(product, view)).size for product in products for view in VIEWS} == {(240, 320)}
    assert {images.decode(query.picture).size for query in queries(products, 9)} == {(320, 400)}


def test_a_picture_can_be_drawn_at_another_size() -> None:
    assert images.decode(draw(catalogue(1)[0], 0, size=(60, 80))).size == (60, 80)


def test_queries_show_products_of_the_catalogue_each_once() -> None:
    products = catalogue(90)
    shown = [query.product for query in queries(products, 27)]
    assert set(shown) <= set(products)
    assert len(set(shown)) == 27
    assert Counter(product.category for product in shown) == dict.fromkeys(CATEGORIES, 3)


def test_queries_are_always_the_same() -> None:
    products = catalogue(18)
    assert queries(products, 4) == queries(products, 4)
    assert queries(products, 4) != queries(products, 4, seed=12)


def test_a_query_has_a_background() -> None:
    for query in queries(catalogue(9), 9):
        corners = _pixels(query.picture)[[2, 2, -3, -3], [2, -3, 2, -3]]
        assert corners.mean() < 250


def test_no_products_make_no_queries() -> None:
    assert queries([], 5) == []


def test_the_written_table_has_a_row_for_each_picture(tmp_path: Path) -> None:
    products = catalogue(9)
    write(tmp_path, products, queries(products, 3))
    with (tmp_path / "catalogue.csv").open(newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert tuple(rows[0]) == COLUMNS
    assert [(row["product_id"], row["image_id"]) for row in rows] == [
        (product.product_id, str(view)) for product in products for view in VIEWS
    ]
    assert all((tmp_path / row["image"]).read_bytes().startswith(b"\xff\xd8") for row in rows)
    assert sorted(path.name for path in (tmp_path / "queries").iterdir()) == ["0.jpg", "1.jpg", "2.jpg"]
    assert float(rows[0]["price"]) == pytest.approx(products[0].price)


def _pixels(picture: bytes) -> npt.NDArray[np.float32]:
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"), dtype=np.float32)
