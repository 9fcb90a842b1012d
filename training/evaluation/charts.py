"""Figures → SVG that takes its colours from the page: inline, no fonts, no scripts, light and dark alike.

The page's style sheet colours the classes `axis`, `grid`, `label`, `curve`, `s0` … `s11` and `other` (series), `cell`,
`blank`, and `count` with `strong` (on a dark cell).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from markupsafe import Markup, escape

from training.evaluation.classes import Confusion
from training.evaluation.embedding_map import EmbeddingMap
from training.evaluation.intervals import Figure

WIDTH_PX: Final = 760
SERIES: Final = 12
"""How many colours the page tells apart."""


@dataclass(frozen=True)
class MapLegend:
    """`series` of each label code on the map: its colour's number, or SERIES for all smaller labels."""

    names: tuple[str, ...]
    series_of_code: Mapping[int, int]

    @staticmethod
    def of(shown: EmbeddingMap, names: Sequence[str]) -> MapLegend:
        """A colour for each of the most frequent labels."""
        counts = np.bincount(shown.codes, minlength=len(names))
        order = [int(code) for code in np.argsort(-counts, kind="stable") if counts[code]]
        series = {code: min(place, SERIES) for place, code in enumerate(order)}
        return MapLegend(tuple(names[code] for code in order[:SERIES]), series)


def dots(rows: Mapping[str, Mapping[str, Figure]], title: str) -> Markup:
    """A line a measure, a dot with its interval a series. `rows`: figures (shares) by series by measure."""
    series = list(dict.fromkeys(name for figures in rows.values() for name in figures))
    left, right, step = 250, WIDTH_PX - 20, 13
    lowest = min(figure.low for figures in rows.values() for figure in figures.values())
    start = max(0.0, np.floor(lowest * 10 - 0.2) / 10)
    parts, top = [], 28
    for measure, figures in rows.items():
        middle = top + step * (len(series) - 1) / 2 + 4
        parts.append(_text(left - 12, middle, measure, "label end"))
        for place, name in enumerate(series):
            if name in figures:
                parts.append(_dot(figures[name], place, top + place * step, (left, right), start))
        top += step * len(series) + 14
    axis = []
    for tick in np.arange(start, 1.001, 0.1 if start > 0.35 else 0.2):
        x = _along(float(tick), (left, right), start)
        axis.append(f'<line class="grid" x1="{x:.1f}" y1="16" x2="{x:.1f}" y2="{top - 8}"/>')
        axis.append(_text(x, top + 8, f"{tick:.0%}", "axis middle"))
    return _svg(WIDTH_PX, top + 18, "".join(axis + parts), title)


def heat_map(confused: Confusion, title: str) -> Markup:
    """Rows: what pictures are; columns: what they were taken for. Shades are shares of the row; numbers are counts."""
    side, left, top = 36, 200, 132
    size = side * len(confused.labels)
    shares = confused.counts / np.maximum(confused.counts.sum(axis=1, keepdims=True), 1)
    parts = []
    for row, label in enumerate(confused.labels):
        parts.append(_text(left - 10, top + row * side + side / 2 + 4, _short(label, 28), "label end"))
        x, y = left + row * side + side / 2 + 4, top - 10
        parts.append(
            f'<text class="label" transform="translate({x} {y}) rotate(-48)">{escape(_short(label, 18))}</text>'
        )
        for column, count in enumerate(confused.counts[row].tolist()):
            parts.append(_cell(left + column * side, top + row * side, side, shares[row, column], count))
    return _svg(left + size + 90, top + size + 8, "".join(parts), title)


