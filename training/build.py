"""The whole way from a data set to a model folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from training import bundle, card, export
from training.augment import as_pixels
from training.bundle import TrainingFacts
from training.data import PICTURE_PX, Dataset, Pictures
from training.evaluate import SCORED_COLUMN, evaluate
from training.network import Network, Weights
from training.session import Session
from training.train import Batches, EpochReport, Recipe, Run, train
from vitrine.runtime.errors import ConfigError

CHECKPOINT_FILE: Final = "checkpoint.pt"
LOG_FILE: Final = "log.csv"
FP32_FILE: Final = "model.fp32.onnx"
CALIBRATION_PICTURES: Final = 512
_PARITY_PICTURES: Final = 64


@dataclass(frozen=True)
class Trained:
    """A network in eval mode, and the runs that made it, oldest first."""

    network: Network
    runs: tuple[Run, ...]


def fresh(dataset: Dataset, weights: Weights, seed: int) -> Trained:
    """A network that has not seen `dataset` yet. Raises ConfigError where the weights cannot be had."""
    torch.manual_seed(seed)
    return Trained(Network({column: len(names) for column, names in dataset.names.items()}, weights), ())


def restored(checkpoint: Path, dataset: Dataset) -> Trained:
    """The result of earlier runs. Raises ConfigError where the file is missing or about other labels."""
    if not checkpoint.is_file():
        raise ConfigError("start", f"{checkpoint} does not exist")
    saved = torch.load(checkpoint, weights_only=True)
    names = {column: tuple(names) for column, names in saved["names"].items()}
    if names != dataset.names:
        raise ConfigError("start", f"{checkpoint} was trained on other labels than the data set has")
    network = Network({column: len(labels) for column, labels in names.items()})
    network.load_state_dict(saved["weights"])
    network.eval()
    return Trained(network, tuple(Run(**run) for run in saved["runs"]))


def trained(
    start: Trained, dataset: Dataset, recipe: Recipe, work: Path, report: Callable[[EpochReport], None]
) -> Trained:
    """`start`, trained further in place; its checkpoint and the CSV log of the run's epochs lie in `work`."""
    work.mkdir(parents=True, exist_ok=True)
    train(start.network, dataset, recipe, work / LOG_FILE, report)
    done = Trained(start.network, (*start.runs, Run(recipe.epochs, recipe.seed, recipe.learning_rate_max)))
    checkpoint = {
        "weights": done.network.state_dict(),
        "names": {column: list(names) for column, names in dataset.names.items()},
        "runs": [asdict(run) for run in done.runs],
    }
    torch.save(checkpoint, work / CHECKPOINT_FILE)
    return done


def publish(network: Network, dataset: Dataset, facts: TrainingFacts, out: Path, work: Path) -> dict[str, Any]:
    """Exports, checks and measures `network` into the folder `out`; fp32 stays in `work`. Returns model.json.

    Raises ParityError before anything is described in `out` where an exported file disagrees.
    """
    train_pictures, test_pictures = dataset.splits["train"], dataset.splits["test"]
    for folder in (out, work):
        folder.mkdir(parents=True, exist_ok=True)
    fp32, int8 = work / FP32_FILE, out / bundle.INT8_FILE
    export.export_fp32(network, fp32, PICTURE_PX)
    export.check_parity(network, fp32, test_pictures.pixels[:_PARITY_PICTURES])
    export.quantise(fp32, int8, calibration_pictures(train_pictures, facts.runs[-1].seed))
    small = Session(int8)
    agreement = export.check_agreement(Session(fp32), small, test_pictures.pixels, train_pictures.pixels)
    report = evaluate(small, dataset)
    document = bundle.write(out, network, dataset.names[SCORED_COLUMN], agreement, facts, report)
    card.write(out, document, facts)
    return document


def calibration_pictures(pictures: Pictures, seed: int) -> npt.NDArray[np.uint8]:
    """Up to 512 training pictures as training sees them: moved, many on other backgrounds. uint8 (n, px, px, 3)."""
    batch = min(CALIBRATION_PICTURES, len(pictures))
    rows = np.random.default_rng(seed).permutation(len(pictures))[:batch]
    varied, _ = next(iter(Batches(pictures.taken(rows), Recipe(batch_pictures=batch, seed=seed))))
    return as_pixels(varied)
