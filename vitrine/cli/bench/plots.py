"""Pictures of results. matplotlib is not needed to run Vitrine, only here: the extra `bench`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from vitrine.runtime.errors import ConfigError

_INK: Final = "#444444"
_TICKS_MS: Final = [step * 10.0**power for power in range(-3, 4) for step in (1, 2, 5)]


def require_matplotlib() -> Any:
    """matplotlib.pyplot. Raises ConfigError (`out`) where it is not installed: before hours of work, not after."""
    try:
        matplotlib = importlib.import_module("matplotlib")
    except ImportError as error:
        raise ConfigError("out", "needs matplotlib to draw its plot: pip install 'vitrine[bench]'") from error
    matplotlib.use("svg")
    # The same figures, the same file.
    matplotlib.rcParams["svg.hashsalt"] = "vitrine"
    return importlib.import_module("matplotlib.pyplot")


def exponent(rows: Sequence[int], costs: Sequence[float]) -> float:
    """The slope of a line through (rows, costs) on logarithmic scales: cost grows as rows to this power."""
    return round(float(np.polyfit(np.log(rows), np.log(costs), 1)[0]), 3)


def save_growth(rows: Sequence[int], costs: Mapping[str, Sequence[float]], path: Path) -> None:
    """Each of `costs` (name → milliseconds a query at each of `rows`) beside a line that grows as the square root."""
    pyplot = require_matplotlib()
    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for name, values in costs.items():
        axes.plot(rows, values, marker="o", markersize=4, label=f"{name}: $rows^{{{exponent(rows, values):.2f}}}$")
    lowest = min(values[0] for values in costs.values())
    roots = lowest * np.sqrt(np.array(rows) / rows[0])
    axes.plot(rows, roots, color=_INK, linewidth=0.8, linestyle=":", label="square root")
    axes.set(xscale="log", yscale="log", xlabel="rows", ylabel="ms a query", title="Cost of a query against rows")
    axes.set_xticks(rows, [f"{count:,}" for count in rows])
    axes.set_xticks([], minor=True)
    lowest_ms, highest_ms = axes.get_ylim()
    shown_ms = [tick for tick in _TICKS_MS if lowest_ms <= tick <= highest_ms]
    axes.set_yticks(shown_ms, [f"{tick:g}" for tick in shown_ms])
    axes.set_yticks([], minor=True)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
