"""The command line of `python -m training`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from training.network import Weights
from training.train import Recipe


@dataclass(frozen=True)
class BuildArguments:
    """`python -m training DATA --out FOLDER`."""

    data: Path
    out: Path
    work: Path
    start: Path | None
    dataset_name: str
    dataset_source: str
    weights: Weights
    recipe: Recipe


@dataclass(frozen=True)
class EvalArguments:
    """`python -m training eval FOLDER DATA`."""

    model: Path
    data: Path


def parsed(words: list[str]) -> BuildArguments | EvalArguments:
    """The arguments in `words`. Exits with code 2 and the usage where they are wrong."""
    return _eval_arguments(words[1:]) if words[:1] == ["eval"] else _build_arguments(words)


def _build_arguments(words: list[str]) -> BuildArguments:
    defaults = Recipe()
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Train on a Parquet file of labelled pictures and export a model folder.",
        epilog="To measure an exported folder again: python -m training eval FOLDER DATA",
    )
    parser.add_argument("data", type=Path, help="Parquet: image, split, subcategory, article_type, colour")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--work", type=Path, default=Path("scratch/train"), help="checkpoint, log and fp32 go here")
    parser.add_argument("--start", type=Path, help="go on from this checkpoint; with --epochs 0, only export it again")
    parser.add_argument("--dataset-name", help="for the model card; default: the file's name")
    parser.add_argument("--dataset-source", default="Its source and terms were not stated.", help="for the model card")
    parser.add_argument("--epochs", type=int, default=defaults.epochs)
    parser.add_argument("--batch-pictures", type=_positive, default=defaults.batch_pictures)
    parser.add_argument("--learning-rate-max", type=float, default=defaults.learning_rate_max)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--weights", choices=["none", "imagenet"], default="none", help="what the backbone starts from")
    given = parser.parse_args(words)
    if given.epochs < (0 if given.start else 1):
        parser.error("--epochs must be at least 1, or 0 with --start")
    return BuildArguments(
        data=given.data,
        out=given.out,
        work=given.work,
        start=given.start,
        dataset_name=given.dataset_name or given.data.name,
        dataset_source=given.dataset_source,
        weights=cast(Weights, given.weights),
        recipe=Recipe(
            epochs=given.epochs,
            batch_pictures=given.batch_pictures,
            learning_rate_max=given.learning_rate_max,
            seed=given.seed,
        ),
    )


def _eval_arguments(words: list[str]) -> EvalArguments:
    parser = argparse.ArgumentParser(
        prog="python -m training eval", description="Measure an exported int8 model on the split test."
    )
    parser.add_argument("model", type=Path, help="the model folder")
    parser.add_argument("data", type=Path, help="Parquet: image, split, subcategory, article_type, colour")
    given = parser.parse_args(words)
    return EvalArguments(model=given.model, data=given.data)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number
