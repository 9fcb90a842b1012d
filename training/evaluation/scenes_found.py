"""What a model sees in scenes: where the product is (crop = AUTO), and whether there is one at all."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from training.evaluation.intervals import Figure, Resamples, area_under_roc, share
from vitrine.salience import proposed_box

IOU_HIT: Final = 0.5
BINS: Final = 20

Boxes = npt.NDArray[np.floating]


@dataclass(frozen=True)
class AutoCrop:
    """Proposed boxes against true ones, by intersection over union (IoU); no proposal counts as 0.

    `found`: share with an IoU of at least 0.5; `whole_picture_mean_iou`: what proposing the whole picture would reach;
    `without_proposal`: scenes where nothing stood out; `iou_counts`: scenes in 20 equal bins of 0..1.
    """

    found: Figure
    mean_iou: Figure
    whole_picture_mean_iou: Figure
    without_proposal: int
    iou_counts: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        return _as_json(self)


@dataclass(frozen=True)
class NoProduct:
    """How well `presence` tells scenes of a product from empty ones; counts in 20 equal bins of its range 0..1."""

    area_under_roc: Figure
    scene_counts: tuple[int, ...]
    empty_counts: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        return _as_json(self)


def auto_crop(activation: npt.NDArray[np.float32], truth: Boxes, seed: int) -> AutoCrop:
    """`activation` float32 (n, rows, columns) in 0..1; `truth` (n, 4) left, top, right, bottom as fractions; n ≥ 1."""
    proposals = [proposed_box(cells) for cells in activation]
    proposed = np.array([box or (0, 0, 0, 0) for box in proposals], np.float64)
    found, whole = overlap(proposed, truth), overlap(np.array([[0.0, 0, 1, 1]]), truth)
    draws = Resamples.of(len(found), seed)
    hit = share(found >= IOU_HIT)
    assert hit
    return AutoCrop(hit, draws.mean(found), draws.mean(whole), proposals.count(None), _counts(found))


def no_product(in_scenes: npt.NDArray[np.float32], in_empty: npt.NDArray[np.float32]) -> NoProduct:
    """`presence` of scenes with a product (n,) and without one (m,)."""
    return NoProduct(area_under_roc(in_scenes, in_empty), _counts(in_scenes), _counts(in_empty))


def overlap(boxes: Boxes, truth: Boxes) -> npt.NDArray[np.float64]:
    """Intersection over union of boxes (n, 4), or (1, 4) for all, with those of `truth` (n, 4). float64 (n,)."""
    sides = np.minimum(boxes[:, 2:], truth[:, 2:]) - np.maximum(boxes[:, :2], truth[:, :2])
    shared = np.maximum(sides, 0).prod(axis=1)
    union = _area(boxes) + _area(truth) - shared
    shares: npt.NDArray[np.float64] = shared / union
    return shares


def _area(boxes: Boxes) -> npt.NDArray[np.floating]:
    area: npt.NDArray[np.floating] = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return area


def _counts(values: npt.NDArray[np.floating]) -> tuple[int, ...]:
    counts, _ = np.histogram(values, bins=BINS, range=(0, 1))
    return tuple(counts.tolist())


def _as_json(figures: AutoCrop | NoProduct) -> dict[str, Any]:
    values = {name: getattr(figures, name) for name in asdict(figures)}
    return {name: value.as_json() if isinstance(value, Figure) else value for name, value in values.items()}
