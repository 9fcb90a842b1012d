"""The files of a shard, the facts about it, and the checksums without which no file is trusted.

    shard.json                                   ShardFacts: what it is, and size, sha256, xxh3 of every other file
    rows.arrow, tombstones.arrow                 Arrow IPC files
    keys.npy                                     uint64, ascending
    vectors.npy                                  (rows, dim): float16; fresh shards hold the same values as float32
    tree.annoy, projection.npy, projected.npy    only where `plan.method` is "tree" (see space.py for what they hold;
                                                 a manhattan shard has no projection)
    live.arrow                                   only where there are live rows; in shards of either kind

A fresh shard keeps rows and tombstones in one `fresh.arrow`, since it is written every second: rows with a `vector`
column; a row without a vector is a tombstone.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import xxhash

from vitrine.runtime.errors import CorruptShard
from vitrine.shards.metric import ANGULAR

FORMAT_VERSION: Final = 3
# Version 1 knew no live rows. Versions 1 and 2 knew one metric, one effort for each k, and kept no projected vectors.
READABLE_VERSIONS: Final = (1, 2, FORMAT_VERSION)
FACTS_FILE: Final = "shard.json"
FRESH_FILE: Final = "fresh.arrow"
ROWS_FILE: Final = "rows.arrow"
TOMBSTONES_FILE: Final = "tombstones.arrow"
KEYS_FILE: Final = "keys.npy"
VECTORS_FILE: Final = "vectors.npy"
TREE_FILE: Final = "tree.annoy"
PROJECTION_FILE: Final = "projection.npy"
PROJECTED_FILE: Final = "projected.npy"
LIVE_FILE: Final = "live.arrow"

_BLOCK_BYTES: Final = 1 << 20

Kind = Literal["fresh", "rolled"]
_Effort = TypeVar("_Effort", "TreeEffort", "ScanEffort")


@dataclass(frozen=True)
class ScanCosts:
    """What looking at one row costs one query, nanoseconds, measured on the shard when it was built.

    exact_row_ns      scored on its full vector, with all the others
    projected_row_ns  compared in the tree's space, with all the others; 0 where there are no such scans
    rerank_row_ns     scored on its full vector, picked out
    """

    exact_row_ns: float = 80.0
    projected_row_ns: float = 30.0
    rerank_row_ns: float = 300.0


@dataclass(frozen=True)
class TreeEffort:
    """What a search spends for one k: nodes inspected, candidates re-ranked; what that costs, and the recall it buys.

    `search_k` 0: every row is scored, which costs less here than a tree that reaches as much.
    """

    k: int
    search_k: int
    rerank: int
    recall: float
    recall_lower95: float
    cost_us: float


@dataclass(frozen=True)
class ScanEffort:
    """What a scan of the tree's space must bring for one k: the nearest rows, to be scored on their full vectors."""

    k: int
    candidates: int
    recall: float
    recall_lower95: float


@dataclass(frozen=True)
class SearchPlan:
    """How a rolled shard is searched. method "exact": every row. `reached`: the recall target was met.

    efforts        of the tree: for each measured k, ascending, ever dearer ones with ever higher recall
    scans          of scans of the tree's space, likewise; none where there are no such scans
    recall_target  what the lower 95 % bound of recall was to reach
    """

    method: Literal["exact", "tree"]
    efforts: tuple[TreeEffort, ...] = ()
    scans: tuple[ScanEffort, ...] = ()
    trees: int = 0
    projected_dim: int = 0
    reached: bool = True
    calibration_queries: int = 0
    projection_variance: float = 1.0
    recall_target: float = 0.99
    costs: ScanCosts = ScanCosts()

    def effort(self, k: int, recall_target: float | None = None) -> TreeEffort | None:
        """The cheapest effort of the tree that reaches `recall_target` (None: the plan's own), or None.

        For a k beyond the largest measured one it is that one's, to be scaled. A plan that missed its own target gives
        the best it has.
        """
        measured = _nearest_k(self.efforts, k)
        target = self.recall_target if recall_target is None else recall_target
        enough = next((effort for effort in measured if effort.recall_lower95 >= target), None)
        if enough is None and recall_target is None and not self.reached and measured:
            return measured[-1]
        return enough if enough is not None and enough.search_k else None

    def scan(self, k: int, recall_target: float | None = None) -> ScanEffort | None:
        """The smallest effort of a scan of the tree's space that reaches `recall_target`, likewise, or None."""
        target = self.recall_target if recall_target is None else recall_target
        return next((effort for effort in _nearest_k(self.scans, k) if effort.recall_lower95 >= target), None)

    def recall_at(self, k: int) -> float:
        """Recall measured at build time for `k` at the plan's own target; 1 where every row is scored."""
        effort = self.effort(k) or self.scan(k)
        return 1.0 if effort is None else effort.recall


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
    metric: str = ANGULAR
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
    efforts = tuple(TreeEffort(**{"cost_us": _typical_cost_us(effort), **effort}) for effort in fields.pop("efforts"))
    scans = tuple(ScanEffort(**effort) for effort in fields.pop("scans", ()))
    # Older versions kept no target, but one effort for each k: the one that reached it, if one did.
    fields.setdefault("recall_target", min((effort.recall_lower95 for effort in efforts), default=1.0))
    return SearchPlan(efforts=efforts, scans=scans, costs=ScanCosts(**fields.pop("costs", {})), **fields)


def _typical_cost_us(effort: dict[str, Any]) -> float:
    """What an effort costs about, where an older version did not measure it."""
    return float(0.07 * effort["search_k"] + 0.3 * effort["rerank"])


def _nearest_k(efforts: tuple[_Effort, ...], k: int) -> list[_Effort]:
    """The efforts for the smallest measured k that is at least `k`, or for the largest there is; cheapest first."""
    measured = {effort.k for effort in efforts}
    nearest = min((known for known in measured if known >= k), default=max(measured, default=0))
    return [effort for effort in efforts if effort.k == nearest]
