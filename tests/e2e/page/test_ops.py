"""The pages for those who look after the shop, and for those who build on it."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.e2e.page.driving import on_both, upload
from tests.e2e.page.shop import PRODUCTS, REFUSED_ID, PageShop


@on_both
def test_operations_show_the_index_and_what_people_asked(page: Page, shop: PageShop) -> None:
    upload(page, shop.photos[8].picture)
    page.goto("/ops")
    expect(page.locator("#partitions tr")).to_have_count(2)
    expect(page.locator("#tiles")).to_contain_text(f"{PRODUCTS + 1}")
    expect(page.locator("#tiles")).to_contain_text("2 of 2")
    expect(page.locator("#letters")).to_contain_text(REFUSED_ID)
    recent = page.locator("#recent .asked-row").first
    expect(recent).to_contain_text("Searched by picture")
    assert recent.locator("img").count() == 10
    assert page.locator("#recent img:not([src^='/thumbs/'])").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_operations_without_a_gateway_say_so(page: Page) -> None:
    refused = {"error": {"code": "UNAVAILABLE", "field": "", "message": "away"}}
    page.route("**/api/ops/*", lambda route: route.fulfill(status=503, json=refused))
    page.goto("/ops")
    expect(page.locator("#notes")).to_contain_text("not answering just now")


def test_operations_show_what_can_be_had_and_name_what_cannot(page: Page) -> None:
    refused = {"error": {"code": "UNAVAILABLE", "field": "", "message": "away"}}
    page.route("**/api/ops/dlq", lambda route: route.fulfill(status=503, json=refused))
    page.goto("/ops")
    expect(page.locator("#partitions tr")).to_have_count(2)
    expect(page.locator("#tiles")).to_contain_text("2 of 2")
    expect(page.locator("#recent .asked-row, #recent .small").first).to_be_visible()
    expect(page.locator("#notes .note")).to_have_count(1)
    expect(page.locator("#notes")).to_contain_text("What could not be indexed: The search is not answering just now")


def test_what_could_not_be_indexed_is_read_less_often_than_the_rest(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.install()
    page.goto("/ops")
    expect(page.locator("#letters")).to_contain_text(REFUSED_ID)
    for _ in range(5):
        page.clock.run_for(5_000)
        page.wait_for_timeout(100)
    assert sum("/api/ops/status" in url for url in asked) >= 3
    assert sum("/api/ops/dlq" in url for url in asked) == 1
    with page.expect_response("**/api/ops/dlq"):
        page.clock.run_for(5_000)


def test_the_documentation_names_every_endpoint(page: Page, shop: PageShop) -> None:
    described = page.request.get("/openapi.json").json()
    page.goto("/docs")
    expect(page.locator(".endpoint")).to_have_count(len(described["paths"]))
    for path in described["paths"]:
        expect(page.locator(".endpoint h2").filter(has_text=path).first).to_be_visible()
