"""The indexer fetches a picture only from where it was told it may, and never waits or reads without end."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote, urlsplit

import pytest

from services.indexer.fetch import RefusedUri, UriFetcher
from vitrine.runtime.errors import BadImage, ConfigError, Unavailable

PICTURE = b"picture" * 1000


class _Handler(BaseHTTPRequestHandler):
    """The path says how to answer: /status/404, /to?<uri>, /drip, /drip-headers, /chunked, /cut; else the picture."""

    protocol_version = "HTTP/1.1"
    server: _Shop

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        asked = urlsplit(self.path)
        step, _, rest = asked.path.removeprefix("/").partition("/")
        with contextlib.suppress(OSError):  # the fetcher may hang up on us
            match step:
                case "status":
                    self._answer(int(rest), b"no picture")
                case "to":
                    self._answer(302, b"", Location=unquote(asked.query))
                case "loop":
                    self._answer(302, b"", Location="/loop/again")
                case "drip" | "drip-headers":
                    self._drip(in_body=step == "drip")
                case "cut":
                    self._answer(200, PICTURE[:10], **{"Content-Length": "1000"})
                case "chunked":
                    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(PICTURE), PICTURE)
                    self._answer(200, chunks, **{"Transfer-Encoding": "chunked"})
                case "bucket":
                    dates = {"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT", "ETag": '"1"'}
                    self._answer(int(rest) if rest.isdigit() else 200, PICTURE, **dates)
                case _:
                    self._answer(200, PICTURE)

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        if "Transfer-Encoding" not in headers:
            headers = {"Content-Length": str(len(body))} | headers
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def _drip(self, in_body: bool) -> None:
        if in_body:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
        else:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            self.wfile.write(b"x")
            self.server.dripped.set()
            time.sleep(0.02)

    def log_message(self, *_: object) -> None: ...


class _Shop(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.dripped = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def fetch(self, path: str, timeout_s: float = 5.0, max_bytes: int = 1_000_000) -> bytes:
        return UriFetcher([self.url], timeout_s, max_bytes, allow_private=True).fetch(self.url + path)


@pytest.fixture
def shop() -> Iterator[_Shop]:
    with _Shop() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def no_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(_: socket.socket, address: object) -> None:
        raise ConnectionRefusedError(f"connected to {address}")

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.mark.parametrize("path", ["/a.jpg", "/chunked", "/a%20b/c%C3%A9.jpg?size=1&v=%2e%2e", "/a b/é.jpg"])
def test_a_picture_comes_back_whole(shop: _Shop, path: str) -> None:
    assert shop.fetch(path) == PICTURE


def test_the_server_sees_its_own_name_and_no_compression_is_asked_for(shop: _Shop) -> None:
    shop.fetch("/a b.jpg?q=1#fragment")

    [(path, headers)] = shop.asked
    assert path == "/a%20b.jpg?q=1"
    assert (headers["Host"], headers["Accept-Encoding"]) == (urlsplit(shop.url).netloc, "identity")


def test_proxies_of_the_environment_are_not_used(shop: _Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert shop.fetch("/a.jpg") == PICTURE


def test_a_refused_uri_is_a_bad_image_that_names_its_field(shop: _Shop) -> None:
    with pytest.raises(BadImage, match=r"^uri: .* answered 404$") as refused:
        shop.fetch("/status/404")

    assert refused.value.field == "uri"


@pytest.mark.parametrize("status", [204, 206, 304, 400, 401, 403, 404, 410, 451])
def test_some_statuses_are_for_good(shop: _Shop, status: int) -> None:
    with pytest.raises(RefusedUri):
        shop.fetch(f"/status/{status}")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_some_statuses_are_worth_another_try(shop: _Shop, status: int) -> None:
    with pytest.raises(Unavailable, match=str(status)):
        shop.fetch(f"/status/{status}")


@pytest.mark.parametrize("path", ["/drip", "/drip-headers"])
def test_a_server_that_drips_is_left_at_the_deadline(shop: _Shop, path: str) -> None:
    start_s = time.monotonic()
    with pytest.raises(Unavailable, match=r"more than 0\.3 s"):
        shop.fetch(path, timeout_s=0.3)

    assert shop.dripped.is_set()
    assert time.monotonic() - start_s < 1.5


def test_no_thread_stays_with_a_server_that_drips(shop: _Shop) -> None:
    with pytest.raises(Unavailable):
        shop.fetch("/drip-headers", timeout_s=0.2)

    patience_s = time.monotonic() + 2
    while any(thread.name.startswith("fetch") for thread in threading.enumerate()):
        assert time.monotonic() < patience_s
        time.sleep(0.01)


def test_a_resolver_that_hangs_is_left_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    awake = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: awake.wait(5) and [])
    start_s = time.monotonic()
    with pytest.raises(Unavailable):
        UriFetcher(["http://shop.example"], timeout_s=0.2).fetch("http://shop.example/a.jpg")

    assert time.monotonic() - start_s < 1.5
    awake.set()


@pytest.mark.parametrize("path", ["/a.jpg", "/chunked"])
def test_a_body_over_the_limit_is_refused(shop: _Shop, path: str) -> None:
    assert shop.fetch(path, max_bytes=len(PICTURE)) == PICTURE
    with pytest.raises(RefusedUri, match="more than 6999 bytes"):
        shop.fetch(path, max_bytes=len(PICTURE) - 1)


def test_half_a_body_is_not_taken_for_a_picture(shop: _Shop) -> None:
    with pytest.raises(Unavailable, match="broke off 990 bytes"):
        shop.fetch("/cut")


def test_nobody_listening_is_worth_another_try() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(Unavailable, match="ConnectionRefusedError"):
        UriFetcher([url], allow_private=True).fetch(url)


def test_a_name_that_does_not_resolve_is_worth_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(Unavailable, match="gaierror"):
        UriFetcher(["http://shop.example"]).fetch("http://shop.example/a.jpg")


@pytest.mark.parametrize("location", ["/b.jpg", "b.jpg", "./b é.jpg", "{url}/b.jpg", "//{netloc}/b.jpg", "/to?/b.jpg"])
def test_a_redirect_to_an_allowed_place_is_followed(shop: _Shop, location: str) -> None:
    location = location.format(url=shop.url, netloc=urlsplit(shop.url).netloc)
    assert shop.fetch("/to?" + quote(location.encode("utf-8").decode("latin-1"))) == PICTURE


@pytest.mark.parametrize(
    "location",
    ["http://127.0.0.1:1/b.jpg", "//other.example/", "file:///etc/passwd", "s3://bucket/key", "http://[", "/x/%2e%2e/"],
)
def test_a_redirect_elsewhere_is_refused(shop: _Shop, location: str) -> None:
    fetcher = UriFetcher([shop.url, "s3://bucket"], allow_private=True)
    with pytest.raises(RefusedUri):
        fetcher.fetch(f"{shop.url}/to?{quote(location)}")

    assert len(shop.asked) == 1


def test_a_redirect_out_of_the_allowed_folder_is_refused(shop: _Shop) -> None:
    with pytest.raises(RefusedUri, match="allow-list"):
        UriFetcher([f"{shop.url}/to/"], allow_private=True).fetch(f"{shop.url}/to?/secret.jpg")


def test_a_redirect_loop_ends(shop: _Shop) -> None:
    with pytest.raises(RefusedUri, match="redirects more than 5 times"):
        shop.fetch("/loop")

    assert len(shop.asked) == 6


def test_a_redirect_to_a_private_address_is_refused(shop: _Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve(monkeypatch, {"public.example": "93.184.215.14", "inside.example": "10.0.0.1"})
    _connect_to(monkeypatch, shop)
    fetcher = UriFetcher(["http://public.example", "http://inside.example"])
    with pytest.raises(RefusedUri, match=r"inside\.example is at a private address"):
        fetcher.fetch("http://public.example/to?http://inside.example/a.jpg")

    assert len(shop.asked) == 1


def test_the_address_that_was_checked_is_the_one_connected_to(shop: _Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _resolve(monkeypatch, {"shop.example": "93.184.215.14"})
    connected = _connect_to(monkeypatch, shop)
    assert UriFetcher(["http://shop.example"]).fetch("http://shop.example/a.jpg") == PICTURE

    assert asked.count("shop.example") == 1
    assert connected == [("93.184.215.14", 80)]
    assert shop.asked[0][1]["Host"] == "shop.example"


@pytest.mark.usefixtures("no_connections")
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "localhost.",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0.0.0.0",  # noqa: S104
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[::127.0.0.1]",
        "[64:ff9b::10.0.0.1]",
        "[2002:a00:1::]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[fec0::1]",
        "[ff02::1]",
    ],
)
def test_a_private_address_is_refused_without_a_connection(host: str) -> None:
    with pytest.raises(RefusedUri, match="private address"):
        UriFetcher([f"http://{host}"]).fetch(f"http://{host}/a.jpg")


@pytest.mark.usefixtures("no_connections")
@pytest.mark.parametrize("address", ["93.184.215.14", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_public_address_would_be_connected_to(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    _resolve(monkeypatch, {"shop.example": address})
    with pytest.raises(Unavailable, match="connected to"):
        UriFetcher(["http://shop.example"]).fetch("http://shop.example/a.jpg")


@pytest.mark.usefixtures("no_connections")
def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve(monkeypatch, {"shop.example": "93.184.215.14 10.0.0.1"})
    with pytest.raises(RefusedUri, match="private address"):
        UriFetcher(["http://shop.example"]).fetch("http://shop.example/a.jpg")


ALLOW = ["https://cdn.example.com/catalog/", "http://img.example.com:8080", "https://[2606:4700::1]", "s3://bucket/pre"]


@pytest.mark.parametrize(
    "uri",
    [
        "https://cdn.example.com/catalog/a.jpg",
        "https://CDN.Example.COM./catalog/a.jpg",
        "HTTPS://cdn.example.com:443/catalog/deep/er/a..jpg?x=/../y",
        "http://img.example.com:8080/anything",
        "http://img.example.com:8080",
        "https://[2606:4700:0:0::1]:443/p/a",
    ],
)
def test_the_allow_list_reaches_the_resolver(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _resolve(monkeypatch, {})
    with pytest.raises(Unavailable):
        UriFetcher(ALLOW).fetch(uri)

    assert asked[0] in ("cdn.example.com", "img.example.com", "2606:4700::1")


@pytest.mark.parametrize(
    "uri",
    [
        "https://cdn.example.com/",
        "https://cdn.example.com/catalogue/a.jpg",
        "https://cdn.example.com/CATALOG/a.jpg",
        "https://cdn.example.com//catalog/a.jpg",
        "https://cdn.example.com/catalog/../secret",
        "https://cdn.example.com/catalog/./a.jpg",
        "https://cdn.example.com/catalog/%2e%2e/secret",
        "https://cdn.example.com/catalog/.%2E/secret",
        "https://cdn.example.com/catalog/%252e%252e/secret",
        "https://cdn.example.com/catalog/%25252525252e./secret",
        "https://cdn.example.com/catalog/..%2fsecret",
        "https://cdn.example.com/catalog/..%5csecret",
        "https://cdn.example.com/catalog/..;/secret",
        "https://cdn.example.com/catalog\\..\\secret",
        "https://cdn.example.com/catalog/a%00.jpg",
        "https://cdn.example.com/catalog/a%0d%0aHost:x",
        "https://cdn.example.com/cata\nlog/a.jpg",
        "https://cdn.example.com/catalog/\udcff",
        "https://cdn.example.com/catalog/" + "a" * 9000,
        "http://cdn.example.com/catalog/a.jpg",
        "https://cdn.example.com:8443/catalog/a.jpg",
        "https://cdn.example.com:0/catalog/a.jpg",
        "https://cdn.example.com.evil.com/catalog/a.jpg",
        "https://cdn.example.com../catalog/a.jpg",
        "https://evil.com/cdn.example.com/catalog/a.jpg",
        "https://xcdn.example.com/catalog/a.jpg",
        "https://cdn.example.com@evil.com/catalog/a.jpg",
        "https://user:secret@cdn.example.com/catalog/a.jpg",
        "https://@cdn.example.com/catalog/a.jpg",
        "https://cdn%2eexample.com/catalog/a.jpg",
        "https://cdn。example.com/catalog/a.jpg",
        "https://cdn.example.com:port/catalog/a.jpg",
        "https://cdn.example.com:99999/catalog/a.jpg",
        "http://img.example.com:80801/a.jpg",
        "http://img.example.com/a.jpg",
        "https://[2606:4700::1%25eth0]/p/a",
        "https://[nonsense]/p/a",
        "https:///catalog/a.jpg",
        "//cdn.example.com/catalog/a.jpg",
        "catalog/a.jpg",
        "",
        "file:///etc/passwd",
        "ftp://cdn.example.com/catalog/a.jpg",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "s3://bucket/prefix/a.jpg",
        "s3://bucket/pre/../a.jpg",
        "s3://bucket/pre/a.jpg?versionId=1",
        "s3://bucket:80/pre/a.jpg",
        "s3://bucket2/pre/a.jpg",
        "gs://bucket/pre/a.jpg",
    ],
)
def test_what_is_not_on_the_allow_list_is_not_even_resolved(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _resolve(monkeypatch, {})
    with pytest.raises(RefusedUri):
        UriFetcher(ALLOW).fetch(uri)

    assert not asked


def test_without_an_allow_list_everything_is_refused(shop: _Shop) -> None:
    with pytest.raises(RefusedUri, match="allow-list"):
        UriFetcher([], allow_private=True).fetch(f"{shop.url}/a.jpg")


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "*",
        "h.example",
        "https://",
        "https://*.h",
        "https://u:p@h",
        "ftp://h",
        "file:///",
        "http://h/?q",
        "http://h/a/../b",
    ],
)
def test_a_bad_entry_of_the_allow_list_stops_the_start(entry: str) -> None:
    with pytest.raises(ConfigError, match=r"^uri_allow: ") as refused:
        UriFetcher(["https://cdn.example.com", entry])

    assert refused.value.field == "uri_allow"


def test_https_names_its_host_and_does_not_speak_to_a_server_without_a_certificate() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hellos: list[bytes] = []
        thread = threading.Thread(target=_hear_one, args=(listener, hellos))
        thread.start()
        url = f"https://localhost:{listener.getsockname()[1]}"
        with pytest.raises(Unavailable, match="SSL"):
            UriFetcher([url], timeout_s=3, allow_private=True).fetch(url)
        thread.join()

    assert b"localhost" in hellos[0]


def _hear_one(listener: socket.socket, heard: list[bytes]) -> None:
    connection, _ = listener.accept()
    with connection:
        heard.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.fixture
def bucket(shop: _Shop, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket that a real S3 client finds at the shop."""
    settings = {"AWS_ENDPOINT": shop.url, "AWS_ALLOW_HTTP": "true", "NO_PROXY": "127.0.0.1", "AWS_REGION": "nowhere"}
    for name, value in (settings | {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}).items():
        monkeypatch.setenv(name, value)
    return "s3://bucket"


