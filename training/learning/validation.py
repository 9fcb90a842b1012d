"""What the validation split says about a network while it learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from training.data import UNSEEN, Pictures
from training.learning.devices import Arithmetic
from training.networks.network import Network
from training.scenes.augment import as_pictures

NEIGHBOURS: Final = 10
SAMPLE_MAX: Final = 4096
"""Pictures that are compared with each other, evenly spread over the split: enough to rank epochs by."""

_BATCH: Final = 256


@dataclass(frozen=True)
class Validation:
    """Share of right guesses by label column; and of the ten nearest pictures, how many have a picture's label."""

    accuracy: Mapping[str, float]
    precision_at_10: float


def validated(
    network: Network, pictures: Pictures, px: int, columns: Sequence[str], scored_column: str, how: Arithmetic
) -> Validation:
    """Measures `network` on clean pictures, made `px` wide and high, and leaves it in training mode.

    Accuracy is that of those label `columns` that have a head; precision that of `scored_column` among the pictures
    themselves, at most SAMPLE_MAX of them.
    """
    network.eval()
    columns = [column for column in columns if column in network.columns]
    guesses: dict[str, list[Tensor]] = {column: [] for column in columns}
    vectors: list[Tensor] = []
    with torch.inference_mode():
        for start in range(0, len(pictures), _BATCH):
            batch = as_pictures(torch.from_numpy(pictures.pixels[start : start + _BATCH]).to(how.device))
            with how.autocast():
                seen = network(_resized(batch, px).contiguous(memory_format=torch.channels_last))
            vectors.append(network.embedding(seen).cpu())
            for column in columns:
                guesses[column].append(network.logits(seen, column).argmax(dim=1).cpu())
    network.train()
    codes = {column: torch.from_numpy(labels) for column, labels in pictures.labels.items()}
    accuracy = {column: _share_right(torch.cat(guesses[column]), codes[column]) for column in columns}
    return Validation(accuracy, precision_at_10(torch.cat(vectors), codes[scored_column]))


def precision_at_10(vectors: Tensor, codes: Tensor) -> float:
    """How many of a picture's ten nearest others share its label, on average. 0 where fewer than two have one.

    Unit vectors float32 (n, dim), codes int64 (n,); UNSEEN pictures do not count.
    """
    known = (codes != UNSEEN).nonzero().squeeze(1)
    if len(known) > SAMPLE_MAX:
        known = known[torch.linspace(0, len(known) - 1, SAMPLE_MAX).long()]
    if len(known) < 2:
        return 0.0
    vectors, codes = vectors[known], codes[known]
    cosines = (vectors @ vectors.T).fill_diagonal_(-torch.inf)
    nearest = cosines.topk(min(NEIGHBOURS, len(known) - 1), dim=1).indices
    return float((codes[nearest] == codes.unsqueeze(1)).float().mean())


def _resized(pictures: Tensor, px: int) -> Tensor:
    if pictures.shape[-1] == px:
        return pictures
    return functional.interpolate(pictures, size=(px, px), mode="bilinear", antialias=True)


def _share_right(guesses: Tensor, codes: Tensor) -> float:
    known = codes != UNSEEN
    return float((guesses == codes)[known].float().mean()) if known.any() else 0.0
