"""SIGKILL at every failpoint: whatever dies when, each acknowledged event counts exactly once.

A plain run takes a few points and one seed; `--all` takes every point with three, the last through a real Kafka.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

import grpc
import pytest

from tests.faults.failpoints.bench import Bench, died_there, pictures, running_bench
from tests.faults.failpoints.history import History
from tests.kafka.broker import Broker
from vitrine.runtime import failpoints
from vitrine.runtime.errors import VitrineError

SEEDS: Final = {1: "on_file", 2: "on_file", 3: "on_kafka"}
SMOKE: Final = (
    *("read.after", "fetch.before", "write.after", "publish.before", "publish.after", "claim.after"),
    *("roll.after", "gc.after"),
)
# At which of its turns a point strikes. Each partition is claimed once by each start, and the first reads find nothing
# because of that; rolls take about a second.
TURNS: Final = {"claim": (1, 2), "read": (4, 12), "roll": (1, 2), "compact": (1, 2)}
OTHER_TURNS: Final = (1, 4)
# Which points fail together, in four processes: of those that hold the same batch back only one shows in the log.
ROUNDS: Final = (
    ("read.after", "fetch.before", "build.before", "publish.after", "commit.before", "gc.after"),
    ("read.before", "fetch.after", "write.before", "claim.before", "compact.after"),
    ("embed.before", "build.after", "write.after", "claim.after", "roll.before", "gc.before"),
    ("embed.after", "publish.before", "commit.after", "roll.after", "compact.before"),
)

_PATIENCE_S: Final = 30.0
_PAUSE_S: Final = 0.1


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    everything = metafunc.config.getoption("all")
    seeds = list(SEEDS) if everything else [1]
    if "point" in metafunc.fixturenames:
        points = sorted(failpoints.NAMES) if everything else SMOKE
        cases = [(SEEDS[seed], seed, point) for seed in seeds for point in points]
        metafunc.parametrize(("bench", "seed", "point"), cases, indirect=["bench"])
    elif "together" in metafunc.fixturenames:
        rounds = ROUNDS if everything else ROUNDS[:1]
        metafunc.parametrize(("bench", "together"), [("on_file", names) for names in rounds], indirect=["bench"])
    elif "bench" in metafunc.fixturenames:
        metafunc.parametrize(("bench", "seed"), [(SEEDS[s], s) for s in seeds], indirect=["bench"])


@pytest.fixture(scope="module")
def on_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with running_bench(tmp_path_factory.mktemp("bench")) as running:
        yield running


@pytest.fixture(scope="module")
def on_kafka(tmp_path_factory: pytest.TempPathFactory, kafka: Broker) -> Iterator[Bench]:
    with running_bench(tmp_path_factory.mktemp("bench"), kafka.address) as running:
        yield running


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Bench:
    chosen: Bench = request.getfixturevalue(request.param)
    return chosen


def test_every_event_counts_once_though_the_indexer_is_killed(bench: Bench, seed: int, point: str) -> None:
    history = History(f"{seed}-{point}", seed, pictures())
    bench.stack.kill("indexer")
    if point.startswith("gc"):
        bench.age_store()
    bench.write(history, 20)
    bench.start("indexer", _armed(point, "kill", seed))
    _write_until(lambda: bench.ended("indexer") is not None, bench, history, tidily=point.startswith("compact"))
    assert died_there(bench.ended("indexer")), bench.said("indexer")[-2000:]
    bench.write(history, 10)
    bench.start("indexer")
    bench.write(history, 10)
    bench.check(history)


def _armed(point: str, action: str, seed: int) -> str:
    """What makes the process do so at that point, at one of its turns."""
    step, _, _ = point.partition(".")
    turn = random.Random(f"{point} {seed}").randint(*TURNS.get(step, OTHER_TURNS))
    return f"{point}={action}@{turn}"


def _write_until(reached: Callable[[], bool], bench: Bench, history: History, tidily: bool) -> None:
    """`tidily`: with a compaction after each write, which comes too seldom by itself."""
    deadline_s = time.monotonic() + _PATIENCE_S
    while not reached():
        assert time.monotonic() < deadline_s, "a failpoint was never reached"
        bench.write(history, 4)
        if tidily:
            # Cut short where it is the compaction that dies or fails.
            with suppress(grpc.RpcError, VitrineError):
                bench.tidy_up(timeout_s=5)
        time.sleep(_PAUSE_S)


def test_a_step_that_fails_once_is_tried_again(bench: Bench, together: tuple[str, ...]) -> None:
    history = History(f"again-{together[0]}", 1, pictures())
    bench.stack.kill("indexer")
    bench.age_store()
    bench.write(history, 20)
    logged = len(bench.said("indexer"))
    bench.start("indexer", ",".join(_armed(point, "raise", seed=1) for point in together))

    def all_said() -> bool:
        return all(f"failpoint {point}" in bench.said("indexer")[logged:] for point in together)

    _write_until(all_said, bench, history, tidily=True)
    bench.write(history, 10)
    bench.check(history)
    assert bench.ended("indexer") is None


def test_every_point_fails_in_one_of_the_rounds() -> None:
    assert sorted(point for names in ROUNDS for point in names) == sorted(failpoints.NAMES)


def test_nothing_comes_back_after_a_roll_a_compaction_and_a_restart(bench: Bench, seed: int) -> None:
    history = History(f"{seed}-last", seed, pictures())
    bench.write(history, 200)
    bench.tidy_up()
    bench.restart("searcher")
    assert [len(partition.shards) for partition in bench.calls.client.status().partitions] == [1, 1]
    bench.check(*bench.histories)
