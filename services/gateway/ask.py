"""Queries → what every searcher found for each of them, in calls that a searcher takes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from services.gateway.coalesce import Part, parts_of
from services.gateway.fanout import Failures, Fanout
from vitrine.index.settings import IndexSettings
from vitrine.v1 import catalogue_pb2
from vitrine.v1 import searcher_pb2 as pb

# What a searcher takes in one call.
CALL_QUERIES: Final = 64
# Products that one call to a searcher may ask for: answers that fit into a message.
CALL_PRODUCTS: Final = 2_000


async def ask(
    fanout: Fanout,
    queries: Sequence[pb.VectorQuery],
    at_least: Iterable[catalogue_pb2.LogPosition],
    index: IndexSettings,
    until_s: float,
) -> tuple[list[list[Part]], Failures]:
    """For each of `queries` what every searcher found, in order; and the partitions that failed one of them.

    `until_s`: the loop's time. Raises InvalidArgument where a searcher finds a query wrong.
    """
    events = list(at_least)
    answers = await asyncio.gather(*(_called(fanout, call, events, index, until_s) for call in _calls(queries)))
    rows = [row for found, _ in answers for row in found]
    failures = {failure.partition: failure for _, failed in answers for failure in failed}
    return rows, list(failures.values())


def fits(queries: Iterable[pb.VectorQuery]) -> bool:
    """Whether one call may hold them. A single query always may."""
    products = [query.k for query in queries]
    return len(products) <= CALL_QUERIES and sum(products) <= CALL_PRODUCTS


async def _called(
    fanout: Fanout,
    queries: Sequence[pb.VectorQuery],
    at_least: Sequence[catalogue_pb2.LogPosition],
    index: IndexSettings,
    until_s: float,
) -> tuple[list[list[Part]], Failures]:
    call = pb.SearcherSearchRequest(index=index.name, queries=queries, at_least=at_least)
    left_s = until_s - asyncio.get_running_loop().time()
    answers, failures = await fanout.search(call, range(index.partitions), left_s)
    columns = [parts_of(answer, len(queries)) for answer in answers]
    return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in queries], failures


def _calls(queries: Sequence[pb.VectorQuery]) -> Iterator[list[pb.VectorQuery]]:
    call: list[pb.VectorQuery] = []
    for query in queries:
        if call and not fits([*call, query]):
            yield call
            call = []
        call.append(query)
    if call:
        yield call
