"""Certificates and tokens are replaced while calls go on: none fails, and the new ones are shown."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
import pytest

from tests.certificates import HOUR_S, Authority
from vitrine.runtime import rereading
from vitrine.runtime.channels import Credentials, blocking_channel, internal_channel
from vitrine.runtime.context import Context
from vitrine.runtime.errors import ConfigError
from vitrine.runtime.tls import certificates_in, server_credentials

ECHO: Final = "/test.Echo/Echo"
COUNT: Final = "/test.Echo/Count"
ROTATIONS: Final = 3
_CALLERS: Final = 4


@pytest.fixture(autouse=True)
def look_at_every_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rereading, "LOOK_INTERVAL_S", 0.0)


@pytest.fixture
def authority() -> Authority:
    return Authority()


class Server:
    """Answers with what it was asked, or counts slowly. `seen`: the peers and tokens that came."""

    def __init__(self) -> None:
        self.address = ""
        self.handshakes = 0
        self.peers: set[str] = set()
        self.tokens: list[str] = []

    async def echo(self, request: bytes, context: Context) -> bytes:
        self.peers.add(context.peer())
        self.tokens += [str(value) for key, value in context.invocation_metadata() or () if key == "authorization"]
        return request

    async def count(self, request: bytes, context: Context) -> AsyncIterator[bytes]:
        for number in range(int(request)):
            yield str(number).encode()
            await asyncio.sleep(0.05)

    def began(self) -> None:
        self.handshakes += 1


@asynccontextmanager
async def serving(folder: Path | None, age_ms: int = 3_600_000, ask_clients: bool = True) -> AsyncIterator[Server]:
    """A server with what is in `folder`; None = without TLS."""
    one = Server()
    options = [("grpc.so_reuseport", 0), ("grpc.max_connection_age_ms", age_ms)]
    server = grpc.aio.server(options=options)
    handlers: dict[str, Any] = {
        "Echo": grpc.unary_unary_rpc_method_handler(one.echo),
        "Count": grpc.unary_stream_rpc_method_handler(one.count),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", handlers)])
    if folder is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        credentials = server_credentials(certificates_in(folder), ask_clients, one.began)
        port = server.add_secure_port("127.0.0.1:0", credentials)
    one.address = f"127.0.0.1:{port}"
    await server.start()
    try:
        yield one
    finally:
        await server.stop(None)


async def test_no_call_fails_while_certificates_are_replaced(authority: Authority, tmp_path: Path) -> None:
    folder = authority.issue(tmp_path)
    async with serving(folder) as server, internal_channel(server.address, Credentials.of(folder)) as channel:
        with blocking_channel(server.address, Credentials.of(folder)) as blocking:
            async with _calling(channel, blocking) as ended:
                await _until(lambda: len(server.peers) == 2)
                for number in range(1, ROTATIONS + 1):
                    authority.issue(folder, HOUR_S + number)
                    # A new connection of each of the two.
                    await _until(lambda: len(server.peers) >= 2 * (1 + number))  # noqa: B023  (awaited at once)
    assert set(ended) == {"OK"}


async def test_a_stream_outlives_the_certificate_it_began_with(authority: Authority, tmp_path: Path) -> None:
    folder = authority.issue(tmp_path)
    async with serving(folder) as server, internal_channel(server.address, Credentials.of(folder)) as channel:
        with blocking_channel(server.address, Credentials.of(folder)) as blocking:
            count: Any = channel.unary_stream(COUNT)
            count_blocking: Any = blocking.unary_stream(COUNT)
            slow, slow_blocking = aiter(count(b"10")), count_blocking(b"10")
            assert await anext(slow) == b"0"

            authority.issue(folder)
            assert [await _echoed(channel), await asyncio.to_thread(_echoed_blocking, blocking)] == [b"a", b"a"]

            assert [answer async for answer in slow] == [str(number).encode() for number in range(1, 10)]
            assert len(await asyncio.to_thread(list, slow_blocking)) == 10


async def test_an_authority_is_replaced_by_trusting_both_for_a_while(authority: Authority, tmp_path: Path) -> None:
    following = Authority("its successor")
    both = authority.pem + following.pem
    folder = authority.issue(tmp_path)
    async with (
        serving(folder, age_ms=200) as server,
        internal_channel(server.address, Credentials.of(folder)) as channel,
        _calling(channel) as ended,
    ):
        for issuer, trust in ((authority, both), (following, both), (following, b"")):
            known = len(server.peers)
            issuer.issue(folder, trust=trust)
            # One that was being made, and then one with what is shown now.
            await _until(lambda: len(server.peers) >= known + 2)  # noqa: B023  (awaited at once)
    assert set(ended) == {"OK"}


async def test_a_new_server_certificate_is_shown_to_new_connections_only(authority: Authority, tmp_path: Path) -> None:
    folder, stranger = authority.issue(tmp_path / "server"), Authority("a stranger")
    trusting = Credentials.of(authority.issue(tmp_path / "client"))
    async with serving(folder) as server, internal_channel(server.address, trusting) as before:
        assert await _echoed(before) == b"a"
        stranger.issue(folder, trust=authority.pem)
        assert await _echoed(before) == b"a"
        async with internal_channel(server.address, trusting) as after:
            with pytest.raises(grpc.aio.AioRpcError, match="CERTIFICATE_VERIFY_FAILED"):
                await _echoed(after)
        assert server.handshakes == 2


@pytest.mark.parametrize("blocking", [False, True])
async def test_old_channels_are_closed_when_their_calls_have_ended(
    authority: Authority, tmp_path: Path, blocking: bool
) -> None:
    folder = authority.issue(tmp_path)
    async with serving(folder) as server:
        made: Any = (blocking_channel if blocking else internal_channel)(server.address, Credentials.of(folder))
        channels = []
        for _ in range(3):
            assert (await asyncio.to_thread(_echoed_blocking, made) if blocking else await _echoed(made)) == b"a"
            channels.append(made._rotation.latest)
            authority.issue(folder)
        # One that no call is made with any more is closed when the next call begins (blocking) or ends.
        async with asyncio.timeout(10):
            while not _is_closed(channels[0], blocking):  # noqa: ASYNC110  (nothing tells)
                await asyncio.sleep(0.01)
        assert not _is_closed(channels[-1], blocking)
        if blocking:
            made.close()
        else:
            await made.close()


async def test_a_token_is_sent_as_it_is_now(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    async with serving(None) as server, internal_channel(server.address, Credentials.of(None, token)) as channel:
        await _echoed(channel)
        token.write_text("second")
        await _echoed(channel)
        token.write_text("")
        await _echoed(channel)
    assert server.tokens == ["Bearer first", "Bearer second", "Bearer second"]


@pytest.mark.parametrize("text", ["", "two words", "line\nline", "fünf"])
def test_a_file_without_a_token_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"^token_file: "):
        Credentials.of(None, file)


async def test_a_name_is_what_the_certificate_is_checked_against(authority: Authority, tmp_path: Path) -> None:
    folder = authority.issue(tmp_path, hosts=["searcher-g0"])
    credentials = Credentials.of(folder)
    async with serving(folder) as server:
        async with internal_channel(server.address, credentials, "searcher-g0") as channel:
            assert await _echoed(channel) == b"a"
        async with internal_channel(server.address, Credentials.of(folder, name="searcher-g0")) as channel:
            assert await _echoed(channel) == b"a"
        async with internal_channel(server.address, credentials, "gateway") as channel:
            with pytest.raises(grpc.aio.AioRpcError, match=r"Hostname Verification Check failed"):
                await _echoed(channel)


async def test_several_addresses_are_called_in_turn_by_tls(authority: Authority, tmp_path: Path) -> None:
    folder = authority.issue(tmp_path)
    async with serving(folder) as one, serving(folder) as two:
        credentials = Credentials.of(folder)
        async with internal_channel(f"ipv4:{one.address},{two.address}", credentials) as channel:
            until_s = time.monotonic() + 5
            while not (one.peers and two.peers) and time.monotonic() < until_s:
                await _echoed(channel)
    assert (bool(one.peers), bool(two.peers)) == (True, True)


async def test_a_client_without_a_certificate_is_let_in_where_none_is_asked_for(
    authority: Authority, tmp_path: Path
) -> None:
    folder = authority.issue(tmp_path / "server")
    trust = tmp_path / "trust"
    trust.mkdir()
    (trust / "ca.crt").write_bytes(authority.pem)
    async with (
        serving(folder, ask_clients=False) as server,
        internal_channel(server.address, Credentials.of(trust)) as channel,
    ):
        assert await _echoed(channel) == b"a"
    async with serving(folder) as server, internal_channel(server.address, Credentials.of(trust)) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="failed to connect to all addresses"):
            await _echoed(channel)


async def test_connections_that_come_of_age_fail_no_call(authority: Authority, tmp_path: Path) -> None:
    folder = authority.issue(tmp_path)
    async with (
        serving(folder, age_ms=100) as server,
        internal_channel(server.address, Credentials.of(folder)) as channel,
    ):
        with blocking_channel(server.address, Credentials.of(folder)) as blocking:
            async with _calling(channel, blocking) as ended:
                await _until(lambda: len(server.peers) >= 20)
    assert set(ended) == {"OK"}


async def _echoed(channel: grpc.aio.Channel) -> bytes:
    echo: Any = channel.unary_unary(ECHO)
    answer: bytes = await echo(b"a", timeout=5)
    return answer


def _echoed_blocking(channel: grpc.Channel) -> bytes:
    echo: Any = channel.unary_unary(ECHO)
    answer: bytes = echo(b"a", timeout=5)
    return answer


@asynccontextmanager
async def _calling(channel: grpc.aio.Channel, blocking: grpc.Channel | None = None) -> AsyncIterator[Counter[str]]:
    """Calls go on during the block, several at a time by each channel; how each ended."""
    ended: Counter[str] = Counter()
    over = threading.Event()
    going = [asyncio.create_task(_call(channel, ended, over)) for _ in range(_CALLERS)]
    if blocking:
        going += [
            asyncio.create_task(asyncio.to_thread(_call_blocking, blocking, ended, over)) for _ in range(_CALLERS)
        ]
    try:
        yield ended
    finally:
        over.set()
        await asyncio.gather(*going)


async def _call(channel: grpc.aio.Channel, ended: Counter[str], over: threading.Event) -> None:
    while not over.is_set():
        try:
            await _echoed(channel)
            ended["OK"] += 1
        except grpc.aio.AioRpcError as error:
            ended[f"{error.code().name}: {error.details()}"] += 1


def _call_blocking(channel: grpc.Channel, ended: Counter[str], over: threading.Event) -> None:
    while not over.is_set():
        try:
            _echoed_blocking(channel)
            ended["OK"] += 1
        except grpc.RpcError as error:
            ended[f"{error.code().name}: {error.details()}"] += 1


async def _until(condition: Callable[[], bool]) -> None:
    """Fails if it takes too long."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  (what a server has seen sets no event)
            await asyncio.sleep(0.01)


def _is_closed(channel: Any, blocking: bool) -> bool:
    try:
        if blocking:
            channel.unary_unary("/any/Method").future(b"").cancel()
        else:
            return bool(channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN)
    except ValueError:
        return True
    return False
