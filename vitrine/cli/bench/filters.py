"""vitrine bench filters: what a filter costs beside the same search without one; ten rolled shards beside one."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import numpy.typing as npt
import typer

from vitrine.cli import commands, console
from vitrine.cli.bench.built import Wanted, build
from vitrine.cli.bench.core import Core, methods
from vitrine.cli.bench.gateway_load import K, answers, loaded, requests_of
from vitrine.cli.bench.load import SEARCH_METHOD, run_load
from vitrine.cli.bench.machine import machine
from vitrine.cli.bench.results import Out, say
from vitrine.cli.bench.served import served
from vitrine.cli.bench.truth import exact_best, recall
from vitrine.cli.bench.vector_set import VectorSet, labelled_as
from vitrine.cli.stack import Stack
from vitrine.filters import AnyString, Filter, NumberRange, any_string, number
from vitrine.shards.selection import Rows
from vitrine.vectors import Vectors

SHARES: Final = (0.5, 0.05, 0.005, 0.0005)
SHARDS: Final = 10
QUERIES: Final = 200
ROUNDS: Final = 5
FIRST_USES: Final = 9
TYPES: Final = "article_type"
RANDOM: Final = "random"
_CALLS: Final = 2_000
_SEED: Final = 13


@dataclass(frozen=True)
class Case:
    """A filter and who asks with it. `matching`: rows that meet it.

    kind  random      it has nothing to do with how products look
          similar     what is asked for looks like what matches
          dissimilar  nothing that matches looks like what is asked for
    """

    kind: str
    share: float
    wanted: Filter
    matching: Rows
    queries: Vectors


def bench_filters(
    vectors: Annotated[Path, typer.Option(help="folder that `vitrine bench vectors` has written")],
    rows: Annotated[int, typer.Option(min=1_000, help="rows indexed")] = 250_000,
    model: Annotated[Path, typer.Option(help="model folder")] = commands.DEFAULT_MODEL,
    out: Out = None,
) -> None:
    """Filters that leave 50 % to 0.05 %, through the gateway and in the core; ten rolled shards against one."""
    source = VectorSet.open(vectors, rows)
    chance = np.random.default_rng(_SEED).random(rows)
    with tempfile.TemporaryDirectory(prefix="filters-", dir=vectors) as name:
        console.err.print("Building …")
        wanted = Wanted(vectors, rows, extra={RANDOM: chance})
        one = build(wanted, Path(name) / "one")
        ten = build(replace(wanted, shards=SHARDS), Path(name) / "ten")
        console.err.print("Searching …")
        cores = Core(one.snapshot()), Core(ten.snapshot())
        with served(one.folder, model) as stack:
            found = [_measured(stack, cores[0], source, case) for case in cases(source, chance)]
            with served(ten.folder, model) as ten_stack:
                shards = _ten_against_one(stack, ten_stack, cores, source)
    say(
        {
            "bench": "filters",
            "rows": rows,
            "filters": found,
            "ten_shards": shards,
            "load": {"k": K, "queries": QUERIES, "rounds": ROUNDS, "in_flight": 1},
            "machine": machine(),
        },
        out,
    )


def cases(source: VectorSet, chance: npt.NDArray[np.float64]) -> list[Case]:
    """`chance`: what the attribute `random` is, shape (rows,), between 0 and 1."""
    found = []
    for share in SHARES:
        by_chance = Filter(all_of=(number(f"attributes.{RANDOM}", lt=share),))
        matching = np.flatnonzero(chance < share)
        found.append(Case("random", share, by_chance, matching, source.queries[:QUERIES]))
        types = types_of_share(source, share)
        by_type = Filter(all_of=(any_string(f"attributes.{TYPES}", *types),))
        matching = np.flatnonzero(labelled_as(source.labels, TYPES, types))
        found.append(Case("similar", share, by_type, matching, source.moved(QUERIES, _SEED, matching)))
        found.append(Case("dissimilar", share, by_type, matching, _unlike(source, matching)))
    return found


def types_of_share(source: VectorSet, share: float) -> list[str]:
    """Article types that together are about `share` of the rows: the most frequent that still fit, or the rarest."""
    counts = source.labels[TYPES].drop_null().value_counts().to_pylist()
    counts.sort(key=lambda entry: (-entry["counts"], entry["values"]))
    room, chosen = share * source.rows, []
    for entry in counts:
        if entry["counts"] <= room:
            chosen.append(entry["values"])
            room -= entry["counts"]
    return chosen or [counts[-1]["values"]]


def variants(wanted: Filter) -> list[Filter]:
    """Filters that match the same rows and yet are none that was asked with before."""
    (condition,) = wanted.all_of
    found = []
    for place in range(1, FIRST_USES + 1):
        match condition.test:
            case AnyString(values):
                test: Any = AnyString((*values, f"no such value {place}"))
            case NumberRange(lt=float(below)):
                test = NumberRange(gte=-float(place), lt=below)
            case _:
                raise ValueError(condition)
        found.append(Filter(all_of=(replace(condition, test=test),)))
    return found


def _unlike(source: VectorSet, matching: Rows) -> Vectors:
    """The queries whose best matching row is the worst."""
    best = exact_best(source.vectors, source.queries, 1, among=matching).scores[:, 0]
    return source.queries[np.sort(np.argsort(best, kind="stable")[:QUERIES])]


def _measured(stack: Stack, core: Core, source: VectorSet, case: Case) -> dict[str, Any]:
    console.err.print(f"{case.share:.2%} {case.kind} …")
    plain = requests_of(case.queries)
    wanted = requests_of(case.queries, wanted=case.wanted)
    fresh = [requests_of(case.queries[:1], wanted=variant) for variant in variants(case.wanted)]
    first_ms = [_p50_ms(stack, request) for request in fresh]
    # In turn, so that a machine that slows down slows both.
    pairs = [(_p50_ms(stack, plain), _p50_ms(stack, wanted)) for _ in range(ROUNDS)]
    answered = answers(stack.gateway, case.queries, wanted=case.wanted)
    rows = source.rows_of(answered)
    truth = exact_best(source.vectors, case.queries, K, among=case.matching)
    core_plain_us, core_us = core.query_us(case.queries, K), core.query_us(case.queries, K, case.wanted)
    return {
        "kind": case.kind,
        "share": case.share,
        "rows_matching": len(case.matching),
        "queries": len(case.queries),
        "best_cosine": round(float(truth.scores[:, 0].mean()), 3),
        "p50_ms": _median(filtered for _, filtered in pairs),
        "unfiltered_p50_ms": _median(unfiltered for unfiltered, _ in pairs),
        "ratio": _median(filtered / unfiltered for unfiltered, filtered in pairs),
        "first_use_ms": _median(first_ms),
        "core_us": core_us,
        "core_unfiltered_us": core_plain_us,
        "core_ratio": round(core_us / core_plain_us, 2),
        "methods": methods(core.answers(case.queries, K, case.wanted)),
        "recall_at_10": recall(truth, rows, source.vectors, case.queries),
        "answers_too_short": sum(len(found) < min(K, len(case.matching)) for found in answered),
        "answers_outside": sum(not np.isin(found, case.matching).all() for found in rows),
    }


def _ten_against_one(one: Stack, ten: Stack, cores: tuple[Core, Core], source: VectorSet) -> dict[str, Any]:
    console.err.print(f"{SHARDS} shards against one …")
    queries = source.queries[: 5 * QUERIES]
    requests, truth = requests_of(queries), exact_best(source.vectors, queries, K)
    loads = {"one": loaded(one, requests, 1, _CALLS), "ten": loaded(ten, requests, 1, _CALLS)}
    pairs = [(_p50_ms(one, requests), _p50_ms(ten, requests)) for _ in range(ROUNDS)]
    found: dict[str, dict[str, Any]] = {}
    for name, stack, core in zip(("one", "ten"), (one, ten), cores, strict=True):
        rows = source.rows_of(answers(stack.gateway, queries))
        found[name] = {
            **loads[name],
            "recall_at_10": recall(truth, rows, source.vectors, queries),
            "core_us": core.query_us(queries, K),
            "core_us_in_batches_of_32": core.query_us(queries, K, batch=32),
        }
    return {
        **found,
        "ratio": _median(several / single for single, several in pairs),
        "core_ratio": round(found["ten"]["core_us"] / found["one"]["core_us"], 2),
        "methods_of_ten": methods(cores[1].answers(queries, K)),
    }


def _p50_ms(stack: Stack, requests: Sequence[bytes]) -> float:
    """One call for each request, one after the other."""
    return run_load(stack.gateway, SEARCH_METHOD, requests, 1, len(requests)).percentile_ms(50)


def _median(values: Any) -> float:
    return round(float(np.median(list(values))), 3)
