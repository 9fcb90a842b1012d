"""The yardstick for the service."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from services.embedder.model import Model
from services.embedder.raw_rate import measured
from vitrine import sample
from vitrine.runtime.errors import ConfigError

MODEL = Path(__file__).parents[3] / "models" / "fashion-resnet18"


def test_a_cpu_has_rates_for_every_batch_size_and_transfers_nothing() -> None:
    model = Model.load(MODEL, ["CPUExecutionProvider"])
    picture = sample.draw(sample.catalogue()[0], 0)
    rates = measured(model, [picture] * 4, batch_images=2, max_batch_images=4, seconds=0.1)
    assert list(rates.images_per_s_by_batch) == [1, 2, 4]
    assert rates.transfer_ms == 0
    assert min(rates.raw_images_per_s, rates.decode_ms, rates.compute_ms) > 0


def test_pixels_that_are_in_place_can_be_run_again_and_again() -> None:
    model = Model.load(MODEL, ["CPUExecutionProvider"])
    run = model.resident(np.zeros((2, model.facts.height, model.facts.width, 3), np.uint8))
    run()
    run()


def test_a_provider_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^providers: none of \['QuantumExecutionProvider'\] is available here"):
        Model.load(MODEL, ["QuantumExecutionProvider"])


def test_what_cannot_be_measured_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "services.embedder.raw_rate",
        "--model",
        str(tmp_path),
        "--pictures",
        str(tmp_path),
    ]
    answer = subprocess.run(command, check=False, capture_output=True, text=True)
    assert answer.returncode == 2
    assert answer.stderr == f"model: {tmp_path} holds no readable model.json (No such file or directory)\n"
