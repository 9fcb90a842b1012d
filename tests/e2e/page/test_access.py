"""For everybody: by keyboard, on a phone, with a screen reader, without waiting."""

from __future__ import annotations

import statistics
from typing import Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.e2e.page.driving import DESKTOP, file, ids, on_a_phone, on_both, settled, upload
from tests.e2e.page.shop import PageShop

GRID_MS: Final = 300


@on_both
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_an_accessibility_fault(page: Page, shop: PageShop, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    expect(page.locator("#samples .card").first).to_be_visible()
    assert faults(page) == []
    upload(page, shop.photos[0].picture)
    page.locator("#results [data-mark=like]").first.click()
    page.locator("#results [data-mark=dislike]").nth(1).click()
    page.locator("#filters-part").evaluate("part => part.open = true")
    assert faults(page) == []
    page.locator("#results .card-title button").nth(2).click()
    expect(page.locator("#because .card").first).to_be_attached()
    assert faults(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Complete the look").click()
    expect(page.locator("#looks .card").first).to_be_visible()
    assert faults(page) == []
    page.goto("/ops")
    expect(page.locator("#partitions tr")).to_have_count(2)
    assert faults(page) == []
    page.goto("/docs")
    expect(page.locator(".endpoint").first).to_be_visible()
    assert faults(page) == []


def test_the_check_for_accessibility_sees_a_fault(page: Page) -> None:
    page.evaluate("document.querySelector('#start-title').after(document.createElement('button'))")
    assert faults(page) == ["button-name: <button></button>"]


def test_everything_works_by_keyboard(page: Page, shop: PageShop) -> None:
    with page.expect_file_chooser() as chosen:
        focus_by_tab(page, "[data-pick=file]")
        page.keyboard.press("Enter")
    settled(page, lambda: chosen.value.set_files(file(shop.photos[2].picture)))
    expect(page.locator("#found-title")).to_be_focused()
    liked = ids(page)[0]
    focus_by_tab(page, "#results .card:first-child [data-mark=like]")
    page.keyboard.press("Space")
    focus_by_tab(page, "#refine-go")
    settled(page, lambda: page.keyboard.press("Enter"))
    assert liked not in ids(page)
    focus_by_tab(page, "#filters input[data-choice^='category=']", backwards=True)
    settled(page, lambda: page.keyboard.press("Space"))
    expect(page.locator("#filters input[data-choice^='category=']:checked")).to_be_focused()
    focus_by_tab(page, "#results .card:first-child .card-title button")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#results .card:first-child .card-title button")).to_be_focused()
    focus_by_tab(page, "#look", backwards=True)
    page.keyboard.press("Enter")
    expect(page.locator("#looks .card").first).to_be_visible()


@on_both
def test_focus_can_be_seen(page: Page, shop: PageShop) -> None:
    upload(page, shop.photos[0].picture)
    for selector in ("#sort", "#results [data-mark=like]", "#crop-whole", ".corner.nw", ".top nav a"):
        page.locator(selector).first.focus()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Tab")
        style = page.locator(selector).first.evaluate("e => getComputedStyle(e).outlineStyle")
        assert style != "none", selector


@on_a_phone
def test_what_is_touched_is_large_enough(page: Page, shop: PageShop) -> None:
    upload(page, shop.photos[0].picture)
    small = page.evaluate(
        """[...document.querySelectorAll("button, select, .chip, .check")]
        .filter((e) => e.checkVisibility() && !e.matches(".card-title button, .crop-box"))
        .map((e) => [e.id || e.className || e.textContent, e.getBoundingClientRect()])
        .filter(([, r]) => r.height < 24 || r.width < 24).map(([name]) => name)"""
    )
    assert small == []


def test_the_first_grid_is_there_soon_after_the_answer(browser: Browser, shop: PageShop) -> None:
    took_ms = []
    for photo in shop.photos[:5]:
        context = browser.new_context(base_url=shop.address, viewport=DESKTOP)
        page = context.new_page()
        page.goto("/")
        upload(page, photo.picture)
        page.wait_for_function("() => performance.getEntriesByName('vitrine:grid').length")
        took_ms.append(page.evaluate("performance.getEntriesByName('vitrine:grid')[0].duration"))
        context.close()
    assert statistics.median(took_ms) <= GRID_MS


def test_nothing_jumps_when_the_grid_arrives(page: Page, shop: PageShop) -> None:
    page.evaluate(
        """window.jumps = 0; new PerformanceObserver((seen) => {
            for (const shift of seen.getEntries()) if (!shift.hadRecentInput) window.jumps += shift.value;
        }).observe({ type: "layout-shift" })"""
    )
    upload(page, shop.photos[0].picture)
    settled(page, lambda: page.get_by_label("More variety").check())
    page.wait_for_timeout(300)
    assert page.evaluate("window.jumps") < 0.1


def faults(page: Page) -> list[str]:
    """The rules of axe-core that the page breaks, serious or not, and where."""
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]


def focus_by_tab(page: Page, selector: str, backwards: bool = False) -> None:
    """Presses Tab until the focus is where `selector` says."""
    for _ in range(150):
        page.keyboard.press("Shift+Tab" if backwards else "Tab")
        if page.evaluate("selector => document.activeElement?.matches(selector)", selector):
            return
    pytest.fail(f"{selector} cannot be reached by keyboard")
