"""Channels whose certificate can change: a new connection for new calls, the old one until its calls have ended.

A gRPC channel keeps the certificate that it was made with. So each of these stands for one that is made anew when the
files have changed; no call is cut off, and none waits. A bearer token goes with each call, as it is at that time.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

import grpc
import grpc.aio

from vitrine.runtime.rereading import Reread
from vitrine.runtime.tls import Certificates

C = TypeVar("C")


class _Connection(Generic[C]):
    """A channel, the methods made of it, and how many of its calls are under way."""

    def __init__(self, channel: C, certificates: Certificates | None) -> None:
        self.channel = channel
        self.certificates = certificates
        # Gone with the stub that a method is of.
        self.methods: WeakKeyDictionary[_Method[C], Callable[..., Any]] = WeakKeyDictionary()
        self.under_way = 0


class _Rotation(Generic[C]):
    """Which connection a call takes. Used from any thread."""

    def __init__(
        self,
        opened: Callable[[Certificates | None], C],
        certificates: Reread[Certificates] | None,
        token: Reread[str] | None,
    ) -> None:
        self._opened = opened
        self._certificates = certificates
        self._token = token
        self._lock = threading.Lock()
        self._latest = self._connection()
        self._old: list[_Connection[C]] = []

    @property
    def latest(self) -> C:
        return self._latest.channel

    def begin(self, method: _Method[C]) -> tuple[_Connection[C], Callable[..., Any]]:
        """What one call of `method` is made with. It must `end`."""
        with self._lock:
            if self._certificates and self._certificates.current() is not self._latest.certificates:
                self._old.append(self._latest)
                self._latest = self._connection()
            connection = self._latest
            made = connection.methods.get(method)
            if made is None:
                made = connection.methods[method] = method.made_of(connection.channel)
            connection.under_way += 1
            return connection, made

    def end(self, connection: _Connection[C]) -> None:
        with self._lock:
            connection.under_way -= 1

    def idle(self) -> list[C]:
        """Old channels whose last call has ended, to be closed."""
        if not self._old:
            return []
        with self._lock:
            idle = [connection for connection in self._old if not connection.under_way]
            self._old = [connection for connection in self._old if connection.under_way]
        return [connection.channel for connection in idle]

    def all(self) -> list[C]:
        return [connection.channel for connection in (*self._old, self._latest)]

    def with_token(self, metadata: Any) -> Any:
        """What goes with a call, and the token as it is now."""
        if self._token is None:
            return metadata
        return (*(metadata or ()), ("authorization", f"Bearer {self._token.current()}"))

    def _connection(self) -> _Connection[C]:
        certificates = self._certificates.current() if self._certificates else None
        return _Connection(self._opened(certificates), certificates)


class _Method(Generic[C]):
    """What a stub calls: the same method of whichever channel is the latest."""

    def __init__(self, kind: str, args: tuple[Any, ...], fields: dict[str, Any]) -> None:
        self._kind = kind
        self._args = args
        self._fields = fields

    def made_of(self, channel: C) -> Callable[..., Any]:
        made: Callable[..., Any] = getattr(channel, self._kind)(*self._args, **self._fields)
        return made


class _Kinds(ABC):
    """What a stub makes its methods with."""

    def unary_unary(self, *args: Any, **fields: Any) -> Any:
        return self._method("unary_unary", args, fields)

    def unary_stream(self, *args: Any, **fields: Any) -> Any:
        return self._method("unary_stream", args, fields)

    def stream_unary(self, *args: Any, **fields: Any) -> Any:
        return self._method("stream_unary", args, fields)

    def stream_stream(self, *args: Any, **fields: Any) -> Any:
        return self._method("stream_stream", args, fields)

    @abstractmethod
    def _method(self, kind: str, args: tuple[Any, ...], fields: dict[str, Any]) -> Callable[..., Any]:
        """`kind` of whichever channel is the latest, when it is called."""


class AsyncRotatingChannel(_Kinds, grpc.aio.Channel):
    """Of one event loop, in which it has to be made."""

    def __init__(
        self,
        opened: Callable[[Certificates | None], grpc.aio.Channel],
        certificates: Reread[Certificates] | None,
        token: Reread[str] | None,
    ) -> None:
        self._rotation = _Rotation(opened, certificates, token)
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> AsyncRotatingChannel:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        await asyncio.gather(*(channel.close(grace) for channel in self._rotation.all()), *self._closing)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._rotation.latest.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._rotation.latest.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._rotation.latest.channel_ready()

    def _method(self, kind: str, args: tuple[Any, ...], fields: dict[str, Any]) -> Callable[..., Any]:
        method = _Method[grpc.aio.Channel](kind, args, fields)

        def called(request: Any = None, *, metadata: Any = None, **options: Any) -> Any:
            connection, made = self._rotation.begin(method)
            try:
                call = made(request, metadata=self._rotation.with_token(metadata), **options)
            except BaseException:  # whatever it was, no call is under way; it is raised again
                self._ended(connection)
                raise
            call.add_done_callback(lambda _: self._ended(connection))
            return call

        return called

    def _ended(self, connection: _Connection[grpc.aio.Channel]) -> None:
        self._rotation.end(connection)
        for channel in self._rotation.idle():
            task = asyncio.ensure_future(channel.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


class RotatingChannel(_Kinds, grpc.Channel):
    """Of any number of threads. Its methods can be called, and no more: neither `future` nor `with_call`."""

    def __init__(
        self,
        opened: Callable[[Certificates | None], grpc.Channel],
        certificates: Reread[Certificates] | None,
        token: Reread[str] | None,
    ) -> None:
        self._rotation = _Rotation(opened, certificates, token)

    def __enter__(self) -> RotatingChannel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        for channel in self._rotation.all():
            channel.close()

    def subscribe(self, callback: Callable[[grpc.ChannelConnectivity], None], try_to_connect: bool = False) -> None:
        self._rotation.latest.subscribe(callback, try_to_connect)

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        self._rotation.latest.unsubscribe(callback)

    def _method(self, kind: str, args: tuple[Any, ...], fields: dict[str, Any]) -> Callable[..., Any]:
        method = _Method[grpc.Channel](kind, args, fields)
        streams = kind.endswith("_stream")

        def called(request: Any, *, metadata: Any = None, **options: Any) -> Any:
            # Here, and not where a call ends: that may be in a thread of the very channel.
            for channel in self._rotation.idle():
                channel.close()
            connection, made = self._rotation.begin(method)
            ended = partial(self._rotation.end, connection)
            begun = False
            try:
                answer = made(request, metadata=self._rotation.with_token(metadata), **options)
                begun = streams and answer.add_callback(ended)
            finally:
                if not begun:
                    ended()
            return answer

        return called
