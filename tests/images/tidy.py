"""Removes what an engine of containers leaves in a folder, once whoever holds standard input lets it go.

    python tidy.py FOLDER

A pipe is closed by the kernel even when its holder is killed: no container, mount or image outlives the tests.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_TRIES: Final = 20
_SETTLING_S: Final = 0.5


def main(folder: Path) -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    _kill(folder, {"buildah", "podman", "bash"})  # a build under way would go on
    subprocess.run(["podman", "rm", "--all", "--force", "--time", "0"], stdout=subprocess.DEVNULL, check=False)
    for _ in range(_TRIES):
        # Those who watched the containers start a podman each at the end, which writes into the folder once more.
        _kill(folder, {"conmon", "podman"})
        for mount in sorted(_mounts_below(folder), reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=False)
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(_SETTLING_S)
        if not folder.exists() and not list(_users_of(folder, {"conmon", "podman"})):
            break


def _kill(folder: Path, names: set[str]) -> None:
    for process in _users_of(folder, names):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def _users_of(folder: Path, names: set[str]) -> Iterator[int]:
    """Processes of these names that were told of the folder's engine."""
    mark = f"CONTAINERS_STORAGE_CONF={folder}/storage.conf".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            name = (process / "comm").read_text().strip()
            marked = mark in (process / "environ").read_bytes().split(b"\0")
        except OSError:  # it has ended meanwhile
            continue
        if marked and name in names and process.name != str(os.getpid()):
            yield int(process.name)


def _mounts_below(folder: Path) -> Iterator[str]:
    for line in Path("/proc/mounts").read_text().splitlines():
        target = line.split()[1]
        if Path(target).is_relative_to(folder):
            yield target


if __name__ == "__main__":
    main(Path(sys.argv[1]))
