"""What people do with the page: search, refine, crop, narrow down, go on."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image
from playwright.sync_api import FloatRect, Page, Request, Route, expect

from tests.e2e.page.driving import asking, card, file, ids, on_both, settled, titles, upload
from tests.e2e.page.shop import PageShop
from vitrine import sample


def test_who_is_quicker_than_the_page_can_sort_all_the_same(page: Page, shop: PageShop) -> None:
    held: list[Route] = []
    page.route("**/api/catalogue", lambda route: held.append(route))
    page.reload()
    page.set_input_files("#file", file(shop.photos[0].picture))
    expect(page.locator("#results")).to_have_attribute("aria-busy", "true")
    settled(page, lambda: held[0].continue_())
    expect(page.get_by_label("Sort by")).to_be_visible()


@on_both
def test_a_picture_comes_back_as_a_grid_of_look_alikes(page: Page, shop: PageShop) -> None:
    photo = shop.photos[0]
    upload(page, photo.picture)
    assert len(titles(page)) == 24
    expect(page.locator("#count")).to_contain_text("24 products")
    scores = [float(text) for text in page.locator("#results .score").all_text_contents()]
    assert scores == sorted(scores, reverse=True)
    expect(page.locator("#results img").first).to_have_js_property("complete", True)
    assert page.locator("#results img").first.evaluate("image => image.naturalWidth") > 100
    expect(page.locator("#said")).to_contain_text("24 products")
    expect(page.locator("#found-title")).to_be_focused()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_product_in_the_picture_is_found_and_its_box_is_drawn(page: Page, shop: PageShop) -> None:
    # A photograph of the product on a plain ground, far from the middle.
    with asking(page) as asked:
        upload(page, framed(shop))
    assert asked[0]["crop_mode"] == "auto"
    left, right = (
        page.locator(".crop-stage").evaluate(f"e => parseFloat(e.style.getPropertyValue('--{side}'))")
        for side in ("left", "right")
    )
    assert left > 20
    assert right > 90


def test_show_more_continues_and_focus_goes_to_the_first_new_one(page: Page, shop: PageShop) -> None:
    upload(page, shop.photos[1].picture)
    first = titles(page)
    settled(page, lambda: page.locator("#more").click())
    expect(page.locator("#results .card")).to_have_count(48)
    assert titles(page)[:24] == first
    expect(page.locator("#results .card").nth(24).locator(".card-title button")).to_be_focused()


def test_show_more_continues_what_was_asked_whatever_has_been_liked_since(page: Page, shop: PageShop) -> None:
    upload(page, shop.photos[1].picture)
    page.locator("#results [data-mark=like]").nth(1).click()
    with asking(page) as refined:
        settled(page, lambda: page.get_by_role("button", name="Refine").click())
    page.locator("#results [data-mark=like]").nth(2).click()
    with asking(page) as continued:
        settled(page, lambda: page.locator("#more").click())
    assert {**continued[0], "page_token": ""} == {**refined[0], "page_token": ""}
    expect(page.locator("#results .card")).to_have_count(48)


def test_likes_and_dislikes_refine(page: Page, shop: PageShop) -> None:
    upload(page, shop.photos[2].picture)
    liked, disliked = ids(page)[1], ids(page)[2]
    card(page, liked).get_by_role("button", name=re.compile("^Like ")).click()
    card(page, disliked).get_by_role("button", name=re.compile("^Dislike ")).click()
    expect(card(page, liked).locator("[data-mark=like]")).to_have_attribute("aria-pressed", "true")
    with asking(page) as asked:
        settled(page, lambda: page.get_by_role("button", name="Refine").click())
    examples = asked[0]["examples"]
    assert examples["positive"] == [{"image": "image", "crop_mode": "auto"}, {"product_id": liked}]
    assert examples["negative"] == [{"product_id": disliked}]
    assert not {liked, disliked} & set(ids(page))
    with asking(page) as asked:
        settled(page, lambda: page.get_by_role("button", name="Clear", exact=True).click())
    assert "examples" not in asked[0]
    assert {liked, disliked} <= set(ids(page))


def test_a_crop_is_dragged_by_its_corner(page: Page, shop: PageShop) -> None:
    upload(page, shop.photos[3].picture)
    settled(page, lambda: page.get_by_role("button", name="Whole picture").click())
    stage, corner = box(page, ".crop-stage"), box(page, ".corner.se")
    with asking(page) as asked:
        page.mouse.move(corner["x"] + corner["width"] / 2, corner["y"] + corner["height"] / 2)
        page.mouse.down()
        page.mouse.move(stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2, steps=4)
        settled(page, page.mouse.up)
    crop = asked[-1]["crop"]
    assert (crop["left"], crop["top"]) == (0, 0)
    assert crop["right"] == pytest.approx(0.5, abs=0.03)
    assert crop["bottom"] == pytest.approx(0.5, abs=0.03)


def test_a_crop_is_moved_by_arrow_keys_and_stays_in_the_picture(page: Page, shop: PageShop) -> None:
    upload(page, shop.photos[3].picture)
    settled(page, lambda: page.get_by_role("button", name="Whole picture").click())
    page.locator(".corner.nw").focus()
    with asking(page) as asked:
        for _ in range(3):
            page.keyboard.press("Shift+ArrowRight")
        settled(page, lambda: page.keyboard.press("ArrowDown"))
    assert asked[-1]["crop"] == {"left": pytest.approx(0.3), "top": pytest.approx(0.02), "right": 1, "bottom": 1}
    expect(page.locator(".corner.nw")).to_be_focused()
    page.locator(".crop-box").focus()
    with asking(page) as asked:
        for _ in range(9):
            page.keyboard.press("Shift+ArrowLeft")
        settled(page, lambda: page.keyboard.press("Shift+ArrowUp"))
    assert asked[-1]["crop"]["left"] == pytest.approx(0)
    assert asked[-1]["crop"]["right"] == pytest.approx(0.7)
    assert asked[-1]["crop"]["top"] == pytest.approx(0)


def test_results_are_narrowed_by_category_colour_and_price(page: Page, shop: PageShop) -> None:
    of = {product.product_id: product for product in shop.products}
    upload(page, shop.photos[4].picture)
    settled(page, lambda: page.get_by_role("group", name="Category").get_by_label("Bags").check())
    assert {of[product_id].category for product_id in ids(page)} == {"Bags"}
    settled(page, lambda: page.get_by_role("group", name="Category").get_by_label("Shoes").check())
    assert {of[product_id].category for product_id in ids(page) if product_id in of} == {"Bags", "Shoes"}
    page.get_by_label("to", exact=True).fill("60")
    settled(page, lambda: page.keyboard.press("Tab"))
    assert max(of[product_id].price for product_id in ids(page) if product_id in of) <= 60
    settled(page, lambda: page.get_by_role("button", name="Clear all").click())
    expect(page.locator("#results .card")).to_have_count(24)


def test_a_filter_that_nothing_meets_says_so(page: Page, shop: PageShop) -> None:
    upload(page, shop.photos[4].picture)
    page.get_by_label("from", exact=True).fill("100000")
    settled(page, lambda: page.keyboard.press("Tab"))
    expect(page.locator("#notes")).to_contain_text("Nothing in the shop looks like it and meets what you chose.")


def test_the_category_that_the_picture_shows_can_be_kept_to(page: Page, shop: PageShop) -> None:
    upload(page, shop.photos[0].picture)
    with asking(page) as asked:
        settled(page, lambda: page.get_by_label("Only what the picture shows").check())
    assert asked[0]["category_mode"] == "predict"
    expect(page.locator("#predicted")).to_have_text(re.compile(r"^\w+, \d+ % sure"))


def test_results_are_sorted_by_price(page: Page, shop: PageShop) -> None:
    upload(page, shop.photos[5].picture)
    before = set(ids(page))
    settled(page, lambda: page.get_by_label("Sort by").select_option("up"))
    prices = [float(text) for text in page.locator("#results .price").all_text_contents()]
    assert prices == sorted(prices)
    assert before <= set(ids(page))


def test_the_other_order_is_of_the_same_products(page: Page, shop: PageShop) -> None:
    upload(page, shop.photos[5].picture)
    with asking(page) as asked:
        settled(page, lambda: page.get_by_label("Sort by").select_option("up"))
        settled(page, lambda: page.get_by_label("Sort by").select_option("down"))
    assert asked[0]["min_score"] == asked[1]["min_score"]
    expect(page.locator("#count")).to_contain_text("sorted by price")


@pytest.mark.parametrize(
    "change",
    [
        lambda page: page.get_by_role("button", name="Whole picture").click(),
        lambda page: page.get_by_role("group", name="Category").get_by_label("Shoes").check(),
        lambda page: page.get_by_role("button", name="Clear all").click(),
        lambda page: page.get_by_label("Lean towards what I opened").check(),
        lambda page: page.get_by_role("button", name="Clear", exact=True).click(),
    ],
    ids=["crop", "category", "filters cleared", "leaning", "likes cleared"],
)
def test_another_question_is_not_held_to_the_scores_of_the_one_before(
    page: Page, shop: PageShop, change: Callable[[Page], None]
) -> None:
    settled(page, lambda: page.goto(f"/?product={shop.products[3].product_id}"))
    page.locator("#results .card-title button").first.click()
    page.keyboard.press("Escape")
    upload(page, shop.photos[5].picture)
    page.locator("#results [data-mark=like]").nth(1).click()
    settled(page, lambda: page.get_by_role("button", name="Refine").click())
    settled(page, lambda: page.get_by_label("Sort by").select_option("up"))
    with asking(page) as asked:
        settled(page, lambda: change(page))
    assert not {"order_by", "min_score"} & set(asked[0])
    expect(page.get_by_label("Sort by")).to_have_value("")
    expect(page.locator("#count")).to_contain_text("the closest first")


def test_more_variety_is_asked_for(page: Page, shop: PageShop) -> None:
    upload(page, shop.photos[5].picture)
    with asking(page) as asked:
        settled(page, lambda: page.get_by_label("More variety").check())
    assert asked[0]["diversity"] == 0.5
    expect(page.locator("#more")).to_be_hidden()


@on_both
def test_from_a_product_to_others_like_it_and_back(page: Page, shop: PageShop) -> None:
    settled(page, lambda: page.locator("#samples .card-title button").first.click())
    first = ids(page)
    asked_with = page.locator(".asked-title").text_content()
    page.locator("#results .card-title button").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    settled(page, lambda: page.get_by_role("button", name="More like this").click())
    assert ids(page) != first
    assert page.url.endswith(f"/?product={quote(first[0], safe='')}")
    settled(page, page.go_back)
    assert page.locator(".asked-title").text_content() == asked_with
    assert ids(page) == first


def test_a_link_to_a_product_shows_what_is_like_it(page: Page, shop: PageShop) -> None:
    product = shop.products[7]
    settled(page, lambda: page.goto(f"/?product={product.product_id}"))
    expect(page.locator(".asked-title")).to_have_text(product.title)


def test_the_look_is_completed_with_other_categories(page: Page, shop: PageShop) -> None:
    product = next(product for product in shop.products if product.category == "Shoes")
    settled(page, lambda: page.goto(f"/?product={product.product_id}"))
    page.get_by_role("button", name="Complete the look").click()
    expect(page.locator("#looks .strip").first).to_be_visible()
    categories = page.locator("#looks .strip h2").all_text_contents()
    assert len(categories) >= 3
    assert "Shoes" not in categories
    expect(page.locator("#found-title")).to_have_text(f"Goes with {product.title}")
    page.get_by_role("button", name="Back to look-alikes").click()
    expect(page.locator("#results .card").first).to_be_visible()


@on_both
def test_the_look_of_what_was_picked_for_somebody_leads_back_to_look_alikes(page: Page, shop: PageShop) -> None:
    settled(page, lambda: page.goto(f"/?product={shop.products[3].product_id}"))
    page.locator("#results .card-title button").first.click()
    page.goto("/")
    picked = page.locator("#because-rows .card").first
    title = picked.locator(".card-title").text_content()
    picked.locator(".card-title button").click()
    page.get_by_role("button", name="Complete the look").click()
    expect(page.locator("#looks .card").first).to_be_visible()
    expect(page.locator("#found-title")).to_have_text(f"Goes with {title}")
    settled(page, lambda: page.get_by_role("button", name="Back to look-alikes").click())
    expect(page.locator("#results .card")).to_have_count(24)
    expect(page.locator("#count")).to_have_text("24 products, the closest first")
    expect(page.locator(".asked-title")).to_have_text(title or "")


def test_who_goes_back_before_the_look_is_there_is_left_in_peace(page: Page, shop: PageShop) -> None:
    upload(page, shop.photos[0].picture)
    page.route("**/api/look", lambda route: None)
    page.get_by_role("button", name="Complete the look").click()
    expect(page.locator("#looks")).to_have_attribute("aria-busy", "true")
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/api/look")):
        page.get_by_role("button", name="Back to look-alikes").click()
    expect(page.locator("#results .card")).to_have_count(24)
    expect(page.locator("#count")).to_have_text("24 products, the closest first")


def test_what_was_opened_is_why_others_are_picked(page: Page, shop: PageShop) -> None:
    expect(page.locator("#because")).to_be_hidden()
    product = shop.products[3]
    settled(page, lambda: page.goto(f"/?product={product.product_id}"))
    opened = titles(page)[0]
    page.locator("#results .card-title button").first.click()
    page.keyboard.press("Escape")
    expect(page.locator("#because")).to_be_visible()
    expect(page.locator(".because-why").first).to_have_text(f"Because you looked at {opened}")
    assert page.locator("#because-rows .card").count() >= 6
    page.reload()
    expect(page.locator("#because")).to_be_visible()
    page.get_by_role("button", name="Forget what I looked at").click()
    expect(page.locator("#because")).to_be_hidden()
    assert page.evaluate("sessionStorage.getItem('vitrine.history')") == "[]"


def test_what_shoppers_do_is_told(page: Page, shop: PageShop) -> None:
    told = feedback_of(page)
    upload(page, shop.photos[6].picture)
    second, third = ids(page)[1:3]
    card(page, third).get_by_role("button", name=re.compile("^Dislike ")).click()
    with page.expect_response("**/api/feedback") as answered:
        card(page, second).locator(".card-title button").click()
    assert answered.value.status == 204
    assert [(one["kind"], one["product_id"], one["rank"], one["surface"]) for one in told] == [
        ("DISMISS", third, 3, "page"),
        ("CLICK", second, 2, "page"),
    ]


def test_what_is_told_names_the_answer_that_it_was_in(page: Page, shop: PageShop) -> None:
    told = feedback_of(page)
    first = upload(page, shop.photos[6].picture)
    second = settled(page, lambda: page.locator("#more").click())
    shown = ids(page)
    card(page, shown[2]).get_by_role("button", name=re.compile("^Dislike ")).click()
    card(page, shown[25]).get_by_role("button", name=re.compile("^Dislike ")).click()
    card(page, shown[24]).locator(".card-title button").click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("^Dislike ")).click()
    assert [(one["kind"], one["query_id"], one["product_id"], one["rank"]) for one in told] == [
        ("DISMISS", first["query_id"], shown[2], 3),
        ("DISMISS", second["query_id"], shown[25], 2),
        ("CLICK", second["query_id"], shown[24], 1),
        ("DISMISS", second["query_id"], shown[24], 1),
    ]


def test_a_look_counts_places_over_all_its_categories(page: Page, shop: PageShop) -> None:
    told = feedback_of(page)
    settled(page, lambda: page.goto(f"/?product={shop.products[3].product_id}"))
    page.get_by_role("button", name="Complete the look").click()
    before = page.locator("#looks .strip").nth(0).locator(".card")
    expect(before.first).to_be_visible()
    page.locator("#looks .strip").nth(1).locator(".card-title button").first.click()
    assert [(one["surface"], one["rank"]) for one in told] == [("page-look", before.count() + 1)]


def feedback_of(page: Page) -> list[Any]:
    """What the page tells from now on."""
    told: list[Any] = []

    def hear(request: Request) -> None:
        if request.url.endswith("/api/feedback"):
            told.append(request.post_data_json)

    page.on("request", hear)
    return told


def box(page: Page, selector: str) -> FloatRect:
    found = page.locator(selector).bounding_box()
    assert found is not None
    return found


def crop_side(page: Page, side: str) -> float:
    """In percent."""
    shown: float = page.locator(".crop-stage").evaluate(
        "(stage, name) => parseFloat(stage.style.getPropertyValue(name))", f"--{side}"
    )
    return shown


def framed(shop: PageShop) -> bytes:
    """A drawn product in the right third of a wide, plain picture."""
    product = next(product for product in shop.products if product.category == "Shoes")
    with Image.open(io.BytesIO(sample.draw(product, 0))) as drawn:
        ground = Image.new("RGB", (drawn.width * 3, drawn.height), "white")
        ground.paste(drawn.convert("RGB"), (drawn.width * 2, 0))
    made = io.BytesIO()
    ground.save(made, "JPEG", quality=90)
    return made.getvalue()
