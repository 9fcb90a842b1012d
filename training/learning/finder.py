"""The learning-rate finder: how the loss answers to a rate that rises with every step.

"Cyclical learning rates for training neural networks" (Smith, WACV 2017). fast.ai reads two rates from the smoothed
loss: where it falls most steeply, and a tenth of where it is lowest. The second is suggested as the top of a cycle,
because the first is an underestimate with AdamW and new heads, whose loss falls at once at any rate.
"""

from __future__ import annotations

import copy
import csv
import io
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from training.data import Dataset
from training.learning.batches import Batch, Batches
from training.learning.charts import rates_chart
from training.learning.devices import arithmetic, repeatable
from training.learning.learner import Diverged, Learner
from training.learning.recipe import Recipe
from training.learning.reports import Progress, Silent, StepReport
from training.learning.saving import make_folder, save_bytes
from training.networks.network import Network
from vitrine.runtime.errors import ConfigError

RATE_MIN: Final = 1e-6
RATE_MAX: Final = 1.0
STEPS: Final = 100
TABLE_FILE: Final = "learning-rates.csv"
CHART_FILE: Final = "learning-rates.svg"

_SMOOTHING: Final = 0.9
_BURST: Final = 4.0
"""The search ends where the loss is this many times the lowest seen."""
_STEPS_MIN: Final = 10
_SILENT: Final = Silent()


@dataclass(frozen=True)
class Found:
    """Rates tried, ascending, with their losses as they were and smoothed; and what to read from them.

    `suggestion`: the rate to train with at most. `steepest`: where the loss falls fastest, the least one to try.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float
    steepest: float
    table: Path
    chart: Path


def find_learning_rate(
    network: Network, dataset: Dataset, recipe: Recipe, folder: Path, progress: Progress = _SILENT, steps: int = STEPS
) -> Found:
    """Trains a copy of `network` for up to `steps` steps; writes a CSV and a chart into `folder`.

    Raises ConfigError where fewer than ten steps can be tried before the loss bursts, or `steps` is less; NotSaved.
    """
    if steps < _STEPS_MIN:
        raise ConfigError("steps", f"must be at least {_STEPS_MIN}, not {steps}")
    make_folder(folder)
    how = arithmetic(recipe.device, recipe.precision)
    rates = np.geomspace(RATE_MIN, RATE_MAX, steps).tolist()
    with repeatable(how.device, recipe.seed):
        learner = Learner(copy.deepcopy(network), dataset, recipe, how)
        losses = _losses(
            learner, _endless(Batches(dataset.splits["train"], recipe), dataset.px, recipe), rates, progress
        )
    if len(losses) < _STEPS_MIN:
        raise ConfigError("learning_rate_max", f"the loss bursts after {len(losses)} steps already: check the data")
    tried = rates[: len(losses)]
    smoothed = smooth(losses)
    found = Found(
        rates=tuple(tried),
        losses=tuple(losses),
        smoothed=tuple(smoothed),
        suggestion=suggested(tried, smoothed),
        steepest=steepest(tried, smoothed),
        table=folder / TABLE_FILE,
        chart=folder / CHART_FILE,
    )
    save_bytes(found.table, _table(tried, losses, smoothed))
    save_bytes(
        found.chart,
        rates_chart(tried, losses, smoothed, {"tenth of the lowest": found.suggestion, "steepest": found.steepest}),
    )
    return found


def smooth(losses: Sequence[float]) -> list[float]:
    """Exponential moving averages, corrected for their start at 0 (as in Adam: Kingma and Ba, 2015)."""
    averages = []
    average = 0.0
    for step, loss in enumerate(losses, start=1):
        average = _SMOOTHING * average + (1 - _SMOOTHING) * loss
        averages.append(average / (1 - _SMOOTHING**step))
    return averages


def suggested(rates: Sequence[float], smoothed: Sequence[float]) -> float:
    """A tenth of the rate with the lowest loss, which is about to burst there."""
    return rates[int(np.argmin(smoothed))] / 10


def steepest(rates: Sequence[float], smoothed: Sequence[float]) -> float:
    """The rate at which losses fall most steeply over the logarithm of the rate.

    The first tenth, which still averages little, and everything behind the lowest loss are left out.
    """
    slopes = np.gradient(np.asarray(smoothed), np.log(rates))
    first = len(rates) // 10
    last = max(int(np.argmin(smoothed)), first + 1)
    return float(rates[first + int(np.argmin(slopes[first:last]))])


def _losses(learner: Learner, batches: Iterator[Batch], rates: Sequence[float], progress: Progress) -> list[float]:
    """Losses until one bursts. The last one belongs to the rate before which it was measured, as in training."""
    losses: list[float] = []
    for step, (rate, batch) in enumerate(zip(rates, batches, strict=False), start=1):
        for group in learner.optimiser.param_groups:
            group["lr"] = rate
        try:
            loss = learner.step(batch).loss
        except Diverged:
            break
        if losses and loss > _BURST * min(losses):
            break
        losses.append(loss)
        progress.step(StepReport(1, 1, step, len(rates), loss, math.nan))
    return losses


def _endless(batches: Batches, px: int, recipe: Recipe) -> Iterator[Batch]:
    return itertools.chain.from_iterable(batches.epoch(px, recipe.augmentation) for _ in itertools.count())


def _table(rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float]) -> bytes:
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["learning_rate", "loss", "smoothed_loss"])
    rows.writerows([f"{value:.6g}" for value in row] for row in zip(rates, losses, smoothed, strict=True))
    return text.getvalue().encode()
