"""What `python -m training` does once its arguments are read."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

from training import build, bundle
from training.arguments import BuildArguments, EvalArguments
from training.bundle import TrainingFacts
from training.data import load
from training.evaluate import SCORED_COLUMN, evaluate
from training.session import Session
from training.train import EpochReport
from vitrine.runtime.errors import ConfigError


def run(asked: BuildArguments | EvalArguments) -> dict[str, Any]:
    """model.json of a build, or the test metrics of an evaluation. Raises VitrineError."""
    return _build(asked) if isinstance(asked, BuildArguments) else _evaluate(asked)


def _build(asked: BuildArguments) -> dict[str, Any]:
    dataset = load(asked.data)
    if asked.start is None:
        made = build.fresh(dataset, asked.weights, asked.recipe.seed)
    else:
        made = build.restored(asked.start, dataset)
    if asked.recipe.epochs:
        made = build.trained(made, dataset, asked.recipe, asked.work, _print)
    facts = TrainingFacts(
        dataset=asked.dataset_name,
        source=asked.dataset_source,
        rows=dataset.rows,
        runs=made.runs,
        date=datetime.now(UTC).date().isoformat(),
    )
    return build.publish(made.network, dataset, facts, asked.out, asked.work)


def _evaluate(asked: EvalArguments) -> dict[str, Any]:
    model = bundle.open_int8(asked.model)
    dataset = load(asked.data)
    if dataset.names[SCORED_COLUMN] != model.labels:
        raise ConfigError("labels", f"{asked.data} has other subcategories in its split train than the model has")
    report = evaluate(Session(model.path), dataset)
    return {"clean": report.clean.as_json(), "composed": report.composed.as_json()}


def _print(epoch: EpochReport) -> None:
    line = f"epoch {epoch.epoch}: loss {epoch.loss:.3f}, val {epoch.val_subcategory_accuracy:.2%}"
    print(f"{line}, {epoch.duration_s:.0f} s", file=sys.stderr, flush=True)
