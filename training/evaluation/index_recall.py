"""Recall of the index that ships, a rolled shard searched through its tree, against exact search."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from training.evaluation.intervals import Figure, Resamples
from training.evaluation.ranking import NEIGHBOURS, Vectors
from vitrine.shards.build import TreeSettings, write_rolled
from vitrine.shards.masks import Masks
from vitrine.shards.metric import SCORE_TOLERANCE
from vitrine.shards.query import Query
from vitrine.shards.records import ImageRow, ProductVersion
from vitrine.shards.search import answers
from vitrine.shards.shard import Shard
from vitrine.shards.snapshot import Snapshot
from vitrine.shards.table import ShardTable, table_of


@dataclass(frozen=True)
class IndexRecall:
    """Share of the ten exact answers that the index found. `method`: tree or exact, as the shard chose for itself."""

    recall_at_10: Figure
    rows: int
    method: str
    recall_target: float

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "recall_at_10": self.recall_at_10.as_json()}


def index_recall(queries: Vectors, catalogue: Vectors, tenth_scores: Vectors, seed: int) -> IndexRecall:
    """Builds a shard of the catalogue's unit vectors (rows, dim) and asks it every query (n, dim).

    `tenth_scores` float32 (n,): the exact cosine of each query's last answer. An answer counts if its score is at
    least that less the tolerance that the shard itself measures recall with.
    """
    settings = TreeSettings()
    with TemporaryDirectory() as folder:
        shard = Shard.open(write_rolled(_table(catalogue), "evaluation", Path(folder), settings))
        snapshot = Snapshot.of([shard], shard.facts.dim, now_us=0)
        found = answers([snapshot], [Query(query, NEIGHBOURS) for query in queries], Masks())
        method, rows = shard.facts.plan.method, shard.rows
    wanted = min(NEIGHBOURS, len(catalogue))
    thresholds = tenth_scores - SCORE_TOLERANCE
    good = [
        sum(entry.score >= least for entry in answer.found) for answer, least in zip(found, thresholds, strict=True)
    ]
    recall = np.minimum(good, wanted) / wanted
    return IndexRecall(Resamples.of(len(recall), seed).mean(recall), rows, method, settings.recall_target)


def _table(vectors: Vectors) -> ShardTable:
    """Each vector as a product of one picture."""
    versions = [
        ProductVersion(
            product_id=f"{row:09d}",
            log_offset=row,
            category="",
            attributes={},
            images=(ImageRow("0", "", bytes(32), vector),),
            event_time_us=0,
        )
        for row, vector in enumerate(vectors)
    ]
    return table_of(versions, (), vectors.shape[1])
