"""vitrine bench recommend: what recommending from a history costs, and what it finds in histories of known making."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import grpc
import numpy as np
import typer
from google.protobuf.timestamp_pb2 import Timestamp

from vitrine.cli import commands, console
from vitrine.cli.bench.built import Wanted, build
from vitrine.cli.bench.gateway_load import ROUNDS, Figures, loaded
from vitrine.cli.bench.machine import machine
from vitrine.cli.bench.results import Out, say
from vitrine.cli.bench.served import served
from vitrine.cli.bench.vector_set import VectorSet
from vitrine.cli.stack import Stack
from vitrine.runtime.channels import CHANNEL_OPTIONS
from vitrine.v1 import gateway_pb2, gateway_pb2_grpc

RECOMMEND_METHOD: Final = "/vitrine.v1.VisualSearch/Recommend"
ITEMS: Final = 50
TYPES: Final = "article_type"
HISTORIES: Final = 100
DIVERSITY: Final = 0.3
_CALLS: Final = 200
_DAYS: Final = 30
_DAY_S: Final = 86_400
_SEED: Final = 17


@dataclass(frozen=True)
class History:
    """What somebody looked at in the last 30 days: products of a few article types, as many of each."""

    types: tuple[str, ...]
    product_ids: tuple[str, ...]
    ages_s: tuple[int, ...]

    def request(self, diversity: float = 0.0) -> gateway_pb2.RecommendRequest:
        items = [
            gateway_pb2.HistoryItem(product_id=product_id, time=Timestamp(seconds=_DAYS * _DAY_S - age_s))
            for product_id, age_s in zip(self.product_ids, self.ages_s, strict=True)
        ]
        return gateway_pb2.RecommendRequest(history=items, diversity=diversity)


def bench_recommend(
    vectors: Annotated[Path, typer.Option(help="folder that `vitrine bench vectors` has written")],
    rows: Annotated[int, typer.Option(min=1_000, help="rows indexed")] = 39_507,
    items: Annotated[int, typer.Option(min=3, max=200, help="products of a history")] = ITEMS,
    model: Annotated[Path, typer.Option(help="model folder")] = commands.DEFAULT_MODEL,
    out: Out = None,
) -> None:
    """Recommendations from histories of one, two and three article types, through the gateway."""
    source = VectorSet.open(vectors, rows)
    with tempfile.TemporaryDirectory(prefix="recommend-", dir=vectors) as name:
        console.err.print("Building …")
        built = build(Wanted(vectors, rows), Path(name))
        with served(built.folder, model) as stack:
            console.err.print("Recommending …")
            found = [_measured(stack, source, kinds, items) for kinds in (1, 2, 3)]
    say(
        {
            "bench": "recommend",
            "rows": rows,
            "items": items,
            "histories": found,
            "load": {"histories": HISTORIES, "calls": _CALLS, "rounds": ROUNDS, "in_flight": 1, "diversity": DIVERSITY},
            "machine": machine(),
        },
        out,
    )


def histories(source: VectorSet, kinds: int, items: int, count: int = HISTORIES) -> list[History]:
    """`items` products each, of `kinds` article types that are frequent enough for that."""
    random = np.random.default_rng((_SEED, kinds))
    types, product_ids = source.labels[TYPES].to_numpy(), source.labels["product_id"].to_numpy()
    frequent = [
        entry["values"]
        for entry in source.labels[TYPES].drop_null().value_counts().to_pylist()
        if entry["counts"] >= items
    ]
    found = []
    for _ in range(count):
        chosen = random.choice(np.array(sorted(frequent), dtype=object), kinds, replace=False)
        parts = [
            random.choice(np.flatnonzero(types == kind), len(part), replace=False)
            for kind, part in zip(chosen, np.array_split(np.arange(items), kinds), strict=True)
        ]
        ages_s = random.integers(0, _DAYS * _DAY_S, items)
        found.append(History(tuple(chosen), tuple(product_ids[np.concatenate(parts)]), tuple(ages_s.tolist())))
    return found


def _measured(stack: Stack, source: VectorSet, kinds: int, items: int) -> dict[str, Any]:
    drawn = histories(source, kinds, items)
    plain, diverse = ([history.request(share) for history in drawn] for share in (0.0, DIVERSITY))
    return {
        "article_types": kinds,
        **_timed(stack, plain),
        "diverse": _timed(stack, diverse),
        **_found(stack, source, drawn),
    }


def _timed(stack: Stack, requests: Sequence[gateway_pb2.RecommendRequest]) -> Figures:
    """One at a time."""
    return loaded(stack, [request.SerializeToString() for request in requests], 1, _CALLS, RECOMMEND_METHOD)


def _found(stack: Stack, source: VectorSet, drawn: Sequence[History]) -> dict[str, Any]:
    """Interests told apart, and how many of the products recommended are of the history's article types."""
    with grpc.insecure_channel(stack.gateway, options=CHANNEL_OPTIONS) as channel:
        stub = gateway_pb2_grpc.VisualSearchStub(channel)
        answers = [stub.Recommend(history.request()) for history in drawn]
    rows = source.rows_of([[result.hit.product_id for result in answer.results] for answer in answers])
    types = source.labels[TYPES].to_numpy()
    shares = [np.isin(types[found], history.types).mean() for found, history in zip(rows, drawn, strict=True)]
    return {
        "interests": round(float(np.mean([len(answer.interests) for answer in answers])), 2),
        "of_the_historys_types": round(float(np.mean(shares)), 3),
    }
