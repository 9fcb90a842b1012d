"""The category that the model sees in a picture, as a filter where that is sure enough."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from services.gateway.query import Question
from vitrine.v1 import gateway_pb2 as pb
from vitrine.v1 import searcher_pb2

_DEFAULT_THRESHOLD: Final = 0.5


def predicted(scores: bytes, labels: Sequence[str]) -> pb.PredictedCategory:
    """The best of `labels`. `scores`: little-endian float32, one a label; a model without labels predicts nothing."""
    values = np.frombuffer(scores, "<f4")
    if not len(values) or len(values) != len(labels):
        return pb.PredictedCategory()
    best = int(values.argmax())
    return pb.PredictedCategory(category=labels[best], confidence=float(values[best]))


def narrowed(
    question: Question, found: pb.PredictedCategory, statuses: Iterable[searcher_pb2.SearcherStatusResponse]
) -> Question:
    """`question` within the category, where the model is sure enough of it and the catalogue has it."""
    request = question.request
    threshold = request.category_threshold if request.HasField("category_threshold") else _DEFAULT_THRESHOLD
    if not found.category or found.confidence < threshold or not _exists(found.category, statuses):
        return question
    return question.within(found.category)


def _exists(category: str, statuses: Iterable[searcher_pb2.SearcherStatusResponse]) -> bool:
    counts = (count for answer in statuses for status in answer.partitions for count in status.categories)
    return any(count.category == category for count in counts)


def categories(statuses: Iterable[searcher_pb2.SearcherStatusResponse]) -> dict[str, int]:
    """Rows of each category of the catalogue, the largest first; each partition is counted once."""
    partitions = {status.partition: status for answer in statuses for status in answer.partitions}
    rows: dict[str, int] = {}
    for status in partitions.values():
        for count in status.categories:
            if count.category:
                rows[count.category] = rows.get(count.category, 0) + count.rows
    return dict(sorted(rows.items(), key=lambda item: (-item[1], item[0])))
