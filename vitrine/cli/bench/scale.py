"""vitrine bench scale: one machine, ever more rows: built, served, started again, rolled under queries."""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from vitrine.cli import commands, console
from vitrine.cli.bench.built import Built, Wanted, build
from vitrine.cli.bench.gateway_load import Figures, K, answers, figures_of, loaded, requests_of, wait_answering
from vitrine.cli.bench.load import SEARCH_METHOD, Load, run_load
from vitrine.cli.bench.machine import machine, private_bytes
from vitrine.cli.bench.plots import exponent, require_matplotlib, save_growth
from vitrine.cli.bench.process_cost import peak_of_new_processes, read_bytes
from vitrine.cli.bench.results import Out, say
from vitrine.cli.bench.served import served
from vitrine.cli.bench.truth import Truth, exact_best, recall
from vitrine.cli.bench.vector_set import VectorSet
from vitrine.cli.stack import STORE_FOLDER, Stack
from vitrine.client import VisualSearchClient
from vitrine.index import settings as index_settings
from vitrine.index.manifest import ManifestLog
from vitrine.index.settings import DEFAULT_INDEX
from vitrine.index.shelf import Shelf
from vitrine.index.store import Store
from vitrine.runtime.errors import ConfigError, Unavailable
from vitrine.vectors import Vectors

SIZES: Final = "10000,100000,1000000"
ROLLED_SHARDS: Final = 10
IN_FLIGHT: Final = 8
QUERIES: Final = 500
CALLS: Final = 4_000
_CALLS_AT_A_TIME: Final = 400
_SWAP_S: Final = 60.0
_SEED: Final = 11


@dataclass(frozen=True)
class _Asked:
    """Queries of two kinds, held-out ones and rows moved away, with the truth about them."""

    source: VectorSet
    queries: dict[str, Vectors]
    truths: dict[str, Truth]

    @staticmethod
    def of(source: VectorSet) -> _Asked:
        queries = {"held_out": source.queries[:QUERIES], "moved": source.moved(QUERIES, _SEED)}
        return _Asked(source, queries, {kind: exact_best(source.vectors, of, K) for kind, of in queries.items()})

    @property
    def requests(self) -> list[bytes]:
        return requests_of(np.concatenate(list(self.queries.values())))

    def recall(self, address: str) -> dict[str, float]:
        """recall@10 of what the gateway answers."""
        return {
            kind: recall(
                self.truths[kind], self.source.rows_of(answers(address, queries)), self.source.vectors, queries
            )
            for kind, queries in self.queries.items()
        }


def bench_scale(
    vectors: Annotated[Path, typer.Option(help="folder that `vitrine bench vectors` has written")],
    sizes: Annotated[str, typer.Option(help="rows, ever more of them, with commas between")] = SIZES,
    model: Annotated[Path, typer.Option(help="model folder")] = commands.DEFAULT_MODEL,
    out: Out = None,
) -> None:
    """Cost of a query, memory and start against rows; the biggest size rolled from ten shards under queries."""
    wanted = parse_sizes(sizes)
    if out:
        require_matplotlib()
    # Beside the vectors: a disk with room, and not one in memory, or nothing would ever be cold.
    with tempfile.TemporaryDirectory(prefix="scale-", dir=vectors) as name:
        found = [_measured(vectors, rows, model, Path(name) / str(rows)) for rows in wanted]
        rolled = _rolled(vectors, wanted[-1], model, Path(name) / "rolled")
    costs = {
        "searcher CPU, 8 in flight": [size["in_flight_8"]["searcher_cpu_ms"] for size in found],
        "p50, one client": [size["in_flight_1"]["p50_ms"] for size in found],
    }
    costs = {name: values for name, values in costs.items() if None not in values}
    fields = {
        "bench": "scale",
        "sizes": found,
        "rolled_under_queries": rolled,
        "cost_grows_as_rows_to": {name: exponent(wanted, values) for name, values in costs.items()}
        if len(wanted) > 1
        else None,
        "load": {"k": K, "queries": 2 * QUERIES, "calls": CALLS, "rounds": "median of 3"},
        "machine": machine(),
    }
    say(fields, out)
    if out:
        save_growth(wanted, costs, out / "scale.svg")


def parse_sizes(text: str) -> list[int]:
    """Raises ConfigError unless these are growing numbers of rows."""
    sizes = [int(part) if part.strip().isdigit() else 0 for part in text.split(",")]
    if min(sizes) < 1 or sizes != sorted(set(sizes)):
        raise ConfigError("sizes", f"{text!r} is not a list of ever larger numbers")
    return sizes


def _measured(source: Path, rows: int, model: Path, folder: Path) -> dict[str, Any]:
    console.err.print(f"{rows:,} rows: building …")
    built = build(Wanted(source, rows), folder)
    asked = _Asked.of(VectorSet.open(source, rows))
    console.err.print(f"{rows:,} rows: searching …")
    with served(folder, model) as stack:
        fields = {"rows": rows, **built.fields(), **_loads(stack, asked), "restart": _restarts(stack, built, asked)}
    shutil.rmtree(folder)
    return fields


