"""What a network is wrong about in a batch, loss by loss, and what counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from training.learning import losses
from training.learning.batches import Batch
from training.learning.recipe import Objectives
from training.networks.network import Network, Seen


@dataclass(frozen=True)
class Wrongness:
    """Losses by name, before their weights, and their weighted sum."""

    terms: Mapping[str, Tensor]
    total: Tensor


def wrongness(network: Network, seen: Seen, batch: Batch, objectives: Objectives, scored_column: str) -> Wrongness:
    """How wrong `seen`, what `network` saw in `batch`, is. The same names each time, whatever the batch holds.

    Pictures of a background alone have no label, so that they teach nothing but that.
    """
    weighted = {
        **_heads(network, seen, batch, objectives),
        **_metric(network, seen, batch, objectives, scored_column),
        **_salience(seen, batch, objectives),
    }
    counting = {name: (weight, term) for name, (weight, term) in weighted.items() if weight > 0}
    total = torch.stack([weight * term for weight, term in counting.values()]).sum()
    return Wrongness({name: term for name, (_, term) in counting.items()}, total)


_Weighted = dict[str, tuple[float, Tensor]]


def _heads(network: Network, seen: Seen, batch: Batch, objectives: Objectives) -> _Weighted:
    present = batch.varied.present[: len(batch)]
    weighted: _Weighted = {}
    for column in filter(objectives.teaches, network.columns):
        weight = objectives.column_weight(column)
        logits = network.logits(seen, column)[: len(batch)][present]
        if column in batch.labels:
            codes = batch.labels[column][present]
            weighted[column] = weight, losses.label_loss(logits, codes, objectives.label_smoothing)
        else:  # the one head that no label column has learns the words
            weighted[column] = weight, losses.words_loss(logits, batch.words[present])
    return weighted


def _metric(network: Network, seen: Seen, batch: Batch, objectives: Objectives, scored_column: str) -> _Weighted:
    weighted: _Weighted = {}
    vectors = network.embedding(seen)
    present = batch.varied.present[: len(batch)]
    shown, codes = vectors[: len(batch)][present], batch.labels[objectives.metric_column or scored_column][present]
    if objectives.triplet_weight:
        term = losses.semi_hard_triplets(shown, codes, objectives.triplet_margin)
        weighted["triplets"] = objectives.triplet_weight, term
    if objectives.contrastive_weight:
        term = losses.supervised_contrast(shown, codes, objectives.temperature)
        weighted["contrast"] = objectives.contrastive_weight, term
    if batch.triplets:
        whole = batch.varied.present[len(batch) :].view(3, batch.triplets).all(dim=0)
        given = vectors[len(batch) :].view(3, batch.triplets, -1)[:, whole]
        term = losses.given_triplets(given[0], given[1], given[2], objectives.triplet_margin)
        weighted["given_triplets"] = objectives.given_weight, term
    return weighted


def _salience(seen: Seen, batch: Batch, objectives: Objectives) -> _Weighted:
    varied = batch.varied
    return {
        "mask": (objectives.mask_weight, losses.mask_loss(seen.activation, varied.masks, varied.masked)),
        "presence": (objectives.presence_weight, losses.presence_loss(seen.presence, varied.present)),
    }
