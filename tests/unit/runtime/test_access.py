"""Who is let in by a token, and what is said to the others."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import structlog
from prometheus_client import REGISTRY

from services.gateway.callers import caller_of
from services.gateway.roles import ROLES as GATEWAY
from services.indexer.roles import ROLES as INDEXER
from tests.certificates import write_tokens
from tests.unit.runtime.serving import answering, asked, calls_of
from vitrine.runtime import rereading
from vitrine.runtime.access import ADMIN, PUBLISH, ROLES, SEARCH, Access, read_tokens
from vitrine.runtime.errors import ConfigError

TABLES: Final = {"gateway": GATEWAY, "indexer": INDEXER}
SEARCHING: Final = "/vitrine.v1.VisualSearch/Search"
PUBLISHING: Final = "/vitrine.v1.Catalogue/Publish"
DOCUMENTED: Final = Path(__file__).parents[3] / "docs" / "access.md"
# One token a role; the token is the role's name.
ONE_EACH: Final = {f"the-{role}": (f"secret-{role}", [role]) for role in sorted(ROLES)}
_names: Final = itertools.count()

every_call = pytest.mark.parametrize(
    ("service", "call"), [(service, call) for service in TABLES for call in calls_of(service)]
)

Opened = Callable[..., Access]


@pytest.fixture(autouse=True)
def look_at_every_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rereading, "LOOK_INTERVAL_S", 0.0)


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """An Access with metrics of its own: those of a process have one name each."""

    def made(service: str = "gateway") -> Access:
        file = write_tokens(tmp_path / "tokens.json", ONE_EACH)
        return Access(f"access_test{next(_names)}", file, TABLES[service])

    return made


@pytest.mark.parametrize("service", TABLES)
def test_every_call_has_its_roles_and_no_other_has_any(service: str) -> None:
    assert set(TABLES[service]) == set(calls_of(service))
    assert all(roles and roles <= ROLES for roles in TABLES[service].values())


def test_roles_are_as_documented() -> None:
    assert GATEWAY[SEARCHING] == {SEARCH}
    assert GATEWAY[PUBLISHING] == {PUBLISH}
    assert GATEWAY["/vitrine.v1.VisualSearch/ListRecentQueries"] == {ADMIN}
    assert {call.rpartition("/")[2] for call, roles in INDEXER.items() if roles == {ADMIN}} == {
        *("Roll", "Compact", "Collect", "Rollback", "Resume")
    }


def test_the_documented_table_is_the_tables() -> None:
    rows = [line for line in DOCUMENTED.read_text().splitlines() if line.startswith("| `")]
    for row in rows:
        role, *columns = (column.strip() for column in row.strip("|").split("|"))
        if role.strip("`") in ROLES:
            for table, calls in zip(TABLES.values(), columns, strict=True):
                allowed = {call.rpartition("/")[2] for call, roles in table.items() if role.strip("`") in roles}
                assert set(filter(None, calls.split(", "))) == allowed, role
    assert {row.split("`")[1] for row in rows} >= ROLES


@every_call
async def test_a_call_is_open_to_its_roles_only(opened: Opened, service: str, call: str) -> None:
    async with answering(service, opened(service)) as channel:
        for role in sorted(ROLES):
            said = await asked(channel, call, f"Bearer secret-{role}")
            needed = TABLES[service][call]
            refused = f"PERMISSION_DENIED: the-{role} may not call {call[1:]}: it needs the role "
            assert said == (f"the-{role}" if role in needed else refused + " or ".join(sorted(needed)))


@every_call
async def test_no_call_is_open_without_a_token(opened: Opened, service: str, call: str) -> None:
    async with answering(service, opened(service)) as channel:
        assert await asked(channel, call) == "UNAUTHENTICATED: authorization: the call brings no bearer token"


@pytest.mark.parametrize(
    ("authorization", "said"),
    [
        ("Bearer secret-search", "the-search"),
        ("bearer  secret-search ", "the-search"),
        ("Bearer secret-searc", "UNAUTHENTICATED: authorization: the call's bearer token is not known here"),
        ("Bearer SECRET-SEARCH", "UNAUTHENTICATED: authorization: the call's bearer token is not known here"),
        ("Bearer ", "UNAUTHENTICATED: authorization: the call brings no bearer token"),
        ("Basic secret-search", "UNAUTHENTICATED: authorization: the call brings no bearer token"),
        ("secret-search", "UNAUTHENTICATED: authorization: the call brings no bearer token"),
    ],
)
async def test_a_token_is_known_or_not(opened: Opened, authorization: str, said: str) -> None:
    async with answering("gateway", opened()) as channel:
        assert await asked(channel, SEARCHING, authorization) == said


async def test_a_call_that_is_in_no_table_is_refused(tmp_path: Path) -> None:
    file = write_tokens(tmp_path / "tokens.json", ONE_EACH)
    async with answering("gateway", Access(f"access_test{next(_names)}", file, {})) as channel:
        said = await asked(channel, SEARCHING, "Bearer secret-admin")
    assert said.startswith("PERMISSION_DENIED: the-admin may not call vitrine.v1.VisualSearch/Search")


async def test_refusals_are_counted_and_logged_without_the_token(tmp_path: Path) -> None:
    name = f"access_test{next(_names)}"
    file = write_tokens(tmp_path / "tokens.json", ONE_EACH)
    with structlog.testing.capture_logs() as lines:
        async with answering("gateway", Access(name, file, GATEWAY)) as channel:
            for authorization in ((), ("Bearer not-known",), ("Bearer secret-search",), ("Bearer secret-search",)):
                await asked(channel, PUBLISHING, *authorization)
    refused = {reason: _refused(name, reason) for reason in ("no token", "unknown token", "wrong role")}
    assert refused == {"no token": 1, "unknown token": 1, "wrong role": 2}
    # The last one came within a second of another of its kind: it is counted, and has no line.
    assert [(line["reason"], line["token"], line["method"]) for line in lines] == [
        ("no token", "", PUBLISHING),
        ("unknown token", "", PUBLISHING),
        ("wrong role", "the-search", PUBLISHING),
    ]
    written = json.dumps(lines)
    hashes = [entry["sha256"] for entry in json.loads(file.read_bytes())["tokens"]]
    assert not [secret for secret in ("secret-search", "not-known", *hashes) if secret in written]


async def test_a_changed_file_counts_at_once_and_a_wrong_one_does_not(tmp_path: Path) -> None:
    file = write_tokens(tmp_path / "tokens.json", ONE_EACH)
    access = Access(f"access_test{next(_names)}", file, GATEWAY)
    async with answering("gateway", access) as channel:
        assert await asked(channel, SEARCHING, "Bearer secret-search") == "the-search"

        write_tokens(file, {"newcomer": ("new-secret", [SEARCH])})
        assert (await asked(channel, SEARCHING, "Bearer secret-search")).startswith("UNAUTHENTICATED")
        assert await asked(channel, SEARCHING, "Bearer new-secret") == "newcomer"

        file.write_text('{"tokens": [')
        assert await asked(channel, SEARCHING, "Bearer new-secret") == "newcomer"
    assert (access.tokens.reloads, access.tokens.failed_reloads) == (1, 1)


async def test_a_list_that_is_emptied_lets_nobody_in(opened: Opened, tmp_path: Path) -> None:
    access = opened()
    async with answering("gateway", access) as channel:
        assert await asked(channel, SEARCHING, "Bearer secret-search") == "the-search"
        (tmp_path / "tokens.json").write_text('{"tokens": []}')
        assert "UNAUTHENTICATED" in await asked(channel, SEARCHING, "Bearer secret-search")


def test_a_list_that_is_empty_from_the_start_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    file.write_text('{"tokens": []}')
    with pytest.raises(ConfigError, match=r"^tokens: .* has none, so nobody could call"):
        Access(f"access_test{next(_names)}", file, GATEWAY)


async def test_a_caller_with_a_token_has_its_name_and_no_other(opened: Opened) -> None:
    class Claiming:
        def invocation_metadata(self) -> list[tuple[str, str]]:
            return [("vitrine-caller", "somebody-else")]

    claiming: Any = Claiming()
    assert caller_of(claiming) == "somebody-else"
    access = opened()
    access._admit(SEARCHING, _with_token("secret-search"))
    assert caller_of(claiming) == "the-search"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", r"is not JSON"),
        ("[]", r'is not {"tokens": \[...\]}'),
        ('{"tokens": [{"name": "a", "roles": ["search"]}]}', r"tokens\[0\] does not have exactly name, roles, sha256"),
        ('{"tokens": [{"name": "A", "sha256": "HASH", "roles": ["search"]}]}', r"tokens\[0\].name is not 1 to 64"),
        ('{"tokens": [{"name": "a", "sha256": "abc", "roles": ["search"]}]}', r"tokens\[0\].sha256 is not 64 hex"),
        ('{"tokens": [{"name": "a", "sha256": "HASH", "roles": []}]}', r"tokens\[0\].roles is not a list of at least"),
        (
            '{"tokens": [{"name": "a", "sha256": "HASH", "roles": ["root"]}]}',
            r"'root' is none of admin, publish, search",
        ),
        ('{"tokens": [ENTRY, ENTRY]}', r"two tokens have the same name"),
        (
            '{"tokens": [ENTRY, {"name": "b", "sha256": "HASH", "roles": ["admin"]}]}',
            r"two tokens have the same sha256",
        ),
    ],
)
def test_a_wrong_tokens_file_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "tokens.json"
    entry = '{"name": "a", "sha256": "HASH", "roles": ["search"]}'
    file.write_text(text.replace("ENTRY", entry).replace("HASH", "ab" * 32))
    with pytest.raises(ConfigError, match=rf"^tokens: .*{said}") as caught:
        read_tokens(file)
    assert "abab" not in str(caught.value)


def test_a_missing_tokens_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^tokens: .*cannot be read \(No such file or directory\)"):
        read_tokens(tmp_path / "tokens.json")


def _refused(name: str, reason: str) -> float:
    return REGISTRY.get_sample_value(f"vitrine_{name}_refused_callers_total", {"reason": reason}) or 0.0


def _with_token(token: str) -> Any:
    class Called:
        def invocation_metadata(self) -> list[tuple[str, str]]:
            return [("authorization", f"Bearer {token}")]

    return Called()
