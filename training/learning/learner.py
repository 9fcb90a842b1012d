"""One step of learning: see a batch, measure how wrong that is, move the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.optim import AdamW

from training.data import Dataset
from training.learning.batches import Batch
from training.learning.devices import Arithmetic
from training.learning.objective import wrongness
from training.learning.recipe import Recipe
from training.networks.backbones import SIDE_MIN_PX
from training.networks.network import Network
from vitrine.runtime.errors import ConfigError, VitrineError


class Diverged(VitrineError):
    """A loss is no number any more: the weights are lost, and going on is pointless."""


@dataclass(frozen=True)
class Step:
    """The loss of one step, its terms before their weights, and the learning rate it was made with."""

    loss: float
    learning_rate: float
    terms: Mapping[str, float]


class Learner:
    """A network, its optimiser, and what is to be learned."""

    def __init__(self, network: Network, dataset: Dataset, recipe: Recipe, how: Arithmetic) -> None:
        """Moves `network` to the device. Raises ConfigError where the recipe does not fit the network or the data."""
        _check(network, dataset, recipe)
        network.to(device=how.device, memory_format=torch.channels_last)
        network.backbone.freeze(recipe.freeze)
        network.train()
        self.network = network
        self.how = how
        self.optimiser = optimiser(network, recipe)
        self._objectives = recipe.objectives
        self._scored_column = dataset.scored_column

    def step(self, batch: Batch) -> Step:
        """One update of the weights. Raises Diverged, before the update, where a loss is not finite."""
        batch = batch.to(self.how.device)
        with self.how.autocast():
            seen = self.network(batch.varied.pictures.contiguous(memory_format=torch.channels_last))
        wrong = wrongness(self.network, seen, batch, self._objectives, self._scored_column)
        loss, *terms = torch.stack([wrong.total, *wrong.terms.values()]).detach().tolist()
        rate = self.optimiser.param_groups[0]["lr"]
        done = Step(loss, rate, dict(zip(wrong.terms, terms, strict=True)))
        if not math.isfinite(loss):
            told = ", ".join(f"{name} {value:.3g}" for name, value in done.terms.items())
            raise Diverged(f"the loss is no number any more ({told}); try a lower learning rate")
        self.optimiser.zero_grad()
        (wrong.total * self.how.loss_factor).backward()
        self.optimiser.step()
        return done


def optimiser(network: Network, recipe: Recipe) -> AdamW:
    """AdamW over what is not frozen. Biases, scales and norms do not decay: they have no direction to overfit with."""
    learning = [weights for weights in network.parameters() if weights.requires_grad]
    groups = [
        {"params": [weights for weights in learning if weights.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [weights for weights in learning if weights.ndim <= 1], "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=recipe.learning_rate_max)


def taught_columns(recipe: Recipe, dataset: Dataset) -> tuple[str, ...]:
    """The label columns whose heads learn, the scored one first if it is one of them; the other heads stay random."""
    return tuple(column for column in dataset.columns if recipe.objectives.teaches(column))


def words_column(network: Network, dataset: Dataset) -> str:
    """The head that learns the words of titles: the one that is no label column. "" where there is none.

    Raises ConfigError where it has another number of words than the data, or there are more such heads.
    """
    others = [column for column in network.columns if column not in dataset.names]
    if len(others) > 1:
        raise ConfigError("heads", f"the data has no label columns {', '.join(others)}")
    if others and len(network.head(others[0]).directions) != len(dataset.words):
        raise ConfigError("words", f"the data has {len(dataset.words)}, the head {others[0]!r} expects another number")
    return others[0] if others else ""


def _check(network: Network, dataset: Dataset, recipe: Recipe) -> None:
    if dataset.px < SIDE_MIN_PX:
        raise ConfigError("px", f"{dataset.px}, but a network needs pictures of at least {SIDE_MIN_PX}")
    words_column(network, dataset)
    for column, names in dataset.names.items():
        if column in network.columns and len(network.head(column).directions) != len(names):
            raise ConfigError("heads", f"the data has {len(names)} labels of {column!r}, the head another number")
    if recipe.objectives.is_empty(network.columns):
        raise ConfigError("objectives", "every weight is 0, so that there is nothing to learn")
    wanted = recipe.objectives.metric_column
    if wanted and wanted not in dataset.names:
        raise ConfigError("metric_column", f"{wanted!r} is none of {', '.join(dataset.names)}")
    for column in recipe.objectives.column_weights:
        if column not in network.columns:
            raise ConfigError("column_weights", f"{column!r} is none of {', '.join(network.columns)}")
