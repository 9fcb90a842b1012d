"""Bodies of requests, within bounds of size, time and number. A picture stays in memory and goes with its request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Final

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from services.web.problems import too_large, too_slow, wrong_type
from vitrine.runtime.errors import InvalidArgument, ResourceExhausted

JSON_BYTES: Final = 1 << 20
JSON_TYPE: Final = "application/json"
FORM_TYPE: Final = "multipart/form-data"

# What is too large is read to its end, as far as this, and thrown away: many a caller sees the answer only then.
_PATIENCE_BYTES: Final = 64 << 20
# What a form is beside its pictures: the query, and the headers of its parts.
_FORM_BYTES: Final = JSON_BYTES + (64 << 10)
_PICTURES: Final = 8
_RETRY_AFTER_S: Final = 1.0


@dataclass(frozen=True)
class Form:
    """The part `query`, which is JSON, and the pictures by the names of their parts."""

    query: bytes
    pictures: Mapping[str, bytes] = field(default_factory=dict)


class _InMemory(MultiPartParser):
    # Never spooled to a file: query pictures are not stored.
    spool_max_size = _PATIENCE_BYTES


class Uploads:
    """Reads bodies. `most_bytes`: of all pictures of a form together. `at_once`: forms, until they are answered."""

    def __init__(self, most_bytes: int, at_once: int, timeout_s: float) -> None:
        self._most_bytes = most_bytes
        self._at_once = at_once
        self._timeout_s = timeout_s
        self._taken = 0

    @asynccontextmanager
    async def form(self, request: Request) -> AsyncIterator[Form]:
        """A body that is JSON, or a form with pictures. Raises HttpError, InvalidArgument, ResourceExhausted."""
        if _kind(request) == FORM_TYPE:
            with self._place():
                yield await self._form(request)
        else:
            yield Form(await self.json(request, f"{JSON_TYPE} or {FORM_TYPE}"))

    async def json(self, request: Request, expected: str = JSON_TYPE) -> bytes:
        """A body that is JSON; a form on somebody else's page cannot send one. Raises HttpError."""
        if _kind(request) != JSON_TYPE:
            raise wrong_type(f"is {_kind(request)[:64]!r}, not {expected}")
        async with self._in_time():
            return b"".join([chunk async for chunk in _bounded(request, JSON_BYTES, "body")])

    async def _form(self, request: Request) -> Form:
        stream = _bounded(request, self._most_bytes + _FORM_BYTES, "image", self._most_bytes)
        parser = _InMemory(request.headers, stream, max_files=_PICTURES, max_fields=1, max_part_size=JSON_BYTES)
        async with self._in_time():
            try:
                parts = await parser.parse()
            except MultiPartException as error:
                raise InvalidArgument("body", error.message) from error
        try:
            form = await _form_of(parts)
        finally:
            await parts.close()
        if sum(map(len, form.pictures.values())) > self._most_bytes:
            raise too_large("image", self._most_bytes)
        return form

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._taken >= self._at_once:
            raise ResourceExhausted("image: too many pictures are being uploaded", _RETRY_AFTER_S)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except TimeoutError as error:
            raise too_slow(self._timeout_s) from error


async def _form_of(parts: FormData) -> Form:
    query, pictures = b"{}", {}
    for name, part in parts.multi_items():
        if isinstance(part, UploadFile):
            if name in pictures:
                raise InvalidArgument(name[:64], "is there twice")
            pictures[name] = await part.read()
        elif name == "query":
            query = part.encode(errors="surrogatepass")
        else:
            raise InvalidArgument(name[:64], "is no part of the form, which has `query` and pictures as files")
    return Form(query, pictures)


async def _bounded(
    request: Request, most_bytes: int, name: str, said_bytes: int | None = None
) -> AsyncGenerator[bytes, None]:
    """The body as it comes. Raises HttpError (field `name`) where it has more than `most_bytes`."""
    error = too_large(name, said_bytes or most_bytes)
    if int(request.headers.get("content-length", "0")) > _PATIENCE_BYTES:
        raise error
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received <= most_bytes:
            yield chunk
        elif received > _PATIENCE_BYTES:
            break
    if received > most_bytes:
        raise error


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
