"""What is said about training while it runs, and the CSV log of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from training.learning.recipe import Watched
from training.learning.saving import save_bytes


@dataclass(frozen=True)
class StepReport:
    """One step of an epoch, both counted from 1, with its loss and the pictures a second of the epoch so far.

    The rate is NaN where it was not measured.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    pictures_per_s: float


@dataclass(frozen=True)
class EpochReport:
    """One epoch: the mean of each loss by name, and what the validation split says afterwards.

    `loss` is their weighted sum, `learning_rate` that of the last step, `accuracy` by label column that is taught,
    `precision_at_10` of the scored column.
    """

    epoch: int
    px: int
    loss: float
    losses: Mapping[str, float]
    learning_rate: float
    accuracy: Mapping[str, float]
    precision_at_10: float
    duration_s: float

    def watched(self, figure: Watched) -> float:
        """What early stopping and the best checkpoint go by: precision where no label column is taught."""
        if figure == "accuracy" and self.accuracy:
            return sum(self.accuracy.values()) / len(self.accuracy)
        return self.precision_at_10

    def as_row(self) -> dict[str, float]:
        """A flat row of the log."""
        return {
            "epoch": self.epoch,
            "px": self.px,
            "loss": self.loss,
            **{f"loss_{name}": value for name, value in self.losses.items()},
            "learning_rate": self.learning_rate,
            **{f"val_accuracy_{column}": value for column, value in self.accuracy.items()},
            "val_precision_at_10": self.precision_at_10,
            "duration_s": self.duration_s,
        }

    def as_plain(self) -> dict[str, Any]:
        """Numbers, words and dicts only; `EpochReport(**plain)` is the inverse."""
        return asdict(self)


class Progress(Protocol):
    """Is told how training goes."""

    def step(self, report: StepReport) -> None:
        """After each step."""

    def epoch(self, report: EpochReport) -> None:
        """After each epoch, once its checkpoint is saved."""


class Silent:
    """Says nothing."""

    def step(self, report: StepReport) -> None:
        """Nothing."""

    def epoch(self, report: EpochReport) -> None:
        """Nothing."""


def write_log(path: Path, history: Sequence[EpochReport]) -> None:
    """One CSV row an epoch. Written whole each time, so that a resumed run leaves no row twice. Raises VitrineError."""
    text = io.StringIO(newline="")
    rows = csv.DictWriter(text, list(history[0].as_row()), lineterminator="\n")
    rows.writeheader()
    rows.writerows({name: round(value, 6) for name, value in report.as_row().items()} for report in history)
    save_bytes(path, text.getvalue().encode())
