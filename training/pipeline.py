"""The whole way: data → training → export → measuring → a model folder with its report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from training.data import Dataset, DataSettings, Pictures, load
from training.evaluation import page, pictures, report
from training.evaluation.findings import Report
from training.exporting import bundle, card
from training.exporting.graph import Deployed, Reduction
from training.exporting.session import Session
from training.exporting.variants import Samples, chosen
from training.learning import finder
from training.learning.batches import Batches
from training.learning.checkpoints import Checkpoint, read_checkpoint
from training.learning.displays import shown_progress
from training.learning.learner import taught_columns
from training.learning.recipe import Recipe
from training.learning.start import fresh
from training.learning.train import LOG_FILE, train
from training.learning.triplets import NO_TRIPLETS, Triplets, read_triplets, shortened
from training.networks.network import Design, Network
from training.networks.weights import IMAGENET, NONE
from training.scenes.augment import as_pixels
from training.scenes.cutout import can_be_cut, product_masks
from vitrine.model_folder import CPU_INT8, ModelFolder
from vitrine.runtime.errors import ConfigError, VitrineError
from vitrine.tables import read_table

CALIBRATION_PICTURES: Final = 512
_WHITE: Final = (255, 255, 255)
_SPLIT_SETTINGS: Final = ("labels", "split", "group", "seed")
_CUT_SAMPLE: Final = 1_000
_CUT_SHARE_MIN: Final = 0.1
_EMBED_BATCH: Final = 128

Told = Callable[[str], None]
"""Hears, line by line, what is being done."""


@dataclass(frozen=True)
class Origin:
    """What a model card says of the data. `source`: who publishes it and on which terms."""

    dataset: str = ""
    source: str = ""


@dataclass(frozen=True)
class TrainRequest:
    """`vitrine train`. `find_rate`: the learning rate is found first; `only_find_rate`: and nothing else done.

    `pca_dim`: the embedding is reduced to so many dimensions inside the graph; 0 keeps it. `id_column`: what the
    values of `triplets` are, where the data has it; else they are row numbers.
    """

    data: Path
    out: Path
    work: Path
    settings: DataSettings = field(default_factory=DataSettings)
    design: Design = field(default_factory=Design)
    weights: str = NONE
    recipe: Recipe = field(default_factory=Recipe)
    resume: bool = False
    find_rate: bool = False
    only_find_rate: bool = False
    triplets: Path | None = None
    id_column: str = "product_id"
    variants: tuple[str, ...] = (CPU_INT8,)
    pca_dim: int = 0
    origin: Origin = field(default_factory=Origin)


def train_model(asked: TrainRequest, told: Told) -> ModelFolder | None:
    """Trains, exports and measures a model into `asked.out`. None where only the learning rate was asked for.

    Raises ConfigError naming the setting or column that is wrong; Diverged; NotSaved; ParityError.
    """
    _check_before_training(asked)
    dataset = _loaded(asked.data, asked.settings, told)
    network, loaded = fresh(asked.design, dataset, asked.settings.words, asked.weights, asked.recipe.seed)
    if loaded.tensors:
        anew = f"; heads that start anew: {', '.join(loaded.new_heads)}" if loaded.new_heads else ""
        told(f"{loaded.tensors} tensors taken from {asked.weights}{anew}")
    recipe = asked.recipe
    if asked.find_rate or asked.only_find_rate:
        recipe = _with_found_rate(network, dataset, recipe, asked.work, told)
    if asked.only_find_rate:
        return None
    triplets = _triplets(asked, dataset, told)
    with shown_progress() as progress:
        outcome = train(network, dataset, recipe, asked.work, progress, resume=asked.resume, triplets=triplets)
    told(f"best epoch {outcome.best_epoch} of {outcome.epochs}" + (", stopped early" if outcome.stopped_early else ""))
    return publish(read_checkpoint(outcome.best), dataset, asked, told)


def publish(checkpoint: Checkpoint, dataset: Dataset, asked: TrainRequest, told: Told) -> ModelFolder:
    """Exports a checkpoint, measures it on the test split and puts model.json, card and report into `asked.out`."""
    network = checkpoint.network()
    reduction = _reduction(network, dataset, asked.pca_dim)
    columns = taught_columns(checkpoint.recipe, dataset)
    deployed = Deployed(network, columns, _salience_was_learned(dataset, told), reduction)
    samples = Samples(
        calibration_pictures(dataset.splits["train"], checkpoint.recipe),
        dataset.splits["test"].pixels,
        dataset.splits["train"].pixels,
    )
    with bundle.staged(asked.out) as folder:
        told("exporting")
        export = bundle.Export(asked.out.resolve().name, deployed, dataset.names, dataset.px)
        written = bundle.write(folder, export, asked.variants, samples)
        for name, variant in written.variants.items():
            told(f"{name}: {variant.bytes / 1e6:.1f} MB" + (f"; {variant.warning}" if variant.warning else ""))
        measured = measure(folder, dataset, "", folder / "report", told, log=asked.work / LOG_FILE)
        facts = bundle.record(folder, _training_facts(checkpoint, dataset, asked, measured))
        card.write(folder)
    return facts


def measure(
    model: Path,
    dataset: Dataset,
    variant: str,
    out: Path,
    told: Told,
    *,
    log: Path | None = None,
    with_pictures: bool = False,
    seed: int = 7,
) -> Report:
    """Measures a model folder on a data set; report.json and index.html go into `out`. `variant` "": the first.

    Raises ConfigError; VitrineError where the disk refuses.
    """
    session = Session(model, variant)
    measured = report.evaluate(session, dataset, seed, told)
    column = dataset.scored_column
    grids = pictures.grids(measured, column, dataset.names[column], seed) if with_pictures else ()
    try:
        report.write(measured, out)
        page.write(measured, out, log if log and log.exists() else None, grids)
    except OSError as error:
        raise VitrineError(f"the report cannot be written into {out} ({error.strerror})") from error
    return measured


def settings_for(model: ModelFolder, given: Mapping[str, Any], told: Told) -> DataSettings:
    """How to read data to measure a model: as it was read for training, but for the settings in `given`.

    So the split `test` is the one that training did not see. Raises ConfigError (`model`) for a model that takes
    pictures that are not square, or not on white.
    """
    if model.height != model.width or model.fill != _WHITE:
        taken = f"{model.width}×{model.height} pictures on {model.fill}"
        raise ConfigError("model", f"takes {taken}; only square ones on white can be measured")
    recorded = dict(model.training.get("data", {}))
    changed = [
        name for name in _SPLIT_SETTINGS if name in recorded and given.get(name, recorded[name]) != recorded[name]
    ]
    if changed:
        told(f"{', '.join(changed)} differ from training: the split test may hold pictures that were trained on")
    fields = {"labels": tuple(model.score_outputs), **recorded, **given}
    return DataSettings(**{**fields, "labels": tuple(fields["labels"]), "words": "", "px": model.height})


def measure_model(
    model: Path, data: Path, given: Mapping[str, Any], variant: str, out: Path, with_pictures: bool, told: Told
) -> Report:
    """`vitrine eval`: a model folder on labelled data. `given`: fields of DataSettings. Raises ConfigError."""
    dataset = _loaded(data, settings_for(ModelFolder.read(model), given, told), told)
    return measure(model, dataset, variant, out, told, with_pictures=with_pictures)


def calibration_pictures(train_pictures: Pictures, recipe: Recipe) -> npt.NDArray[np.uint8]:
    """Up to 512 training pictures as training sees them: moved, many on other backgrounds. uint8 (n, px, px, 3)."""
    count = min(CALIBRATION_PICTURES, len(train_pictures))
    rows = np.random.default_rng(recipe.seed).permutation(len(train_pictures))[:count]
    batches = Batches(train_pictures.taken(rows), replace(recipe, batch_pictures=count), NO_TRIPLETS)
    px = train_pictures.pixels.shape[1]
    return as_pixels(next(iter(batches.epoch(px, recipe.gentle))).varied.pictures)


def _loaded(data: Path, settings: DataSettings, told: Told) -> Dataset:
    told(f"reading {data}")
    dataset = load(data, settings)
    for line in dataset.skipped.lines():
        told(line)
    counts = ", ".join(f"{split} {len(found):,}" for split, found in dataset.splits.items())
    labels = ", ".join(f"{column} ({len(names)})" for column, names in dataset.names.items())
    told(f"{dataset.rows:,} pictures ({counts}); labels: {labels}")
    return dataset


def _with_found_rate(network: Network, dataset: Dataset, recipe: Recipe, work: Path, told: Told) -> Recipe:
    with shown_progress() as progress:
        found = finder.find_learning_rate(network, dataset, recipe, work, progress)
    told(f"learning rate {found.suggestion:.2g} suggested; see {found.chart}")
    return replace(recipe, learning_rate_max=found.suggestion)


def _triplets(asked: TrainRequest, dataset: Dataset, told: Told) -> Triplets:
    if asked.triplets is None:
        return NO_TRIPLETS
    train_rows = dataset.splits["train"].rows
    found = read_triplets(asked.triplets, train_rows, _row_of(asked, train_rows))
    told(f"{len(found):,} triplets" + (f", {found.left_out:,} left out" if found.left_out else ""))
    if found.unknown:
        told(f"{len(found.unknown):,} products of the triplets are not in {asked.data}: {shortened(found.unknown)}")
    return found


def _row_of(asked: TrainRequest, train_rows: npt.NDArray[np.int64]) -> Mapping[str, int] | None:
    """Row numbers by product id, of several pictures one of train; None where the data is a folder or has no ids."""
    if asked.data.is_dir():
        return None
    table = read_table(asked.data, "data", as_text=(asked.id_column,))
    if asked.id_column not in table.column_names:
        return None
    ids = [str(value) for value in table[asked.id_column].to_pylist()]
    return {product_id: row for row, product_id in enumerate(ids)} | {ids[row]: int(row) for row in train_rows}


def _reduction(network: Network, dataset: Dataset, dim: int) -> Reduction | None:
    if not dim:
        return None
    pixels = torch.from_numpy(dataset.splits["train"].pixels)
    whole = Deployed(network).eval()
    with torch.inference_mode():
        vectors = [whole(batch)[0].numpy() for batch in torch.split(pixels, _EMBED_BATCH)]
    return Reduction.fitted(np.concatenate(vectors), dim)


def _training_facts(checkpoint: Checkpoint, dataset: Dataset, asked: TrainRequest, measured: Report) -> dict[str, Any]:
    """What model.json says of the training; `data` is how to read the data with the same splits again."""
    design, recipe, settings = checkpoint.design, checkpoint.recipe, asked.settings
    objectives = recipe.objectives
    return {
        "dataset": asked.origin.dataset,
        "source": asked.origin.source,
        "rows": dataset.rows,
        "date": datetime.now(UTC).date().isoformat(),
        "backbone": design.backbone,
        "layer": design.layer or "pooled",
        "starting_weights": asked.weights if asked.weights in (NONE, IMAGENET) else Path(asked.weights).name,
        "frozen_stages": recipe.freeze,
        "parameters": sum(weight.numel() for weight in checkpoint.network().parameters()),
        "pca_dim": asked.pca_dim,
        "epochs": sum(run.epochs for run in checkpoint.runs),
        "best_epoch": checkpoint.epoch,
        "seed": recipe.seed,
        "learning_rate_max": recipe.learning_rate_max,
        "batch_pictures": recipe.batch_pictures,
        "column_weights": {column: objectives.column_weight(column) for column in checkpoint.labels_of()},
        "triplet_weight": objectives.triplet_weight,
        "contrastive_weight": objectives.contrastive_weight,
        "triplets": asked.triplets.name if asked.triplets else "",
        "words": len(checkpoint.words),
        "data": {
            "labels": list(dataset.columns),
            **{name: getattr(settings, name) for name in ("image", "split", "group", "seed")},
        },
        "report": "report/index.html",
        "test": measured.summary(),
    }


def _check_before_training(asked: TrainRequest) -> None:
    """What would only be noticed after hours. Raises ConfigError (`out`, `variants`, `pca`, `work`)."""
    bundle.check_target(asked.out)
    if asked.work.resolve().is_relative_to(asked.out.resolve()):
        raise ConfigError("work", f"{asked.work} lies inside {asked.out}, which is replaced as a whole")
    chosen(asked.variants)


def _salience_was_learned(dataset: Dataset, told: Told) -> bool:
    """Whether enough products could be cut out to learn where they are."""
    pixels = dataset.splits["train"].pixels
    some = pixels[:: max(1, len(pixels) // _CUT_SAMPLE)]
    share = float(can_be_cut(product_masks(some)).mean())
    if share < _CUT_SHARE_MIN:
        told(f"{share:.0%} of the pictures can be cut out of white: too few to learn where products are")
    return share >= _CUT_SHARE_MIN
