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


def test_the_documentation_names_every_endpoint(page: Page, shop: PageShop) -> None:
    described = page.request.get("/openapi.json").json()
    page.goto("/docs")
    expect(page.locator(".endpoint")).to_have_count(len(described["paths"]))
    for path in described["paths"]:
        expect(page.locator(".endpoint h2").filter(has_text=path).first).to_be_visible()
