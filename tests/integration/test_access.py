"""A shop where every hop is TLS and calls need tokens: who gets in, who does not, and what replacing secrets costs."""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from typer.testing import CliRunner

from tests.certificates import HOUR_S, Authority, Secret, write_tokens
from tests.integration.shop import DIM, TIMEOUT_S, drawn, eventually, http, indexed, metric, published, refused
from vitrine.cli.__main__ import app
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import Stack, StackSettings, running_stack
from vitrine.client import AsyncVisualSearchClient, Credentials, VisualSearchClient
from vitrine.runtime.channels import blocking_channel
from vitrine.runtime.errors import (
    HandshakeFailed,
    PermissionDenied,
    Unauthenticated,
    VitrineError,
)
from vitrine.runtime.tls import certificates_in, expiry_s, pair_of
from vitrine.stream.events import Delete
from vitrine.v1 import embedder_pb2, embedder_pb2_grpc, indexer_pb2, indexer_pb2_grpc
from vitrine.vectors import Vectors

SERVICES: Final = ("embedder", "searcher", "indexer", "gateway")
EVERY_PROGRAM: Final = (*SERVICES, "web")
PRODUCTS: Final = 40
TOKENS: Final = {
    "shop": ("a-shop's-secret", ["search"]),
    "catalogue": ("a-catalogue's-secret", ["search", "publish"]),
    "ops": ("an-operator's-secret", ["admin"]),
}
# All connections have come of age, and were made anew.
AGED_S: Final = 1.5
# No two certificates expire at the same time.
_valid_s: Final = itertools.count(HOUR_S, 60.0)


@dataclass
class Guarded:
    """The shop. `certificates`: of all its services; `trusted`: another folder of the same authority's, a caller's."""

    stack: Stack
    authority: Authority
    certificates: Secret
    trusted: Path
    tokens_file: Path
    folder: Path

    def token_file(self, name: str) -> Path:
        return self.folder / f"{name}.token"

    def shown_by(self, name: str) -> Credentials:
        """Of a caller that has the token called `name`; empty: none."""
        return Credentials.of(self.trusted, self.token_file(name) if name else None)

    def client(self, name: str, **options: Any) -> VisualSearchClient:
        return VisualSearchClient(self.stack.gateway, credentials=self.shown_by(name), timeout_s=TIMEOUT_S, **options)

    def metric(self, service: str, name: str, **labels: str) -> float:
        return metric(self.stack.addresses[service].http, f"vitrine_{service}_{name}", **labels)

    def log(self, service: str) -> str:
        return (self.stack.settings.folder / "logs" / f"{service}.log").read_text()

    def replace_certificates(self, authority: Authority, trust: bytes = b"") -> None:
        """In all services and at the caller's. Returns when each has read them."""
        shown = authority.issue(self.certificates.version(), next(_valid_s), trust=trust)
        self.certificates.show(shown)
        authority.issue(self.trusted, next(_valid_s), trust=trust)
        expires_s = [expiry_s((folder / "tls.crt").read_bytes()) for folder in (shown, self.trusted)]
        # Asked for its metrics, a program looks.
        for name in EVERY_PROGRAM:
            eventually(lambda: self.metric(name, "certificate_expires_seconds") == expires_s[0])  # noqa: B023
        eventually(lambda: pair_of(certificates_in(self.trusted)).expires_s == expires_s[1])


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder, authority = tmp_path_factory.mktemp("guarded"), Authority()
    certificates = Secret(folder / "tls")
    certificates.show(authority.issue(certificates.version()))
    tokens_file = write_tokens(folder / "tokens.json", TOKENS)
    for name, (token, _) in TOKENS.items():
        (folder / f"{name}.token").write_text(token + "\n")
    asks_for_tokens = ("--tokens", str(tokens_file))
    settings = StackSettings(
        folder / "stack",
        DEFAULT_MODEL,
        searcher_workers=2,
        embedders=2,
        # Every picture goes to the embedder.
        gateway_options=(*asks_for_tokens, "--embedding-cache-bytes", "0"),
        indexer_options=("--commit-interval-s", "0.2", *asks_for_tokens),
        web_port=0,
        tls=certificates.folder,
    )
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("VITRINE_WEB_TOKEN_FILE", str(folder / "shop.token"))
        for service in SERVICES:
            # Connections are made all the time, with whatever is shown then.
            environment.setenv(f"VITRINE_{service.upper()}_MAX_CONNECTION_AGE_S", "1")
        with running_stack(settings) as stack:
            shop = Guarded(stack, authority, certificates, authority.issue(folder / "caller"), tokens_file, folder)
            with shop.client("catalogue") as client:
                indexed(client, published(client, [product.upsert() for product in drawn()[:PRODUCTS]]))
            yield shop


