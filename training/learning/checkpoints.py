"""Checkpoints: everything that a network is rebuilt from without its data, and what a broken-off run goes on from."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import Tensor

from training.learning.recipe import Recipe
from training.learning.reports import EpochReport
from training.learning.saving import save_bytes
from training.networks.network import Design, Network, Part
from training.networks.weights import as_named_now, read_file
from vitrine.runtime.errors import ConfigError

FORMAT_VERSION: Final = 1


@dataclass(frozen=True)
class Run:
    """One training run: `epochs` of `recipe.epochs` were done."""

    recipe: Recipe
    epochs: int


@dataclass(frozen=True)
class State:
    """What goes on where a run was broken off: states of the optimiser, the schedule and the random generators.

    `best_epoch`, `best_figure`: the best epoch so far, and its watched figure. `train_pictures`, `triplets_sha256`:
    how many pictures and which triplets the run learns from; None in files that are older than these.
    """

    optimiser: Mapping[str, Any]
    schedule: Mapping[str, Any]
    random: Tensor
    torch_random: Tensor
    best_epoch: int
    best_figure: float
    train_pictures: int | None = None
    triplets_sha256: str | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A network, what it was taught, and how.

    `names`: label names by column, in code order. `words_column` names the head that learns titles ("" without one),
    `words` what it learns. `runs`: oldest first, the last one is the run that wrote this; `history` are its epochs.
    `state` is None in a checkpoint that is only to be used.
    """

    design: Design
    weights: Mapping[str, Tensor]
    names: Mapping[str, tuple[str, ...]]
    words_column: str
    words: tuple[str, ...]
    px: int
    runs: tuple[Run, ...]
    history: tuple[EpochReport, ...]
    state: State | None = None

    @property
    def recipe(self) -> Recipe:
        """Of the last run."""
        return self.runs[-1].recipe

    @property
    def epoch(self) -> int:
        """Epochs of the last run that are done."""
        return len(self.history)

    def labels_of(self) -> dict[str, int]:
        """How many labels each head has."""
        counts = {column: len(names) for column, names in self.names.items()}
        return {**counts, self.words_column: len(self.words)} if self.words_column else counts

    def network(self) -> Network:
        """The network, in eval mode. Raises ConfigError where the weights are not its own."""
        rebuilt = Network(self.design, self.labels_of())
        try:
            rebuilt.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            raise ConfigError("checkpoint", f"its weights do not fit its design ({error})") from error
        rebuilt.eval()
        return rebuilt


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes `path` whole or not at all. Raises NotSaved, for example where the disk is full."""
    buffer = io.BytesIO()
    torch.save(_plain(checkpoint), buffer)
    save_bytes(path, buffer.getbuffer())


def read_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a file, on the CPU. Raises ConfigError where it is missing, broken or not one of ours."""
    plain = read_file(path)
    version = plain.get("format_version")
    if version != FORMAT_VERSION:
        found = f"format {version}" if version else f"has {', '.join(map(str, plain)) or 'nothing'}"
        raise ConfigError("checkpoint", f"{path} is no checkpoint of format {FORMAT_VERSION} ({found})")
    try:
        return _from_plain(plain)
    except (KeyError, TypeError) as error:
        raise ConfigError("checkpoint", f"{path} was written by another version of Vitrine ({error!r})") from error


def _plain(checkpoint: Checkpoint) -> dict[str, Any]:
    """What torch reads back without running anything: numbers, words, tuples, dicts and tensors."""
    return {
        "format_version": FORMAT_VERSION,
        "design": asdict(checkpoint.design),
        "weights": dict(checkpoint.weights),
        "names": dict(checkpoint.names),
        "words_column": checkpoint.words_column,
        "words": checkpoint.words,
        "px": checkpoint.px,
        "runs": [{"recipe": run.recipe.as_plain(), "epochs": run.epochs} for run in checkpoint.runs],
        "history": [report.as_plain() for report in checkpoint.history],
        "state": None if checkpoint.state is None else vars(checkpoint.state),
    }


def _from_plain(plain: Mapping[str, Any]) -> Checkpoint:
    design = plain["design"]
    return Checkpoint(
        design=Design(**{**design, "parts": tuple(Part(**part) for part in design["parts"])}),
        weights=as_named_now(cast(dict[str, Tensor], plain["weights"])),
        names={column: tuple(names) for column, names in plain["names"].items()},
        words_column=plain["words_column"],
        words=tuple(plain["words"]),
        px=plain["px"],
        runs=tuple(Run(Recipe.from_plain(run["recipe"]), run["epochs"]) for run in plain["runs"]),
        history=tuple(EpochReport(**report) for report in plain["history"]),
        state=None if plain["state"] is None else State(**plain["state"]),
    )
