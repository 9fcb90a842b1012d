"""Batches of training pictures, each varied anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from training.data import Pictures
from training.learning.recipe import Recipe
from training.learning.triplets import NO_TRIPLETS, Triplets
from training.scenes.augment import Augmentation, Varied, as_pictures, augmented
from training.scenes.cutout import can_be_cut, product_masks
from vitrine.runtime.errors import ConfigError

_PICTURES_MIN: Final = 2
# How finely a share of all weights is drawn.
_FINE: Final = 2**27


@dataclass(frozen=True)
class Batch:
    """n pictures and what is known about them.

    `labels` int64 (n,) by column, `words` float32 (n, words). Behind the n pictures, `varied` has those of `triplets`
    triplets: first all anchors, then all positives, then all negatives.
    """

    varied: Varied
    labels: Mapping[str, Tensor]
    words: Tensor
    triplets: int

    def __len__(self) -> int:
        return len(self.words)

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        varied = Varied(
            pictures=self.varied.pictures.to(device),
            masks=self.varied.masks.to(device),
            masked=self.varied.masked.to(device),
            present=self.varied.present.to(device),
        )
        labels = {column: codes.to(device) for column, codes in self.labels.items()}
        return replace(self, varied=varied, labels=labels, words=self.words.to(device))


class Batches:
    """The training pictures in random order, epoch after epoch; the last, incomplete batch of each is left out.

    `random` decides everything: with its state, an epoch comes out the same again.
    """

    def __init__(self, pictures: Pictures, recipe: Recipe, triplets: Triplets = NO_TRIPLETS) -> None:
        """Raises ConfigError where there are fewer than two pictures."""
        if len(pictures) < _PICTURES_MIN:
            raise ConfigError("train", f"{len(pictures)} pictures, which is too few to learn from")
        masks = product_masks(pictures.pixels)
        self.random = torch.Generator().manual_seed(recipe.seed)
        self._batch_pictures = min(recipe.batch_pictures, len(pictures))
        self._pixels = torch.from_numpy(pictures.pixels)
        self._masks = torch.from_numpy(masks)
        self._can_be_cut = torch.from_numpy(can_be_cut(masks))
        self._labels = {column: torch.from_numpy(codes) for column, codes in pictures.labels.items()}
        self._words = torch.from_numpy(pictures.words)
        self._triplets = torch.from_numpy(triplets.places)
        self._up_to = torch.from_numpy(triplets.weights).cumsum(dim=0)
        self._triplets_per_step = recipe.objectives.given_per_step if len(triplets) else 0

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._pixels) // self._batch_pictures

    def epoch(self, px: int, augmentation: Augmentation) -> Iterator[Batch]:
        """The batches of one epoch, with pictures `px` wide and high."""
        order = torch.randperm(len(self._pixels), generator=self.random)
        for rows in order.split(self._batch_pictures)[: len(self)]:
            yield self._batch(rows, px, augmentation)

    def _batch(self, rows: Tensor, px: int, augmentation: Augmentation) -> Batch:
        shown = torch.cat([rows, self._drawn_triplets()])
        varied = augmented(
            as_pictures(self._pixels[shown]),
            self._masks[shown].unsqueeze(1).float(),
            self._can_be_cut[shown],
            augmentation,
            px,
            self.random,
        )
        labels = {column: codes[rows] for column, codes in self._labels.items()}
        return Batch(varied, labels, self._words[rows], self._triplets_per_step)

    def _drawn_triplets(self) -> Tensor:
        """Places of some triplets' pictures, int64 (3 * triplets,): anchors, positives, negatives."""
        if self._triplets_per_step == 0:
            return torch.empty(0, dtype=torch.int64)
        # By their weights. Not torch.multinomial, which takes no more than 2^24.
        shares = torch.randint(_FINE, (self._triplets_per_step,), generator=self.random).double() / _FINE
        drawn = torch.searchsorted(self._up_to, shares * self._up_to[-1], right=True)
        return self._triplets[drawn.clamp_max(len(self._triplets) - 1)].T.flatten()


def ahead(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The same batches, each made in a thread while the one before it is used: a GPU need not wait for the CPU."""
    source = iter(batches)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as thread:
        coming: Future[Batch | None] = thread.submit(next, source, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, source, None)
            yield batch
