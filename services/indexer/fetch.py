"""Pictures by URI: only from where the operator allows, never from a private address, within a time and a size."""

from __future__ import annotations

import io
import re
import socket
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cache
from http.client import HTTPException, HTTPResponse
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit

from vitrine.images import MAX_BYTES
from vitrine.runtime.errors import BadImage, ConfigError, Unavailable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from obstore.store import ObjectStore

_DEFAULT_PORT: Final = {"http": 80, "https": 443, "s3": 0, "gs": 0, "az": 0}
_BUCKETS: Final = ("s3", "gs", "az")
_MAX_REDIRECTS: Final = 5
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_HOST: Final = re.compile(r"(?=.{1,253}\Z)([a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*|[0-9a-f.:]*:[0-9a-f.:]*)")
_UNQUOTED: Final = "/%:@!$&'()*+,;=?"
_HEADERS: Final = "User-Agent: vitrine-indexer\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_tls: Final = cache(ssl.create_default_context)


class RefusedUri(BadImage):
    """No picture will come from this URI as things are: a dead letter, not a retry."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, field="uri")


class UriFetcher:
    """`allow`: scheme://host[:port][/folder/] or s3://, gs://, az://bucket[/prefix]; folders match whole segments.

    `timeout_s` bounds a whole fetch, redirects and slow bodies included. Thread safe. Raises ConfigError (`uri_allow`).
    """

    def __init__(
        self, allow: Sequence[str], timeout_s: float = 10.0, max_bytes: int = MAX_BYTES, allow_private: bool = False
    ) -> None:
        self._allow = tuple(_prefix(entry) for entry in allow)
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._allow_private = allow_private
        self._stores: dict[str, ObjectStore] = {}

    def fetch(self, uri: str) -> bytes:
        """What lies at `uri`. Blocks. Raises RefusedUri (for good) and Unavailable (worth another try)."""
        at = self._permitted(uri)
        read = self._from_bucket if at.scheme in _BUCKETS else self._over_http
        # Resolvers and object stores cannot be told when to give up: they are left behind in a thread.
        thread = ThreadPoolExecutor(1, thread_name_prefix="fetch")
        try:
            return thread.submit(read, at).result(self._timeout_s)
        except TimeoutError as error:
            raise Unavailable(f"{at.origin} took more than {self._timeout_s:g} s") from error
        except (OSError, HTTPException) as error:
            raise Unavailable(f"{at.origin} cannot be read ({type(error).__name__}: {error})") from error
        finally:
            thread.shutdown(wait=False)

    def _permitted(self, uri: str, base: str = "") -> _Place:
        at = _place(uri, base)
        if not f"{at.origin}{at.path}/".startswith(self._allow):
            raise RefusedUri(f"{at.origin} is not on the allow-list with this path")
        return at

    def _over_http(self, at: _Place) -> bytes:
        end_s = time.monotonic() + self._timeout_s
        for _ in range(_MAX_REDIRECTS + 1):
            with closing(self._connected(at, end_s)) as sock, closing(HTTPResponse(sock, method="GET")) as response:
                head = f"GET {at.target} HTTP/1.1\r\nHost: {at.origin.partition('//')[2]}\r\n{_HEADERS}"
                sock.sendall(head.encode("ascii"))
                response.fp.close()
                response.fp = io.BufferedReader(_TimedReader(sock, end_s))
                response.begin()
                if response.status not in (301, 302, 303, 307, 308):
                    return self._body(response, at)
                # http.client reads headers as Latin-1; servers that do not escape send UTF-8.
                location = response.getheader("Location", "").encode("latin-1").decode(errors="replace")
            at = self._permitted(location, base=at.origin + at.target)
        raise RefusedUri(f"redirects more than {_MAX_REDIRECTS} times")

    def _connected(self, at: _Place, end_s: float) -> socket.socket:
        # Only addresses from here on: a second look-up of the name could answer differently.
        addresses = [str(entry[4][0]) for entry in socket.getaddrinfo(at.host, at.port, type=socket.SOCK_STREAM)]
        if not (self._allow_private or all(_is_public(ip_address(address)) for address in addresses)):
            raise RefusedUri(f"{at.host} is at a private address")
        for untried, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                sock = socket.create_connection((address, at.port), _left_s(end_s) / untried)
                break
            except OSError:
                if untried == 1:
                    raise
        sock.settimeout(_left_s(end_s))
        return _tls().wrap_socket(sock, server_hostname=at.host) if at.scheme == "https" else sock

    def _body(self, response: HTTPResponse, at: _Place) -> bytes:
        if response.status != 200:
            transient = response.status in (408, 425, 429) or response.status >= 500
            raise (Unavailable if transient else RefusedUri)(f"{at.origin} answered {response.status}")
        self._check_size(response.length or 0)
        data = bytearray()
        while chunk := response.read(64 * 1024):
            data += chunk
            self._check_size(len(data))
        if response.length:
            raise Unavailable(f"{at.origin} broke off {response.length} bytes before the end")
        return bytes(data)

    def _from_bucket(self, at: _Place) -> bytes:
        from obstore import exceptions, get, store

        try:
            if at.origin not in self._stores:  # the caller does the retries
                self._stores[at.origin] = store.from_url(at.origin, retry_config={"max_retries": 0})
            found = get(self._stores[at.origin], at.path)
            self._check_size(found.meta["size"])
            return bytes(found.bytes())
        except (FileNotFoundError, ValueError) as error:
            raise RefusedUri(f"{at.origin} has no such object") from error
        except exceptions.BaseError as error:
            # Also when permission is denied: keys that expire must not turn a catalogue into dead letters.
            raise Unavailable(f"{at.origin} cannot be read ({str(error).splitlines()[0]})") from error

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._max_bytes:
            raise RefusedUri(f"has more than {self._max_bytes} bytes")


class _Place(NamedTuple):
    """A URI in one spelling: what is compared with the allow-list is what is resolved and asked for."""

    scheme: str
    host: str
    port: int
    origin: str
    path: str
    target: str


class _TimedReader(socket.SocketIO):
    """Reads until `end_s`, however few bytes come at a time."""

    def __init__(self, sock: socket.socket, end_s: float) -> None:
        super().__init__(sock, "rb")
        self._timed = sock, end_s

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        sock, end_s = self._timed
        sock.settimeout(_left_s(end_s))
        return super().readinto(buffer)


def _left_s(end_s: float) -> float:
    if (left_s := end_s - time.monotonic()) <= 0:
        raise TimeoutError
    return left_s


def _prefix(entry: str) -> str:
    try:
        place = _place(entry)
    except RefusedUri as error:
        raise ConfigError("uri_allow", f"{entry!r} {error.reason}") from error
    if place.target != place.path:
        raise ConfigError("uri_allow", f"{entry!r} holds a query")
    return place.origin + place.path.rstrip("/") + "/"


def _place(uri: str, base: str = "") -> _Place:
    """`uri`, relative to `base` if a redirect named it. Raises RefusedUri."""
    if len(uri) > 8192 or _CONTROL.search(uri) or "\\" in uri:
        raise RefusedUri("is too long, or holds a backslash or a control character")
    try:
        parts = urlsplit(urljoin(base, uri))
        scheme, host, port = parts.scheme, (parts.hostname or "").removesuffix("."), parts.port
        path, query = quote(parts.path, _UNQUOTED) or "/", quote(parts.query, _UNQUOTED)
        authority = f"[{(host := str(IPv6Address(host)))}]" if ":" in host else host
    except ValueError as error:
        raise RefusedUri("is not a URI") from error
    if scheme not in _DEFAULT_PORT or (base and scheme in _BUCKETS):
        raise RefusedUri(f"has the scheme {scheme!r}, which is not allowed here")
    if "@" in parts.netloc or not _HOST.fullmatch(host):
        raise RefusedUri("holds a user name, or a host that is no plain name")
    # What one server reads as a step up and another as a name: `..`, `%2e%2e`, `%252e`, `..;x`, `..%5c`.
    read = unquote(unquote(unquote(parts.path)))
    steps = {segment.partition(";")[0].strip() for segment in re.split(r"[/\\]", read)}
    if steps & {".", ".."} or _CONTROL.search(read) or unquote(read) != read:
        raise RefusedUri("has a path with dot segments, control characters or escapes within escapes")
    if scheme in _BUCKETS:
        if port is not None or query or parts.fragment:
            raise RefusedUri("names a bucket with a port, a query or a fragment")
        path = parts.path or "/"  # an object's key is taken as it stands
    port = _DEFAULT_PORT[scheme] if port is None else port
    origin = f"{scheme}://{authority}" if port == _DEFAULT_PORT[scheme] else f"{scheme}://{authority}:{port}"
    return _Place(scheme, host, port, origin, path, f"{path}?{query}" if query else path)


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast
    nat64 = IPv4Address(int(address) & 0xFFFF_FFFF) if address in _NAT64 else None
    inner = address.ipv4_mapped or address.sixtofour or nat64
    return _is_public(inner) if inner else address.is_global and address in _GLOBAL_UNICAST