def test_a_token_to_search_with_finds_products(guarded: Guarded) -> None:
    product = drawn()[0]
    with guarded.client("shop") as client:
        answer = client.search(image=product.pictures[0], k=3, require_complete=True)
        assert answer.hits[0].product_id == product.product_id
        assert client.status().log_id


def test_publishing_needs_its_role(guarded: Guarded) -> None:
    with guarded.client("shop") as client, pytest.raises(PermissionDenied, match=r"shop may not .* the role publish$"):
        list(client.publish([Delete("nothing")]))
    with guarded.client("catalogue") as client:
        assert [ack.error for ack in client.publish([Delete("nothing")])] == [""]


async def test_an_asyncio_client_is_told_the_same_whatever_it_sends(guarded: Guarded) -> None:
    events = [product.upsert() for product in drawn()[:PRODUCTS]]
    async with AsyncVisualSearchClient(guarded.stack.gateway, credentials=guarded.shown_by("shop")) as client:
        for _ in range(5):
            with pytest.raises(PermissionDenied, match=r"shop may not .* the role publish$"):
                [ack async for ack in client.publish(events)]


def test_what_others_have_asked_is_for_operators(guarded: Guarded) -> None:
    with guarded.client("shop") as client, pytest.raises(PermissionDenied, match="the role admin"):
        client.recent_queries()
    with guarded.client("ops") as client:
        assert client.recent_queries()
        with pytest.raises(PermissionDenied, match="the role search"):
            client.product(drawn()[0].product_id)


def test_the_indexer_asks_for_tokens_too(guarded: Guarded) -> None:
    address = guarded.stack.addresses["indexer"].grpc
    request = indexer_pb2.CollectRequest(index="products")
    for name, code in (("", "UNAUTHENTICATED"), ("shop", "PERMISSION_DENIED")):
        with blocking_channel(address, guarded.shown_by(name)) as channel, refused(code):
            indexer_pb2_grpc.IndexerStub(channel).Collect(request, timeout=5)
    with blocking_channel(address, guarded.shown_by("ops")) as channel:
        assert indexer_pb2_grpc.IndexerStub(channel).GetStatus(indexer_pb2.IndexerStatusRequest(), timeout=5).partitions


def test_a_caller_without_a_known_token_is_counted_and_logged_and_its_token_is_not(guarded: Guarded) -> None:
    reasons = ("no token", "unknown token")
    before = [guarded.metric("gateway", "refused_callers_total", reason=reason) for reason in reasons]
    stranger = guarded.folder / "stranger.token"
    stranger.write_text("a-stranger's-secret")
    unknown = VisualSearchClient(guarded.stack.gateway, credentials=Credentials.of(guarded.trusted, stranger))
    with guarded.client("") as client, pytest.raises(Unauthenticated, match="brings no bearer token"):
        client.status()
    with unknown as client, pytest.raises(Unauthenticated, match="is not known here"):
        client.status()
    after = [guarded.metric("gateway", "refused_callers_total", reason=reason) for reason in reasons]
    assert [later - earlier for earlier, later in zip(before, after, strict=True)] == [1, 1]
    written = guarded.log("gateway")
    refusals = [json.loads(line) for line in written.splitlines() if '"caller refused"' in line]
    assert set(reasons) <= {line["reason"] for line in refusals}
    hashes = [entry["sha256"] for entry in json.loads(guarded.tokens_file.read_bytes())["tokens"]]
    secrets = [*(token for token, _ in TOKENS.values()), "a-stranger's-secret", *hashes]
    assert not [secret for secret in secrets if secret in written]


