"""The document at /openapi.json says what the server does."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from services.web.app import STATIC
from services.web.gateway import Gateway
from tests.unit.web.asking import JSON, asked, get, post
from tests.unit.web.conftest import page_of
from tests.unit.web.shop import FakeShop
from vitrine.runtime.errors import ResourceExhausted

PAGES: Final = {"/", "/ops", "/docs", "/openapi.json"}
ASKED: Final = {
    "/api/recommend": {"history": [{"product_id": "a"}]},
    "/api/feedback": {"query_id": "q", "product_id": "a", "kind": "CLICK"},
}


@pytest.fixture
async def document(app: ASGIApp) -> dict[str, Any]:
    described: dict[str, Any] = (await get(app, "/openapi.json")).json
    return described


async def test_every_route_is_described_and_nothing_else(app: Starlette, document: dict[str, Any]) -> None:
    routes = {
        (route.path.replace(":path}", "}"), method.lower())
        for route in app.routes
        if isinstance(route, Route) and route.path not in PAGES
        for method in route.methods or ()
        if method != "HEAD"
    }
    assert [route.path for route in app.routes if isinstance(route, Mount)] == ["/static"]
    assert routes == {(path, method) for path, methods in document["paths"].items() for method in methods}


async def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references == set(document["components"]["schemas"])


async def test_every_answer_is_as_described(app: ASGIApp, document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            good, content = next((status, told) for status, told in operation["responses"].items() if status[0] == "2")
            address = path.replace("{product_id}", "shoe-1").replace("{sha256}", "0" * 64)
            query = ASKED.get(path, {"product_id": "shoe-1"})
            said = await (post(app, address, query) if method == "post" else get(app, address))
            assert said.status == int(good), (path, said.body)
            if "content" in content:
                schema = content["content"]["application/json"]["schema"]
                assert not faults(said.json, schema, document["components"]["schemas"], path)


@pytest.mark.parametrize("path", ["/api/search", "/api/recommend", "/api/look", "/api/feedback"])
async def test_every_refusal_of_what_is_sent_is_described(
    gateway: tuple[FakeShop, Gateway], document: dict[str, Any], path: str
) -> None:
    async def never_ending() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(60)

    shop, app = gateway[0], page_of(gateway[1], upload_timeout_s=0.05)
    shop.fails = ResourceExhausted("there is more to answer than can be", 1.0)
    said = [
        await asked(app, "POST", path, never_ending(), {"content-type": JSON}),
        await post(app, path, b'"' + b"x" * (1 << 20) + b'"'),
        await asked(app, "POST", path, [b"{}"], {"content-type": "text/plain"}),
        await post(app, path, ASKED.get(path, {"product_id": "shoe-1"})),
    ]
    assert [one.status for one in said] == [408, 413, 415, 429]
    assert {str(one.status) for one in said} <= set(document["paths"][path]["post"]["responses"])


@pytest.mark.parametrize("path", ["/api/products/{product_id}", "/api/samples"])
async def test_what_the_gateway_may_refuse_for_its_load_is_described(
    app: ASGIApp, shop: FakeShop, document: dict[str, Any], path: str
) -> None:
    shop.fails = ResourceExhausted("there is more to answer than can be", 1.0)
    said = await get(app, path.format(product_id="shoe-1"))
    assert said.status == 429
    assert "429" in document["paths"][path]["get"]["responses"]


async def test_every_example_is_taken(app: ASGIApp, shop: FakeShop, document: dict[str, Any]) -> None:
    bodies = {
        path: methods["post"]["requestBody"]["content"]["application/json"]["example"]
        for path, methods in document["paths"].items()
        if "post" in methods
    }
    assert len(bodies) == 4
    for path, example in bodies.items():
        assert (await post(app, path, example)).status in (200, 204)


def test_the_check_sees_what_does_not_fit() -> None:
    schemas = {"One": {"properties": {"a": {"type": "integer"}}, "required": ["a"]}}
    one = {"$ref": "#/components/schemas/One"}
    assert not faults({"a": 1}, one, schemas, "it")
    assert faults({}, one, schemas, "it") == ["it: lacks ['a']"]
    assert faults({"a": 1, "b": 2}, one, schemas, "it") == ["it: has ['b'] besides"]
    assert faults({"a": "x"}, one, schemas, "it") == ["it.a: 'x' is no integer"]


@pytest.mark.parametrize("path", sorted(STATIC.iterdir()), ids=lambda path: path.name)
def test_no_file_of_the_page_needs_anything_from_elsewhere_or_reads_text_as_html(path: Path) -> None:
    text = path.read_text().replace("http://www.w3.org/2000/svg", "")
    assert not re.findall(r"https?://|//[a-z]+\.[a-z]|@import|\burl\(", text)
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
    assert not re.findall(r"<script>|<style|\sstyle=|\son\w+=\"", text)


def faults(value: Any, schema: dict[str, Any], schemas: dict[str, Any], where: str) -> list[str]:
    """What of `value` is not as `schema` says."""
    if "$ref" in schema:
        return faults(value, schemas[schema["$ref"].rsplit("/", 1)[1]], schemas, where)
    if "anyOf" in schema:
        tried = [faults(value, one, schemas, where) for one in schema["anyOf"]]
        return [] if [] in tried else tried[0]
    if "properties" in schema and isinstance(value, dict):
        known, required = set(schema["properties"]), set(schema.get("required", ()))
        found = [f"{where}: lacks {sorted(required - set(value))}"] if required - set(value) else []
        found += [f"{where}: has {sorted(set(value) - known)} besides"] if set(value) - known else []
        return found + [
            fault
            for name, inner in value.items()
            if name in known
            for fault in faults(inner, schema["properties"][name], schemas, f"{where}.{name}")
        ]
    if schema.get("type") == "array" and isinstance(value, list):
        return [fault for one in value for fault in faults(one, schema["items"], schemas, f"{where}[]")]
    kinds: dict[str, Any] = {"integer": int, "number": (int, float), "string": str, "boolean": bool, "null": type(None)}
    kinds |= {"object": dict, "array": list}
    fits = isinstance(value, kinds[schema["type"]])
    return [] if fits else [f"{where}: {value!r} is no {schema['type']}"]
