"""vitrine train, eval, export and model check: making a model, and knowing what it is worth."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Final

import typer

from vitrine.cli import commands, console
from vitrine.cli.console import err
from vitrine.runtime.errors import ConfigError

_NEEDS_TRAIN: Final = "needs PyTorch: install the extra `train` (in a clone: bash scripts/setup.sh cpu train)"
_EPOCHS: Final = 46
_SEED: Final = 11

Data = Annotated[Path, typer.Argument(help="a folder per class, or a .csv or .parquet table of labelled pictures")]
Labels = Annotated[str, typer.Option(help="label columns, the scored one first, e.g. subcategory,article_type,colour")]
ImageColumn = Annotated[str, typer.Option("--image", help="column with the picture or its path")]
SplitColumn = Annotated[str, typer.Option("--split", help="column of train, val, test; without it 80/10/10 are drawn")]
GroupColumn = Annotated[str, typer.Option("--group", help="rows that share it share a split, where splits are drawn")]
Variants = Annotated[str, typer.Option(help="files to make: cpu-int8,gpu-fp16,fp32")]


def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="model folder to write")],
    labels: Labels = "",
    image: ImageColumn = "image",
    split: SplitColumn = "split",
    group: GroupColumn = "",
    words: Annotated[str, typer.Option(help="column of titles to learn words from")] = "",
    px: Annotated[int, typer.Option(help="side of the square that pictures are fitted into")] = 80,
    backbone: Annotated[
        str, typer.Option(help="resnet18/34/50/101/152, vgg16, resnetv2_50x1_bit, small_cnn")
    ] = "resnet18",
    layer: Annotated[str, typer.Option(help="layer that is the embedding, e.g. fc1 of vgg16")] = "",
    part: Annotated[
        list[str] | None, typer.Option(help="NAME:DIM:WEIGHT:COLUMN[,COLUMN] of the embedding; may be repeated")
    ] = None,
    pca: Annotated[int, typer.Option(min=0, help="reduce the embedding to so many dimensions; 0 keeps it")] = 0,
    weights: Annotated[str, typer.Option(help="none, imagenet, or a file")] = "none",
    freeze: Annotated[int, typer.Option(min=0, help="first stages of the backbone that stay as they are")] = 0,
    epochs: Annotated[int, typer.Option(min=1)] = _EPOCHS,
    batch_pictures: Annotated[int, typer.Option(min=2)] = 128,
    learning_rate_max: Annotated[float, typer.Option(help="top of the one cycle")] = 2e-3,
    find_rate: Annotated[bool, typer.Option(help="find the learning rate first and use it")] = False,
    only_find_rate: Annotated[bool, typer.Option(help="find it, draw the plot into --work, and stop")] = False,
    column_weight: Annotated[list[str] | None, typer.Option(help="COLUMN:WEIGHT of its loss; may be repeated")] = None,
    triplet_weight: Annotated[float, typer.Option(help="of in-batch semi-hard triplets")] = 0.0,
    contrastive_weight: Annotated[float, typer.Option(help="of supervised contrast")] = 0.0,
    metric_column: Annotated[str, typer.Option(help="column that those two go by; default: the scored one")] = "",
    triplets: Annotated[
        Path | None, typer.Option(help="anchor, positive, negative, weight: of `vitrine feedback export`, or .parquet")
    ] = None,
    given_weight: Annotated[float, typer.Option(help="of the loss of --triplets")] = 1.0,
    given_per_step: Annotated[int, typer.Option(help="of --triplets in each batch")] = 16,
    id_column: Annotated[str, typer.Option("--id", help="column that --triplets names pictures by")] = "product_id",
    patience: Annotated[
        int, typer.Option(min=0, help="stop after so many full-size epochs without a better one; 0 never")
    ] = 0,
    resume: Annotated[bool, typer.Option(help="go on with the run that --work holds")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16")] = "auto",
    seed: Annotated[int, typer.Option(min=0)] = _SEED,
    work: Annotated[Path | None, typer.Option(help="checkpoints and log; default: OUT-training beside it")] = None,
    variants: Variants = "cpu-int8",
    dataset_name: Annotated[str, typer.Option(help="for the model card; default: the file's name")] = "",
    dataset_source: Annotated[str, typer.Option(help="for the model card: who publishes it, on which terms")] = "",
) -> None:
    """Train a model on your own labelled pictures; export, measure and describe it."""
    pipeline, recipes, networks = _training("pipeline"), _training("learning.recipe"), _training("networks.network")
    objectives = recipes.Objectives(
        column_weights=dict(_weight(text) for text in column_weight or ()),
        metric_column=metric_column,
        triplet_weight=triplet_weight,
        contrastive_weight=contrastive_weight,
        given_weight=given_weight,
        given_per_step=given_per_step,
    )
    recipe = recipes.Recipe(
        epochs=epochs,
        batch_pictures=batch_pictures,
        learning_rate_max=learning_rate_max,
        objectives=objectives,
        patience_epochs=patience,
        freeze=freeze,
        device=device,
        precision=precision,
        seed=seed,
    )
    parts = tuple(_part(text, networks.Part) for text in part or ())
    request = pipeline.TrainRequest(
        data=data,
        out=out,
        work=work or out.with_name(f"{out.name}-training"),
        settings=_settings(labels, image, split, group, words, px, seed),
        design=networks.Design(backbone, layer, parts),
        weights=weights,
        recipe=recipe,
        resume=resume,
        find_rate=find_rate,
        only_find_rate=only_find_rate,
        triplets=triplets,
        id_column=id_column,
        variants=_listed(variants),
        pca_dim=pca,
        origin=pipeline.Origin(dataset_name or data.name, dataset_source),
    )
    facts = pipeline.train_model(request, _say)
    if facts is not None:
        _say(f"{out}: model {facts.name}, {facts.dim} dimensions; report in {out / 'report' / 'index.html'}")


def evaluate(
    model: Annotated[Path, typer.Argument(help="model folder")],
    data: Data,
    out: Annotated[Path, typer.Option(help="folder for report.json and index.html")] = Path("run/report"),
    variant: Annotated[str, typer.Option(help="cpu-int8, gpu-fp16 or fp32; default: the first in model.json")] = "",
    labels: Annotated[str | None, typer.Option(help="label columns, the scored one first; default: as trained")] = None,
    image: Annotated[str | None, typer.Option(help="column with the picture; default: as trained")] = None,
    split: Annotated[str | None, typer.Option(help="column with train, val, test; default: as trained")] = None,
    group: Annotated[str | None, typer.Option(help="of a drawn split; default: as trained")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="of a drawn split; default: as trained")] = None,
    pictures: Annotated[bool, typer.Option(help="with best and worst queries as pictures: for you, not to publish")] = (
        False
    ),
) -> None:
    """Measure a model on labelled pictures: one page, one report.json, one JSON line."""
    asked = {"labels": _listed(labels or "") or None, "image": image, "split": split, "group": group, "seed": seed}
    given = {name: value for name, value in asked.items() if value is not None}
    report = _training("pipeline").measure_model(model, data, given, variant, out, pictures, _say)
    commands.print_json(report.summary())
    _say(f"Report: {out / 'index.html'}")


def export(
    backbone: Annotated[str, typer.Argument(help="resnet18/34/50/101/152, vgg16 or resnetv2_50x1_bit")],
    out: Annotated[Path, typer.Option(help="model folder to write")],
    weights: Annotated[str, typer.Option(help="imagenet, or a file")] = "imagenet",
    layer: Annotated[str, typer.Option(help="layer that is the embedding, e.g. fc1 of vgg16")] = "",
    px: Annotated[int, typer.Option(help="side of the square that pictures are fitted into")] = 224,
    variants: Variants = "fp32,cpu-int8",
) -> None:
    """Export stock weights as a model folder, without training."""
    facts = _training("exporting.stock").export_stock(backbone, weights, layer, out, px, _listed(variants))
    _say(f"{out}: model {facts.name}, {facts.dim} dimensions")


def check(folder: Annotated[Path, typer.Argument(help="model folder")]) -> None:
    """Say what is wrong with a model folder, or that the embedder can serve it."""
    problems = importlib.import_module("services.embedder.check").problems(folder)
    for problem in problems:
        console.out.print(f"- {problem}", markup=False, highlight=False, soft_wrap=True)
    if problems:
        raise typer.Exit(1)
    console.out.print(f"{folder}: the embedder can serve it.", markup=False, highlight=False, soft_wrap=True)


def _training(module: str) -> ModuleType:
    """A module of `training`, which needs PyTorch: imported when it is used."""
    try:
        return importlib.import_module(f"training.{module}")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("vitrine", "training", "services"):
            raise
        raise ConfigError("train", f"{_NEEDS_TRAIN} ({error})") from error


def _settings(labels: str, image: str, split: str, group: str, words: str, px: int, seed: int) -> Any:
    return _training("data").DataSettings(
        labels=_listed(labels), image=image, split=split, words=words, group=group, px=px, seed=seed
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _part(text: str, kind: Any) -> Any:
    """NAME:DIM:WEIGHT:COLUMNS as a part of the embedding. Raises ConfigError (`part`)."""
    try:
        name, dim, weight, columns = text.split(":")
        return kind(name, int(dim), float(weight), _listed(columns))
    except ValueError as error:
        raise ConfigError("part", f"{text!r} is not NAME:DIM:WEIGHT:COLUMN[,COLUMN]") from error


def _weight(text: str) -> tuple[str, float]:
    column, _, weight = text.rpartition(":")
    try:
        return column, float(weight)
    except ValueError as error:
        raise ConfigError("column_weight", f"{text!r} is not COLUMN:WEIGHT") from error


def _say(line: str) -> None:
    err.print(line, markup=False, highlight=False, soft_wrap=True)
