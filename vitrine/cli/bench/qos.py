"""vitrine bench qos: what shoppers see while something is slow, away, new, or too much."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from vitrine.cli import commands, console
from vitrine.cli.bench.gateway_load import requests_of, wait_answering
from vitrine.cli.bench.load import SEARCH_METHOD, run_load
from vitrine.cli.bench.machine import machine, private_bytes
from vitrine.cli.bench.open_load import OpenLoad, run_open_load
from vitrine.cli.bench.results import Out, say
from vitrine.cli.bench.scraped import Samples, added, percentile, samples
from vitrine.cli.bench.served import index_of, served
from vitrine.cli.bench.vector_set import VectorSet
from vitrine.cli.stack import Stack
from vitrine.v1 import gateway_pb2

PARTITIONS: Final = 2
_IN_FLIGHT: Final = 16
_CALLS: Final = 3_000
# Of what the gateway can answer: so little that nothing waits, and twice as much.
_UNLOADED: Final = 0.1
_OVERLOAD: Final = 2.0
# The limit finds its place, and memory that a server takes once has been taken.
_SETTLING_S: Final = 5.0
_QUIET_PER_S: Final = 100.0
_DEADLINE_S: Final = 1.0
_STALL_S: Final = 0.2
_STALL_EVERY_S: Final = 1.0
# What a replica must have of its even share to count as there.
_SHARE: Final = 0.7
_WITHIN_S: Final = 60.0


def bench_qos(
    vectors: Annotated[Path, typer.Option(help="folder that `vitrine bench vectors` has written")],
    rows: Annotated[int, typer.Option(min=1_000, help="rows indexed")] = 39_507,
    model: Annotated[Path, typer.Option(help="model folder")] = commands.DEFAULT_MODEL,
    seconds: Annotated[float, typer.Option(min=2 * _SETTLING_S, help="length of each load")] = 20.0,
    out: Out = None,
) -> None:
    """Own time of the gateway, twice the load it can bear, a searcher that stalls, is lost, or joins."""
    source = VectorSet.open(vectors, rows)
    requests = requests_of(source.queries)
    with tempfile.TemporaryDirectory(prefix="qos-", dir=vectors) as name:
        folder = Path(name)
        index_of(source.vectors, source.labels, folder, partitions=PARTITIONS)
        found: dict[str, Any] = {}
        for part in (_own_time, _overloaded):
            with _stack(folder, model, requests) as stack:
                found |= part(stack, requests, seconds)
        for part in (_group_lost, _replica_added):
            with _stack(folder, model, requests, searchers=2) as stack:
                found |= part(stack, requests, seconds)
        found["stalls"] = {
            name: _stalled(folder, model, requests, seconds, share)
            for name, share in (("hedged", 0.05), ("not_hedged", 0.0))
        }
    say({"bench": "qos", "rows": rows, "partitions": PARTITIONS, **found, "machine": machine()}, out)


@contextmanager
def _stack(
    folder: Path, model: Path, requests: Sequence[bytes], searchers: int = 1, options: tuple[str, ...] = ()
) -> Iterator[Stack]:
    with served(folder, model, partitions=PARTITIONS, searchers=searchers, gateway_options=options) as stack:
        wait_answering(stack, requests[0])
        yield stack


def _own_time(stack: Stack, requests: Sequence[bytes], seconds: float) -> dict[str, Any]:
    """One client. `own_ms`: of a call, without its waiting for searchers."""
    console.err.print("One client …")
    run_load(stack.gateway, SEARCH_METHOD, requests, 1, _CALLS // 10)
    before = _gateway_samples(stack)
    load = run_load(stack.gateway, SEARCH_METHOD, requests, 1, _CALLS)
    after = _gateway_samples(stack)
    own_ms = [
        round(percentile(before, after, "vitrine_gateway_own_seconds", share, method="Search") * 1000, 3)
        for share in (0.5, 0.99)
    ]
    return {
        "one_client": {
            "p50_ms": load.percentile_ms(50),
            "p99_ms": load.percentile_ms(99),
            "own_p50_ms": own_ms[0],
            "own_p99_ms": own_ms[1],
        }
    }


def _overloaded(stack: Stack, requests: Sequence[bytes], seconds: float) -> dict[str, Any]:
    console.err.print("Twice the load …")
    capacity = run_load(stack.gateway, SEARCH_METHOD, requests, _IN_FLIGHT, _CALLS).per_s
    looks = [_gateway_samples(stack)]
    unloaded = run_open_load(stack.gateway, SEARCH_METHOD, requests, capacity * _UNLOADED, seconds)
    looks.append(_gateway_samples(stack))
    memory = _Memory(stack.pid("gateway"))

    def settled() -> None:
        memory.look()
        looks.append(_gateway_samples(stack))

    with _after(_SETTLING_S, settled):
        whole = run_open_load(stack.gateway, SEARCH_METHOD, requests, capacity * _OVERLOAD, seconds)
    settled()
    load = whole.since(_SETTLING_S)
    return {
        "capacity_per_s": round(capacity, 1),
        "unloaded": {**_figures(unloaded), "in_gateway_p99_ms": _answering_ms(*looks[:2])},
        "overload": {
            "offered_per_s": round(len(load.outcomes) / load.seconds, 1),
            **_figures(load),
            "in_gateway_p99_ms": _answering_ms(*looks[2:]),
            "first_seconds_p99_ms": whole.percentile_ms(99),
            "p99_over_unloaded": round(load.percentile_ms(99) / unloaded.percentile_ms(99), 2),
            "gateway_private_mb": memory.seen_mb,
        },
    }


def _group_lost(stack: Stack, requests: Sequence[bytes], seconds: float) -> dict[str, Any]:
    """Each of two searchers has a partition; the second one hangs, then is gone."""
    console.err.print("A group lost …")
    addresses = _searchers(stack)
    _write_topology(stack, [{"partitions": [number], "addresses": [each]} for number, each in enumerate(addresses)])
    pid = stack.pid("searcher1")
    complete = [_requiring_all(request) for request in requests]
    found: dict[str, Any] = {}
    for name, number in (("hangs", signal.SIGSTOP), ("is_gone", signal.SIGKILL)):
        os.kill(pid, number)
        load = run_open_load(
            stack.gateway, SEARCH_METHOD, requests, _QUIET_PER_S, seconds / 2, timeout_s=_DEADLINE_S, keep=True
        )
        refusing = run_open_load(
            stack.gateway, SEARCH_METHOD, complete, _QUIET_PER_S, 2.0, timeout_s=_DEADLINE_S, keep=True
        )
        partial = sum(_partitions_answered(outcome.answer) < PARTITIONS for outcome in load.answered)
        found[name] = {
            "errors": sum(load.codes.values()),
            "answered": len(load.answered),
            "said_partial": partial,
            "slowest_ms": load.percentile_ms(100),
            "p50_ms": load.percentile_ms(50),
            "with_require_complete": refusing.codes | {"OK": len(refusing.answered)},
        }
    return {"group_lost": {"deadline_ms": _DEADLINE_S * 1000, **found}}


def _replica_added(stack: Stack, requests: Sequence[bytes], seconds: float) -> dict[str, Any]:
    """`share`: of the even share, over the last ten seconds; `after_s`: until it had 0.7 for five."""
    console.err.print("A replica added …")
    addresses = _searchers(stack)
    _write_topology(stack, [{"addresses": addresses[:1]}])
    done = threading.Event()
    load = threading.Thread(target=_keep_loaded, args=(stack.gateway, requests, done))
    load.start()
    try:
        time.sleep(_SETTLING_S)
        _write_topology(stack, [{"addresses": addresses}], wait=False)
        shares = _shares(stack, min(_WITHIN_S, 1.5 * seconds))
    finally:
        done.set()
        load.join()
    reached = [second for second in range(5, len(shares)) if _share(shares[second - 5 : second]) >= _SHARE]
    return {
        "replica_added": {
            "share": round(_share(shares[-10:]), 3),
            "after_s": reached[0] - 5 + 1 if reached else None,
            "in_flight": _IN_FLIGHT,
        }
    }


def _stalled(
    folder: Path, model: Path, requests: Sequence[bytes], seconds: float, hedge_share: float
) -> dict[str, Any]:
    """Two replicas, of which one stands still for 0.2 s every second."""
    console.err.print(f"A searcher that stalls, {hedge_share:.0%} hedged …")
    with _stack(folder, model, requests, 2, ("--hedge-share", str(hedge_share))) as stack:
        run_load(stack.gateway, SEARCH_METHOD, requests, 2, _CALLS // 10)
        before, over = _gateway_samples(stack), threading.Event()
        stalling = threading.Thread(target=_stall, args=(stack.pid("searcher1"), over))
        stalling.start()
        try:
            load = run_open_load(stack.gateway, SEARCH_METHOD, requests, _QUIET_PER_S, seconds)
        finally:
            over.set()
            stalling.join()
        after = _gateway_samples(stack)
    return {
        **_figures(load),
        "p99_9_ms": load.percentile_ms(99.9),
        "sent_twice": int(added(before, after, "vitrine_gateway_hedges_sent_total")),
        "second_first": int(added(before, after, "vitrine_gateway_hedges_won_total")),
    }


def _figures(load: OpenLoad) -> dict[str, Any]:
    return {
        "answered_per_s": round(len(load.answered) / load.seconds, 1),
        "p50_ms": load.percentile_ms(50),
        "p99_ms": load.percentile_ms(99),
        "failed": load.codes,
        "sent_late_p99_ms": round(sorted(load.behind_ms)[int(0.99 * len(load.behind_ms))], 3),
    }


class _Memory:
    """Private memory of a process, looked at a few times."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.seen_mb: list[float | None] = []

    def look(self) -> None:
        size = private_bytes(self._pid)
        self.seen_mb.append(None if size is None else round(size / 1e6, 1))


