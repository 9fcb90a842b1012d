"""One shop with a page for all tests here, one browser, and a new visitor for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.page.browser import chromium, running_browser
from tests.e2e.page.driving import DESKTOP, NOTES_WHAT_IS_ASKED, at_home
from tests.e2e.page.shop import PHOTOS, PRODUCTS, PageShop, page_shop


@pytest.fixture(scope="session")
def chromium_path() -> str:
    path = chromium()
    if path is None:
        pytest.skip("no Chromium on PATH (scripts/browser.sh installs one)")
    return path


# A module, not the session: as long as Playwright runs, so does its event loop, and no test can have one of its own.
@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with running_browser(chromium_path) as browser:
        yield browser


@pytest.fixture(scope="session")
def shop(chromium_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageShop]:
    with page_shop(tmp_path_factory.mktemp("page") / "stack", PRODUCTS, PHOTOS) as shop:
        yield shop


@pytest.fixture(params=[DESKTOP], ids=["desktop"])
def page(browser: Browser, shop: PageShop, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A visitor at the beginning. Nothing may be fetched from elsewhere, break the policy, or go wrong unseen."""
    context = browser.new_context(base_url=shop.address, viewport=request.param)
    context.set_default_timeout(15_000)
    context.add_init_script(NOTES_WHAT_IS_ASKED)
    said: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("request", lambda asked: None if at_home(asked.url, shop) else said.append(asked.url))
    page.goto("/")
    yield page
    context.close()
    # The browser logs refusals that a test brings about, too.
    assert [line for line in said if "Failed to load resource" not in line] == []
