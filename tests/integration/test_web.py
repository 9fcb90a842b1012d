"""The page's server in front of real services: how it starts and ends, and what it refuses."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.integration.shop import Shop, eventually, http, metric
from vitrine.cli.stack import Address
from vitrine.runtime.ports import LOCALHOST, free_port

BOX = {"left": 0.2, "top": 0.2, "right": 0.8, "bottom": 0.8}


@pytest.fixture(scope="module")
def web(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    with running_web(shop.stack.gateway, tmp_path_factory.mktemp("web") / "web.log") as (address, _):
        yield address


@pytest.fixture
def picture(shop: Shop) -> bytes:
    return shop.products[0].pictures[0]


def test_a_picture_finds_its_product(web: Address, shop: Shop, picture: bytes) -> None:
    status, answer = search(web, {"page_size": 5, "facets": ["category"]}, image=picture)
    assert status == 200
    assert answer["results"][0]["product_id"] == shop.products[0].product_id
    assert answer["results"][0]["score"] == pytest.approx(1, abs=1e-3)
    assert len(answer["results"]) == 5
    assert answer["coverage"]["failures"] == []
    assert answer["facets"][0]["field"] == "category"


def test_a_thumbnail_is_where_the_answer_says(web: Address, picture: bytes) -> None:
    _, answer = search(web, image=picture)
    status, kind, webp = asked(web, "GET", answer["results"][0]["thumbnail"])
    assert (status, kind) == (200, "image/webp")
    with Image.open(io.BytesIO(webp)) as thumbnail:
        assert max(thumbnail.size) == 256


def test_pages_follow_each_other(web: Address, picture: bytes) -> None:
    _, first = search(web, {"page_size": 10}, image=picture)
    _, second = search(web, {"page_size": 10, "page_token": first["next_page_token"]}, image=picture)
    found = [hit["product_id"] for page in (first, second) for hit in page["results"]]
    assert len(set(found)) == 20


def test_samples_are_real_products(web: Address, shop: Shop) -> None:
    _, _, body = asked(web, "GET", "/api/samples?count=9")
    found = [hit["product_id"] for hit in json.loads(body)["results"]]
    assert len(found) == len(set(found)) == 9
    assert set(found) <= {product.product_id for product in shop.products}


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ({}, 400, "query"),
        ({"product_id": ""}, 400, "product_id"),
        ({"product_id": "nobody-sells-it"}, 404, "product_id"),
        ({"product_id": "x", "crop": BOX}, 400, "crop"),
        ({"product_id": "x", "page_size": 1000, "facets": ["category"] * 17}, 400, "facets"),
        ({"product_id": "x", "filter": {"all_of": [{"field": "colour", "any_string": ["a"]}]}}, 400, "filter"),
        ({"product_id": "x", "filter": {"all_of": [{"field": "category", "any_string": []}]}}, 400, "filter"),
        ({"product_id": "x", "page_token": "made-up"}, 400, "page_token"),
        ({"product_id": "x", "surface": "<script>"}, 400, "surface"),
        ({"product_id": "x", "history": [{"product_id": "y", "weight": 0}]}, 400, "history[0].weight"),
        ({"product_id": "x", "diversity": 2.0}, 400, "diversity"),
        ({"examples": {"negative": [{"product_id": "x"}]}}, 400, "examples.positive"),
        ({"examples": {"positive": [{"product_id": "x"}], "negative": [{"product_id": "x"}]}}, 400, "examples"),
        ({"examples": {"positive": [{"product_id": "x", "weight": 0}]}}, 400, "examples.positive[0].weight"),
    ],
)
def test_a_bad_search_is_refused_by_name(web: Address, query: Any, status: int, field: str) -> None:
    refused, answer = search(web, query)
    assert (refused, answer["error"]["field"][: len(field)]) == (status, field), answer


@pytest.mark.parametrize("crop", [{**BOX, "right": 1.5}, {**BOX, "left": 0.9}, {**BOX, "top": -0.1}])
def test_a_crop_outside_the_picture_is_refused(web: Address, picture: bytes, crop: dict[str, float]) -> None:
    status, answer = search(web, {"crop": crop}, image=picture)
    assert (status, answer["error"]["field"][:4]) == (400, "crop")


@pytest.mark.parametrize(
    "data",
    [
        b"<!doctype html><script>alert(1)</script>",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"GIF89a" + bytes(100),
        b"\xff\xd8\xff\xe0" + bytes(100),
        b"",
    ],
)
def test_what_poses_as_a_picture_is_refused_by_name(web: Address, data: bytes) -> None:
    for path in ("/api/search", "/api/look"):
        status, answer = posted(web, path, {}, image=data)
        assert (status, answer["error"]["code"], answer["error"]["field"]) == (400, "INVALID_ARGUMENT", "image"), answer


def test_an_upload_of_fifty_megabytes_is_refused_and_the_server_stays_small(web: Address, picture: bytes) -> None:
    before = memory_bytes(web)
    for _ in range(3):
        status, answer = search(web, image=b"x" * (50 << 20))
        assert (status, answer["error"]["field"]) == (413, "image")
    assert memory_bytes(web) - before < 40 << 20
    assert search(web, image=picture)[0] == 200


def test_an_empty_history_is_refused_by_name(web: Address) -> None:
    status, answer = posted(web, "/api/recommend", {"history": []})
    assert (status, answer["error"]["field"]) == (400, "history")


def test_feedback_on_nothing_that_was_asked_is_refused_by_name(web: Address) -> None:
    status, answer = posted(web, "/api/feedback", {"query_id": "made up", "product_id": "p", "kind": "CLICK"})
    assert (status, answer["error"]["field"][-8:]) == (400, "query_id")


def test_feedback_is_taken(web: Address, picture: bytes) -> None:
    _, answer = search(web, image=picture)
    event = {"query_id": answer["query_id"], "product_id": answer["results"][0]["product_id"], "kind": "CLICK"}
    assert posted(web, "/api/feedback", event)[0] == 204


def test_the_server_reports_like_every_other(web: Address, picture: bytes) -> None:
    before = metric(web.http, "vitrine_web_call_seconds_count", method="search", code="200")
    search(web, image=picture)
    assert metric(web.http, "vitrine_web_call_seconds_count", method="search", code="200") == before + 1
    assert http(web.http, "/livez")[0] == http(web.http, "/readyz")[0] == 200


def test_metrics_are_not_where_shoppers_are(web: Address) -> None:
    for path in ("/metrics", "/livez", "/readyz"):
        assert asked(web, "GET", path)[0] == 404


def test_without_a_gateway_it_is_not_ready_and_says_so(tmp_path: Path) -> None:
    with running_web(f"{LOCALHOST}:{free_port()}", tmp_path / "log", until_ready=False) as (web, _):
        eventually(lambda: http(web.http, "/readyz")[1].startswith("the gateway does not answer"))
        status, answer = search(web, {"product_id": "x"})
        assert (status, answer["error"]["code"]) == (503, "UNAVAILABLE")
        assert asked(web, "GET", "/")[0] == 200


def test_sigterm_lets_what_is_under_way_finish(shop: Shop, picture: bytes, tmp_path: Path) -> None:
    with running_web(shop.stack.gateway, tmp_path / "log") as (web, process):
        with socket.create_connection((LOCALHOST, int(web.page.rsplit(":", 1)[1]))) as slow:
            body = form({}, image=picture)
            slow.sendall(
                b"POST /api/search HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                b"Content-Type: multipart/form-data; boundary=between\r\n"
                + f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body[:100]
            )
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            eventually(lambda: http(web.http, "/readyz")[1].strip() == "draining")
            slow.sendall(body[100:])
            assert slow.recv(1 << 16).startswith(b"HTTP/1.1 200")
        assert process.wait(20) == 0
    assert json.loads((tmp_path / "log").read_text().splitlines()[-1])["event"] == "stopped"


@pytest.mark.parametrize("field", ["port", "http_port"])
def test_a_port_that_is_taken_is_an_error(field: str) -> None:
    with socket.create_server((LOCALHOST, 0)) as taken:
        ports = {"port": free_port(), "http_port": free_port(), field: taken.getsockname()[1]}
        done = subprocess.run(
            command("127.0.0.1:9", ports["port"], ports["http_port"]),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"web: {field}: ")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (["--timeout-s", "0"], "timeout_s"),
        (["--upload-bytes", "999999999"], "upload_bytes"),
        (["--gateway", ""], "gateway"),
    ],
)
def test_wrong_settings_are_named(options: Sequence[str], field: str) -> None:
    wrong = [*command("127.0.0.1:9", free_port(), free_port()), *options]
    done = subprocess.run(wrong, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"web: {field}: ")


@contextmanager
def running_web(gateway: str, log: Path, until_ready: bool = True) -> Iterator[tuple[Address, subprocess.Popen[bytes]]]:
    port, http_port = free_port(), free_port()
    address = Address("", f"{LOCALHOST}:{http_port}", page=f"{LOCALHOST}:{port}")
    with (
        log.open("ab") as said,
        subprocess.Popen(
            command(gateway, port, http_port), stdin=subprocess.DEVNULL, stdout=said, stderr=said
        ) as process,
    ):
        try:
            eventually(lambda: answers(address, "/readyz" if until_ready else "/livez"))
            yield address, process
        finally:
            process.terminate()
            process.wait(20)


def command(gateway: str, port: int, http_port: int) -> list[str]:
    ports = ["--port", str(port), "--http-port", str(http_port), "--parent-pid", str(os.getpid())]
    return [sys.executable, "-m", "services.web", *ports, "--gateway", gateway]


def answers(address: Address, path: str) -> bool:
    try:
        return http(address.http, path)[0] == 200
    except OSError:
        return False


def search(web: Address, query: Any = None, /, **pictures: bytes) -> tuple[int, Any]:
    return posted(web, "/api/search", query or {}, **pictures)


def posted(web: Address, path: str, query: Any, /, **pictures: bytes) -> tuple[int, Any]:
    """Status and answer. A form where there are pictures, else JSON."""
    if pictures:
        status, _, body = asked(web, "POST", path, form(query, **pictures), "multipart/form-data; boundary=between")
    else:
        status, _, body = asked(web, "POST", path, json.dumps(query).encode(), "application/json")
    return status, json.loads(body or b"null")


def form(query: Any, /, **pictures: bytes) -> bytes:
    parts = [('name="query"', json.dumps(query).encode())]
    parts += [(f'name="{name}"; filename="{name}.jpg"', data) for name, data in pictures.items()]
    made = [
        f"--between\r\nContent-Disposition: form-data; {said}\r\n\r\n".encode() + data + b"\r\n" for said, data in parts
    ]
    return b"".join(made) + b"--between--\r\n"


def asked(web: Address, method: str, path: str, body: bytes | None = None, kind: str = "") -> tuple[int, str, bytes]:
    """Status, content type and body."""
    connection = HTTPConnection(web.page, timeout=30)
    try:
        connection.request(method, path, body, {"content-type": kind} if kind else {})
        response = connection.getresponse()
        return response.status, response.headers.get("content-type", ""), response.read()
    finally:
        connection.close()


def memory_bytes(web: Address) -> float:
    return metric(web.http, "process_resident_memory_bytes")