def test_a_caller_is_counted_under_its_tokens_name(guarded: Guarded) -> None:
    def counted(name: str) -> float:
        return guarded.metric("gateway", "calls_by_caller_total", caller=name)

    before = counted("shop")
    with guarded.client("shop", caller="somebody-else") as client:
        client.search(vector=np.ones(DIM, np.float32), k=1)
    assert counted("shop") == before + 1
    assert counted("somebody-else") == 0


@pytest.mark.parametrize("kind", ["of another authority", "without a certificate", "expired", "without TLS"])
def test_a_caller_that_is_not_certified_is_refused_counted_and_logged(
    guarded: Guarded, kind: str, tmp_path: Path
) -> None:
    folder = tmp_path / "caller"
    if kind == "of another authority":
        Authority("a stranger").issue(folder, trust=guarded.authority.pem)
    elif kind == "expired":
        guarded.authority.issue(folder, 3.0)
    elif kind == "without a certificate":
        folder.mkdir()
        (folder / "ca.crt").write_bytes(guarded.authority.pem)
    credentials = Credentials.of(None if kind == "without TLS" else folder, guarded.token_file("shop"))
    if kind == "expired":
        time.sleep(max(0.0, expiry_s((folder / "tls.crt").read_bytes()) + 0.5 - time.time()))

    def refused_handshakes() -> float:
        return guarded.metric("gateway", "tls_handshakes_total") - guarded.metric("gateway", "tls_connections_total")

    def words() -> int:
        return guarded.log("gateway").count("Handshake failed with error")

    refusals, lines = refused_handshakes(), words()
    client = VisualSearchClient(guarded.stack.gateway, credentials=credentials, max_tries=1)
    with client, pytest.raises(HandshakeFailed, match="the server ended the connection at once: it wants TLS"):
        client.status()
    eventually(lambda: refused_handshakes() > refusals)
    eventually(lambda: words() > lines)


def test_services_that_are_no_gateway_let_in_only_whom_they_trust(guarded: Guarded) -> None:
    request = embedder_pb2.GetModelRequest()
    with blocking_channel(guarded.stack.addresses["embedder"].grpc) as channel, refused("UNAVAILABLE"):
        embedder_pb2_grpc.EmbedderStub(channel).GetModel(request, timeout=5)


def test_a_server_of_another_authority_is_not_told_the_token(guarded: Guarded, tmp_path: Path) -> None:
    trusting = Credentials.of(Authority("a stranger").issue(tmp_path), guarded.token_file("shop"))
    client = VisualSearchClient(guarded.stack.gateway, credentials=trusting, max_tries=1)
    with client, pytest.raises(HandshakeFailed, match="the server's certificate is not trusted, or names another host"):
        client.status()


@pytest.mark.parametrize("name", EVERY_PROGRAM)
def test_probes_and_metrics_need_neither(guarded: Guarded, name: str) -> None:
    address = guarded.stack.addresses[name].http
    assert http(address, "/livez") == (200, "alive\n")
    eventually(lambda: http(address, "/readyz") == (200, "ready\n"))
    expires_s = guarded.metric(name, "certificate_expires_seconds")
    assert time.time() < expires_s < time.time() + 3 * HOUR_S


def test_health_needs_no_token_and_reflection_is_off_where_tokens_are_asked_for(guarded: Guarded) -> None:
    with blocking_channel(guarded.stack.gateway, guarded.shown_by("")) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(Exception, match="UNIMPLEMENTED"):
            ProtoReflectionDescriptorDatabase(channel).get_services()