def _loads(stack: Stack, asked: _Asked) -> dict[str, Any]:
    requests = asked.requests
    found = {f"in_flight_{count}": loaded(stack, requests, count, CALLS) for count in (1, IN_FLIGHT)}
    return {
        **found,
        "recall_at_10": asked.recall(stack.gateway),
        "searcher_private_mb": _megabytes(private_bytes(stack.pid("searcher"))),
    }


def _restarts(stack: Stack, built: Built, asked: _Asked) -> dict[str, Any]:
    """Seconds until a killed searcher is ready again, its files in the page cache and not; and that it answers."""
    found: dict[str, Any] = {"cold_by": "posix_fadvise(DONTNEED) on every file of the shards, after fsync"}
    for kind in ("warm", "cold"):
        stack.kill("searcher")
        if kind == "cold":
            drop_from_page_cache(built)
        began = time.perf_counter()
        stack.watch()
        stack.wait_ready("searcher")
        found[f"{kind}_s"] = round(time.perf_counter() - began, 2)
        found[f"{kind}_read_from_disk_mb"] = _megabytes(read_bytes(stack.pid("searcher")))
        wait_answering(stack, asked.requests[0])
    return found


def drop_from_page_cache(built: Built) -> None:
    """The files of its shards. A file that some process maps stays."""
    for folder in built.shard_folders:
        for path in folder.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _rolled(source: Path, rows: int, model: Path, folder: Path) -> dict[str, Any]:
    """Ten rolled shards become one, as an indexer does it, while a searcher answers from them; and it starts again."""
    console.err.print(f"{rows:,} rows in {ROLLED_SHARDS} shards: building …")
    built = build(Wanted(source, rows, shards=ROLLED_SHARDS), folder)
    asked = _Asked.of(VectorSet.open(source, rows))
    console.err.print(f"{rows:,} rows in {ROLLED_SHARDS} shards: rolling under queries …")
    with served(folder, model) as stack:
        before = loaded(stack, asked.requests, IN_FLIGHT, CALLS)
        recall_before = asked.recall(stack.gateway)
        with peak_of_new_processes() as peak, ThreadPoolExecutor(1) as threads:
            rolling = threads.submit(roll_all, folder)
            meanwhile, swap_s = _load_until_swapped(stack, asked.requests, rolling)
        after = loaded(stack, asked.requests, IN_FLIGHT, CALLS)
        return {
            "rows": rows,
            "shards": ROLLED_SHARDS,
            "build_s": round(built.seconds, 2),
            "roll_s": round(rolling.result(), 2),
            "roll_peak_private_mb": _megabytes(peak.private_bytes),
            "served_after_publish_s": round(swap_s, 2),
            "in_flight_8_before": before,
            "in_flight_8_meanwhile": meanwhile,
            "in_flight_8_after": after,
            "recall_at_10_before": recall_before,
            "recall_at_10_after": asked.recall(stack.gateway),
            "restart": _restarts(stack, built, asked),
        }


def roll_all(folder: Path) -> float:
    """Merges all shards of the index below `folder` into one, as its owner. Blocks. Returns seconds."""
    # The indexer is a program, not a part of the library: it is loaded where it is run.
    publish = importlib.import_module("services.indexer.publish")
    store = Store.open(str(folder / STORE_FOLDER))
    index = index_settings.load(store, DEFAULT_INDEX)
    shelf = Shelf(store, index.name, 0, folder / "cache")
    publisher = publish.Publisher.claim(index, ManifestLog(store, index.name, 0), shelf, log_id="")
    began = time.perf_counter()
    publisher.roll(publisher.everything())
    return time.perf_counter() - began


def _load_until_swapped(stack: Stack, requests: Sequence[bytes], rolling: Future[float]) -> tuple[Figures, float]:
    """What searches saw until the searcher served one shard, and how long that took it. A failed one raises."""
    loads: list[Load] = []
    published_s: float | None = None
    with VisualSearchClient(stack.gateway) as client:
        while True:
            loads.append(run_load(stack.gateway, SEARCH_METHOD, requests, IN_FLIGHT, _CALLS_AT_A_TIME))
            if rolling.done() and published_s is None:
                rolling.result()
                published_s = time.perf_counter()
            shards = len(client.status().partitions[0].shards)
            if published_s is not None and shards == 1:
                break
            if published_s is not None and time.perf_counter() - published_s > _SWAP_S:
                raise Unavailable(f"the searcher still serves {shards} shards")
    calls = sum(load.calls for load in loads)
    times_ms = np.concatenate([load.times_ms for load in loads])
    whole = Load(calls, sum(load.seconds for load in loads), times_ms)
    return figures_of(whole) | {"calls": calls, "failed": 0, "slowest_ms": whole.percentile_ms(100)}, (
        time.perf_counter() - published_s
    )


def _megabytes(size: int | None) -> float | None:
    return None if size is None else round(size / 1e6, 1)
