"""What processes cost: CPU time so far, and the most memory that new ones took. Both from /proc."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from vitrine.cli.bench.machine import private_bytes

_PROC: Final = Path("/proc")
_SAMPLE_INTERVAL_S: Final = 0.05


class _Process(NamedTuple):
    """`ticks`: CPU time, with that of its children that have ended."""

    parent: int
    ticks: int


@dataclass
class Peak:
    """The most private memory seen at one moment. None: the system does not say, or nothing ran."""

    private_bytes: int | None = None


def cpu_seconds(roots: Iterable[int]) -> float | None:
    """CPU time of these processes and all below them, since they began. None where there is no /proc."""
    known = _processes()
    if not known:
        return None
    return sum(known[pid].ticks for pid in _with_descendants(roots, known)) / os.sysconf("SC_CLK_TCK")


def read_bytes(pid: int) -> int | None:
    """What a process has had fetched from storage, as opposed to the page cache. None where the system does not say."""
    try:
        lines = (_PROC / str(pid) / "io").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("read_bytes:")), None)


@contextmanager
def peak_of_new_processes() -> Iterator[Peak]:
    """Watches what is started below this process within the block: its private memory, all together."""
    peak, before, over = Peak(), descendants(), threading.Event()

    def watch() -> None:
        while not over.wait(_SAMPLE_INTERVAL_S):
            sizes = [private_bytes(pid) for pid in descendants() - before]
            together = sum(size for size in sizes if size is not None)
            if together > (peak.private_bytes or 0):
                peak.private_bytes = together

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def descendants() -> set[int]:
    """Every process below this one."""
    return _with_descendants([os.getpid()], _processes()) - {os.getpid()}


def _with_descendants(roots: Iterable[int], known: dict[int, _Process]) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, process in known.items():
        children.setdefault(process.parent, []).append(pid)
    return set(_reached(roots, known, children))


def _reached(roots: Iterable[int], known: Collection[int], children: dict[int, list[int]]) -> Iterator[int]:
    waiting = [pid for pid in roots if pid in known]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += children.get(pid, [])


def _processes() -> dict[int, _Process]:
    """All there are; empty where there is no /proc."""
    found = {}
    for path in _PROC.glob("[0-9]*/stat"):
        try:
            # The name, in brackets, may hold anything; the numbers come after it.
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        found[int(path.parent.name)] = _Process(int(fields[1]), sum(map(int, fields[11:15])))
    return found
