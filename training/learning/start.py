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
    (`backbone`, `layer`, `weights`, `words`).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(design, labels_of(dataset, words_column))
    return network, start_from(network, weights)


def labels_of(dataset: Dataset, words_column: str = "") -> Mapping[str, int]:
    """How many labels each head has. Raises ConfigError where there are no words to learn."""
    counts = {column: len(names) for column, names in dataset.names.items()}
    if words_column and not dataset.words:
        raise ConfigError("words", f"the titles in {words_column!r} have no word that is frequent enough to learn")
    return {**counts, words_column: len(dataset.words)} if words_column else counts
