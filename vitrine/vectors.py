"""Wire ↔ float32: how vectors are carried, checked and scaled."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import numpy as np
import numpy.typing as npt

from vitrine.runtime.errors import InvalidArgument

Vectors = npt.NDArray[np.float32]

_WIRE = np.dtype("<f4")


def to_wire(vector: Vectors) -> bytes:
    """Little-endian float32 bytes of `vector`, any shape, row by row."""
    return np.ascontiguousarray(vector, dtype=_WIRE).tobytes()


def from_wire(data: bytes, dim: int, field: str = "vector") -> Vectors:
    """A unit vector from little-endian float32 bytes. Returns float32, shape (dim,).

    Raises InvalidArgument for a wrong length, NaN or infinity, or all zeros.
    """
    expected = dim * _WIRE.itemsize
    if len(data) != expected:
        raise InvalidArgument(field, f"has {len(data)} bytes, expected {expected} ({dim} float32)")
    # In float64, the squares of the largest and smallest float32 neither overflow nor vanish.
    vector = np.frombuffer(data, dtype=_WIRE).astype(np.float64)
    norm = float(np.sqrt(np.dot(vector, vector)))
    if not np.isfinite(norm):
        raise InvalidArgument(field, "has a number that is NaN or infinite")
    if norm == 0.0:
        raise InvalidArgument(field, "is all zeros and has no direction")
    return (vector / norm).astype(np.float32)


def rows_from_wire(data: Sequence[bytes], dim: int, field: str = "vector") -> Vectors:
    """As `from_wire`, for many at once. Returns float32, shape (n, dim)."""
    joined = b"".join(data)
    if len(joined) != len(data) * dim * _WIRE.itemsize or any(len(row) != len(data[0]) for row in data):
        raise InvalidArgument(field, f"one of {len(data)} has not {dim} float32")
    vectors = np.frombuffer(joined, dtype=_WIRE).reshape(-1, dim).astype(np.float64)
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    listed = norms.tolist()  # looking at a few numbers one by one is faster than setting up two passes over them
    if not all(map(isfinite, listed)):
        raise InvalidArgument(field, "has a number that is NaN or infinite")
    if 0.0 in listed:
        raise InvalidArgument(field, "is all zeros and has no direction")
    return np.asarray(vectors / norms[:, None], dtype=np.float32)


def unit(vectors: Vectors) -> Vectors:
    """`vectors`, shape (n, dim), scaled to unit length row by row; an all-zero row stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
    return scaled
