"""Dashboards as pictures, from a recording: for those who have no Grafana at hand. Needs the extra `bench`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, Final

from deploy.monitoring.boards.panels import COLUMNS, Dashboard, Panel
from deploy.monitoring.boards.written import DASHBOARDS
from deploy.monitoring.rendering.recording import Line, Recording, empty_panels
from vitrine.cli.bench.plots import require_matplotlib
from vitrine.runtime.errors import ConfigError

PICTURES: Final = Path(__file__).parents[3] / "docs" / "images"
_LABEL: Final = "Rendering from recorded data, not a Grafana screenshot"

_WIDTH_IN: Final = 16.0
_ROW_IN: Final = 0.34
_HEAD_IN: Final = 1.05
_PAD_IN: Final = 0.09
_DPI: Final = 100

_GROUND: Final = "#f4f5f5"
_PANEL: Final = "#ffffff"
_INK: Final = "#24292e"
_FAINT: Final = "#8e949b"
_COLOURS: Final = {"green": "#3a8f5c", "orange": "#d9822b", "red": "#c4384d"}
_LINES: Final = (
    "#2f7ed8",
    "#d9822b",
    "#3a8f5c",
    "#8a5fbf",
    "#c4384d",
    "#2a9d9d",
    "#b5a642",
    "#7a7a7a",
    "#d16ba5",
    "#6b4f2a",
)
_MOST_IN_LEGEND: Final = 10


def draw_all(recording: Recording, folder: Path = PICTURES) -> list[Path]:
    """One PNG a dashboard. Raises ConfigError (`recording`) for a panel without a value: it would say nothing."""
    if empty := empty_panels(recording):
        raise ConfigError("recording", f"nothing was recorded for {'; '.join(empty)}")
    return [_draw(dashboard, recording, folder / f"dashboard-{dashboard.name}.png") for dashboard in DASHBOARDS]


def _draw(dashboard: Dashboard, recording: Recording, path: Path) -> Path:
    pyplot = require_matplotlib()
    rows = max(row + panel.height for panel, _, row in dashboard.placed())
    height_in = _HEAD_IN + rows * _ROW_IN
    figure = pyplot.figure(figsize=(_WIDTH_IN, height_in), dpi=_DPI, facecolor=_GROUND)
    _head(figure, dashboard, recording, height_in)
    for panel, column, row in dashboard.placed():
        left_in, width_in = column * _WIDTH_IN / COLUMNS, panel.width * _WIDTH_IN / COLUMNS
        bottom_in = height_in - _HEAD_IN - (row + panel.height) * _ROW_IN
        box = [
            (left_in + _PAD_IN) / _WIDTH_IN,
            (bottom_in + _PAD_IN) / height_in,
            (width_in - 2 * _PAD_IN) / _WIDTH_IN,
            (panel.height * _ROW_IN - 2 * _PAD_IN) / height_in,
        ]
        draw = _stat if panel.kind == "stat" else _series
        draw(figure, box, panel, recording.panels[dashboard.name][panel.title], recording)
    figure.savefig(path, metadata={"Software": None})
    pyplot.close(figure)
    return path


def _head(figure: Any, dashboard: Dashboard, recording: Recording, height_in: float) -> None:
    def say(text: str, from_top_in: float, **style: Any) -> None:
        figure.text(0.008, 1 - from_top_in / height_in, text, color=_INK, va="center", **style)

    say(dashboard.title, 0.2, fontsize=15, fontweight="bold")
    figure.text(
        0.992, 1 - 0.2 / height_in, f"{_LABEL} · {recording.date}", color=_FAINT, ha="right", va="center", fontsize=10
    )
    say(dashboard.description, 0.46, fontsize=10)
    told = [f"{number} {what}" for number, (_, what) in enumerate(recording.chapters, 1)]
    half = math.ceil(len(told) / 2)
    say("   ".join(told[:half]), 0.70, fontsize=8.5)
    say("   ".join(told[half:]), 0.90, fontsize=8.5)


def _board(figure: Any, box: Sequence[float], panel: Panel) -> Any:
    """An axes over the whole panel, for its ground and title."""
    axes = figure.add_axes(box, facecolor=_PANEL)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#d8dadd")
    axes.annotate(
        panel.title,
        (0, 1),
        (7, -6),
        "axes fraction",
        "offset points",
        va="top",
        fontsize=9.5,
        fontweight="bold",
        color=_INK,
    )
    return axes


def _stat(figure: Any, box: Sequence[float], panel: Panel, lines: Sequence[Line], recording: Recording) -> None:
    """The last value, large, on its colour; behind it how it came there."""
    axes = _board(figure, box, panel)
    shown = [(line.legend, [value for value in line.values if value is not None]) for line in lines]
    shown = [(legend, values) for legend, values in shown if values]
    colour = _colour(panel, max(values[-1] for _, values in shown)) if panel.steps else _LINES[0]
    axes.set_facecolor(colour)
    axes.texts[0].set_color("white")
    texts = [
        _worded(panel, legend, values[-1], named=len(shown) > 1 or "{{" in panel.queries[0].legend)
        for legend, values in shown
    ]
    axes.text(
        0.5,
        0.44,
        "\n".join(texts),
        transform=axes.transAxes,
        ha="center",
        va="center",
        color="white",
        fontsize=24 if len(max(texts, key=len)) < 16 and len(texts) == 1 else 12,
        fontweight="bold",
    )
    spark = figure.add_axes([box[0], box[1], box[2], box[3] * 0.3], facecolor="none")
    spark.axis("off")
    spark.plot(_numbers(lines[0].values), color="white", alpha=0.6, linewidth=1)


def _series(figure: Any, box: Sequence[float], panel: Panel, lines: Sequence[Line], recording: Recording) -> None:
    _board(figure, box, panel)
    left, bottom, width, height = box
    axes = figure.add_axes([left + 0.13 * width, bottom + 0.27 * height, width * 0.84, height * 0.55], facecolor=_PANEL)
    minutes = [place * recording.step_s / 60 for place in range(len(lines[0].values))]
    if panel.stacked:
        values = [[value or 0.0 for value in line.values] for line in lines]
        axes.stackplot(
            minutes,
            values,
            colors=_colours_of(panel, lines),
            alpha=0.75,
            labels=[line.legend for line in lines],
            linewidth=0,
        )
    else:
        for number, line in enumerate(lines):
            axes.plot(
                minutes,
                _numbers(line.values),
                color=_colours_of(panel, lines)[number],
                linewidth=1.2,
                label=line.legend,
            )
    _axes(axes, panel, minutes)
    for number, (at_s, _) in enumerate(recording.chapters, 1):
        axes.axvline(at_s / 60, color=_FAINT, linewidth=0.7, linestyle=":")
        axes.annotate(
            str(number), (at_s / 60, 1), (1.5, 1), ("data", "axes fraction"), "offset points", fontsize=7, color=_FAINT
        )
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[:_MOST_IN_LEGEND],
        labels[:_MOST_IN_LEGEND],
        loc="upper center",
        bbox_to_anchor=(0.46, -0.16),
        ncols=4 if len(labels) > 3 else 3,
        fontsize=7.5,
        frameon=False,
        handlelength=1.2,
        columnspacing=1.2,
        labelcolor=_INK,
    )


def _axes(axes: Any, panel: Panel, minutes: Sequence[float]) -> None:
    low, high = axes.get_ylim()
    low = panel.minimum if panel.minimum is not None else low
    high = panel.maximum if panel.maximum is not None else max(high, low + 1e-9)
    axes.set_ylim(low, high)
    axes.set_xlim(0, minutes[-1])
    for step in panel.steps:
        if step.value <= high:
            axes.axhline(step.value, color=_COLOURS[step.colour], linewidth=1, linestyle="--")
    axes.yaxis.set_major_formatter(lambda value, _: _said(value, panel.unit))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} min")
    axes.tick_params(labelsize=7.5, colors=_INK, length=2)
    axes.grid(axis="y", color="#e8eaec", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#c9ccd0")


def _colours_of(panel: Panel, lines: Sequence[Line]) -> list[str]:
    others = cycle(_LINES)
    return [_COLOURS[panel.colours[line.legend]] if line.legend in panel.colours else next(others) for line in lines]


def _numbers(values: Sequence[float | None]) -> list[float]:
    """With gaps as matplotlib wants them."""
    return [math.nan if value is None else value for value in values]


def _colour(panel: Panel, value: float) -> str:
    reached = [step.colour for step in panel.steps if value >= step.value]
    return _COLOURS[reached[-1] if reached else panel.base]


def _worded(panel: Panel, legend: str, value: float, named: bool) -> str:
    said = panel.words.get(value) or _said(value, panel.unit)
    return f"{legend}: {said}" if named else said


def _said(value: float, unit: str) -> str:
    return _UNITS[unit](value)


def _seconds(value: float) -> str:
    if value and abs(value) < 1:
        return f"{value * 1000:.3g} ms"
    return f"{value:.3g} s" if value < 120 else f"{value / 60:.3g} min"


def _large(value: float, suffix: str = "") -> str:
    for power, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= power:
            return f"{value / power:.3g} {letter}{suffix}"
    return f"{value:.3g}{' ' + suffix if suffix else ''}"


_UNITS: Final[Mapping[str, Callable[[float], str]]] = {
    "percentunit": lambda value: f"{value * 100:.{4 if value > 0.1 else 2}g} %",
    "s": _seconds,
    "short": _large,
    "reqps": lambda value: f"{value:.3g}/s",
    "cps": lambda value: f"{value:.3g}/s",
    "bytes": lambda value: _large(value, "B"),
}
