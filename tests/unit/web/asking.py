"""Requests to an ASGI application without a socket between."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from starlette.types import ASGIApp, Message

JSON: Final = "application/json"
_BOUNDARY: Final = "between-the-parts"


@dataclass(frozen=True)
class Said:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, str]:
        """What went wrong: code, field, message."""
        fields: dict[str, str] = self.json["error"]
        return fields


async def get(app: ASGIApp, path: str) -> Said:
    return await asked(app, "GET", path, [], {})


async def post(app: ASGIApp, path: str, query: Any) -> Said:
    """`query`: anything that JSON can hold, or bytes as they are."""
    body = query if isinstance(query, bytes) else json.dumps(query).encode()
    return await asked(app, "POST", path, [body], {"content-type": JSON})


async def post_form(app: ASGIApp, path: str, query: Any = None, /, **pictures: bytes) -> Said:
    parts = [_part(f'name="{name}"; filename="{name}.jpg"', data) for name, data in pictures.items()]
    if query is not None:
        parts.append(_part('name="query"', json.dumps(query).encode()))
    return await asked(app, "POST", path, [form_of(parts)], {"content-type": FORM_TYPE})


FORM_TYPE: Final = f"multipart/form-data; boundary={_BOUNDARY}"


def form_of(parts: Iterable[bytes]) -> bytes:
    return b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode()


def _part(disposition: str, data: bytes) -> bytes:
    return f"--{_BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + data + b"\r\n"


async def asked(
    app: ASGIApp,
    method: str,
    path: str,
    chunks: Iterable[bytes] | AsyncIterator[bytes],
    headers: Mapping[str, str],
) -> Said:
    """`chunks`: of the body, as they arrive."""
    sent: list[Message] = []
    body = _messages(chunks)

    async def receive() -> Message:
        return await anext(body)

    async def send(message: Message) -> None:
        sent.append(message)

    where, _, query = path.partition("?")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(where),
        "raw_path": where.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    start = next(message for message in sent if message["type"] == "http.response.start")
    told = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Said(start["status"], told, b"".join(message.get("body", b"") for message in sent))


async def _messages(chunks: Iterable[bytes] | AsyncIterator[bytes]) -> AsyncIterator[Message]:
    if isinstance(chunks, AsyncIterator):
        async for chunk in chunks:
            yield {"type": "http.request", "body": chunk, "more_body": True}
    else:
        for chunk in chunks:
            yield {"type": "http.request", "body": chunk, "more_body": True}
    yield {"type": "http.request", "body": b"", "more_body": False}
    yield {"type": "http.disconnect"}
