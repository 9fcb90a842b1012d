"""What a broker needs from the machine: Java, and Kafka's jars, copied once by Maven into a folder that git ignores."""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_POM: Final = Path(__file__).with_name("pom.xml")
_CACHE: Final = Path(__file__).parents[2] / "run" / "kafka"
_JAVA_AT_LEAST: Final = 17  # Kafka 4 brokers do not start on less
_ASK_TIMEOUT_S: Final = 20.0
_FETCH_TIMEOUT_S: Final = 300.0


class NoBroker(Exception):
    """Why no broker can be had on this machine, in one line."""


def missing(cache: Path = _CACHE) -> str | None:
    """Why no broker can be had here, in one line; None if one can. Fetches the jars unless `cache` has them."""
    try:
        java()
        jar_folder(cache)
    except NoBroker as reason:
        return str(reason)
    return None


def java() -> str:
    """Path of a Java new enough for the broker. Raises NoBroker."""
    path = shutil.which("java")
    if path is None:
        raise NoBroker(f"no java on PATH (Kafka needs {_JAVA_AT_LEAST} or newer)")
    answer = _output([path, "-version"], _ASK_TIMEOUT_S)
    found = re.search(r'version "(\d+)', answer.stdout)
    if answer.returncode or found is None:
        raise NoBroker(f"{path} -version failed: {_first_line(answer.stdout)}")
    if int(found[1]) < _JAVA_AT_LEAST:
        raise NoBroker(f"{path} is Java {found[1]} (Kafka needs {_JAVA_AT_LEAST} or newer)")
    return path


def jar_folder(cache: Path = _CACHE) -> Path:
    """The folder in `cache` with all jars that pom.xml names; runs Maven if it is not there. Raises NoBroker."""
    folder = cache / hashlib.sha256(_POM.read_bytes()).hexdigest()[:16]
    if folder.is_dir():
        return folder
    mvn = shutil.which("mvn")
    if mvn is None:
        raise NoBroker("no mvn on PATH, and Kafka's jars have not been fetched yet")
    cache.mkdir(parents=True, exist_ok=True)
    with _alone(cache / "lock"):  # Maven's own store does not stand two writers
        if not folder.is_dir():
            _fetch(mvn, folder)
    return folder


def _fetch(mvn: str, folder: Path) -> None:
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)  # of a fetch that was killed
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={part}"]
    answer = _output([mvn, "--batch-mode", "--quiet", f"--file={_POM}", *goal], _FETCH_TIMEOUT_S)
    if answer.returncode or not any(part.glob("*.jar")):
        shutil.rmtree(part, ignore_errors=True)
        raise NoBroker(f"mvn could not fetch Kafka's jars: {_first_line(answer.stdout)}")
    part.rename(folder)  # a folder with the final name is always complete


def _output(command: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Exit code and everything printed. Raises NoBroker if the command does not end or cannot start."""
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as cause:
        raise NoBroker(f"{command[0]}: {cause}") from cause


def _first_line(printed: str) -> str:
    return next(iter(printed.strip().splitlines()), "it printed nothing")


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Waits until no other process is inside."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
