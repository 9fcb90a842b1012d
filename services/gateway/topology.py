"""Which searchers serve which partitions: one small JSON file, reloaded when it changes.

{"groups": [{"partitions": [0, 1], "addresses": ["127.0.0.1:7003", "127.0.0.1:7004"]}]}
{"groups": [{"partitions": [0, 1], "service": "searcher-g0:50051"}]}

`service`: a name that stands for all searchers of the group, looked up again and again (`services.gateway.discovery`);
with `"workers": n` each of them listens on n ports, from the one named on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitrine.runtime.errors import ConfigError


@dataclass(frozen=True)
class Group:
    """Searchers that all serve the same partitions; none named = all of the index. Where they are: one of

    addresses  host:port of each
    service    host:port, the host a name that stands for all of them; each has `workers` ports, from this one on
    """

    partitions: tuple[int, ...] = ()
    addresses: tuple[str, ...] = ()
    service: str = ""
    workers: int = 1

    @staticmethod
    def of(fields: Mapping[str, Any]) -> Group:
        """Raises ConfigError (field `topology`), KeyError, TypeError, ValueError."""
        if ("addresses" in fields) == ("service" in fields):
            raise ConfigError("topology", "a group has either `addresses` or `service`")
        if unknown := sorted(set(fields) - {"partitions", "addresses", "service", "workers"}):
            raise ConfigError("topology", f"a group has no {', '.join(unknown)}")
        if "workers" in fields and "service" not in fields:
            raise ConfigError("topology", "`workers` go with `service`; `addresses` name each by itself")
        group = Group(
            tuple(fields.get("partitions", ())),
            tuple(fields.get("addresses", ())),
            str(fields.get("service", "")),
            int(fields.get("workers", 1)),
        )
        if group.service and not (group.name and 1 <= group.port <= 65536 - group.workers and group.workers >= 1):
            raise ConfigError("topology", f"service {group.service!r} with {group.workers} workers has no such ports")
        return group

    @property
    def name(self) -> str:
        """The host of `service`; empty without one."""
        return self.service.rpartition(":")[0]

    @property
    def port(self) -> int:
        return int(self.service.rpartition(":")[2])


@dataclass(frozen=True)
class Topology:
    groups: tuple[Group, ...]

    @staticmethod
    def read(path: Path) -> Topology:
        """Raises ConfigError (field `topology`)."""
        try:
            return Topology(tuple(Group.of(fields) for fields in json.loads(path.read_bytes())["groups"]))
        except OSError as error:
            raise ConfigError("topology", f"{path} cannot be read ({error.strerror})") from error
        except ConfigError as error:
            raise ConfigError("topology", f"{path}: {error.reason}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError("topology", f"{path} is not a topology ({error!r})") from error

    def names(self) -> dict[str, str]:
        """Addresses, and the name behind which each was found; empty where it is listed itself."""
        return {address: group.name for group in self.groups for address in group.addresses}

    def replicas(self, partition: int) -> list[str]:
        """Addresses of the searchers that should serve `partition`."""
        return [
            address
            for group in self.groups
            if not group.partitions or partition in group.partitions
            for address in group.addresses
        ]
