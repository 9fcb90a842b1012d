"""Uploads stay within bounds, and are refused by name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.types import ASGIApp

from services.web.gateway import Gateway
from tests.unit.web.asking import FORM_TYPE, JSON, asked, form_of, post, post_form
from tests.unit.web.conftest import AT_ONCE, MOST_BYTES, page_of
from tests.unit.web.shop import FakeShop


@pytest.mark.parametrize("path", ["/api/search", "/api/look"])
async def test_a_picture_of_fifty_megabytes_is_refused(app: ASGIApp, shop: FakeShop, path: str) -> None:
    chunks = [b"x" * (1 << 20)] * 50
    head = b'--between-the-parts\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
    said = await asked(app, "POST", path, [head, *chunks], {"content-type": FORM_TYPE})
    assert (said.status, said.error["code"], said.error["field"]) == (413, "TOO_LARGE", "image")
    assert shop.asked == []


async def test_what_says_that_it_is_huge_is_not_read_at_all(app: ASGIApp) -> None:
    async def body() -> AsyncIterator[bytes]:
        pytest.fail("it was read")
        yield b""

    headers = {"content-type": FORM_TYPE, "content-length": str(1 << 30)}
    assert (await asked(app, "POST", "/api/search", body(), headers)).status == 413


async def test_what_never_ends_is_given_up(app: ASGIApp) -> None:
    async def body() -> AsyncIterator[bytes]:
        for sent in range(10_000):
            assert sent < 200, "it was read on and on"
            yield b"x" * (1 << 20)

    assert (await asked(app, "POST", "/api/search", body(), {"content-type": JSON})).status == 413


async def test_pictures_count_together(app: ASGIApp, shop: FakeShop) -> None:
    half = b"x" * (MOST_BYTES // 2 + 1)
    examples = {"positive": [{"image": "a"}, {"image": "b"}]}
    said = await post_form(app, "/api/search", {"examples": examples}, a=half, b=half)
    assert (said.status, said.error["field"]) == (413, "image")
    assert shop.asked == []


async def test_a_picture_of_just_the_size_that_is_allowed_goes_through(app: ASGIApp, shop: FakeShop) -> None:
    assert (await post_form(app, "/api/search", image=b"x" * MOST_BYTES)).status == 200
    assert len(shop.last.image) == MOST_BYTES


async def test_json_has_a_bound_of_its_own(app: ASGIApp) -> None:
    said = await post(app, "/api/recommend", b'"' + b"x" * (1 << 20) + b'"')
    assert (said.status, said.error["field"]) == (413, "body")


async def test_a_picture_that_the_query_does_not_name_is_not_ignored(app: ASGIApp) -> None:
    examples = {"positive": [{"product_id": "shoe-1"}]}
    said = await post_form(app, "/api/search", {"examples": examples}, stray=b"picture")
    assert (said.status, said.error["field"]) == (400, "stray")


async def test_a_product_and_a_picture_are_not_both_the_query(app: ASGIApp) -> None:
    said = await post_form(app, "/api/search", {"product_id": "shoe-1"}, image=b"picture")
    assert (said.status, said.error["field"]) == (400, "image")


async def test_more_pictures_than_a_search_can_use_are_refused(app: ASGIApp) -> None:
    said = await post_form(app, "/api/search", {}, **{f"n{number}": b"x" for number in range(9)})
    assert (said.status, said.error["field"]) == (400, "body")


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "multipart/form-data", 400),
        (b"no boundary in here", FORM_TYPE, 400),
        (b"--between-the-parts\r\n\r\n\r\n", FORM_TYPE, 400),
        (form_of([]), FORM_TYPE, 200),
        (b"product_id=shoe-1", "application/x-www-form-urlencoded", 415),
        (b"{}", "text/plain", 415),
        (b"{}", "", 415),
        (b"{}", "Application/JSON; charset=utf-8", 200),
    ],
)
async def test_only_json_and_forms_are_read(app: ASGIApp, body: bytes, content_type: str, status: int) -> None:
    said = await asked(app, "POST", "/api/search", [body], {"content-type": content_type})
    assert said.status == status, said.body


async def test_somebody_elses_page_cannot_send_feedback_by_a_form(app: ASGIApp, shop: FakeShop) -> None:
    for content_type in ("text/plain", FORM_TYPE, "application/x-www-form-urlencoded"):
        body = b'{"query_id": "q", "product_id": "p", "kind": "CLICK"}'
        assert (await asked(app, "POST", "/api/feedback", [body], {"content-type": content_type})).status == 415
    assert shop.asked == []


async def test_an_upload_that_dawdles_is_given_up(gateway: tuple[FakeShop, Gateway]) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(60)

    app = page_of(gateway[1], upload_timeout_s=0.05)
    said = await asked(app, "POST", "/api/search", body(), {"content-type": JSON})
    assert (said.status, said.error["code"]) == (408, "TOO_SLOW")


async def test_no_more_uploads_are_taken_in_than_there_is_room_for(app: ASGIApp) -> None:
    begun, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        begun.release()
        await go_on.wait()
        yield form_of([])

    headers = {"content-type": FORM_TYPE}
    first = [asyncio.create_task(asked(app, "POST", "/api/search", body(), headers)) for _ in range(AT_ONCE)]
    for _ in first:
        await begun.acquire()
    refused = await post_form(app, "/api/search", image=b"one too many")
    assert (refused.status, refused.error["code"]) == (429, "RESOURCE_EXHAUSTED")
    assert int(refused.headers["retry-after"]) >= 1
    go_on.set()
    assert [said.status for said in await asyncio.gather(*first)] == [200] * AT_ONCE
    assert (await post_form(app, "/api/search", image=b"again")).status == 200
