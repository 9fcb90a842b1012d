"""A flat map of the embedding space: what lies together there lies together here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from training.evaluation.ranking import Codes, Vectors

POINTS_MAX: Final = 2_000
_PRINCIPAL_DIMENSIONS: Final = 50
_PERPLEXITY: Final = 30
_ITERATIONS: Final = 750
_POINTS_MIN: Final = 8


@dataclass(frozen=True)
class EmbeddingMap:
    """`points` float32 (n, 2), each axis in 0..1, and the label code of each, int64 (n,)."""

    points: npt.NDArray[np.float32]
    codes: Codes

    def as_json(self) -> dict[str, Any]:
        """Points rounded to three digits."""
        return {"points": np.round(self.points.astype(float), 3).tolist(), "codes": self.codes.tolist()}


def embedding_map(vectors: Vectors, codes: Codes, seed: int) -> EmbeddingMap | None:
    """Up to 2,000 of the vectors (n, dim ≥ 2) that carry a label; None where fewer than eight do.

    t-SNE (van der Maaten and Hinton, "Visualizing data using t-SNE", JMLR 2008) of the first 50 principal components.
    """
    labelled = np.flatnonzero(codes >= 0)
    if len(labelled) < _POINTS_MIN:
        return None
    random = np.random.default_rng(seed)
    rows = np.sort(random.choice(labelled, size=min(POINTS_MAX, len(labelled)), replace=False))
    dimensions = min(_PRINCIPAL_DIMENSIONS, len(rows), vectors.shape[1])
    reduced = PCA(dimensions, random_state=seed).fit_transform(vectors[rows])
    # Where t-SNE starts from by default, but for vectors that are all the same too.
    start = 1e-4 * reduced[:, :2] / max(float(reduced[:, 0].std()), 1e-9)
    perplexity = min(_PERPLEXITY, (len(rows) - 1) / 3)
    flat = TSNE(perplexity=perplexity, init=start, max_iter=_ITERATIONS, random_state=seed).fit_transform(reduced)
    low, high = flat.min(axis=0), flat.max(axis=0)
    return EmbeddingMap(((flat - low) / np.maximum(high - low, 1e-9)).astype(np.float32), codes[rows])