def test_the_page_is_served_by_tls_and_asks_the_gateway_with_its_own_token(guarded: Guarded) -> None:
    page = guarded.stack.addresses["web"].page
    trusting = ssl.create_default_context(cafile=guarded.trusted / "ca.crt")
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=trusting))
    with opener.open(f"https://{page}/api/products/{drawn()[0].product_id}", timeout=10) as response:
        assert json.loads(response.read())["product_id"] == drawn()[0].product_id


def test_commands_take_certificates_and_a_token(guarded: Guarded) -> None:
    folder = str(guarded.stack.settings.folder)

    def run(command: str, name: str) -> Any:
        options = ["--tls", str(guarded.trusted), "--token-file", str(guarded.token_file(name))]
        return CliRunner().invoke(app, [*command.split(), "--folder", folder, *options])

    found = run(f"search {drawn()[0].product_id} --json", "shop")
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["hits"]
    assert isinstance(run("index compact", "shop").exception, PermissionDenied)
    assert run("index compact --json", "ops").exit_code == 0
    named = run(f"search {drawn()[0].product_id} --tls-name another-host", "shop")
    assert isinstance(named.exception, HandshakeFailed)
    without = CliRunner().invoke(app, ["search", drawn()[0].product_id, "--folder", folder])
    assert isinstance(without.exception, HandshakeFailed)


@pytest.mark.thorough
def test_connections_that_come_of_age_fail_no_call(guarded: Guarded) -> None:
    begun = {service: guarded.metric(service, "tls_handshakes_total") for service in ("searcher", "embedder")}
    ended = _load(guarded, lambda: time.sleep(3.5))
    assert set(ended) == {"OK"}
    assert ended.total() > 50
    # Nor between the services, whose connections ended too.
    assert all(guarded.metric(service, "tls_handshakes_total") > count for service, count in begun.items())


def test_no_call_fails_while_certificates_and_then_their_authority_are_replaced(guarded: Guarded) -> None:
    following = Authority("its successor")
    both = guarded.authority.pem + following.pem
    reloads = {name: guarded.metric(name, "certificates_reloads_total", outcome="ok") for name in EVERY_PROGRAM}

    def replace() -> None:
        steps = ((guarded.authority, b""), (guarded.authority, both), (following, both), (following, b""))
        for authority, trust in steps:
            guarded.replace_certificates(authority, trust)
            time.sleep(AGED_S)

    ended = _load(guarded, replace)
    guarded.authority = following

    assert set(ended) == {"OK"}
    assert ended.total() > 50
    for name in EVERY_PROGRAM:
        assert guarded.metric(name, "certificates_reloads_total", outcome="ok") >= reloads[name] + 4


@pytest.mark.thorough
def test_a_half_written_secret_changes_nothing_but_a_number_and_a_line(guarded: Guarded) -> None:
    half = guarded.certificates.version()
    guarded.authority.issue(half)
    (half / "tls.key").write_bytes(b"")
    guarded.certificates.show(half)
    eventually(lambda: guarded.metric("gateway", "certificates_reloads_total", outcome="failed") > 0)

    ended = _load(guarded, lambda: time.sleep(AGED_S))

    assert set(ended) == {"OK"}
    assert "certificates not reloaded, what was there stays: tls: " in guarded.log("gateway")
    guarded.replace_certificates(guarded.authority)


def test_a_token_counts_until_it_is_taken_out_of_the_file(guarded: Guarded) -> None:
    others = {name: entry for name, entry in TOKENS.items() if name != "shop"}

    def lets_in() -> bool:
        try:
            client.product(drawn()[0].product_id)
        except Unauthenticated:
            return False
        return True

    with guarded.client("shop") as client:
        assert lets_in()
        write_tokens(guarded.tokens_file, others)
        eventually(lambda: not lets_in())
        guarded.tokens_file.write_text("{")
        eventually(lambda: guarded.metric("gateway", "tokens_reloads_total", outcome="failed") > 0)
        assert not lets_in()
        write_tokens(guarded.tokens_file, TOKENS)
        eventually(lets_in)


