"""What is asked of shards, what is found in them, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from vitrine.filters import Filter
from vitrine.shards.halves import as_float32
from vitrine.shards.planning import Method
from vitrine.vectors import Vectors

if TYPE_CHECKING:
    from vitrine.shards.records import Hit
    from vitrine.shards.shard import Shard
    from vitrine.shards.snapshot import Snapshot

# So many products that are never answered are reckoned with at first, or as many as are wanted: few of a long list are
# among the best, and where more of them are, the search goes deeper.
_EXPECTED_EXCLUDED: Final = 16


class RankedPlace(NamedTuple):
    """A place in a ranking: best score first, then product_id."""

    score: float
    product_id: str


@dataclass(frozen=True, eq=False, slots=True)
class Query:
    """One checked question. `vector`: float32, shape (dim,), unit length.

    k              best products wanted
    exact          score every row
    recall_target  instead of the index's own; None = that
    min_score      products scoring below are left out
    exclude        products never answered
    filter         which products may be answered; None = all
    after          only products ranked strictly after this place, `skipped` of which come before it
    """

    vector: Vectors
    k: int
    exact: bool = False
    recall_target: float | None = None
    min_score: float | None = None
    exclude: frozenset[str] = frozenset()
    filter: Filter | None = None
    after: RankedPlace | None = None
    skipped: int = 0

    @property
    def depth(self) -> int:
        """How many products are ranked for it at first: those wanted, and those that are left out of them."""
        return self.k + self.skipped + min(len(self.exclude), max(self.k, _EXPECTED_EXCLUDED))


class Found(NamedTuple):
    """A product's best row, not read yet, and the snapshot it was found in."""

    score: float
    shard: Shard
    row: int
    snapshot: Snapshot

    def hit(self) -> Hit:
        """All that an answer says of it."""
        shard, row, snapshot = self.shard, self.row, self.snapshot
        live = snapshot.live_attributes(shard.product_id(row), shard.key(row)) if snapshot.live_blocks.blocks else {}
        return shard.hit(row, self.score, live)

    def vector(self) -> Vectors:
        """Of the image that was found: float32, shape (dim,)."""
        return as_float32(self.shard.table.vectors[self.row])


class ShardPlan(NamedTuple):
    """How one shard (or, with an empty id, all fresh ones together) was searched for one query, and what it cost.

    `rows_matching`: live rows that meet the filter. `fell_back`: a cheaper way found too few; `method` is what did.
    Times are microseconds; `search_us` is a query's share where several were searched together.
    """

    shard_id: str
    method: Method
    rows_live: int
    rows_matching: int
    nodes_inspected: int = 0
    rows_scored: int = 0
    fell_back: bool = False
    search_us: float = 0.0
    mask_us: float = 0.0
    mask_cached: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The best products of all snapshots searched, in rank order, not read yet. `plans`: one list a snapshot.

    `recall`: the lowest measured for what was spent, over the shards searched; 1 = every row was scored.
    """

    found: list[Found]
    recall: float
    plans: list[list[ShardPlan]]
