"""index.json: what is fixed for the life of an index."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Final

from vitrine.index.store import Store
from vitrine.runtime.errors import ConfigError, UnknownIndex
from vitrine.shards.metric import ANGULAR, metric_of

FORMAT_VERSION: Final = 2
# Version 1 knew no retention: its products stay until they are deleted.
_READABLE_VERSIONS: Final = (1, 2)
DEFAULT_INDEX: Final = "default"
DEFAULT_RETENTION: Final = "90d"
RETENTION_PATTERN: Final = r"^(0|[1-9][0-9]*[smhd])$"
MAX_RETENTION_S: Final = 100 * 365 * 24 * 3600.0
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True)
class IndexSettings:
    """The contents of index.json. Raises ConfigError naming the field that makes no sense.

    `hash`: how a product id finds its partition, on every stream and in every client. `retention_s`: how long after its
    event_time a product is found; 0: until it is deleted or expires.
    """

    name: str
    dim: int
    model_id: str
    partitions: int
    metric: str = ANGULAR
    hash: str = "murmur2"
    recall_target: float = 0.99
    retention_s: float = 0.0
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        metric_of(self.metric)
        if not _NAME.fullmatch(self.name):
            raise ConfigError("index", f"{self.name!r} is not a name of lower-case letters, digits, - and _")
        if not 1 <= self.partitions <= 4096:
            raise ConfigError("partitions", f"{self.partitions} is not between 1 and 4096")
        if not 0.5 <= self.recall_target < 1:
            raise ConfigError("recall_target", f"{self.recall_target} is not between 0.5 and 1")
        if not 0 <= self.retention_s < MAX_RETENTION_S:
            raise ConfigError("retention", f"{self.retention_s} s is not between 0 and {MAX_RETENTION_S:.0f}")


def seconds_of(retention: str) -> float:
    """What "90d" is in seconds; "0" is for ever. Raises ConfigError (`retention`)."""
    if not re.fullmatch(RETENTION_PATTERN, retention):
        raise ConfigError("retention", f"{retention!r} is neither 0 nor a number with s, m, h or d, such as 90d")
    if retention == "0":
        return 0.0
    return float(retention[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[retention[-1]]


def settings_key(index: str) -> str:
    return f"{index}/index.json"


def partition_prefix(index: str, partition: int) -> str:
    """Where everything of one partition lies."""
    return f"{index}/p{partition:05d}"


def load(store: Store, index: str) -> IndexSettings:
    """Raises UnknownIndex if there is none, ConfigError if this program cannot read it."""
    data = store.get(settings_key(index))
    if data is None:
        raise UnknownIndex(index)
    try:
        fields = json.loads(data)
        if fields["format_version"] not in _READABLE_VERSIONS:
            raise ConfigError("index.json", f"format_version {fields['format_version']} cannot be read here")
        return IndexSettings(**{**fields, "format_version": FORMAT_VERSION})
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError("index.json", f"cannot be read ({error!r})") from error


def create_or_check(store: Store, wanted: IndexSettings) -> IndexSettings:
    """The index's settings, made if absent. Raises ConfigError naming what the existing index has otherwise."""
    store.create(settings_key(wanted.name), json.dumps(asdict(wanted), indent=1).encode())
    existing = load(store, wanted.name)
    for field in ("model_id", "dim", "partitions", "metric", "retention_s"):
        if getattr(existing, field) != getattr(wanted, field):
            raise ConfigError(
                field,
                f"index {wanted.name!r} was made with {getattr(existing, field)!r}, not {getattr(wanted, field)!r}; "
                "use another index name or another folder",
            )
    return existing