def test_a_server_may_let_in_callers_that_show_nothing(tmp_path: Path) -> None:
    authority = Authority()
    options = ("--tls-client-certificates", "false")
    (tmp_path / "trust").mkdir()
    (tmp_path / "trust" / "ca.crt").write_bytes(authority.pem)
    settings = StackSettings(
        *(tmp_path, DEFAULT_MODEL), embedder_only=True, embedder_options=options, tls=authority.issue(tmp_path / "tls")
    )
    trusting = Credentials.of(tmp_path / "trust")
    with running_stack(settings) as stack, blocking_channel(stack.addresses["embedder"].grpc, trusting) as channel:
        model = embedder_pb2_grpc.EmbedderStub(channel).GetModel(embedder_pb2.GetModelRequest(), timeout=5)
    assert model.dim == DIM


@pytest.mark.parametrize(
    ("name", "field"), [*((name, "tls") for name in EVERY_PROGRAM), ("gateway", "tokens"), ("indexer", "tokens")]
)
def test_a_program_without_its_secret_ends_at_once_and_names_it(name: str, field: str, tmp_path: Path) -> None:
    ports = ["--port", "1", "--http-port", "2"]
    needed = {
        "embedder": ["--model", str(tmp_path)],
        "searcher": ["--store", str(tmp_path)],
        "indexer": ["--store", str(tmp_path), "--embedder", "127.0.0.1:1", "--stream", str(tmp_path / "log")],
        "gateway": ["--store", str(tmp_path), "--embedder", "127.0.0.1:1", "--topology", str(tmp_path / "none")],
        "web": ["--gateway", "127.0.0.1:1"],
    }
    command = [sys.executable, "-m", f"services.{name}", *ports, *needed[name], f"--{field}", str(tmp_path / "away")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr.partition(":")[0]) == (2, name)
    assert f"{field}: {tmp_path / 'away'}" in done.stderr


def _load(guarded: Guarded, meanwhile: Callable[[], None]) -> Counter[str]:
    """How calls of both clients ended that went on during `meanwhile`: searches and pictures, complete or failed.

    Each is made once: no try hides another.
    """
    ended: Counter[str] = Counter()
    over = threading.Event()
    threads = [threading.Thread(target=_ask, args=(guarded, over, ended)) for _ in range(2)]
    threads.append(threading.Thread(target=lambda: asyncio.run(_ask_async(guarded, over, ended))))
    for thread in threads:
        thread.start()
    try:
        meanwhile()
    finally:
        over.set()
        for thread in threads:
            thread.join()
    return ended


def _ask(guarded: Guarded, over: threading.Event, ended: Counter[str]) -> None:
    picture = drawn()[1].pictures[0]
    with guarded.client("shop", max_tries=1) as client:
        while not over.is_set():
            for query in ({"vector": _direction()}, {"image": picture}):
                try:
                    client.search(**query, k=3, require_complete=True)
                    ended["OK"] += 1
                except VitrineError as error:
                    ended[repr(error)] += 1


async def _ask_async(guarded: Guarded, over: threading.Event, ended: Counter[str]) -> None:
    picture = drawn()[2].pictures[0]
    credentials = guarded.shown_by("shop")
    async with AsyncVisualSearchClient(guarded.stack.gateway, credentials=credentials, max_tries=1) as client:
        while not over.is_set():
            for query in ({"vector": _direction()}, {"image": picture}):
                try:
                    await client.search(**query, k=3, require_complete=True)
                    ended["OK"] += 1
                except VitrineError as error:
                    ended[repr(error)] += 1


def _direction() -> Vectors:
    return np.random.default_rng().standard_normal(DIM, np.float32)
