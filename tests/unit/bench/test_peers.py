"""The comparison with others: who is asked what, and what is said of it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.peers import summary
from benchmarks.peers.environment import REQUIREMENTS
from benchmarks.peers.load import run_load
from benchmarks.peers.processes import Client, ClientFailed, running
from benchmarks.peers.systems import SYSTEMS
from benchmarks.peers.tuning import Settings, cheapest_reaching

ROOT = Path(__file__).parents[3]


def load(qps: float, p50_ms: float = 1.0, p99_ms: float = 2.0, cpu: float | None = 0.5) -> dict[str, Any]:
    return summary.load_of([{"qps": qps, "p50_ms": p50_ms, "p99_ms": p99_ms, "cpu_s_per_1000": cpu}])


def system(**loads: Any) -> dict[str, Any]:
    named = {name.removeprefix("of_"): found for name, found in loads.items()}
    return {"version": "1", "place": "server", "settings": {}, "recall_at_10": 0.991, "loads": named, "curve": []}


def measured() -> dict[str, dict[str, Any]]:
    ours = system(of_1=load(900, p50_ms=1.0), of_16=load(2400, p99_ms=9.0, cpu=0.3), batch64_1=load(5000))
    theirs = system(
        of_1=load(600, p50_ms=1.6),
        of_16=load(600, p99_ms=45.0, cpu=1.2),
        batch64_1=load(3000),
        batch64_4=load(4000),
    )
    return {"Vitrine": ours, "Chroma": theirs}


def test_ratios_are_ours_over_chromas_with_the_better_batches_of_each() -> None:
    assert summary.ratios(measured()) == {
        "qps_ratio_16": 4.0,
        "qps_ratio_batch64": 1.25,
        "p50_ratio_1": 0.625,
        "p99_ratio_16": 0.2,
        "cpu_ratio": 0.25,
        "recall_at_10": 0.991,
    }


def test_what_was_not_measured_has_no_ratio() -> None:
    systems = measured()
    del systems["Vitrine"]["loads"]["batch64_1"]
    systems["Chroma"]["loads"]["16"] = load(600, cpu=None)
    ratios = summary.ratios(systems)
    assert ratios["qps_ratio_batch64"] is None
    assert ratios["cpu_ratio"] is None
    assert ratios["qps_ratio_16"] == 4.0


def test_a_load_is_the_median_of_its_rounds() -> None:
    rounds = [
        {"qps": qps, "p50_ms": 1.0, "p99_ms": p99, "cpu_s_per_1000": None} for qps, p99 in ((10, 1), (90, 50), (20, 2))
    ]
    assert summary.load_of(rounds) == {"qps": 20, "p50_ms": 1.0, "p99_ms": 2, "cpu_s_per_1000": None, "rounds": rounds}


def test_the_table_names_a_system_that_could_not_be_measured() -> None:
    machine = {"processor": "a", "cores": 2, "date": "2026-01-01"}
    result = {"rows": 5, "dim": 4, "k": 10, "rounds": 3, "seconds": 5.0, "machine": machine}
    result |= {"systems": measured(), "missing": {"LanceDB": "no wheel"}, "ratios": summary.ratios(measured())}
    table = summary.table(result)
    assert "| LanceDB | not measured: no wheel |" in table
    assert "| Vitrine 1 | server | default | 0.9910 | 900 |" in table


def test_the_cheapest_settings_with_enough_recall_are_taken() -> None:
    recalls = {10: 0.9, 20: 0.99, 40: 0.999}
    asked: list[int] = []

    def recall_of(settings: Settings) -> float:
        asked.append(settings["ef"])
        return recalls[settings["ef"]]

    assert cheapest_reaching(0.99, [{"ef": ef} for ef in recalls], recall_of) == ({"ef": 20}, 0.99)
    assert asked == [10, 20]


def test_where_none_reaches_the_target_the_one_with_most_recall_is_taken() -> None:
    recalls = {10: 0.9, 20: 0.95, 40: 0.93}
    found = cheapest_reaching(0.99, [{"ef": ef} for ef in recalls], lambda settings: recalls[settings["ef"]])
    assert found == ({"ef": 20}, 0.95)


def test_a_load_counts_queries_and_asks_all_of_them_in_turn() -> None:
    queries = np.arange(12, dtype=np.float32).reshape(12, 1)
    asked: list[float] = []
    found = run_load(lambda part: asked.extend(part[:, 0].tolist()), queries, threads=2, batch=4, seconds=0.05)
    assert found.queries == len(asked)
    assert set(asked) == set(range(12))


def test_an_error_under_load_is_raised() -> None:
    def failing(part: object) -> None:
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        run_load(failing, np.zeros((4, 2), np.float32), threads=3, batch=1, seconds=5.0)


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    vectors = np.eye(16, dtype=np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    np.save(tmp_path / "queries.npy", vectors[3:7])
    return tmp_path


def client_command(backend: str, arrays: Path) -> list[str | Path]:
    files: list[str | Path] = ["--vectors", arrays / "vectors.npy", "--queries", arrays / "queries.npy"]
    return [sys.executable, "-m", "benchmarks.peers.client", backend, *files, "--folder", arrays]


def test_a_client_process_searches_and_is_gone_afterwards(arrays: Path) -> None:
    log = arrays / "client.log"
    with running(client_command("cosine_scan", arrays), log, asked=True, folder=ROOT) as process:
        client = Client(process, log)
        assert client.ready["grid"] == [{}]
        client.ask(do="use", settings={})
        assert client.ask(do="search", k=1, first=1, end=3) == {"rows": [[4], [5]]}
        assert client.ask(do="load", k=1, threads=2, batch=2, seconds=0.05)["queries"] > 0
    assert process.returncode is not None


def test_a_client_that_cannot_start_says_why(arrays: Path) -> None:
    log = arrays / "client.log"
    command = client_command("no_such_system", arrays)
    with running(command, log, asked=True, folder=ROOT) as process, pytest.raises(ClientFailed, match="no_such_system"):
        Client(process, log)


def test_what_a_process_has_started_ends_with_it(tmp_path: Path) -> None:
    started = "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    with running([sys.executable, "-c", started], tmp_path / "log", asked=True) as process:
        assert process.stdout is not None
        child = process.stdout.readline().decode().strip()
    until_s = time.monotonic() + 5
    while _state_of(child) not in ("", "Z") and time.monotonic() < until_s:
        time.sleep(0.01)  # a signal takes its time
    assert _state_of(child) in ("", "Z")


def _state_of(process: str) -> str:
    """As ps has it, one letter; empty if there is none."""
    said = subprocess.run(["ps", "-o", "stat=", "-p", process], check=False, capture_output=True, text=True).stdout
    return said.strip()[:1]


def test_every_package_of_a_peer_has_an_exact_version() -> None:
    pinned = {line.split("==")[0].lower() for line in REQUIREMENTS.read_text().splitlines() if "==" in line}
    assert {package for system in SYSTEMS for package in system.packages} <= pinned
