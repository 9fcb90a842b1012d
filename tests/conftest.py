"""What every test shares: `--all`, which runs the thorough ones too and turns a skip into a failure, a look for
processes left behind, and Hypothesis without a stopwatch: on a busy machine a slow example is no failure.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.kafka.fixtures"]

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

_Report = TypeVar("_Report", pytest.TestReport, pytest.CollectReport)

_MARK = "VITRINE_TEST_RUN"

# multiprocessing keeps these until the interpreter exits, on purpose.
_HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="thorough tests too; a skipped test is a failed test")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves thorough tests out, not skipped: of the same promises the others run a smaller part."""
    thorough = [item for item in items if item.get_closest_marker("thorough")]
    if thorough and not config.getoption("all"):
        config.hook.pytest_deselected(items=thorough)
        items[:] = [item for item in items if item not in set(thorough)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _judged((yield), item.config)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A whole module skips itself here, for example by `pytest.importorskip("torch")`."""
    return _judged((yield), collector.config)


def _judged(report: _Report, config: pytest.Config) -> _Report:
    if report.skipped and config.getoption("all") and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: {reason} (--all: nothing may be skipped)"
    return report


def pytest_configure() -> None:
    os.environ[_MARK] = str(os.getpid())  # inherited by every process that a test starts


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails the run if a test left a process behind, orphans included."""
    left = _left_running(patience_s=2.0)
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print("\n\nTests left processes running:", *left, sep="\n  ")


def _left_running(patience_s: float) -> list[str]:
    """Command lines of processes that carry this run's mark. Linux only: other systems have no /proc."""
    deadline = time.monotonic() + patience_s
    while (left := list(_marked_processes())) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def _marked_processes() -> Iterator[str]:
    mark = f"{_MARK}={os.getpid()}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            marked = mark in (process / "environ").read_bytes().split(b"\0")
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended meanwhile, or is another user's
            continue
        if marked and process.name != str(os.getpid()) and not any(helper in command for helper in _HELPERS):
            yield f"{process.name} {command}"
