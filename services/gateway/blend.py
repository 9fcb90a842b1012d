"""Step 4: what several searchers found → one answer, with how complete it is."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway import metrics
from services.gateway.coalesce import Part
from services.gateway.compose import Aim
from services.gateway.fields import check_known, check_number
from services.gateway.paging import MAX_PAGED, Place, token_of
from services.gateway.query import FACET_PRODUCTS, ORDERED_PRODUCTS, Question, candidates_of
from vitrine.attributes import AttributeValue
from vitrine.facets import Facet, counted
from vitrine.filters import ATTRIBUTES, CATEGORY, LIVE
from vitrine.index.settings import IndexSettings
from vitrine.ranking import diversified, merged, rank
from vitrine.runtime.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from vitrine.stream.codec import attribute_from_message
from vitrine.v1 import gateway_pb2 as pb
from vitrine.v1 import searcher_pb2

_RETRY_AFTER_S: Final = 0.5


def blend(
    response: pb.SearchResponse,
    question: Question,
    aim: Aim,
    found: Sequence[Sequence[Part]],
    failures: Iterable[searcher_pb2.PartitionFailure],
    index: IndexSettings,
) -> None:
    """Fills `response` with the best of all partitions that answered.

    `found`: for each of the question's `wire_queries`, what every searcher found.
    Raises Unavailable if none answered, or not all and `require_complete`; DeadlineExceeded if time ran out for all;
    InvalidArgument for a field that no product has.
    """
    parts = found[0]
    answered, failed = without_away(parts, failures, aim.away)
    fill_coverage(response.coverage, answered, failed, index)
    refuse_if_too_little(response.coverage, question.request.require_complete)
    if question.filter or question.request.facets or question.ordered:
        facts = [fact for asked in found for part in asked for fact in part.hits.fields]
        check_known(question.filter, question.request.facets, facts, response.coverage)
        if question.ordered:
            check_number(question.request.order_by.field, facts, response.coverage)
    # A searcher that answered for no partition has found nothing, and says nothing of recall.
    response.recall = min(part.hits.recall for part in parts if part.answer.answers)
    if question.request.explain:
        response.plans.extend(plan for part in parts for plan in part.hits.plans)
    response.index_time.CopyFrom(oldest(answered))
    response.model_id = index.model_id
    response.query_id = new_query_id()
    _fill_results(response, parts, question)
    _fill_next_page(response, question, aim.vector)


def without_away(
    parts: Iterable[Part], failures: Iterable[searcher_pb2.PartitionFailure], away: Mapping[int, str]
) -> tuple[list[searcher_pb2.PartitionAnswer], list[searcher_pb2.PartitionFailure]]:
    """The partitions that answered, and those that failed.

    One that did not say what the shopper liked (`away`) has not answered, even if it could be searched a moment later.
    """
    answered = [answer for part in parts for answer in part.answer.answers if answer.partition not in away]
    silent = [searcher_pb2.PartitionFailure(partition=number, reason=f"history: {why}") for number, why in away.items()]
    return answered, [*failures, *silent]


def fill_coverage(
    coverage: pb.Coverage,
    answered: Iterable[searcher_pb2.PartitionAnswer],
    failures: Iterable[searcher_pb2.PartitionFailure],
    index: IndexSettings,
) -> None:
    """partitions_answered + failures = partitions_total, whatever the searchers said."""
    rows = {part.partition: part.rows_searched for part in answered}
    coverage.partitions_total = index.partitions
    coverage.partitions_answered = len(rows)
    coverage.rows_searched = sum(rows.values())
    if len(rows) < index.partitions:
        reasons = {failure.partition: failure.reason for failure in failures}
        for partition in range(index.partitions):
            if partition not in rows:
                coverage.failures.add(partition=partition, reason=reasons.get(partition, "no answer"))


def refuse_if_too_little(coverage: pb.Coverage, require_complete: bool) -> None:
    """Raises Unavailable for a partial answer that is not wanted, or no answer at all.

    DeadlineExceeded or ResourceExhausted where that is why nobody answered.
    """
    if not coverage.failures:
        return
    metrics.PARTIAL.inc()
    reasons = "; ".join(f"partition {failure.partition}: {failure.reason}" for failure in coverage.failures)
    if coverage.partitions_answered == 0:
        if all("deadline_exceeded" in failure.reason for failure in coverage.failures):
            raise DeadlineExceeded(reasons)
        if all("resource_exhausted" in failure.reason for failure in coverage.failures):
            raise ResourceExhausted(reasons, _RETRY_AFTER_S)
        raise Unavailable(reasons)
    if require_complete:
        raise Unavailable(f"require_complete: {reasons}")


def oldest(answered: Iterable[searcher_pb2.PartitionAnswer]) -> Timestamp:
    """Everything appended to the log before this time is in all of them."""
    return min((part.index_time for part in answered), key=_nanos)


def new_query_id() -> str:
    return os.urandom(16).hex()


def facets_of(names: Sequence[str], parts: Sequence[Part]) -> list[pb.Facet]:
    """Counts over the best products of all parts. Takes milliseconds: for a thread."""
    hits = merged([part.hits.hits for part in parts], FACET_PRODUCTS)
    return [_facet_message(counted(name, [_value(hit, name) for hit in hits])) for name in names]


def _fill_results(response: pb.SearchResponse, parts: Sequence[Part], question: Question) -> None:
    if question.diversity:
        response.results.extend(_diverse(parts, question))
    elif question.ordered:
        response.results.extend(_ordered(parts, question))
    elif len(parts) == 1 and len(parts[0].hits.hits) <= question.page_size:
        # `hits` and `results` have the same number on the wire, and the other fields have been read: a third of the
        # time of copying each hit.
        hits = parts[0].hits
        for name in ("recall", "plans", "fields", "vectors"):
            hits.ClearField(name)
        response.MergeFromString(hits.SerializeToString())
    else:
        response.results.extend(merged([part.hits.hits for part in parts], question.page_size))


def _diverse(parts: Sequence[Part], question: Question) -> list[searcher_pb2.Hit]:
    """A page of the best candidates that are not all alike."""
    found = [pair for part in parts for pair in zip(part.hits.hits, part.hits.vectors, strict=True)]
    # As many as one searcher would have found, however many there are.
    found = sorted(found, key=lambda pair: rank(pair[0]))[: candidates_of(question)]
    if not found:
        return []
    scores = np.array([hit.score for hit, _ in found], np.float32)
    vectors = np.stack([np.frombuffer(vector, "<f4") for _, vector in found])
    picked = diversified(scores, vectors, question.page_size, question.diversity)
    return [found[place][0] for place in picked]


def _ordered(parts: Sequence[Part], question: Question) -> list[searcher_pb2.Hit]:
    """The best products in the order of an attribute; those without it last, by score."""
    order = question.request.order_by
    sign = -1 if order.descending else 1

    def key(hit: searcher_pb2.Hit) -> tuple[bool, float, float, str]:
        value = _value(hit, order.field)
        # A product may have a string where others have a number; true is no number either.
        known = isinstance(value, float)
        return (not known, sign * value if isinstance(value, float) else 0.0, *rank(hit))

    best = merged([part.hits.hits for part in parts], ORDERED_PRODUCTS)
    return sorted(best, key=key)[: question.page_size]


def _fill_next_page(response: pb.SearchResponse, question: Question, vector: bytes) -> None:
    answered = question.page_size + (question.after.skipped if question.after else 0)
    if len(response.results) < question.page_size or answered >= MAX_PAGED or question.diversity or question.ordered:
        return
    last = response.results[-1]
    kept = b"" if question.is_vector else vector
    place = Place(answered, last.score, last.product_id, kept, question.category)
    response.next_page_token = token_of(place, question.key)


def _value(hit: searcher_pb2.Hit, name: str) -> AttributeValue | None:
    if name == CATEGORY:
        return hit.category or None
    found, key = (
        (hit.live, name.removeprefix(LIVE))
        if name.startswith(LIVE)
        else (hit.attributes, name.removeprefix(ATTRIBUTES))
    )
    return attribute_from_message(found[key], name) if key in found else None


def _facet_message(facet: Facet) -> pb.Facet:
    message = pb.Facet(
        field=facet.field,
        products=facet.products,
        products_without=facet.products_without,
        values_left_out=facet.values_left_out,
    )
    for value, products in facet.counts:
        count = message.counts.add(products=products)
        if isinstance(value, str):
            count.value.string = value
        elif isinstance(value, bool):
            count.value.bool = value
        else:
            count.value.number = value
    return message


def _nanos(time: Timestamp) -> int:
    return time.seconds * 1_000_000_000 + time.nanos
