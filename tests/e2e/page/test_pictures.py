"""How pictures come in, what is refused, and that nothing of them is kept."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.page.driving import file, on_a_phone, settled, titles, upload
from tests.e2e.page.shop import PageShop


def test_a_picture_is_dropped(page: Page, shop: PageShop) -> None:
    settled(page, lambda: bring(page, "drop", shop.photos[0].picture))
    assert len(titles(page)) == 24


def test_a_picture_is_pasted(page: Page, shop: PageShop) -> None:
    settled(page, lambda: bring(page, "paste", shop.photos[0].picture))
    assert len(titles(page)) == 24


@on_a_phone
def test_a_photograph_comes_from_the_camera(page: Page, shop: PageShop) -> None:
    assert page.locator("#photo").get_attribute("capture") == "environment"
    settled(page, lambda: page.set_input_files("#photo", file(shop.photos[0].picture)))
    assert len(titles(page)) == 24


@pytest.mark.parametrize(
    ("name", "kind", "data"),
    [
        ("page.jpg", "image/jpeg", b"<!doctype html><script>window.taken=1</script>"),
        ("drawing.svg", "image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg' onload='window.taken=1'/>"),
        ("drawing.png", "image/png", b"<svg xmlns='http://www.w3.org/2000/svg' onload='window.taken=1'/>"),
    ],
)
def test_what_poses_as_a_picture_is_refused_in_words(page: Page, name: str, kind: str, data: bytes) -> None:
    page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": data})
    expect(page.locator("#notes")).to_contain_text("is not a JPEG, PNG or WebP picture")
    assert page.evaluate("window.taken") is None


def test_a_picture_that_is_too_large_is_refused_in_words(page: Page) -> None:
    page.set_input_files("#file", {"name": "big.jpg", "mimeType": "image/jpeg", "buffer": b"x" * (12 << 20)})
    expect(page.locator("#notes")).to_contain_text("too large")


def test_nothing_of_a_picture_is_kept(page: Page, shop: PageShop) -> None:
    upload(page, shop.photos[0].picture)
    page.locator("#results .card-title button").first.click()
    page.keyboard.press("Escape")
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    local, session, cookie = json.loads(kept)
    assert (local, cookie, set(session)) == ({}, "", {"vitrine.history"})
    assert page.evaluate("indexedDB.databases().then(all => all.length)") == 0
    assert page.evaluate("caches.keys().then(all => all.length)") == 0


def bring(page: Page, kind: str, picture: bytes) -> None:
    """Drops or pastes a picture, as the browser would tell of it."""
    page.evaluate(
        """([kind, numbers]) => {
            const carried = new DataTransfer();
            carried.items.add(new File([new Uint8Array(numbers)], "photo.jpg", { type: "image/jpeg" }));
            const event = kind === "paste"
                ? new ClipboardEvent("paste", { clipboardData: carried, bubbles: true })
                : new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true });
            document.body.dispatchEvent(event);
        }""",
        [kind, list(picture)],
    )
