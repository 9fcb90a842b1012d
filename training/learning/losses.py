"""Losses. Each returns a scalar, and 0 where a batch has nothing to learn from."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from training.data import UNSEEN

MetricLoss = Callable[[Tensor, Tensor, float], Tensor]
"""Of unit vectors (n, dim), codes int64 (n,), and a margin or a temperature."""


def label_loss(logits: Tensor, codes: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy of logits (n, labels) against int64 codes (n,); rows that are UNSEEN do not count."""
    known = codes != UNSEEN
    return _mean(functional.cross_entropy(logits[known], codes[known], label_smoothing=smoothing, reduction="none"))


def words_loss(logits: Tensor, shares: Tensor) -> Tensor:
    """Cross-entropy of logits (n, words) against shares (n, words) that sum to 1; rows of zeros do not count."""
    some = shares.sum(dim=1) > 0
    return _mean(functional.cross_entropy(logits[some], shares[some], reduction="none"))


def mask_loss(activation: Tensor, masks: Tensor, masked: Tensor) -> Tensor:
    """How wrong logits (n, rows, columns) are about which share of a cell is product.

    `masks` (n, 1, px, px) with 1 on the product; only pictures with `masked` bool (n,) count.
    """
    shares = functional.adaptive_avg_pool2d(masks[masked], activation.shape[-2:]).squeeze(1)
    return _mean(functional.binary_cross_entropy_with_logits(activation[masked], shares, reduction="none"))


def presence_loss(presence: Tensor, present: Tensor) -> Tensor:
    """How wrong logits (n,) are about whether there is a product, bool (n,)."""
    return functional.binary_cross_entropy_with_logits(presence, present.float())


def semi_hard_triplets(vectors: Tensor, codes: Tensor, margin: float) -> Tensor:
    """Triplet loss over all pairs of a label in a batch of unit vectors (n, dim), codes int64 (n,).

    Each pair's negative is the nearest one that is farther than the positive, and if there is none, the farthest:
    FaceNet (Schroff, Kalenichenko and Philbin, CVPR 2015). Distances are squared.
    """
    known = codes != UNSEEN
    vectors, codes = vectors[known], codes[known]
    distances = 2 - 2 * (vectors @ vectors.T)
    same = codes.unsqueeze(1) == codes.unsqueeze(0)
    negatives = (~same).sum(dim=1, keepdim=True)
    ascending = distances.masked_fill(same, torch.inf).sort(dim=1).values
    farther = torch.searchsorted(ascending.detach().contiguous(), distances.detach().contiguous(), right=True)
    nearest_farther = ascending.gather(1, torch.minimum(farther, negatives - 1).clamp_min(0))
    pairs = same & ~torch.eye(len(codes), dtype=torch.bool, device=codes.device) & (negatives > 0)
    return _mean(functional.relu(distances[pairs] - nearest_farther[pairs] + margin))


def supervised_contrast(vectors: Tensor, codes: Tensor, temperature: float) -> Tensor:
    """How much likelier another picture of the same label should be than any other picture of the batch.

    `vectors` unit (n, dim), codes int64 (n,). Supervised contrastive learning (Khosla et al., NeurIPS 2020), L_out of
    its equation 2. Every positive and every negative of a batch counts, where a triplet sees one of each.
    """
    known = codes != UNSEEN
    vectors, codes = vectors[known], codes[known]
    itself = torch.eye(len(codes), dtype=torch.bool, device=codes.device)
    likeness = vectors @ vectors.T / temperature
    # Not minus infinity: a batch of one picture would make it NaN.
    likeness = likeness.masked_fill(itself, torch.finfo(likeness.dtype).min)
    log_shares = likeness - likeness.logsumexp(dim=1, keepdim=True)
    positives = (codes.unsqueeze(1) == codes.unsqueeze(0)) & ~itself
    sums = torch.where(positives, log_shares, 0).sum(dim=1)
    counts = positives.sum(dim=1)
    anchors = counts > 0
    return -_mean(sums[anchors] / counts[anchors])


def given_triplets(anchors: Tensor, positives: Tensor, negatives: Tensor, margin: float) -> Tensor:
    """Triplet loss of unit vectors, each (n, dim), row by row."""
    nearer = (anchors * positives).sum(dim=1)
    farther = (anchors * negatives).sum(dim=1)
    return _mean(functional.relu(2 * (farther - nearer) + margin))


def _mean(values: Tensor) -> Tensor:
    """The mean; 0 of nothing, which still goes backwards."""
    return values.sum() / max(values.numel(), 1)
