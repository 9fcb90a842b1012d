"""Failpoints: what arms them, when they strike, and what they do then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from services.embedder.settings import EmbedderSettings
from services.gateway.settings import GatewaySettings
from services.indexer.settings import IndexerSettings
from services.searcher.settings import SearcherSettings
from vitrine.runtime import failpoints
from vitrine.runtime.errors import ConfigError, StoreUnavailable


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints._armed.clear()


@pytest.mark.parametrize(
    "specification",
    [
        "read.befor=kill@1",
        "read=kill@1",
        "read.before",
        "read.before=stop@1",
        "read.before=kill@",
        "read.before=kill@0",
        "read.before=kill@-1",
        "read.before=kill@x",
        "read.before=raise@1;fetch.after=raise@1",
    ],
)
def test_what_names_no_failpoint_is_refused(specification: str) -> None:
    with pytest.raises(ConfigError) as refused:
        failpoints.arm(specification)
    assert refused.value.field == failpoints.VARIABLE
    assert not failpoints._armed


def test_a_list_with_one_bad_entry_arms_nothing() -> None:
    with pytest.raises(ConfigError):
        failpoints.arm("read.before=raise@1,nonsense=raise@1")
    failpoints.reached("read.before")


def test_every_step_has_a_point_before_and_one_after() -> None:
    assert {f"{step}.{side}" for step in failpoints.STEPS for side in ("before", "after")} == failpoints.NAMES


@pytest.mark.parametrize("name", sorted(failpoints.NAMES))
def test_nothing_happens_where_nothing_is_armed(name: str) -> None:
    failpoints.arm("")
    failpoints.reached(name)


def test_it_fails_at_its_turn_and_only_then() -> None:
    failpoints.arm("publish.after=raise@3")
    assert [_fails("publish.after") for _ in range(5)] == [False, False, True, False, False]


def test_without_a_number_it_fails_the_first_time() -> None:
    failpoints.arm("publish.after=raise")
    with pytest.raises(StoreUnavailable, match=r"failpoint publish\.after"):
        failpoints.reached("publish.after")
    assert not _fails("publish.after")


def test_each_point_counts_for_itself() -> None:
    failpoints.arm("build.before=raise@2,build.after=raise@1")
    assert [_fails(name) for name in ("build.before", "build.after", "build.before")] == [False, True, True]


def test_a_step_that_fails_does_not_reach_its_end() -> None:
    failpoints.arm("write.after=raise@1")
    with pytest.raises(OSError, match="disk"), failpoints.step("write"):
        raise OSError("disk")
    assert _fails("write.after")


def test_kill_is_a_kill_that_cleans_nothing_up() -> None:
    program = """
import atexit
from vitrine.runtime import failpoints
atexit.register(print, "cleaned up")
failpoints.arm("commit.before=kill@2")
for turn in range(3):
    failpoints.reached("commit.before")
    print("went on", turn, flush=True)
"""
    ended = _python(["-c", program], specification="")
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, "went on 0\n")


def test_the_variable_alone_arms_nothing_where_a_program_does_not_read_it() -> None:
    program = "from vitrine.runtime import failpoints; failpoints.reached('read.before'); print('lives')"
    assert _python(["-c", program], specification="read.before=kill@1").stdout == "lives\n"


def test_an_indexer_with_an_unknown_failpoint_does_not_start() -> None:
    ended = _python(["-m", "services.indexer"], specification="no.such=kill@1")
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"indexer: {failpoints.VARIABLE}: ")


@pytest.mark.parametrize("settings", [EmbedderSettings, GatewaySettings, IndexerSettings, SearcherSettings])
def test_no_setting_arms_them(settings: type[IndexerSettings]) -> None:
    assert [name for name in settings.model_fields if "fail" in name] == []


def _fails(name: str) -> bool:
    try:
        failpoints.reached(name)
    except StoreUnavailable:
        return True
    return False


def _python(arguments: list[str], specification: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {failpoints.VARIABLE: specification}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
