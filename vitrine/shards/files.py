"""The files of a shard, the facts about it, and the checksums without which no file is trusted.

    shard.json                                   ShardFacts: what it is, and size, sha256, xxh3 of every other file
    rows.arrow, tombstones.arrow                 Arrow IPC files
    keys.npy                                     uint64, ascending
    vectors.npy                                  (rows, dim): float32 in fresh shards, float16 in rolled ones
    tree.annoy, projection.npy                   only where `plan.method` is "tree"
    live.arrow                                   only where there are live rows; in shards of either kind

A fresh shard keeps rows and tombstones in one `fresh.arrow`, since it is written every second: rows with a `vector`
column; a row without a vector is a tombstone.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import xxhash

from vitrine.runtime.errors import CorruptShard

FORMAT_VERSION: Final = 2
# Version 1 knew no live rows.
READABLE_VERSIONS: Final = (1, FORMAT_VERSION)
FACTS_FILE: Final = "shard.json"
FRESH_FILE: Final = "fresh.arrow"
ROWS_FILE: Final = "rows.arrow"
TOMBSTONES_FILE: Final = "tombstones.arrow"
KEYS_FILE: Final = "keys.npy"
VECTORS_FILE: Final = "vectors.npy"
TREE_FILE: Final = "tree.annoy"
PROJECTION_FILE: Final = "projection.npy"
LIVE_FILE: Final = "live.arrow"

_BLOCK_BYTES: Final = 1 << 20

Kind = Literal["fresh", "rolled"]


@dataclass(frozen=True)
class TreeEffort:
    """What a search spends for one k: nodes inspected, candidates re-ranked, and the recall that bought.

    `search_k` 0: every row is scored, which costs less here than a tree that reaches the target.
    """

    k: int
    search_k: int
    rerank: int
    recall: float
    recall_lower95: float


@dataclass(frozen=True)
class SearchPlan:
    """How a rolled shard is searched. method "exact": every row. `reached`: the recall target was met."""

    method: Literal["exact", "tree"]
    efforts: tuple[TreeEffort, ...] = ()
    trees: int = 0
    projected_dim: int = 0
    reached: bool = True
    calibration_queries: int = 0
    projection_variance: float = 1.0

    def recall_at(self, k: int) -> float:
        """Recall measured at build time for `k`; 1 for exact search."""
        return next((effort.recall for effort in self.efforts if effort.k == k), 1.0)


@dataclass(frozen=True)
class FileFacts:
    """What a file must be. `sha256` is checked where the file is copied, `xxh3` at every open."""

    size_bytes: int
    sha256: str
    xxh3: str


@dataclass(frozen=True)
class ShardFacts:
    """The contents of shard.json."""

    shard_id: str
    kind: Kind
    rows: int
    products: int
    tombstones: int
    dim: int
    model_id: str
    plan: SearchPlan
    files: dict[str, FileFacts]
    live_rows: int = 0
    format_version: int = FORMAT_VERSION

    @property
    def size_bytes(self) -> int:
        """Size of all files but shard.json."""
        return sum(facts.size_bytes for facts in self.files.values())

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode()

    @staticmethod
    def from_json(data: bytes, where: str) -> ShardFacts:
        """Raises CorruptShard where `data` is not the facts of a readable shard."""
        try:
            fields = json.loads(data)
            if fields["format_version"] not in READABLE_VERSIONS:
                raise CorruptShard(f"{where}: format_version {fields['format_version']} cannot be read here")
            plan = fields.pop("plan")
            files = {name: FileFacts(**facts) for name, facts in fields.pop("files").items()}
            return ShardFacts(plan=_plan(plan), files=files, **fields)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptShard(f"{where}: not the facts of a shard ({error!r})") from error


def measure(path: Path) -> FileFacts:
    """Size and checksums of a file."""
    sha256, xxh3, size = hashlib.sha256(), xxhash.xxh3_64(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            sha256.update(block)
            xxh3.update(block)
            size += len(block)
    return FileFacts(size, sha256.hexdigest(), xxh3.hexdigest())


def verify(path: Path, facts: FileFacts) -> None:
    """Raises CorruptShard unless the file has the size and xxh3 it was written with. Warms the page cache too."""
    try:
        size = path.stat().st_size
        if size != facts.size_bytes:
            raise CorruptShard(f"{path.name} of shard {path.parent.name} has {size} bytes, expected {facts.size_bytes}")
        digest = xxhash.xxh3_64()
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except FileNotFoundError as error:
        raise CorruptShard(f"{path.name} of shard {path.parent.name} is missing") from error
    except OSError as error:
        raise CorruptShard(f"{path.name} of shard {path.parent.name} cannot be read ({error.strerror})") from error
    if digest.hexdigest() != facts.xxh3:
        raise CorruptShard(f"{path.name} of shard {path.parent.name} does not match its checksum")


def _plan(fields: dict[str, Any]) -> SearchPlan:
    efforts = tuple(TreeEffort(**effort) for effort in fields.pop("efforts"))
    return SearchPlan(efforts=efforts, **fields)
