"""Products cut out of their white background, so that they can be put on another."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

NEAR_WHITE: Final = 238
"""A pixel whose darkest channel is at least this counts as background: JPEG leaves noise around white."""

FOREGROUND_MIN: Final = 0.10
FOREGROUND_MAX: Final = 0.90


def product_masks(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Where each product is, from uint8 (n, height, width, 3). bool, shape (n, height, width).

    White that the picture's border does not reach belongs to the product, such as the dial of a watch.
    """
    return np.stack([_product_mask(picture) for picture in pixels])


def can_be_cut(masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Whether a mask covers 10 % to 90 % of its picture; others are failed cuts. bool, shape (n,)."""
    foreground: npt.NDArray[np.float64] = masks.mean(axis=(1, 2))
    return (foreground >= FOREGROUND_MIN) & (foreground <= FOREGROUND_MAX)


def _product_mask(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    regions, _ = ndimage.label(picture.min(axis=2) >= NEAR_WHITE)
    border = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    background = np.unique(border[border > 0])
    mask: npt.NDArray[np.bool_] = np.isin(regions, background, invert=True)
    return mask
