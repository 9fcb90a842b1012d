"""What the gateway says, as JSON; what goes wrong, as HTTP; and what browsers are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from starlette.types import ASGIApp

from services.web.gateway import Gateway
from tests.unit.web.asking import asked, get, post, post_form
from tests.unit.web.conftest import page_of
from tests.unit.web.shop import SHA256, FakeShop
from vitrine.runtime.errors import (
    BadImage,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    UnknownProduct,
    VitrineError,
)

THUMBNAIL = f"/thumbs/{SHA256.hex()}"


async def test_a_search_says_what_it_found_and_how_complete_that_is(app: ASGIApp) -> None:
    answer = (await post_form(app, "/api/search", {"crop_mode": "auto", "category_mode": "predict"}, image=b"x")).json
    best = answer["results"][0]
    assert (best["product_id"], best["thumbnail"], best["category"]) == ("shoe-1", THUMBNAIL, "Shoes")
    assert best["score"] == pytest.approx(0.91)
    assert best["attributes"] == {
        "new": True,
        "price": 29.5,
        "sizes": ["S", "M"],
        "title": "<script>alert(1)</script>",
    }
    assert answer["coverage"] == {
        "partitions_total": 2,
        "partitions_answered": 1,
        "rows_searched": 100,
        "failures": [{"partition": 1, "reason": "away"}],
    }
    assert answer["index_time"] == "2023-11-14T22:13:20Z"
    assert answer["facets"][0]["counts"] == [{"value": "Shoes", "products": 2}]
    assert answer["region"] == {"crop": None, "no_product_score": 0.75}
    assert answer["predicted_category"] == {"category": "Shoes", "confidence": 0.5, "applied": False}


async def test_what_was_not_asked_for_is_null(app: ASGIApp) -> None:
    answer = (await post(app, "/api/search", {"product_id": "a"})).json
    assert (answer["region"], answer["predicted_category"]) == (None, None)


async def test_the_catalogue_says_what_can_be_filtered_by(app: ASGIApp) -> None:
    answer = (await get(app, "/api/catalogue")).json
    assert answer["categories"] == [{"category": "Bags", "images": 30}, {"category": "Shoes", "images": 20}]
    assert answer["price_field"] == "attributes.price"
    # A brand is a number in one partition: a choice of words would not meet it.
    assert answer["choice_fields"] == ["attributes.colour"]


async def test_the_status_says_the_lowest_recall_and_that_of_real_queries(app: ASGIApp) -> None:
    first, second = (await get(app, "/api/ops/status")).json["partitions"]
    assert first["recall_at_10"] == 0.99
    assert (first["probed_recall"], second["probed_recall"]) == (None, 0.97)
    assert [shard["kind"] for shard in first["shards"]] == ["fresh", "rolled"]


async def test_dead_letters_come_newest_first_and_all_are_counted(app: ASGIApp, shop: FakeShop) -> None:
    shop.letters = 250
    answer = (await get(app, "/api/ops/dlq")).json
    assert (answer["total"], len(answer["letters"])) == (250, 100)
    assert [letter["offset"] for letter in answer["letters"][:2]] == [249, 248]


async def test_recent_queries_have_results_and_no_picture(app: ASGIApp) -> None:
    [query] = (await get(app, "/api/ops/recent")).json["queries"]
    assert (query["kind"], query["handled_ms"], query["results"][0]["thumbnail"]) == ("image", 4.5, THUMBNAIL)
    assert "image" not in query


async def test_a_thumbnail_is_kept_for_ever(app: ASGIApp) -> None:
    said = await get(app, THUMBNAIL)
    assert (said.status, said.headers["content-type"], said.body) == (200, "image/webp", b"RIFF....WEBP")
    assert said.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    ("error", "status", "code", "field"),
    [
        (InvalidArgument("history[3].weight", "is 0"), 400, "INVALID_ARGUMENT", "history[3].weight"),
        (BadImage("is not a JPEG, PNG or WebP picture"), 400, "INVALID_ARGUMENT", "image"),
        (UnknownProduct("gone"), 404, "NOT_FOUND", "product_id"),
        (NotFound("it is away"), 404, "NOT_FOUND", ""),
        (FailedPrecondition("model_id: differs"), 409, "FAILED_PRECONDITION", "model_id"),
        (ResourceExhausted("the queue is full", 2.5), 429, "RESOURCE_EXHAUSTED", ""),
        (Unavailable("partition 1: away"), 503, "UNAVAILABLE", ""),
        (DeadlineExceeded("too late"), 504, "DEADLINE_EXCEEDED", ""),
        (VitrineError("the embedder failed: a secret"), 500, "INTERNAL", ""),
    ],
)
async def test_each_failure_has_a_fitting_status(
    app: ASGIApp, shop: FakeShop, error: VitrineError, status: int, code: str, field: str
) -> None:
    shop.fails = error
    said = await post(app, "/api/search", {"product_id": "a"})
    assert (said.status, said.error["code"], said.error["field"]) == (status, code, field)
    assert "secret" not in said.error["message"]


async def test_who_is_told_to_wait_is_told_how_long(app: ASGIApp, shop: FakeShop) -> None:
    shop.fails = ResourceExhausted("the queue is full", 2.5)
    assert (await post(app, "/api/search", {"product_id": "a"})).headers["retry-after"] == "3"
    shop.fails = Unavailable("away")
    assert (await get(app, "/api/ops/status")).headers["retry-after"] == "1"


async def test_a_token_that_is_refused_is_no_matter_of_waiting(app: ASGIApp, shop: FakeShop) -> None:
    shop.fails = Unauthenticated("authorization: the call's bearer token is not known here")
    said = await post(app, "/api/search", {"product_id": "a"})
    assert said.status == 503
    assert "retry-after" not in said.headers


async def test_a_page_that_the_gateway_does_not_let_in_is_not_ready(gateway: tuple[FakeShop, Gateway]) -> None:
    shop, page = gateway
    shop.fails = PermissionDenied("web may not call VisualSearch/GetIndexStatus: it needs the role search")
    watching = asyncio.ensure_future(page.watch())
    await _until(lambda: (page.not_ready() or "").startswith("the gateway refuses the page: web may not"))
    shop.fails = None
    await _until(lambda: page.not_ready() is None)
    watching.cancel()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  (nothing tells)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("path", ["/", "/ops", "/docs", "/openapi.json", "/static/app.js", "/api/catalogue", "/none"])
async def test_every_answer_tells_browsers_what_to_refuse(app: ASGIApp, path: str) -> None:
    headers = (await get(app, path)).headers
    policy = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["img-src"] == "'self' blob:"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == ("no-store" if path.startswith("/api/") else "no-cache")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/none", 404),
        ("GET", "/static/none.js", 404),
        ("GET", "/static/../app.py", 404),
        ("GET", "/static/%2e%2e/app.py", 404),
        ("DELETE", "/api/search", 405),
        ("POST", "/", 405),
    ],
)
async def test_what_is_not_there_is_said_as_json(app: ASGIApp, method: str, path: str, status: int) -> None:
    said = await asked(app, method, path, [], {})
    assert (said.status, said.error["field"]) == (status, "path")


async def test_without_ops_there_is_nothing_of_it(gateway: tuple[FakeShop, Gateway]) -> None:
    app = page_of(gateway[1], ops=False)
    for path in ("/ops", "/api/ops/status", "/api/ops/recent", "/api/ops/dlq"):
        assert (await get(app, path)).status == 404
    assert not [path for path in (await get(app, "/openapi.json")).json["paths"] if "ops" in path]
    assert (await get(app, "/api/catalogue")).json["ops"] is False
