"""Ports for servers of this machine that nobody has named one for."""

from __future__ import annotations

import itertools
import random
import socket
from typing import Final

from vitrine.runtime.errors import Unavailable

LOCALHOST: Final = "127.0.0.1"

# Below what Linux (32768) and macOS (49152) give to a client's end of a connection: one of those is free now and taken
# when the server gets to it.
_CHOICE: Final = range(15_000, 32_000)

# Walks round from a random place: no port is named twice by one process, and two processes seldom name the same.
_candidates = itertools.count(random.randrange(len(_CHOICE)))


def free_ports(count: int) -> range:
    """Neighbouring ports of 127.0.0.1 that nobody listens on. Raises Unavailable if there are none."""
    found: list[int] = []
    for _ in _CHOICE:
        port = _CHOICE[next(_candidates) % len(_CHOICE)]
        if not _free(port):
            found.clear()
            continue
        if found and port != found[-1] + 1:
            found.clear()
        found.append(port)
        if len(found) == count:
            return range(found[0], found[0] + count)
    raise Unavailable(f"no {count} neighbouring ports between {_CHOICE.start} and {_CHOICE.stop} are free")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on. Raises Unavailable if there is none."""
    return free_ports(1)[0]


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOCALHOST, port))
        except OSError:
            return False
    return True
