"""The chart of the learning-rate finder, as SVG that is the same bytes for the same figures."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.figure import Figure


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


def _svg(figure: Figure) -> bytes:
    out = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "vitrine", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()