def test_an_object_comes_back_whole(bucket: str, shop: _Shop) -> None:
    assert UriFetcher([bucket]).fetch(f"{bucket}/a b/é%20.jpg") == PICTURE

    assert shop.asked[0][0] == "/bucket/a%20b/%C3%A9%2520.jpg"


def test_an_object_over_the_limit_is_refused(bucket: str) -> None:
    with pytest.raises(RefusedUri, match="more than 10 bytes"):
        UriFetcher([bucket], max_bytes=10).fetch(f"{bucket}/a.jpg")


@pytest.mark.parametrize("key", ["404", "a//b"])
def test_an_object_that_is_not_there_is_refused(bucket: str, key: str) -> None:
    with pytest.raises(RefusedUri, match="no such object"):
        UriFetcher([bucket]).fetch(f"{bucket}/{key}")


@pytest.mark.parametrize("status", [403, 500, 503])
def test_a_store_that_fails_is_worth_another_try(bucket: str, status: int) -> None:
    with pytest.raises(Unavailable, match="s3://bucket cannot be read"):
        UriFetcher([bucket]).fetch(f"{bucket}/{status}")


def _resolve(monkeypatch: pytest.MonkeyPatch, addresses: dict[str, str]) -> list[str]:
    """Names resolve to these addresses, split at spaces; nothing else does. Returns what was asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *_: object, **__: object) -> list[object]:
        asked.append(host)
        literals = {address: address for found in addresses.values() for address in found.split()}
        if host not in addresses | literals:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        found = (addresses | literals)[host].split()
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def _connect_to(monkeypatch: pytest.MonkeyPatch, shop: _Shop) -> list[tuple[str, int]]:
    """Every connection ends at the shop. Returns the addresses that were meant."""
    meant: list[tuple[str, int]] = []
    connect = socket.socket.connect

    def connect_to_shop(sock: socket.socket, address: tuple[str, int]) -> None:
        meant.append(address)
        connect(sock, ("127.0.0.1", shop.server_port))

    monkeypatch.setattr(socket.socket, "connect", connect_to_shop)
    return meant
