"""A network before its first step."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from training.data import Dataset
from training.networks.network import Design, Network
from training.networks.weights import NONE, Loaded, start_from
from vitrine.runtime.errors import ConfigError


def fresh(
    design: Design, dataset: Dataset, words_column: str = "", weights: str = NONE, seed: int = 0
) -> tuple[Network, Loaded]:
    """A network with a head per label column of `dataset`, and one for its words if `words_column` names it.

    What `weights` ("none", "imagenet" or a file) do not fill is random and depends on `seed` alone. Raises ConfigError
    (`backbone`, `layer`, `part`, `weights`, `words`).
    """
    names = _names(dataset, words_column)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(design, {column: len(labels) for column, labels in names.items()})
    return network, start_from(network, weights, names)


def _names(dataset: Dataset, words_column: str) -> Mapping[str, tuple[str, ...]]:
    """What each head is to know, in code order."""
    if not words_column:
        return dataset.names
    if words_column in dataset.names:
        raise ConfigError("words", f"{words_column!r} is a label column: its labels are learned, not its words")
    if not dataset.words:
        raise ConfigError("words", f"the titles in {words_column!r} have no word that is frequent enough to learn")
    return {**dataset.names, words_column: dataset.words}
