"""python -m training.quality: what the bundled model is worth, beside what others published, as docs/quality.md.

Measures a model folder on the split test, trains the reference systems' kinds of network on the same pictures and the
same split, and writes the page and, beside the other results, all figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from training import pipeline
from training.data import Dataset, DataSettings, Pictures, load
from training.evaluation import report
from training.evaluation.reference import REFERENCE_SUBCATEGORIES
from training.exporting import bundle
from training.exporting.graph import Deployed
from training.exporting.session import Session
from training.exporting.variants import Samples
from training.learning.checkpoints import read_checkpoint
from training.learning.displays import shown_progress
from training.learning.recipe import Objectives, Recipe
from training.learning.start import fresh
from training.learning.train import train
from training.networks.network import Design
from training.scenes.augment import MIRRORED
from vitrine.model_folder import FP32, ModelFolder
from vitrine.runtime.errors import ConfigError, VitrineError

LABELS: Final = ("subcategory", "article_type", "colour")
_BASELINE_PX: Final = 48


@dataclass(frozen=True)
class Baseline:
    """A reference system's kind of network and loss, on `subcategories` of the data."""

    name: str
    subcategories: tuple[str, ...]
    objectives: Objectives


_SILENT_MAPS: Final = Objectives(mask_weight=0, presence_weight=0, label_smoothing=0)
BASELINES: Final = (
    Baseline("small_cnn_cross_entropy", REFERENCE_SUBCATEGORIES, _SILENT_MAPS),
    Baseline(
        "small_cnn_semi_hard_triplets",
        REFERENCE_SUBCATEGORIES[:5],
        replace(_SILENT_MAPS, column_weights={"subcategory": 0}, triplet_weight=1.0),
    ),
)


@dataclass(frozen=True)
class Aim:
    """A figure that was to be reached. `at`: its place in a summary."""

    what: str
    wanted: float
    at: tuple[str, ...]


AIMS: Final = (
    Aim("nine subcategories, vote of the ten nearest", 0.985, ("clean", "reference_subcategories", "vote")),
    Aim("nine subcategories, classification head", 0.985, ("clean", "reference_subcategories", "head")),
    Aim("precision@10, article type", 0.85, ("clean", "precision_at_10", "article_type")),
    Aim("precision@10, subcategory", 0.95, ("clean", "precision_at_10", "subcategory")),
    Aim("precision@10, colour", 0.58, ("clean", "precision_at_10", "colour")),
    Aim("composed backgrounds: nine subcategories, vote", 0.975, ("composed", "reference_subcategories", "vote")),
    Aim("composed backgrounds: precision@10, article type", 0.80, ("composed", "precision_at_10", "article_type")),
    Aim("AUTO crop: share of scenes with IoU of at least 0.5", 0.80, ("auto_crop", "found")),
    Aim("no product in the picture: area under the ROC curve", 0.95, ("no_product", "area_under_roc")),
)


