"""Which searchers serve which partitions: one small JSON file, reloaded when it changes.

{"groups": [{"partitions": [0, 1], "addresses": ["127.0.0.1:7003", "127.0.0.1:7004"]}]}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from vitrine.runtime.errors import ConfigError


@dataclass(frozen=True)
class Group:
    """Searchers that all serve the same partitions; none named = all of the index."""

    partitions: tuple[int, ...]
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Topology:
    groups: tuple[Group, ...]

    @staticmethod
    def read(path: Path) -> Topology:
        """Raises ConfigError (field `topology`)."""
        try:
            groups = json.loads(path.read_bytes())["groups"]
            return Topology(tuple(Group(tuple(g.get("partitions", ())), tuple(g["addresses"])) for g in groups))
        except OSError as error:
            raise ConfigError("topology", f"{path} cannot be read ({error.strerror})") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError("topology", f"{path} is not a topology ({error!r})") from error

    def addresses(self) -> list[str]:
        return [address for group in self.groups for address in group.addresses]

    def replicas(self, partition: int) -> list[str]:
        """Addresses of the searchers that should serve `partition`."""
        return [
            address
            for group in self.groups
            if not group.partitions or partition in group.partitions
            for address in group.addresses
        ]
