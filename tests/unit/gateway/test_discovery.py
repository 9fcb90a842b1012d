"""A group's name stands for its searchers: those that are there now are asked, and no call of one that goes is cut."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from services.gateway import metrics
from services.gateway import replica as replica_module
from services.gateway.discovery import Discovery, addresses_of
from services.gateway.replica import Replica, Replicas
from services.gateway.topology import Group, Topology
from tests.certificates import Authority
from tests.unit.gateway.running import StubSearcher, served
from vitrine.runtime.channels import NOTHING, Credentials
from vitrine.runtime.errors import ConfigError
from vitrine.runtime.tls import certificates_in, server_credentials
from vitrine.v1 import searcher_pb2 as pb
from vitrine.v1 import searcher_pb2_grpc

NAME = "searcher-g0"


class Names:
    """A resolver whose answers a test sets; None: it gives none."""

    def __init__(self, addresses: Sequence[str] | None) -> None:
        self.addresses = addresses

    async def look_up(self, name: str) -> list[str]:
        if self.addresses is None:
            raise socket.gaierror(f"nothing is known of {name}")
        return list(self.addresses)


async def test_every_address_behind_the_name_is_a_searcher_and_every_worker_of_it() -> None:
    names = Names(["10.0.0.1", "10.0.0.2", "fd00::1"])
    found = await Discovery(names.look_up).found(Topology((Group((0, 1), service=f"{NAME}:50051", workers=2),)))
    assert found.replicas(1) == [
        "10.0.0.1:50051",
        "10.0.0.1:50052",
        "10.0.0.2:50051",
        "10.0.0.2:50052",
        "[fd00::1]:50051",
        "[fd00::1]:50052",
    ]
    assert found.replicas(2) == []
    assert set(found.names().values()) == {NAME}


async def test_listed_addresses_stay_as_they_are_and_have_no_name() -> None:
    found = await Discovery(Names(None).look_up).found(Topology((Group((), ("127.0.0.1:7003",)),)))
    assert found.names() == {"127.0.0.1:7003": ""}


async def test_a_lookup_that_fails_is_counted_and_leaves_the_searchers_that_were_known() -> None:
    names = Names(["10.0.0.1"])
    discovery, topology = Discovery(names.look_up), Topology((Group((0,), service=f"{NAME}:50051"),))
    await discovery.found(topology)
    names.addresses, before = None, metrics.LOOKUPS_FAILED.labels(NAME)._value.get()
    assert (await discovery.found(topology)).replicas(0) == ["10.0.0.1:50051"]
    assert metrics.LOOKUPS_FAILED.labels(NAME)._value.get() == before + 1
    names.addresses = ["10.0.0.2"]
    assert (await discovery.found(topology)).replicas(0) == ["10.0.0.2:50051"]


async def test_the_systems_resolver_knows_this_machine_and_not_a_name_that_cannot_be() -> None:
    assert set(await addresses_of("localhost")) & {"127.0.0.1", "::1"}
    with pytest.raises((OSError, TimeoutError)):
        await addresses_of("searcher.invalid")


async def test_a_searcher_that_comes_is_asked_and_the_call_of_one_that_goes_is_not_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_module, "_RETIRES_S", 0.05)
    searcher = StubSearcher([0], {})
    async with served(searcher) as address:
        names = Names([])
        async with _following(tmp_path, address.rpartition(":")[2], names) as replicas:
            assert replicas.serving() == set()
            names.addresses = ["127.0.0.1"]
            await _until(lambda: replicas.serving() == {0})
            (replica,) = replicas.assigned([0], frozenset())[0]
            searcher.free.clear()
            call = asyncio.create_task(_asked(replica))
            await asyncio.sleep(0.1)
            names.addresses = []
            await _until(lambda: replicas.serving() == set())
            await asyncio.sleep(0.3)
            assert not call.done()
            searcher.free.set()
            await call
            await _until(lambda: replica._channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN)


@pytest.mark.parametrize(("certified", "known"), [(NAME, {0}), ("searcher-g1", set())])
async def test_one_found_behind_a_name_must_have_a_certificate_of_that_name(
    tmp_path: Path, certified: str, known: set[int]
) -> None:
    folder = Authority().issue(tmp_path / "tls", hosts=[certified])  # of its address, too
    async with (
        _served_over_tls(StubSearcher([0], {}), folder) as port,
        _following(tmp_path, port, Names(["127.0.0.1"]), Credentials.of(folder)) as replicas,
    ):
        if known:
            await _until(lambda: replicas.serving() == known)
        else:
            await asyncio.sleep(1)
            assert replicas.serving() == set()


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ({}, "either `addresses` or `service`"),
        ({"addresses": ["a:1"], "service": "b:1"}, "either `addresses` or `service`"),
        ({"service": "searcher-g0"}, "has no such ports"),
        ({"service": "searcher-g0:http"}, "is not a topology"),
        ({"service": ":50051"}, "has no such ports"),
        ({"service": "searcher-g0:65535", "workers": 3}, "has no such ports"),
        ({"service": "searcher-g0:50051", "workers": 0}, "has no such ports"),
        ({"addresses": ["a:1"], "workers": 2}, "`workers` go with `service`"),
        ({"service": "searcher-g0:50051", "partition": [0]}, "a group has no partition"),
    ],
)
def test_a_group_that_makes_no_sense_is_refused_with_what_is_wrong(
    tmp_path: Path, group: dict[str, object], said: str
) -> None:
    file = tmp_path / "topology.json"
    file.write_text(json.dumps({"groups": [group]}))
    with pytest.raises(ConfigError, match=said) as refused:
        Topology.read(file)
    assert refused.value.field == "topology"


@asynccontextmanager
async def _served_over_tls(searcher: StubSearcher, folder: Path) -> AsyncIterator[str]:
    """On 127.0.0.1. Yields the port."""
    server = grpc.aio.server()
    searcher_pb2_grpc.add_SearcherServicer_to_server(searcher, server)
    port = server.add_secure_port("127.0.0.1:0", server_credentials(certificates_in(folder), True, lambda: None))
    await server.start()
    try:
        yield str(port)
    finally:
        await server.stop(0)


@asynccontextmanager
async def _following(
    folder: Path, port: str, names: Names, credentials: Credentials = NOTHING
) -> AsyncIterator[Replicas]:
    """Searchers of one group, looked up twenty times a second."""
    file = folder / "topology.json"
    file.write_text(json.dumps({"groups": [{"service": f"{NAME}:{port}"}]}))
    replicas = Replicas(file, 0.05, credentials, names.look_up)
    watching = asyncio.create_task(replicas.watch())
    try:
        yield replicas
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _asked(replica: Replica) -> pb.SearcherSearchResponse:
    replica.in_flight += 1
    try:
        response: pb.SearcherSearchResponse = await replica.stub.Search(
            pb.SearcherSearchRequest(partitions=[0]), timeout=10
        )
        return response
    finally:
        replica.in_flight -= 1


async def _until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
