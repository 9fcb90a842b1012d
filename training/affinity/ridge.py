"""Ridge regression in closed form, pulled towards what is known without training instead of towards nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from training.affinity.pairs import Gallery, Pairs
from vitrine.affinity import Alike
from vitrine.runtime.errors import ConfigError
from vitrine.vectors import Vectors

# Without training, likeness counts at least so much: where it seems to say nothing there is little to learn from.
_LEAST_LIKENESS: Final = 0.01

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ridge:
    """The maps for all penalties, once what is costly is done.

    For a pair (x, y) of products, both less the mean of their category, y ≈ s·B·x + D·x, where B leaves of a vector
    what counts without training and s is the best single factor. D minimises Σ w‖y - s·B·x - D·x‖² + λ‖D‖² (Hoerl &
    Kennard, "Ridge regression", Technometrics 1970, around a mean other than 0): the larger λ, the nearer to what is
    known without training.
    """

    base: Matrix
    rotation: Matrix
    spectrum: npt.NDArray[np.float64]
    crossed: Matrix
    means: Vectors

    @staticmethod
    def of(pairs: Pairs, gallery: Gallery, untrained: Alike) -> Ridge:
        means = gallery.means()
        centred = (gallery.vectors - means[gallery.categories]).astype(np.float64)
        begin, end, weights = pairs.both_ways()
        asked, wanted = centred[begin], centred[end]
        alike = asked * untrained.counted
        weighted = asked * weights[:, np.newaxis]
        along, across = (float(np.einsum("nd,nd,n->", alike, other, weights)) for other in (wanted, alike))
        if not across:
            raise ConfigError("pairs", "no category has two products that differ: nothing can be learnt from them")
        factor = max(_LEAST_LIKENESS, along / across)
        spectrum, rotation = np.linalg.eigh(weighted.T @ asked)
        crossed = (wanted - factor * alike).T @ weighted @ rotation
        base = factor * np.diag(untrained.counted.astype(np.float64))
        return Ridge(base, rotation, np.maximum(spectrum, 0), crossed, means)

    def fitted(self, penalty: float) -> tuple[Vectors, Vectors]:
        """The matrix (dim, dim) and, for each category, the offset (categories, dim) of a query; both float32.

        `penalty`: λ over the mean of the spectrum, so that it means the same for any number of pairs.
        """
        shrunk = self.spectrum + penalty * self.spectrum.mean()
        correction = (self.crossed / shrunk) @ self.rotation.T
        offsets = -(self.means @ correction.T)
        return (self.base + correction).astype(np.float32), offsets.astype(np.float32)
