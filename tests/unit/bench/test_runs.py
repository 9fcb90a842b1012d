"""The benches of scale, filters and metrics, run whole, on very little."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.unit.bench.tiny_set import write_tiny_set
from vitrine.cli.bench import bench, core, filters, gateway_load, metrics, scale

pytestmark = [pytest.mark.thorough, pytest.mark.slow]

ROWS = 1_500


@pytest.fixture(autouse=True)
def _little(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (scale, filters, metrics):
        monkeypatch.setattr(module, "QUERIES", 10)
    for module, name in ((scale, "CALLS"), (filters, "_CALLS"), (metrics, "_CALLS")):
        monkeypatch.setattr(module, name, 50)
    monkeypatch.setattr(core, "PASSES", 1)
    monkeypatch.setattr(gateway_load, "ROUNDS", 1)
    monkeypatch.setattr(filters, "ROUNDS", 1)


def test_scale_says_what_every_size_costs_and_rolls_the_biggest(tmp_path: Path) -> None:
    said = _run(tmp_path, "scale", "--sizes", f"1200,{ROWS}")

    assert [size["rows"] for size in said["sizes"]] == [1_200, ROWS]
    assert said["sizes"][1]["in_flight_8"]["qps"] > 0
    assert said["sizes"][1]["recall_at_10"]["held_out"] > 0.5
    assert said["sizes"][1]["restart"]["cold_s"] > 0
    assert said["rolled_under_queries"]["in_flight_8_meanwhile"]["failed"] == 0


def test_filters_always_bring_as_many_as_there_are(tmp_path: Path) -> None:
    said = _run(tmp_path, "filters", "--rows", str(ROWS))

    assert len(said["filters"]) == 3 * len(filters.SHARES)
    assert {found["answers_too_short"] for found in said["filters"]} == {0}
    assert {found["answers_outside"] for found in said["filters"]} == {0}
    assert said["ten_shards"]["ratio"] > 0


def test_metrics_are_told_beside_each_other(tmp_path: Path) -> None:
    said = _run(tmp_path, "metrics", "--rows", str(ROWS))

    assert list(said["metrics"]) == ["angular", "euclidean", "manhattan", "hamming"]
    assert min(found["recall_at_10"] for found in said["metrics"].values()) > 0.5
    assert said["metrics"]["angular"]["label_precision_at_10"]["article_type"] > 0


def _run(folder: Path, command: str, *options: str) -> dict[str, Any]:
    """What it prints, and that the vectors' folder is left as it was."""
    vectors = write_tiny_set(folder / "set", ROWS)
    before = sorted(vectors.iterdir())

    result = CliRunner().invoke(bench, [command, "--vectors", str(vectors), *options], catch_exceptions=False)

    assert result.exit_code == 0
    assert sorted(vectors.iterdir()) == before
    said: dict[str, Any] = json.loads(result.stdout.strip().splitlines()[-1])
    return said
