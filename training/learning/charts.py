"""Charts of training, as SVG that is the same bytes for the same figures."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.learning.saving import save_bytes
from vitrine.runtime.errors import ConfigError


def plot_curves(log: Path, out: Path) -> None:
    """Draws the CSV log of a run into the SVG file `out`: losses on the left, validation figures on the right.

    Raises ConfigError where the log is missing or has no epoch; NotSaved.
    """
    if not log.is_file():
        raise ConfigError("log", f"{log} does not exist")
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or "epoch" not in rows[0]:
        raise ConfigError("log", f"{log} has no epoch in it")
    save_bytes(out, _curves({name: [float(row[name]) for row in rows] for name in rows[0]}))


def rates_chart(
    rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], marked: Mapping[str, float]
) -> bytes:
    """The loss over the learning rate, with some rates `marked` by name. SVG."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses, color="0.8", label="loss")
    axes.plot(rates, smoothed, label="smoothed")
    for (name, rate), style in zip(marked.items(), itertools.cycle(("--", ":")), strict=False):
        axes.axvline(rate, color="0.3", linestyle=style, label=f"{name}: {rate:.1e}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss")
    axes.legend()
    return _svg(figure)


def _curves(columns: Mapping[str, Sequence[float]]) -> bytes:
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, prefix, title in ((left, "loss", "loss while training"), (right, "val_", "validation")):
        shown = {name: values for name, values in columns.items() if name.startswith(prefix)}
        _lines(axes, columns["epoch"], {name.removeprefix(prefix).strip("_"): shown[name] for name in shown})
        axes.set(xlabel="epoch", title=title)
    return _svg(figure)


def _lines(axes: Axes, epochs: Sequence[float], lines: Mapping[str, Sequence[float]]) -> None:
    for name, values in lines.items():
        axes.plot(
            epochs, values, label=name.replace("_", " ") or "all, weighted", marker="." if len(epochs) < 3 else ""
        )
    axes.grid(alpha=0.3)
    axes.legend()


def _svg(figure: Figure) -> bytes:
    out = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "vitrine", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()
