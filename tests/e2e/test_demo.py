"""vitrine demo: the whole system, from pictures drawn to figures printed."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.command import COMMAND, DRAIN_TIMEOUT_S, gone, last_json, succeeded
from tests.e2e.pictures import saved
from tests.integration.shop import drawn, eventually, http

KEYS = {
    "products",
    "images",
    "images_per_s",
    "search_p50_ms",
    "search_p99_ms",
    "recall_at_10",
    "same_category_at_10",
    "coverage",
}


@pytest.mark.slow
def test_the_demo_ends_with_its_figures_and_leaves_nothing_running(tmp_path: Path) -> None:
    grid = tmp_path / "grid.png"
    command = [*COMMAND, "demo", "--once", "--json", "--products", "90", "--grid", str(grid)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        stdout, stderr = run.communicate(timeout=100)
    assert run.returncode == 0, stderr
    assert gone(run.pid, patience_s=0)

    figures = last_json(stdout)
    assert figures.keys() == KEYS
    assert (figures["products"], figures["images"]) == (90, 180)
    assert figures["images_per_s"] > 0
    assert 0 < figures["search_p50_ms"] <= figures["search_p99_ms"]
    assert figures["recall_at_10"] >= 0.99
    assert 0.3 < figures["same_category_at_10"] <= 1
    assert figures["coverage"] == 1.0
    with Image.open(grid) as picture:
        picture.load()
        assert min(picture.size) > 500


@pytest.mark.slow
def test_the_demo_goes_on_with_a_page_of_what_it_has_drawn(tmp_path: Path) -> None:
    command = [*COMMAND, "demo", "--products", "18", "--grid", str(tmp_path / "grid.png")]
    said = tmp_path / "said"
    with said.open("wb") as log, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as run:
        eventually(lambda: run.poll() is not None or "Ctrl-C stops." in said.read_text(), patience_s=90)
        found = re.search(r"The page: http://([\d.:]+)/", said.read_text())
        assert found, said.read_text()
        status, samples = http(found[1], "/api/samples")
        run.send_signal(signal.SIGINT)
        assert run.wait(DRAIN_TIMEOUT_S + 10) == 0
    assert status == 200
    assert len(json.loads(samples)["results"]) == 12
    assert gone(run.pid, patience_s=0)


def test_the_demo_takes_a_folder_of_ones_own_though_some_files_are_broken(tmp_path: Path) -> None:
    saved(tmp_path / "own", drawn()[:9], "own")
    (tmp_path / "own" / "a-broken.jpg").write_bytes(drawn()[9].pictures[0][:4000])
    stdout = succeeded("demo", "--once", "--json", "--data", tmp_path / "own", "--grid", tmp_path / "grid.png")
    figures = last_json(stdout)
    assert (figures["products"], figures["recall_at_10"], figures["coverage"]) == (9, 1.0, 1.0)


def test_the_command_lies_next_to_the_interpreter() -> None:
    script = Path(sys.executable).parent / "vitrine"
    done = subprocess.run([script, "--help"], capture_output=True, text=True, timeout=60, check=True)
    assert "ingest" in done.stdout


def test_the_commands_do_without_the_extra_for_kafka_until_they_are_asked_for_it() -> None:
    absent = "import sys; sys.modules['kafka'] = None; from vitrine.cli.__main__ import main; main()"
    asked = ["dlq", "ls", "--kafka", "127.0.0.1:9092"]
    done = subprocess.run(
        [sys.executable, "-c", absent, *asked], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("vitrine: kafka: needs the extra `kafka`")
