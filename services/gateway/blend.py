"""Step 3: answers of several searchers → one, with how complete it is."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway import metrics
from vitrine.index.settings import IndexSettings
from vitrine.ranking import merged
from vitrine.runtime.errors import DeadlineExceeded, Unavailable
from vitrine.v1 import gateway_pb2 as pb
from vitrine.v1 import searcher_pb2


def blended(
    answers: Sequence[searcher_pb2.SearcherSearchResponse],
    failures: Iterable[searcher_pb2.PartitionFailure],
    index: IndexSettings,
    k: int,
    require_complete: bool,
) -> pb.SearchResponse:
    """The best `k` of all partitions that answered.

    Raises Unavailable if none did, or not all and `require_complete`; DeadlineExceeded if time ran out for all.
    """
    coverage = coverage_of((part for answer in answers for part in answer.answers), failures, index)
    if coverage.partitions_answered < coverage.partitions_total:
        metrics.PARTIAL.inc()
        _refuse_if_too_little(coverage, require_complete)
    parts = [part for answer in answers for part in answer.answers]
    return pb.SearchResponse(
        results=merged([answer.hits[0].hits for answer in answers if answer.hits], k),
        coverage=coverage,
        index_time=min((part.index_time for part in parts), key=_nanos),
        model_id=index.model_id,
        query_id=uuid.uuid4().hex,
    )


def coverage_of(
    answered: Iterable[searcher_pb2.PartitionAnswer],
    failures: Iterable[searcher_pb2.PartitionFailure],
    index: IndexSettings,
) -> pb.Coverage:
    """partitions_answered + failures = partitions_total, whatever the searchers said."""
    rows = {part.partition: part.rows_searched for part in answered}
    reasons = {failure.partition: failure.reason for failure in failures}
    missing = [partition for partition in range(index.partitions) if partition not in rows]
    return pb.Coverage(
        partitions_total=index.partitions,
        partitions_answered=len(rows),
        rows_searched=sum(rows.values()),
        failures=[
            searcher_pb2.PartitionFailure(partition=partition, reason=reasons.get(partition, "no answer"))
            for partition in missing
        ],
    )


def _refuse_if_too_little(coverage: pb.Coverage, require_complete: bool) -> None:
    reasons = "; ".join(f"partition {failure.partition}: {failure.reason}" for failure in coverage.failures)
    if coverage.partitions_answered == 0:
        if all("deadline_exceeded" in failure.reason for failure in coverage.failures):
            raise DeadlineExceeded(reasons)
        raise Unavailable(reasons)
    if require_complete:
        raise Unavailable(f"require_complete: {reasons}")


def _nanos(time: Timestamp) -> int:
    return time.seconds * 1_000_000_000 + time.nanos
