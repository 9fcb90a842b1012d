"""The measurement: everybody is filled with the same rows, tuned to the same recall, then loaded in turn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.peers.environment import Environment
from benchmarks.peers.processes import Client, ClientFailed, running
from benchmarks.peers.servers import Server, chroma_server, vitrine_server
from benchmarks.peers.summary import Measured, load_of
from benchmarks.peers.systems import CHROMA, SYSTEMS, VITRINE, System
from benchmarks.peers.tuning import Settings, cheapest_reaching
from vitrine.cli.bench.process_cost import cpu_seconds
from vitrine.cli.bench.truth import Truth, exact_best, recall
from vitrine.vectors import Vectors

ROOT: Final = Path(__file__).parents[2]
K: Final = 10
RECALL_TARGET: Final = 0.99
RECALL_RULE: Final = "a row counts if its exact cosine is at least that of the tenth best less 0.001"
CURVE_THREADS: Final = 16
LOADS: Final = {"1": (1, 1), "16": (16, 1), "batch64_1": (1, 64), "batch64_4": (4, 64)}
"""By name: client threads, and queries a call."""

TUNING_QUERIES: Final = 1_000
RECALL_QUERIES: Final = 1_000
"""Of the queries, the first are tuned on, the next tell the recall that is reported."""

_WARM_UP_S: Final = 0.5
_CURVE_POINTS: Final = 7


@dataclass(frozen=True)
class Plan:
    """`vectors` (rows, dim) and `queries` (n, dim): unit float32. `seconds`: of each load in each of `rounds`.

    `tuning`, `truth`: the best rows of the first queries, and of those after them.
    """

    vectors: Vectors
    queries: Vectors
    tuning: Truth
    truth: Truth
    model: Path
    rounds: int
    seconds: float


@dataclass
class Running:
    """One system that answers, and what was measured of it so far."""

    system: System
    client: Client
    server: Server | None
    settings: Settings = field(default_factory=dict)
    recall: float = 0.0
    in_use: Settings | None = None
    curve: list[Measured] = field(default_factory=list)
    rounds: dict[str, list[Measured]] = field(default_factory=dict)

    @property
    def served_by(self) -> tuple[int, ...]:
        """The processes that search: the server's, or the client's own where the index lies in it."""
        return self.server.pids if self.server else (self.client.pid,)

    def use(self, settings: Settings) -> None:
        if settings == self.in_use:
            return
        self.client.ask(do="use", settings=settings)
        if self.server and self.server.restart:
            self.server.restart()
        self.in_use = settings

    def recall_of(self, settings: Settings, plan: Plan, truth: Truth, first: int) -> float:
        """Recall over the queries that `truth` is of, which begin at `first`."""
        self.use(settings)
        end = first + len(truth.rows)
        rows = self.client.ask(do="search", k=K, first=first, end=end)["rows"]
        return recall(truth, [np.array(found) for found in rows], plan.vectors, plan.queries[first:end])

    def loaded(self, threads: int, batch: int, seconds: float) -> Measured:
        asked = {"do": "load", "k": K, "threads": threads, "batch": batch}
        self.client.ask(**asked, seconds=_WARM_UP_S)
        before_s = cpu_seconds(self.served_by)
        load = self.client.ask(**asked, seconds=seconds)
        after_s = cpu_seconds(self.served_by)
        cpu_s = None if before_s is None or after_s is None else after_s - before_s
        return {
            "qps": round(load["queries"] / load["seconds"], 1),
            "p50_ms": round(load["p50_ms"], 3),
            "p99_ms": round(load["p99_ms"], 3),
            "cpu_s_per_1000": None if cpu_s is None else round(cpu_s * 1000 / load["queries"], 4),
        }


def planned(vectors: Vectors, queries: Vectors, model: Path, rounds: int, seconds: float) -> Plan:
    """Finds the best rows by scoring all of them."""
    tuning, asked = queries[:TUNING_QUERIES], queries[TUNING_QUERIES : TUNING_QUERIES + RECALL_QUERIES]
    truths = exact_best(vectors, tuning, K), exact_best(vectors, asked, K)
    return Plan(vectors, queries, *truths, model, rounds, seconds)


def measured(plan: Plan, environment: Environment, folder: Path) -> tuple[dict[str, Measured], dict[str, str]]:
    """What each system did, and why others are missing. Raises ClientFailed where Vitrine or Chroma is."""
    np.save(folder / "vectors.npy", plan.vectors)
    np.save(folder / "queries.npy", plan.queries)
    missing = {system.name: reason for system in SYSTEMS if (reason := _not_installed(system, environment))}
    with ExitStack() as open_ones:
        rivals: list[Running] = []

        def each(step: Callable[[Running], None]) -> None:
            """One that fails is out, and it is said why."""
            for rival in list(rivals):
                with _left_out(rival.system, missing):
                    step(rival)
                    continue
                rivals.remove(rival)

        for system in SYSTEMS:
            if system.name not in missing:
                with _left_out(system, missing):
                    rivals.append(open_ones.enter_context(_opened(system, plan, environment, folder)))
        each(lambda rival: _tune(rival, plan))
        for load, (threads, batch) in LOADS.items():
            for number in range(plan.rounds):
                _say(f"Load {load}, round {number + 1} of {plan.rounds} …")
                each(lambda rival: _load(rival, load, threads, batch, plan.seconds))  # noqa: B023  (called at once)
        _say("Recall against throughput …")
        each(lambda rival: _draw_curve(rival, plan))
        return {rival.system.name: _as_measured(rival) for rival in rivals}, missing


def _not_installed(system: System, environment: Environment) -> str:
    reason = next((environment.missing[name] for name in system.packages if name in environment.missing), "")
    if reason and system == CHROMA:
        raise ClientFailed(f"Chroma cannot be installed: {reason}")
    return f"cannot be installed: {reason}" if reason else ""


@contextmanager
def _left_out(system: System, missing: dict[str, str]) -> Iterator[None]:
    """Without the two that are compared there is nothing to say; any other is reported."""
    try:
        yield
    except ClientFailed as error:
        if system in (VITRINE, CHROMA):
            raise
        _say(f"{system.name} failed: {error}")
        missing[system.name] = str(error)


@contextmanager
def _opened(system: System, plan: Plan, environment: Environment, folder: Path) -> Iterator[Running]:
    _say(f"{system.name} …")
    own = folder / system.backend
    own.mkdir()
    with ExitStack() as stack:
        server: Server | None = None
        if system == VITRINE:
            server = stack.enter_context(vitrine_server(plan.vectors, own, plan.model))
        elif system == CHROMA:
            server = stack.enter_context(chroma_server(environment, own))
        python = sys.executable if system.is_ours else environment.python
        given: list[str | Path] = [
            "--vectors",
            folder / "vectors.npy",
            "--queries",
            folder / "queries.npy",
            "--folder",
            own,
        ]
        given += ["--package", system.packages[0]] if system.packages else []
        given += ["--address", server.address] if server else []
        log = own / "client.log"
        command: list[str | Path] = [python, "-m", "benchmarks.peers.client", system.backend, *given]
        process = stack.enter_context(running(command, log, asked=True, folder=ROOT))
        yield Running(system, Client(process, log), server)


def _tune(rival: Running, plan: Plan) -> None:
    """The cheapest settings with enough recall on the first queries; their recall on the next ones, never tuned on."""

    def recall_of(settings: Settings) -> float:
        return rival.recall_of(settings, plan, plan.tuning, 0)

    rival.settings, _ = cheapest_reaching(RECALL_TARGET, rival.client.ready["grid"], recall_of)
    rival.recall = rival.recall_of(rival.settings, plan, plan.truth, TUNING_QUERIES)
    _say(f"{rival.system.name}: {rival.settings or 'default'}, recall@{K} {rival.recall:.4f}")


def _load(rival: Running, load: str, threads: int, batch: int, seconds: float) -> None:
    if batch == 1 or rival.client.ready["batches"]:
        rival.use(rival.settings)
        rival.rounds.setdefault(load, []).append(rival.loaded(threads, batch, seconds))


def _draw_curve(rival: Running, plan: Plan) -> None:
    """Recall and queries a second of some settings, from the cheapest to the dearest."""
    grid: Sequence[Settings] = rival.client.ready["grid"]
    places = sorted({round(place) for place in np.linspace(0, len(grid) - 1, min(_CURVE_POINTS, len(grid)))})
    for place in places:
        recall_at_10 = rival.recall_of(grid[place], plan, plan.truth, TUNING_QUERIES)
        load = rival.loaded(CURVE_THREADS, 1, plan.seconds / 2)
        rival.curve.append({"settings": grid[place], "recall_at_10": recall_at_10, "qps": load["qps"]})


def _as_measured(rival: Running) -> Measured:
    ready: Mapping[str, Any] = rival.client.ready
    return {
        "version": ready["version"],
        "place": rival.system.place,
        "settings": rival.settings,
        "recall_at_10": rival.recall,
        "build_s": round(rival.server.build_s if rival.system == VITRINE and rival.server else ready["build_s"], 1),
        "loads": {name: load_of(rounds) for name, rounds in rival.rounds.items()},
        "curve": rival.curve,
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr)
