"""The learning-rate finder."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training.data import Dataset, DataSettings, load  # noqa: E402
from training.learning import finder  # noqa: E402
from training.learning.recipe import Recipe  # noqa: E402
from training.learning.saving import NotSaved  # noqa: E402
from training.learning.start import fresh  # noqa: E402
from training.networks.network import Design  # noqa: E402
from vitrine.runtime.errors import ConfigError  # noqa: E402

RECIPE = Recipe(batch_pictures=24, device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def dataset(squares_file: Path) -> Dataset:
    return load(squares_file, DataSettings(labels=("subcategory",), px=32))


def test_the_finder_leaves_the_network_as_it_was_and_writes_its_table_and_chart(
    dataset: Dataset, tmp_path: Path
) -> None:
    network, _ = fresh(Design("small_cnn"), dataset)
    before = {name: weights.clone() for name, weights in network.state_dict().items()}
    found = finder.find_learning_rate(network, dataset, RECIPE, tmp_path / "rates", steps=30)
    assert all(torch.equal(weights, before[name]) for name, weights in network.state_dict().items())
    assert finder.RATE_MIN <= found.suggestion < finder.RATE_MAX
    with found.table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx(found.rates, rel=1e-4)
    assert found.chart.read_text().startswith("<?xml")


def test_the_finder_finds_the_same_twice(dataset: Dataset, tmp_path: Path) -> None:
    network, _ = fresh(Design("small_cnn"), dataset)
    first, again = (
        finder.find_learning_rate(network, dataset, RECIPE, tmp_path / name, steps=12) for name in ("first", "again")
    )
    assert first.losses == again.losses
    assert first.chart.read_bytes() == again.chart.read_bytes()


def test_the_steepest_fall_and_a_tenth_of_the_lowest_are_read_from_the_losses() -> None:
    rates = np.geomspace(1e-6, 1, 61)
    fall = 1 / (1 + (rates / 1e-3) ** 2)  # steepest, over the logarithm, at 1e-3
    burst = np.clip(np.log10(rates / 1e-1), 0, None)
    losses = list(fall + burst)
    assert finder.steepest(list(rates), losses) == pytest.approx(1e-3, rel=0.01)
    assert finder.suggested(list(rates), losses) == pytest.approx(1e-2, rel=0.3)


def test_smoothing_does_not_start_at_zero() -> None:
    assert finder.smooth([3.0, 3.0, 3.0]) == pytest.approx([3.0, 3.0, 3.0])


def test_a_folder_that_cannot_be_made_is_said(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    network, _ = fresh(Design("small_cnn"), dataset)
    with pytest.raises(NotSaved, match="taken/rates cannot be made: Not a directory"):
        finder.find_learning_rate(network, dataset, RECIPE, tmp_path / "taken" / "rates")


def test_too_few_steps_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    network, _ = fresh(Design("small_cnn"), dataset)
    with pytest.raises(ConfigError, match="steps: must be at least 10"):
        finder.find_learning_rate(network, dataset, RECIPE, tmp_path, steps=3)
