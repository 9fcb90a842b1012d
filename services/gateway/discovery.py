"""A group's name → the addresses of its searchers, as they are now."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from services.gateway import metrics
from services.gateway.topology import Group, Topology
from vitrine.runtime.logs import logger

_TIMEOUT_S: Final = 1.0

# A name's addresses, without ports. Raises OSError, TimeoutError.
Lookup = Callable[[str], Awaitable[list[str]]]


async def addresses_of(name: str) -> list[str]:
    """All that the system's resolver knows, IPv4 and IPv6. Raises OSError, TimeoutError."""
    async with asyncio.timeout(_TIMEOUT_S):
        found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return sorted({str(address[0]) for *_, address in found})


class Discovery:
    """Remembers what each name stood for: one that cannot be looked up is no searcher that is gone."""

    def __init__(self, lookup: Lookup = addresses_of) -> None:
        self._lookup = lookup
        self._known: dict[str, list[str]] = {}
        self._failing: set[str] = set()

    async def found(self, topology: Topology) -> Topology:
        """The same with the addresses of all groups."""
        await asyncio.gather(*(self._look_up(name) for name in {group.name for group in topology.groups} - {""}))
        return Topology(tuple(self._found(group) for group in topology.groups))

    async def _look_up(self, name: str) -> None:
        try:
            self._known[name] = await self._lookup(name)
            self._failing.discard(name)
        except (OSError, TimeoutError) as error:
            metrics.LOOKUPS_FAILED.labels(name).inc()
            if name not in self._failing:
                self._failing.add(name)
                reason, kept = str(error) or "no answer in time", len(self._known.get(name, ()))
                logger().warning("searchers not looked up, those known stay", name=name, reason=reason, known=kept)

    def _found(self, group: Group) -> Group:
        if not group.service:
            return group
        hosts = [f"[{host}]" if ":" in host else host for host in self._known.get(group.name, ())]
        ports = range(group.port, group.port + group.workers)
        return replace(group, addresses=tuple(f"{host}:{port}" for host in hosts for port in ports))