def scatter(shown: EmbeddingMap, legend: MapLegend, title: str) -> Markup:
    """A dot a picture in the colour of its label."""
    side, margin = 640, 10
    # Smaller labels first, so that they lie below.
    order = sorted(range(len(shown.codes)), key=lambda row: -legend.series_of_code[int(shown.codes[row])])
    parts = []
    for row in order:
        x, y = (margin + float(share) * side for share in shown.points[row])
        series = legend.series_of_code[int(shown.codes[row])]
        parts.append(f'<circle class="{_series(series)}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
    return _svg(side + 2 * margin, side + 2 * margin, "".join(parts), title)


def histogram(counts: Mapping[str, Sequence[int]], axis: str, title: str) -> Markup:
    """Counts in equal bins of 0..1, as shares of their series, side by side."""
    left, right, top, bottom = 48, WIDTH_PX - 20, 12, 190
    shares = {name: np.array(values) / max(sum(values), 1) for name, values in counts.items()}
    highest = max(float(values.max()) for values in shares.values()) or 1.0
    bins = len(next(iter(counts.values())))
    width = (right - left) / bins
    parts = [f'<line class="axis" x1="{left}" y1="{bottom}" x2="{right}" y2="{bottom}"/>']
    for tick in (0.5, 1.0):
        y = bottom - tick * (bottom - top)
        parts.append(f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>')
        parts.append(_text(left - 8, y + 4, f"{highest * tick:.0%}", "axis end"))
    for place, values in enumerate(shares.values()):
        bar = (width - 4) / len(shares)
        for number, height in enumerate((values / highest * (bottom - top)).tolist()):
            corner = f'x="{left + number * width + 2 + place * bar:.1f}" y="{bottom - height:.1f}"'
            parts.append(f'<rect class="s{place}" {corner} width="{bar:.1f}" height="{height:.1f}"/>')
    ticks = (0, 0.25, 0.5, 0.75, 1)
    parts.extend(_text(left + tick * (right - left), bottom + 18, f"{tick:g}", "axis middle") for tick in ticks)
    parts.append(_text((left + right) / 2, bottom + 36, axis, "axis middle"))
    return _svg(WIDTH_PX, bottom + 44, "".join(parts), title)


def line(xs: Sequence[float], ys: Sequence[float], title: str) -> Markup:
    """One small curve with its lowest and highest value, and its last one marked."""
    width, height, left, bottom = 240, 130, 46, 104
    low, high = min(ys), max(ys)
    spread, reach = (high - low) or 1.0, (xs[-1] - xs[0]) or 1.0
    across = [left + (x - xs[0]) / reach * (width - left - 14) for x in xs]
    down = [bottom - (y - low) / spread * (bottom - 14) for y in ys]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))
    parts = [
        f'<line class="grid" x1="{left}" y1="{bottom}" x2="{width - 14}" y2="{bottom}"/>',
        _text(left - 6, bottom + 4, f"{low:.3g}", "axis end"),
        _text(left - 6, 18, f"{high:.3g}", "axis end"),
        _text(left, bottom + 18, f"{xs[0]:g}", "axis middle"),
        _text(width - 14, bottom + 18, f"{xs[-1]:g}", "axis middle"),
        f'<polyline class="curve" points="{points}"/>',
        f'<circle class="s0" cx="{across[-1]:.1f}" cy="{down[-1]:.1f}" r="3"/>',
    ]
    return _svg(width, height, "".join(parts), title)


def _dot(figure: Figure, series: int, y: float, span: tuple[int, int], start: float) -> str:
    x, low, high = (_along(value, span, start) for value in (figure.value, figure.low, figure.high))
    name = f"{figure.value:.1%} ({figure.low:.1%} to {figure.high:.1%})"
    return (
        f'<g class="s{series}"><title>{name}</title><line x1="{low:.1f}" y1="{y}" x2="{high:.1f}" y2="{y}"/>'
        f'<circle cx="{x:.1f}" cy="{y}" r="4.5"/></g>'
    )


def _cell(x: float, y: float, side: int, share: float, count: int) -> str:
    # The square root keeps small shares visible beside the diagonal.
    cell = (
        f'<rect class="cell" x="{x}" y="{y}" width="{side - 1}" height="{side - 1}" fill-opacity="{share**0.5:.2f}"/>'
    )
    if not count:
        return f'<rect class="blank" x="{x}" y="{y}" width="{side - 1}" height="{side - 1}"/>'
    kind = "count middle strong" if share > 0.3 else "count middle"
    return cell + _text(x + side / 2 - 0.5, y + side / 2 + 4, str(count), kind)


def _along(value: float, span: tuple[int, int], start: float) -> float:
    return span[0] + (max(value, start) - start) / (1 - start) * (span[1] - span[0])


def _series(number: int) -> str:
    return "other" if number >= SERIES else f"s{number}"


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _short(label: str, characters_max: int) -> str:
    return label if len(label) <= characters_max else f"{label[: characters_max - 1].rstrip()}…"


def _svg(width: float, height: float, inside: str, title: str) -> Markup:
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    # Every part of `inside` was made above, from numbers and escaped text.
    return Markup(f'<svg {size} role="img" aria-label="{escape(title)}">{inside}</svg>')  # noqa: S704
