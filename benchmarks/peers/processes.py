"""Processes of a measurement: how they are started, asked and ended."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

_STOP_S: Final = 10.0
_ANSWER_S: Final = 600.0


class ClientFailed(Exception):
    """A client process ended, or did not answer; the text is its last line."""


@contextmanager
def running(
    command: Sequence[str | Path], log: Path, asked: bool = False, folder: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, which Ctrl-C does not reach; at the end nothing of that session is left.

    `asked`: through its stdin and stdout. `folder`: where it runs.
    """
    with log.open("ab") as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if asked else subprocess.DEVNULL,
            stdout=subprocess.PIPE if asked else said,
            stderr=said,
            cwd=folder,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
        _signal_session(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
        _signal_session(process, signal.SIGKILL)
        process.wait()


class Client:
    """One `benchmarks.peers.client`, asked line by line. Raises ClientFailed."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.pid = process.pid
        self._stdin: IO[bytes] = process.stdin
        self._stdout: IO[bytes] = process.stdout
        self._log = log
        self.ready: dict[str, Any] = self._read()["ready"]

    def ask(self, **asked: Any) -> dict[str, Any]:
        try:
            self._stdin.write(json.dumps(asked).encode() + b"\n")
            self._stdin.flush()
        except OSError as error:
            raise ClientFailed(last_line(self._log)) from error
        return self._read()

    def _read(self) -> dict[str, Any]:
        readable, _, _ = select.select([self._stdout], [], [], _ANSWER_S)
        if not readable:
            raise ClientFailed(f"has not answered for {_ANSWER_S:.0f} s; {last_line(self._log)}")
        line = self._stdout.readline()
        if not line:
            raise ClientFailed(last_line(self._log))
        answer: dict[str, Any] = json.loads(line)
        return answer


def last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _signal_session(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
