"""The command line, run as a user would run it: in processes of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

COMMAND: Final = (sys.executable, "-m", "vitrine.cli")
START_TIMEOUT_S: Final = 60.0
READY_LINE: Final = "Ctrl-C stops everything."
DRAIN_TIMEOUT_S: Final = 20.0


def vitrine(*arguments: str | Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def succeeded(*arguments: str | Path, env: Mapping[str, str] | None = None) -> str:
    """Runs a command that must end with exit code 0. Returns its standard output."""
    done = vitrine(*arguments, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def last_json(stdout: str) -> dict[str, Any]:
    """The last line of an output, which is one JSON object."""
    fields: dict[str, Any] = json.loads(stdout.splitlines()[-1])
    return fields


@contextmanager
def running_up(
    folder: Path, *options: str | Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """`vitrine up` in `folder`, ready, and gone at the end."""
    log = folder.parent / f"{folder.name}.log"
    command = [*COMMAND, "up", "--folder", str(folder), "--port", "0", *map(str, options)]
    with log.open("wb") as said:
        # A session of its own: what is sent to it reaches no one else.
        running = subprocess.Popen(
            command,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while READY_LINE not in log.read_text():
            assert running.poll() is None, log.read_text()
            assert time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.1)
        yield running
    finally:
        if running.poll() is None:
            running.send_signal(signal.SIGINT)
        try:
            running.wait(DRAIN_TIMEOUT_S + 10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def services_of(pid: int) -> list[str]:
    """Command lines of the services that the process `pid` has started and that still run."""
    mark = f"--parent-pid {pid} "
    return [line for line in _command_lines() if mark in f"{line} "]


def gone(pid: int, patience_s: float) -> bool:
    """Whether all services of `pid` have ended within `patience_s`."""
    deadline_s = time.monotonic() + patience_s
    while left := services_of(pid):
        if time.monotonic() > deadline_s:
            return not left
        time.sleep(0.1)
    return True


def _command_lines() -> list[str]:
    proc = Path("/proc")
    if not proc.is_dir():
        listed = subprocess.run(["ps", "-axww", "-o", "command="], capture_output=True, text=True, check=True)
        return listed.stdout.splitlines()
    lines = []
    for process in proc.glob("[0-9]*"):
        try:
            lines.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # it has ended meanwhile
            continue
    return lines
