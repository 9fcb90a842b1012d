"""What a client has to call with, and what a call is before it is made."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from vitrine.runtime.errors import InvalidArgument
from vitrine.v1 import catalogue_pb2_grpc, gateway_pb2_grpc

DEFAULT_TIMEOUT_S: Final = 10.0

T = TypeVar("T")
S = TypeVar("S")

_CALLER: Final = re.compile(r"[a-z0-9_.-]{1,64}")

# Of a stub: takes a request, `timeout` and `metadata`. A call of asyncio's is to be awaited, or gone through.
Method = Callable[..., Any]


@dataclass(frozen=True, slots=True, eq=False)
class Gateway:
    """What a client has to call with. `plain`: the method for searches that may travel with others."""

    search: gateway_pb2_grpc.VisualSearchStub
    catalogue: catalogue_pb2_grpc.CatalogueStub
    plain: Method
    index: str
    timeout_s: float

    def within_s(self, timeout_s: float | None) -> float:
        return self.timeout_s if timeout_s is None else timeout_s


@dataclass(frozen=True, slots=True, eq=False)
class Call(Generic[T]):
    """A request and one response. `read`: what the caller gets of it. It may be sent again: none does harm twice."""

    method: Method
    request: Any
    read: Callable[[Any], T]
    timeout_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Streaming(Generic[T, S]):
    """A request and many messages. It may be sent again until the first of them has come.

    name     for errors
    items    what the caller gets of a message
    summary  what the last one says; None = it is not the last
    """

    name: str
    method: Method
    request: Any
    items: Callable[[Any], Iterable[T]]
    summary: Callable[[Any], S | None]
    timeout_s: float


def metadata_of(caller: str) -> tuple[tuple[str, str], ...]:
    """What goes with every call of a program that calls itself so; empty = it does not. Raises InvalidArgument."""
    if caller and not _CALLER.fullmatch(caller):
        raise InvalidArgument("caller", f"is {caller!r}, not 1 to 64 of a-z, 0-9, -, _ and .")
    return (("vitrine-caller", caller),) if caller else ()
