"""What the page says when not all is well, and that text is never more than text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Page, Route, expect

from tests.e2e.page.driving import file, settled, titles, upload
from tests.e2e.page.shop import HOSTILE_ID, HOSTILE_TITLE, PageShop


def test_an_answer_that_lacks_a_part_says_so(page: Page, shop: PageShop) -> None:
    def lacking(answer: dict[str, Any]) -> None:
        answer["coverage"] = {**answer["coverage"], "partitions_total": 3, "partitions_answered": 2}

    changed(page, lacking)
    upload(page, shop.photos[0].picture)
    expect(page.locator("#notes")).to_contain_text("not complete: 1 of 3 parts of the catalogue did not answer")


def test_an_answer_that_lacks_a_part_still_does_after_a_look_and_with_more_of_it(page: Page, shop: PageShop) -> None:
    lacking = "not complete: 1 of 3 parts of the catalogue did not answer"
    changed(page, lambda answer: answer["coverage"].update(partitions_total=3, partitions_answered=2), times=1)
    upload(page, shop.photos[0].picture)
    count = page.locator("#count").text_content()
    page.get_by_role("button", name="Complete the look").click()
    expect(page.locator("#looks .card").first).to_be_visible()
    expect(page.locator("#notes")).not_to_contain_text(lacking)
    page.get_by_role("button", name="Back to look-alikes").click()
    expect(page.locator("#notes")).to_contain_text(lacking)
    expect(page.locator("#count")).to_have_text(count or "")
    settled(page, lambda: page.locator("#more").click())
    expect(page.locator("#results .card")).to_have_count(48)
    expect(page.locator("#notes")).to_contain_text(lacking)
    settled(page, lambda: page.get_by_role("button", name="Whole picture").click())
    expect(page.locator("#notes")).not_to_contain_text(lacking)


def test_a_picture_without_a_product_is_called_one(page: Page, shop: PageShop) -> None:
    changed(page, lambda answer: answer.update(region={"crop": None, "no_product_score": 0.9}))
    upload(page, shop.photos[0].picture)
    expect(page.locator("#notes")).to_contain_text("does not seem to show a product")


def test_a_recall_below_one_is_not_worth_a_word(page: Page, shop: PageShop) -> None:
    whole = {"left": 0.1, "top": 0.1, "right": 0.9, "bottom": 0.9}
    changed(page, lambda answer: answer.update(recall=0.97, region={"crop": whole, "no_product_score": 0.0}))
    upload(page, shop.photos[0].picture)
    expect(page.locator("#notes")).to_be_empty()


def test_a_failure_is_told_and_can_be_tried_again(page: Page, shop: PageShop) -> None:
    refused = {"error": {"code": "UNAVAILABLE", "field": "", "message": "away"}}
    page.route("**/api/search", lambda route: route.fulfill(status=503, json=refused), times=1)
    page.set_input_files("#file", file(shop.photos[0].picture))
    expect(page.locator("#notes")).to_contain_text("not answering just now")
    settled(page, lambda: page.get_by_role("button", name="Try again").click())
    assert len(titles(page)) == 24
    expect(page.locator("#notes .problem")).to_have_count(0)


def test_what_failed_is_tried_again_as_it_was_asked(page: Page, shop: PageShop) -> None:
    upload(page, shop.photos[0].picture)
    refused = {"error": {"code": "UNAVAILABLE", "field": "", "message": "away"}}
    page.route("**/api/search", lambda route: route.fulfill(status=503, json=refused), times=1)
    page.get_by_label("Sort by").select_option("up")
    expect(page.locator("#notes")).to_contain_text("not answering just now")
    settled(page, lambda: page.get_by_role("button", name="Try again").click())
    expect(page.locator("#count")).to_contain_text("sorted by price")
    expect(page.get_by_label("Sort by")).to_have_value("up")


def test_script_in_a_title_stays_text(page: Page, shop: PageShop) -> None:
    settled(page, lambda: page.goto(f"/?product={quote(HOSTILE_ID, safe='')}"))
    expect(page.locator(".asked-title")).to_have_text(HOSTILE_TITLE)
    settled(page, lambda: page.goto(f"/?product={shop.products[0].product_id}"))
    shown = page.locator("#results .card").filter(has_text="onerror")
    shown.first.locator(".card-title button").click()
    expect(page.locator("#detail-title")).to_have_text(HOSTILE_TITLE)
    page.keyboard.press("Escape")
    expect(page.locator(".because-why").first).to_contain_text("onerror")
    page.goto("/ops")
    expect(page.locator("#recent .asked-row").first).to_be_visible()
    assert page.evaluate("window.taken") is None
    assert page.locator("img[src=x]").count() == 0


def changed(page: Page, change: Callable[[dict[str, Any]], object], times: int | None = None) -> None:
    """Answers to searches, the first `times` of them (None: all), changed on their way."""

    def handle(route: Route) -> None:
        response = route.fetch()
        answer = response.json()
        change(answer)
        route.fulfill(response=response, json=answer)

    page.route("**/api/search", handle, times=times)
