"""Where candidates are looked for: vectors made small, or made bits, so that a tree or a scan of them is cheap.

    angular, euclidean   the top principal directions of the shard's vectors; distances are euclidean (those of inner
                         products would need twice the candidates for the same recall)
    manhattan            the vectors themselves: a projection does not keep sums of absolute differences
    hamming              one bit a component, whether it is above the shard's median of that component

What is found here is always scored again on the full vectors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from vitrine.shards.halves import as_float32
from vitrine.vectors import Vectors

SAMPLE_ROWS: Final = 20_000

TreeMetric = Literal["euclidean", "manhattan", "hamming"]


class Space(ABC):
    """`dim`: of a projected vector, as the tree holds it. `tree_metric`: how it compares them."""

    tree_metric: TreeMetric
    dim: int

    @abstractmethod
    def project(self, vectors: Any) -> Vectors:
        """`vectors`, shape (n, full dim), as a tree of this space holds them: float32, shape (n, dim)."""

    @abstractmethod
    def parameters(self) -> npt.NDArray[np.float32] | None:
        """What projection.npy keeps, for `opened`; None where there is nothing to keep."""


class ScannedSpace(Space):
    """One in which every row may be compared, without the tree."""

    @abstractmethod
    def stored(self, projected: Vectors) -> npt.NDArray[Any]:
        """What projected.npy keeps of projected vectors for that, one row each."""

    @abstractmethod
    def distances(self, queries: Vectors, stored_block: Any) -> npt.NDArray[np.float32]:
        """How far each row of `stored_block` is from each of the full `queries`, shape (q, full dim).

        Smaller is nearer, and nothing else is promised. float32, shape (q, n).
        """


@dataclass(frozen=True, eq=False)
class PrincipalSpace(ScannedSpace):
    """`directions`: orthonormal columns, float32, shape (full dim, dim)."""

    directions: Vectors
    tree_metric = "euclidean"

    @property
    def dim(self) -> int:  # type: ignore[override]
        return int(self.directions.shape[1])

    def project(self, vectors: Any) -> Vectors:
        return as_float32(vectors) @ self.directions

    def stored(self, projected: Vectors) -> npt.NDArray[Any]:
        halves = np.einsum("nd,nd->n", projected, projected) / 2
        return np.column_stack([projected, halves.astype(np.float32)])

    def distances(self, queries: Vectors, stored_block: Any) -> npt.NDArray[np.float32]:
        # Half the squared distance, less the query's own half: one product with rows that end in their half square.
        wanted = np.column_stack([-self.project(queries), np.ones(len(queries), np.float32)])
        # Rows first: with few queries BLAS takes a third of the time that it takes the other way round.
        distances: npt.NDArray[np.float32] = np.matmul(stored_block, wanted.T).T
        return distances

    def parameters(self) -> Vectors:
        return self.directions


@dataclass(frozen=True)
class PlainSpace(Space):
    dim: int
    tree_metric = "manhattan"

    def project(self, vectors: Any) -> Vectors:
        return as_float32(vectors)

    def parameters(self) -> None:
        return None


@dataclass(frozen=True, eq=False)
class BitSpace(ScannedSpace):
    """`medians`: of each component, float32, shape (full dim,)."""

    medians: Vectors
    tree_metric = "hamming"

    @property
    def dim(self) -> int:  # type: ignore[override]
        return len(self.medians)

    def project(self, vectors: Any) -> Vectors:
        return (as_float32(vectors) > self.medians).astype(np.float32)

    def stored(self, projected: Vectors) -> npt.NDArray[Any]:
        return np.packbits(projected.astype(np.bool_), axis=1)

    def distances(self, queries: Vectors, stored_block: Any) -> npt.NDArray[np.float32]:
        bits = np.packbits(as_float32(queries) > self.medians, axis=1)
        if bits.shape[1] % 8 == 0:
            bits, stored_block = bits.view(np.uint64), stored_block.view(np.uint64)
        return np.stack([np.bitwise_count(stored_block ^ query).sum(axis=1, dtype=np.float32) for query in bits])

    def parameters(self) -> Vectors:
        return self.medians


def fitted(metric: str, vectors: Any, dim: int) -> tuple[Space, float]:
    """The space for trees over `vectors`, shape (n, full dim), and the share of their variance it keeps.

    `dim`: of principal directions wanted; other spaces are as wide as the vectors.
    """
    if metric == "manhattan":
        return PlainSpace(vectors.shape[1]), 1.0
    sample = as_float32(vectors[:: max(1, len(vectors) // SAMPLE_ROWS)])
    if metric == "hamming":
        return BitSpace(np.median(sample, axis=0)), 1.0
    directions, share = principal_directions(sample, dim)
    return PrincipalSpace(directions), share


def opened(metric: str, parameters: Any, dim: int) -> Space:
    """The space that `parameters` were kept of. `dim`: the plan's `projected_dim`."""
    if metric == "manhattan":
        return PlainSpace(dim)
    kept = np.asarray(parameters, np.float32)
    return BitSpace(kept) if metric == "hamming" else PrincipalSpace(kept)


def principal_directions(sample: Vectors, dim: int) -> tuple[Vectors, float]:
    """The top principal directions of `sample`, shape (n, full dim), and the share of variance that they keep.

    float32, shape (full dim, min(dim, full dim)). No mean is subtracted when projecting: distances between projected
    vectors do not depend on it.
    """
    covariance = np.cov(sample, rowvar=False).reshape(sample.shape[1], sample.shape[1])
    variances, directions = np.linalg.eigh(covariance)
    keep = min(dim, sample.shape[1])
    total = float(variances.sum())
    share = float(variances[-keep:].sum()) / total if total > 0 else 1.0
    return np.ascontiguousarray(directions[:, ::-1][:, :keep], dtype=np.float32), share
