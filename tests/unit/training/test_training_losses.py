"""Losses agree with their definitions, written out naively."""

from __future__ import annotations

import itertools
import math

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from training.data import UNSEEN  # noqa: E402
from training.learning import losses  # noqa: E402

MARGIN = 0.2


def unit_vectors(n: int, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(n, 8, generator=random), dim=1).requires_grad_()


def semi_hard_written_out(vectors: Tensor, codes: list[int]) -> float:
    """FaceNet's choice, one pair after another."""
    distance = ((vectors.unsqueeze(0) - vectors.unsqueeze(1)) ** 2).sum(dim=2).tolist()
    total = []
    for anchor, positive in itertools.permutations(range(len(codes)), 2):
        negatives = [distance[anchor][other] for other in range(len(codes)) if codes[other] != codes[anchor]]
        if codes[anchor] == codes[positive] and negatives:
            near = distance[anchor][positive]
            chosen = min((far for far in negatives if far > near), default=max(negatives))
            total.append(max(0.0, near - chosen + MARGIN))
    return float(sum(total) / len(total))


def contrast_written_out(vectors: Tensor, codes: list[int], temperature: float) -> float:
    """Equation 2 of Khosla et al., one anchor after another."""
    shares = (vectors @ vectors.T / temperature).exp()
    everyone = range(len(codes))
    total = []
    for anchor in everyone:
        positives = [other for other in everyone if other != anchor and codes[other] == codes[anchor]]
        below = sum(shares[anchor, other] for other in everyone if other != anchor)
        if positives:
            total.append(-sum(torch.log(shares[anchor, other] / below) for other in positives) / len(positives))
    return float(sum(total) / len(total))


def test_semi_hard_triplets_are_those_of_facenet() -> None:
    codes = [0, 0, 0, 1, 1, 2, 2, 2, 2, 3]
    vectors = unit_vectors(len(codes)).detach()
    found = losses.semi_hard_triplets(vectors, torch.tensor(codes), MARGIN)
    assert float(found) == pytest.approx(semi_hard_written_out(vectors, codes), abs=1e-5)


def test_supervised_contrast_is_that_of_khosla() -> None:
    codes = [0, 0, 1, 1, 1, 2]
    vectors = unit_vectors(len(codes)).detach()
    found = losses.supervised_contrast(vectors, torch.tensor(codes), 0.1)
    assert float(found) == pytest.approx(contrast_written_out(vectors, codes, 0.1), abs=1e-4)


@pytest.mark.parametrize("loss", [losses.semi_hard_triplets, losses.supervised_contrast])
def test_pictures_without_a_label_change_no_metric_loss(loss: losses.MetricLoss) -> None:
    vectors = unit_vectors(6).detach()
    codes = torch.tensor([0, 0, 1, 1, UNSEEN, UNSEEN])
    assert float(loss(vectors, codes, 0.2)) == pytest.approx(float(loss(vectors[:4], codes[:4], 0.2)))


@pytest.mark.parametrize("loss", [losses.semi_hard_triplets, losses.supervised_contrast])
@pytest.mark.parametrize("codes", [[], [0], [0, 1, 2], [0, 0, 0], [UNSEEN, UNSEEN]], ids=str)
def test_a_batch_without_pairs_gives_finite_losses_and_gradients(loss: losses.MetricLoss, codes: list[int]) -> None:
    vectors = unit_vectors(len(codes))
    loss(vectors, torch.tensor(codes, dtype=torch.int64), 0.2).backward()
    assert vectors.grad is not None
    assert torch.isfinite(vectors.grad).all()


@pytest.mark.parametrize("loss", [losses.semi_hard_triplets, losses.supervised_contrast])
def test_metric_losses_draw_a_label_together(loss: losses.MetricLoss) -> None:
    codes = torch.arange(12) % 3
    same = codes.unsqueeze(0) == codes.unsqueeze(1)
    points = unit_vectors(12).detach().requires_grad_()
    for _ in range(200):
        (slope,) = torch.autograd.grad(loss(torch.nn.functional.normalize(points, dim=1), codes, 0.2), points)
        points = (points - 0.5 * slope).detach().requires_grad_()
    vectors = torch.nn.functional.normalize(points.detach(), dim=1)
    cosines = vectors @ vectors.T
    assert cosines[same].mean() - cosines[~same].mean() > 0.7


def test_given_triplets_cost_nothing_once_the_margin_is_kept() -> None:
    anchor, opposite = torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 0.0]])
    assert float(losses.given_triplets(anchor, anchor, opposite, MARGIN)) == 0
    assert float(losses.given_triplets(anchor, opposite, anchor, MARGIN)) == pytest.approx(4 + MARGIN)


def test_a_label_that_train_lacks_teaches_nothing() -> None:
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    losses.label_loss(logits, torch.tensor([1, UNSEEN, 2]), smoothing=0.1).backward()
    assert logits.grad is not None
    assert (logits.grad[1] == 0).all()
    assert (logits.grad[[0, 2]] != 0).all()


def test_a_title_without_known_words_teaches_nothing() -> None:
    shares = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])
    logits = torch.zeros(2, 3, requires_grad=True)
    loss = losses.words_loss(logits, shares)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(3))
    assert logits.grad is not None
    assert (logits.grad[1] == 0).all()


def test_masks_are_compared_cell_by_cell() -> None:
    masks = torch.zeros(1, 1, 8, 8)
    masks[:, :, :4] = 1
    sure = torch.tensor([[[20.0, 20.0], [-20.0, -20.0]]])
    assert float(losses.mask_loss(sure, masks, torch.tensor([True]))) < 1e-6
    assert float(losses.mask_loss(-sure, masks, torch.tensor([True]))) == pytest.approx(20)
    assert float(losses.mask_loss(-sure, masks, torch.tensor([False]))) == 0
