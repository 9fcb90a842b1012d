"""What tests of the page do again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from playwright.sync_api import Locator, Page, ViewportSize, expect

from tests.e2e.page.shop import PageShop

DESKTOP: Final[ViewportSize] = {"width": 1280, "height": 900}
PHONE: Final[ViewportSize] = {"width": 375, "height": 812}

on_a_phone = pytest.mark.parametrize("page", [PHONE], ids=["phone"], indirect=True)
on_both = pytest.mark.parametrize("page", [DESKTOP, PHONE], ids=["desktop", "phone"], indirect=True)


def at_home(url: str, shop: PageShop) -> bool:
    return url.startswith((shop.address, "blob:", "data:"))


# Chromium does not tell what a form with a file holds: the page itself is listened to.
NOTES_WHAT_IS_ASKED: Final = """
    window.asked = [];
    const real = window.fetch;
    window.fetch = (path, options) => {
        const body = options?.body;
        if (path === "/api/search") window.asked.push(JSON.parse(body instanceof FormData ? body.get("query") : body));
        return real(path, options);
    };
"""


@contextmanager
def asking(page: Page) -> Iterator[list[dict[str, Any]]]:
    """What the page asks of /api/search within the block, when it has ended: the queries."""
    asked: list[dict[str, Any]] = []
    page.evaluate("window.asked.splice(0)")
    yield asked
    asked += page.evaluate("window.asked.splice(0)")


def upload(page: Page, picture: bytes) -> Any:
    """Returns the answer."""
    return settled(page, lambda: page.set_input_files("#file", file(picture)))


def file(picture: bytes) -> Any:
    return {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": picture}


def settled(page: Page, act: Callable[[], object]) -> Any:
    """Does something that searches, and waits until its answer is shown. Returns the answer."""
    with page.expect_response("**/api/search") as answered:
        act()
    assert answered.value.status == 200, answered.value.text()
    expect(page.locator("#results")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#results .blank")).to_have_count(0)
    return answered.value.json()


def ids(page: Page) -> list[str]:
    found: list[str] = page.locator("#results .card").evaluate_all("cards => cards.map((one) => one.dataset.product)")
    return found


def titles(page: Page) -> list[str]:
    return page.locator("#results .card-title").all_text_contents()


def card(page: Page, product_id: str) -> Locator:
    return page.locator(f'#results [data-product="{product_id}"]')
