"""Named places where a test makes a process die or fail, to show that nothing is lost there.

    VITRINE_FAILPOINTS="publish.after=kill@3,fetch.before=raise@1"

`kill` is SIGKILL: nothing is cleaned up, as at a power cut. `raise` is StoreUnavailable, as of a store that refuses.
@N: the N-th time it is reached, in this process. Nothing happens unless a program arms them, from that variable alone.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from vitrine.runtime.errors import ConfigError, StoreUnavailable

VARIABLE: Final = "VITRINE_FAILPOINTS"
STEPS: Final = ("read", "fetch", "embed", "build", "write", "publish", "commit", "claim", "roll", "compact", "gc")
NAMES: Final = frozenset(f"{step}.{side}" for step in STEPS for side in ("before", "after"))

_ENTRY: Final = re.compile(r"(?P<name>[a-z.]+)=(?P<action>kill|raise)(@(?P<turn>[1-9][0-9]*))?", re.ASCII)

_lock = threading.Lock()
_armed: dict[str, tuple[str, int]] = {}


def arm(specification: str) -> None:
    """Arms what `specification` names; an empty one arms nothing. Raises ConfigError, and then has armed nothing."""
    armed = {}
    for entry in filter(None, specification.split(",")):
        said = _ENTRY.fullmatch(entry)
        if said is None or said["name"] not in NAMES:
            raise ConfigError(VARIABLE, f"{entry!r} is not NAME=kill@N or NAME=raise@N with a known name")
        armed[said["name"]] = (said["action"], int(said["turn"] or 1))
    with _lock:
        _armed.update(armed)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Around one step: `name`.before and, if it succeeded, `name`.after."""
    reached(f"{name}.before")
    yield
    reached(f"{name}.after")


def reached(name: str) -> None:
    """Does what is armed at `name`, if it is its turn. Raises StoreUnavailable where it was told to."""
    if not _armed:
        return
    with _lock:
        action, left = _armed.get(name, ("", 0))
        if not left:
            return
        _armed[name] = (action, left - 1)
        if left > 1:
            return
        del _armed[name]
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise StoreUnavailable(f"failpoint {name}")