def main(words: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 where the settings are wrong; 1 where something else failed."""
    parser = argparse.ArgumentParser(prog="python -m training.quality", description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="Parquet: image, split, title and the label columns")
    parser.add_argument("--model", type=Path, default=Path("models/fashion-resnet18"))
    parser.add_argument("--page", type=Path, default=Path("docs/quality.md"))
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/quality.json"))
    parser.add_argument("--work", type=Path, default=Path("run/quality"), help="reports and checkpoints go here")
    parser.add_argument("--baseline-epochs", type=int, default=5)
    parser.add_argument(
        "--keep-baselines", action="store_true", help="take them from --results; measure the model only"
    )
    given = parser.parse_args(words)
    try:
        baselines = json.loads(given.results.read_text())["baselines"] if given.keep_baselines else None
        figures = measured(given.data, given.model, given.work, given.baseline_epochs, baselines)
        given.results.write_text(json.dumps(figures, indent=1) + "\n")
        given.page.write_text(rendered(figures))
    except VitrineError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    return 0


def measured(
    data: Path, model: Path, work: Path, baseline_epochs: int, baselines: dict[str, Any] | None = None
) -> dict[str, Any]:
    """All figures of the page; `baselines`: as they were measured before. Raises VitrineError."""
    facts = ModelFolder.read(model)
    dataset = load(data, DataSettings(labels=LABELS, px=facts.height))
    whole = pipeline.measure(model, dataset, "", work / "report", _say)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "model": {"name": facts.name, "model_id": facts.model_id},
        "rows": {split: len(pictures) for split, pictures in dataset.splits.items()},
        "labels": {column: len(names) for column, names in dataset.names.items()},
        "summary": whole.summary(),
        "conditions": whole.as_json()["conditions"],
        "baselines": _baselines(data, work, baseline_epochs) if baselines is None else baselines,
    }


def rendered(figures: dict[str, Any]) -> str:
    """docs/quality.md."""
    environment = Environment(
        loader=PackageLoader("training", ""),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  (Markdown of our own figures)
    )
    environment.filters["percent"] = _percent
    environment.filters["points"] = _points
    aims = [(aim, _at(figures["summary"], aim.at)) for aim in AIMS]
    text: str = environment.get_template("quality.md.j2").render(aims=aims, **figures)
    return text


def limited(dataset: Dataset, column: str, names: Sequence[str]) -> Dataset:
    """The pictures whose label in `column` is one of `names`, with those as its only labels."""
    kept = tuple(name for name in dataset.names[column] if name in names)
    new_code = np.full(len(dataset.names[column]), -1)
    new_code[[dataset.names[column].index(name) for name in kept]] = np.arange(len(kept))

    def cut(pictures: Pictures) -> Pictures:
        codes = pictures.labels[column]
        chosen = pictures.taken((codes >= 0) & (new_code[codes] >= 0))
        return replace(chosen, labels={column: new_code[chosen.labels[column]]})

    splits = {split: cut(pictures) for split, pictures in dataset.splits.items()}
    return replace(dataset, splits=splits, names={column: kept})


def _baselines(data: Path, work: Path, epochs: int) -> dict[str, Any]:
    small = load(data, DataSettings(labels=("subcategory",), px=_BASELINE_PX))
    return {baseline.name: _baseline(baseline, small, work / baseline.name, epochs) for baseline in BASELINES}


def _baseline(baseline: Baseline, dataset: Dataset, work: Path, epochs: int) -> dict[str, Any]:
    """Trains one and measures it as the bundled model is measured, in float32."""
    _say(f"training {baseline.name}: {epochs} epochs")
    part = limited(dataset, "subcategory", baseline.subcategories)
    recipe = Recipe(
        epochs=epochs, small_share=0, augmentation=MIRRORED, gentle=MIRRORED, objectives=baseline.objectives, seed=11
    )
    network, _ = fresh(Design("small_cnn"), part, seed=recipe.seed)
    with shown_progress() as progress:
        best = read_checkpoint(train(network, part, recipe, work, progress).best)
    folder = work / "model"
    columns = ("subcategory",) if baseline.objectives.column_weight("subcategory") else ()
    with bundle.staged(folder) as staged:
        export = bundle.Export(baseline.name, Deployed(best.network(), columns), part.names, _BASELINE_PX)
        pixels = part.splits["test"].pixels
        bundle.write(staged, export, (FP32,), Samples(pixels, pixels, pixels))
    found = report.evaluate(Session(folder, FP32), part, recipe.seed, _say)
    return {"epochs": epochs, "subcategories": len(baseline.subcategories), "summary": found.summary()}


def _at(summary: dict[str, Any], place: tuple[str, ...]) -> dict[str, float] | None:
    found: Any = summary
    for step in place:
        found = found.get(step) if isinstance(found, dict) else None
    return found if isinstance(found, dict) and "value" in found else None


def _percent(figure: dict[str, float] | None) -> str:
    """A share with its 95 % interval."""
    if figure is None:
        return "not measured"
    return f"{figure['value']:.1%} ({100 * figure['low']:.1f}–{100 * figure['high']:.1f})"


def _points(figure: dict[str, float] | None) -> str:
    """A change in percentage points with its 95 % interval."""
    if figure is None:
        return "not measured"
    return f"{100 * figure['value']:+.1f} ({100 * figure['low']:+.1f} to {100 * figure['high']:+.1f})"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
