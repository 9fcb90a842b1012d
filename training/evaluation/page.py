"""Findings → one HTML page that needs nothing else: no network, no scripts, no fonts of its own."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from training.evaluation import charts
from training.evaluation.charts import MapLegend
from training.evaluation.conditions import ConditionFigures
from training.evaluation.findings import Report
from training.evaluation.intervals import Figure
from training.evaluation.pictures import Grid
from vitrine.runtime.errors import ConfigError

FILE: Final = "index.html"
TEMPLATE: Final = "page.html.j2"
CONFUSION_LABELS: Final = 15
TITLES: Final = {
    "clean": "Clean",
    "composed": "Busy background",
    "cropped": "Cropped",
    "untrained_catalogue": "Catalogue not trained on",
    "trained_catalogue_of_that_size": "Trained catalogue, as small",
}
_SIDE_BY_SIDE: Final = ("clean", "composed", "cropped")
_WAYS: Final = {
    "vote": "Nine subcategories, by vote",
    "vote_whole_catalogue": "Nine subcategories, by vote of all",
    "head": "Nine subcategories, by head",
    "head_all_labels": "Nine subcategories, by head, all labels",
}
_STEP_COLUMNS: Final = ("epoch", "step", "batch")


@dataclass(frozen=True)
class Headline:
    """One figure that sums up a part."""

    name: str
    figure: Figure
    detail: str


def write(report: Report, folder: Path, log: Path | None = None, grids: Sequence[Grid] = ()) -> Path:
    """Writes the page into `folder`, which is made if absent. Returns its path.

    `log`: the CSV log of the training, for learning curves. Raises ConfigError (`log`) where it cannot be read.
    """
    text = rendered(report, log, grids)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    path.write_text(text)
    return path


def rendered(report: Report, log: Path | None = None, grids: Sequence[Grid] = ()) -> str:
    """The page as text, as `write`."""
    environment = Environment(
        loader=PackageLoader("training.evaluation", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, interval=interval, points=points, count=count)
    legend = MapLegend.of(report.embedding_map, report.names) if report.embedding_map else None
    text: str = environment.get_template(TEMPLATE).render(
        report=report,
        labels_shown=CONFUSION_LABELS,
        titles=TITLES,
        headlines=headlines(report),
        measures=list(measures(report)),
        legend=legend,
        curves=curves(log) if log else (),
        grids=grids,
        changes=_changes(report),
        chart=_drawn(report, legend),
    )
    return text


def headlines(report: Report) -> tuple[Headline, ...]:
    """What a reader in a hurry needs, those that there are."""
    shown = [
        _accuracy(report.conditions[name], TITLES[name].lower(), report.facts.scored_column)
        for name in ("clean", "composed")
        if name in report.conditions
    ]
    for column, figures in report.conditions["clean"].columns.items():
        figure = figures.precision_at[10]
        shown.append(Headline(f"{_words(column)}: precision@10", figure, "of the ten nearest, on white"))
    if report.auto_crop:
        shown.append(Headline("AUTO crop finds the product", report.auto_crop.found, "IoU of at least 0.5"))
    if report.no_product:
        shown.append(Headline("No product here", report.no_product.area_under_roc, "area under the ROC curve"))
    return (*shown, Headline("Index against exact search", report.index.recall_at_10, "recall@10"))


def measures(report: Report) -> Iterator[tuple[str, dict[str, Figure]]]:
    """The figures that conditions are compared by: name, and the figure by condition."""
    conditions = report.conditions
    for way, title in _WAYS.items():
        # What a head says does not depend on the catalogue.
        asked = _SIDE_BY_SIDE if way.startswith("head") else conditions
        found = {name: getattr(of.reference, way) for name, of in conditions.items() if of.reference and name in asked}
        if any(found.values()):
            yield title, {name: figure for name, figure in found.items() if figure}
    for column in report.conditions["clean"].columns:
        of_column = {name: of.columns[column] for name, of in conditions.items() if column in of.columns}
        yield f"{_words(column)}: precision@10", {name: of.precision_at[10] for name, of in of_column.items()}
        yield f"{_words(column)}: mAP", {name: of.mean_average_precision for name, of in of_column.items()}


def curves(log: Path) -> tuple[tuple[str, Markup], ...]:
    """A small curve for each column of numbers in a CSV log that change: name, chart. Raises ConfigError (`log`).

    Epochs for which a number is not known are left out of its curve.
    """
    try:
        with log.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError("log", f"{log} cannot be read as CSV ({error})") from error
    columns = {name: values for name in (rows[0] if rows else ()) if (values := _numbers(rows, name))}
    steps = next((columns[name] for name in _STEP_COLUMNS if name in columns), [float(n) for n in range(len(rows))])
    known = {
        name: [(step, value) for step, value in zip(steps, values, strict=True) if math.isfinite(value)]
        for name, values in columns.items()
        if name not in _STEP_COLUMNS
    }
    return tuple(
        (_words(name), charts.line([step for step, _ in known_points], [value for _, value in known_points], name))
        for name, known_points in known.items()
        if len({value for _, value in known_points}) > 1
    )


def percent(value: float) -> str:
    """A share as 97.2 %, with a narrow space."""
    return f"{100 * value:.1f}\u202f%"


def interval(figure: Figure) -> str:
    """The ends of an interval, in percent."""
    return f"{100 * figure.low:.1f}–{100 * figure.high:.1f}"


def points(figure: Figure) -> str:
    """A change in percentage points with its interval."""
    ends = f"{100 * figure.low:+.1f} to {100 * figure.high:+.1f}"
    return f"{100 * figure.value:+.1f} ({ends})".replace("-", "−")


def count(number: int) -> str:
    """31,659."""
    return f"{number:,}"


def _drawn(report: Report, legend: MapLegend | None) -> dict[str, Markup]:
    """The charts, by name, that there are figures for."""
    compared = {
        title: {TITLES[name]: figures[name] for name in _SIDE_BY_SIDE if name in figures}
        for title, figures in measures(report)
        if not title.endswith(("mAP", "of all", "all labels"))
    }
    drawn = {
        "conditions": charts.dots(compared, "Figures under three conditions"),
        "confusion": charts.heat_map(report.confusion.largest(CONFUSION_LABELS), "Confusion matrix"),
    }
    if report.embedding_map and legend:
        drawn["map"] = charts.scatter(report.embedding_map, legend, "Map of the embedding space")
    if report.auto_crop:
        counts = {"scenes": report.auto_crop.iou_counts}
        drawn["auto_crop"] = charts.histogram(counts, "IoU of the proposed box", "Overlap of proposed and true boxes")
    if report.no_product:
        counts = {"product": report.no_product.scene_counts, "empty": report.no_product.empty_counts}
        drawn["no_product"] = charts.histogram(counts, "score that there is a product", "Scores of scenes")
    return drawn


def _changes(report: Report) -> dict[str, str]:
    """Titles of the changes that a condition has."""
    columns = {f"precision_at_10.{column}": f"{_words(column)}: precision@10" for column in report.facts.labels}
    return {"reference.vote": _WAYS["vote"], "reference.head": _WAYS["head"], **columns}


def _accuracy(figures: ConditionFigures, condition: str, column: str) -> Headline:
    if figures.reference:
        return Headline(f"Nine subcategories, {condition}", figures.reference.vote, "vote of the ten nearest")
    of_column = figures.columns[column]
    return Headline(f"{_words(column)}, {condition}", of_column.top_by_vote[1], "vote of the ten nearest")


def _numbers(rows: Sequence[dict[str, str]], name: str) -> list[float]:
    """A column as numbers; [] where one is none."""
    try:
        return [float(row[name]) for row in rows]
    except (TypeError, ValueError):
        return []


def _words(column: str) -> str:
    return column.replace("_", " ").capitalize()
