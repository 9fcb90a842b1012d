"""Progress for people: bars on a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from training.learning.reports import EpochReport, Progress, StepReport


class Lines:
    """A line an epoch, for logs."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def step(self, report: StepReport) -> None:
        """Nothing: an epoch is often enough for a log."""

    def epoch(self, report: EpochReport) -> None:
        """Prints the epoch."""
        print(line(report), file=self._out, flush=True)


class Display:
    """A bar for the epoch, one for the whole run, and a line for each epoch that is done."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._run = bars.add_task("training", total=None)
        self._epoch = bars.add_task("epoch", total=None)

    def step(self, report: StepReport) -> None:
        """Moves the bars."""
        rate = "" if math.isnan(report.pictures_per_s) else f", {report.pictures_per_s:.0f} pictures/s"
        told = f"epoch {report.epoch}: loss {report.loss:.3f}{rate}"
        self._bars.update(self._epoch, description=told, completed=report.step, total=report.steps)
        done = (report.epoch - 1) * report.steps + report.step
        self._bars.update(self._run, completed=done, total=report.epochs * report.steps)

    def epoch(self, report: EpochReport) -> None:
        """Prints the epoch above the bars."""
        self._bars.console.print(line(report), highlight=False)


@contextmanager
def shown_progress(out: TextIO = sys.stderr) -> Iterator[Progress]:
    """Bars where `out` is a terminal, else lines."""
    if not out.isatty():
        yield Lines(out)
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Bars(*columns, console=Console(file=out)) as bars:
        yield Display(bars)


def line(report: EpochReport) -> str:
    """One epoch in one line."""
    right = [f"{column} {share:.1%}" for column, share in report.accuracy.items()]
    figures = ", ".join([*right, f"precision@10 {report.precision_at_10:.3f}"])
    return f"epoch {report.epoch}: loss {report.loss:.3f}, val {figures}, {report.duration_s:.0f} s"
