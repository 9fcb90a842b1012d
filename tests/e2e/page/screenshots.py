"""python -m tests.e2e.page.screenshots FOLDER: the pictures of the page that the documents show."""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.e2e.page.browser import chromium, running_browser
from tests.e2e.page.driving import DESKTOP, PHONE, file, settled
from tests.e2e.page.shop import PageShop, page_shop
from vitrine.cli import ingesting

PRODUCTS = 450
PHOTOS = 45


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    folder = arguments.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    path = chromium()
    assert path, "no Chromium: see scripts/browser.sh"
    with (
        tempfile.TemporaryDirectory() as work,
        page_shop(Path(work) / "stack", PRODUCTS, PHOTOS, views=2) as shop,
        running_browser(path) as browser,
    ):
        ingesting.roll(shop.stack.addresses["indexer"].grpc)
        for name, size in (("page", DESKTOP), ("page-phone", PHONE)):
            page = opened(browser, shop, size)
            saved(page, folder / f"{name}-start.png")
            searched(page, shop)
            page.evaluate("scrollTo(0, 0)")
            saved(page, folder / f"{name}.png")
            looked_at(page)
            saved(page, folder / f"{name}-detail.png")
            page.get_by_role("button", name="Complete the look").last.click()
            expect(page.locator("#looks .card").first).to_be_visible()
            page.wait_for_load_state("networkidle")
            saved(page, folder / f"{name}-look.png")
        page = opened(browser, shop, DESKTOP)
        for path in ("ops", "docs"):
            page.goto(f"/{path}")
            page.wait_for_load_state("networkidle")
            saved(page, folder / f"{path}.png", full_page=path == "ops")
        page.emulate_media(color_scheme="dark")
        page.goto("/")
        searched(page, shop)
        saved(page, folder / "page-dark.png")


def opened(browser: Browser, shop: PageShop, size: ViewportSize) -> Page:
    page = browser.new_page(base_url=shop.address, viewport=size)
    page.goto("/")
    expect(page.locator("#samples .card").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    return page


def searched(page: Page, shop: PageShop) -> None:
    """A photo of a bag, two likes and a dislike."""
    photo = next(photo for photo in shop.photos if photo.product.category == "Bags")
    settled(page, lambda: page.set_input_files("#file", file(photo.picture)))
    page.locator("#results [data-mark=like]").nth(1).click()
    page.locator("#results [data-mark=like]").nth(3).click()
    page.locator("#results [data-mark=dislike]").nth(2).click()
    page.wait_for_load_state("networkidle")


def saved(page: Page, path: Path, full_page: bool = False) -> None:
    """With as many colours as a palette holds: a third of the bytes, and no eye sees it."""
    page.evaluate("[...document.images].forEach((image) => (image.loading = 'eager'))")
    page.wait_for_function("() => [...document.images].every((image) => image.complete)")
    with Image.open(io.BytesIO(page.screenshot(full_page=full_page))) as shown:
        shown.convert("RGB").quantize(256, kmeans=3).save(path, optimize=True)


def looked_at(page: Page) -> None:
    page.locator("#results .card-title button").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.wait_for_load_state("networkidle")


if __name__ == "__main__":
    main()
