"""Who may call what: bearer tokens with roles, from a file, checked before a service sees the call.

{"tokens": [{"name": "shop", "sha256": "<hex digits of the token's hash>", "roles": ["search"]}]}

The file holds no token, only what one hashes to (`sha256sum`). It is read again when it changes; a
list that is empty then lets nobody in.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final, NoReturn

import grpc
import grpc.aio
from prometheus_client import Counter

from vitrine.runtime.context import Context
from vitrine.runtime.errors import ConfigError, PermissionDenied, Unauthenticated, VitrineError
from vitrine.runtime.interceptors import Handler, rewrapped
from vitrine.runtime.logs import logger
from vitrine.runtime.rereading import Reread

SEARCH: Final = "search"
PUBLISH: Final = "publish"
ADMIN: Final = "admin"
ROLES: Final = frozenset({SEARCH, PUBLISH, ADMIN})

TOKEN_METADATA: Final = "authorization"  # noqa: S105  (the key, not a token)
_SCHEME: Final = "bearer "
# The same as a caller's name: it becomes one.
_NAME: Final = re.compile(r"[a-z0-9_.-]{1,64}", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_FIELD: Final = "tokens"
_KEYS: Final = frozenset({"name", "sha256", "roles"})
# A program with a wrong token calls thousands of times: each is counted, one in so many seconds is a line.
_LINE_INTERVAL_S: Final = 1.0

_WRONG_ROLE: Final = "wrong role"
_WORDS: Final = {
    "no token": "the call brings no bearer token",
    "unknown token": "the call's bearer token is not known here",
}

_caller: ContextVar[str] = ContextVar("caller", default="")


def token_name() -> str:
    """The name of the token that came with the call that is being answered; empty where none is needed."""
    return _caller.get()


@dataclass(frozen=True)
class Token:
    """What is known of one. `sha256`: of the token."""

    name: str
    sha256: bytes
    roles: frozenset[str]


Tokens = tuple[Token, ...]


def read_tokens(file: Path) -> Tokens:
    """Raises ConfigError (`tokens`) naming what is wrong; never with a hash in it. There may be none."""
    try:
        document = json.loads(file.read_bytes())
    except OSError as error:
        raise ConfigError(_FIELD, f"{file} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ConfigError(_FIELD, f"{file} is not JSON ({error})") from error
    entries = document.get("tokens") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ConfigError(_FIELD, f'{file} is not {{"tokens": [...]}}')
    tokens = tuple(_token(file, number, entry) for number, entry in enumerate(entries))
    for kind, values in (("name", [token.name for token in tokens]), ("sha256", [token.sha256 for token in tokens])):
        if len(set(values)) < len(values):
            raise ConfigError(_FIELD, f"{file}: two tokens have the same {kind}")
    return tokens


def _token(file: Path, number: int, entry: Any) -> Token:
    where = f"{file}: tokens[{number}]"
    if not isinstance(entry, dict) or set(entry) != _KEYS:
        raise ConfigError(_FIELD, f"{where} does not have exactly {', '.join(sorted(_KEYS))}")
    name, sha256, roles = entry["name"], entry["sha256"], entry["roles"]
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise ConfigError(_FIELD, f"{where}.name is not 1 to 64 of a-z, 0-9, -, _ and .")
    if not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise ConfigError(_FIELD, f"{where}.sha256 is not 64 hex digits, small letters")
    if not (isinstance(roles, list) and roles and all(isinstance(role, str) for role in roles)):
        raise ConfigError(_FIELD, f"{where}.roles is not a list of at least one")
    if unknown := sorted(set(roles) - ROLES):
        raise ConfigError(_FIELD, f"{where}.roles: {unknown[0]!r} is none of {', '.join(sorted(ROLES))}")
    return Token(name, bytes.fromhex(sha256), frozenset(roles))


class Access(grpc.aio.ServerInterceptor):
    """Lets in whoever has a token with a role that the method is open to. Health is for everybody.

    Raises ConfigError (`tokens`). `roles`: by method, in full ("/vitrine.v1.Indexer/Roll"), those that may call it; one
    that is not there nobody may call.
    """

    def __init__(self, service: str, file: Path, roles: Mapping[str, frozenset[str]]) -> None:
        self.tokens = Reread("tokens", [file], lambda: read_tokens(file))
        if not self.tokens.current():
            raise ConfigError(_FIELD, f"{file} has none, so nobody could call")
        self._roles = roles
        self._refused = Counter(
            f"vitrine_{service}_refused_callers",
            "Calls refused for their token: none, an unknown one, or one without the role",
            ["reason"],
        )
        for reason in (*_WORDS, _WRONG_ROLE):
            self._refused.labels(reason)  # 0 from the start: what counts up from nothing has no rate
        self._lines: dict[tuple[str, str, str], _Line] = {}

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]], details: grpc.HandlerCallDetails
    ) -> Handler:
        handler = await continuation(details)
        if handler is None or not details.method.startswith("/vitrine."):
            return handler
        return rewrapped(handler, self._unary(details.method), self._streaming(details.method))

    def _unary(self, method: str) -> Callable[..., Any]:
        def around(inner: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
            async def call(request: Any, context: Context) -> Any:
                self._admit(method, context)
                return await inner(request, context)

            return call

        return around

    def _streaming(self, method: str) -> Callable[..., Any]:
        def around(inner: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
            async def call(request: Any, context: Context) -> AsyncIterator[Any]:
                self._admit(method, context)
                async for response in inner(request, context):
                    yield response

            return call

        return around

    def _admit(self, method: str, context: Context) -> None:
        """Raises Unauthenticated, PermissionDenied."""
        given = _given(context)
        token = self._known(given) if given else None
        if token is None:
            reason = "unknown token" if given else "no token"
            self._refuse(reason, method, context, Unauthenticated(f"authorization: {_WORDS[reason]}"))
        needed = self._roles.get(method, frozenset())
        if not token.roles & needed:
            role = " or ".join(sorted(needed)) or "that nobody has"
            error = PermissionDenied(f"{token.name} may not call {method[1:]}: it needs the role {role}")
            self._refuse(_WRONG_ROLE, method, context, error, token.name)
        _caller.set(token.name)

    def _known(self, given: str) -> Token | None:
        """Compared with each, so that the time it takes tells nothing about any."""
        sha256 = hashlib.sha256(given.encode()).digest()
        found = [token for token in self.tokens.current() if hmac.compare_digest(token.sha256, sha256)]
        return found[0] if found else None

    def _refuse(self, reason: str, method: str, context: Context, error: VitrineError, name: str = "") -> NoReturn:
        """Counts it, and says so in the log: whose token it was, as far as that is known, and never the token."""
        self._refused.labels(reason).inc()
        line = self._lines.setdefault((reason, method, name), _Line())
        if calls := line.due():
            logger().warning(
                "caller refused", reason=reason, method=method, token=name, peer=context.peer(), calls=calls
            )
        raise error


class _Line:
    """Of the log, about refusals of one kind."""

    def __init__(self) -> None:
        self._after_s = 0.0
        self._calls = 0

    def due(self) -> int:
        """How many calls a line is to be about now; 0 = none yet."""
        self._calls += 1
        now_s = monotonic()
        if now_s < self._after_s:
            return 0
        calls, self._calls, self._after_s = self._calls, 0, now_s + _LINE_INTERVAL_S
        return calls


def _given(context: Context) -> str:
    """The token that came with a call; empty if none did."""
    for key, value in context.invocation_metadata() or ():
        if key == TOKEN_METADATA and isinstance(value, str) and value[: len(_SCHEME)].lower() == _SCHEME:
            return value[len(_SCHEME) :].strip()
    return ""