@contextmanager
def _after(seconds: float, do: Callable[[], None]) -> Iterator[None]:
    timer = threading.Timer(seconds, do)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _keep_loaded(gateway: str, requests: Sequence[bytes], done: threading.Event) -> None:
    while not done.is_set():
        run_load(gateway, SEARCH_METHOD, requests, _IN_FLIGHT, _CALLS // 2)


def _stall(pid: int, over: threading.Event) -> None:
    while not over.wait(_STALL_EVERY_S - _STALL_S):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(_STALL_S)
        os.kill(pid, signal.SIGCONT)


def _shares(stack: Stack, seconds: float) -> list[tuple[float, float]]:
    """Queries that each of the two searchers was sent, second by second."""
    https = [stack.addresses[name].http for name in ("searcher", "searcher1")]
    found, before = [], [samples(http) for http in https]
    for _ in range(int(seconds)):
        time.sleep(1)
        after = [samples(http) for http in https]
        counts = [
            added(then, now, "vitrine_searcher_batch_queries_sum") for then, now in zip(before, after, strict=True)
        ]
        found.append((counts[0], counts[1]))
        before = after
    return found


def _share(counts: Sequence[tuple[float, float]]) -> float:
    """What the second has had, of half of everything."""
    total = sum(old + new for old, new in counts)
    return sum(new for _, new in counts) / (total / 2) if total else 0.0


def _searchers(stack: Stack) -> list[str]:
    return [stack.addresses[name].grpc for name in ("searcher", "searcher1")]


def _write_topology(stack: Stack, groups: Sequence[dict[str, Any]], wait: bool = True) -> None:
    """Beside the old one and then in its place: the gateway must not read half of it."""
    path = stack.settings.folder / "topology.json"
    path.with_suffix(".new").write_text(json.dumps({"groups": groups}))
    path.with_suffix(".new").replace(path)
    if wait:
        # It is looked at every second.
        time.sleep(3)


def _gateway_samples(stack: Stack) -> Samples:
    return samples(stack.addresses["gateway"].http)


def _answering_ms(before: Samples, after: Samples) -> float:
    """The 99th percentile of what the gateway itself saw of calls that it answered: no generator is part of it."""
    seconds = percentile(before, after, "vitrine_gateway_call_seconds", 0.99, method="Search", code="OK")
    return round(seconds * 1000, 3)


def _requiring_all(request: bytes) -> bytes:
    return request + gateway_pb2.SearchRequest(require_complete=True).SerializeToString()


def _partitions_answered(answer: bytes) -> int:
    return gateway_pb2.SearchResponse.FromString(answer).coverage.partitions_answered
