"""What goes with a product: which query finds it, and how well what is found fits.

Without training ("style"), two products go together as far as their colour and look do, whatever kind of thing they
are. From pairs that shoppers bought or wore together, `vitrine train-affinity` learns a map from a product's vector to
the vectors of what goes with it ("learned").
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from vitrine.model_folder import VectorPart
from vitrine.runtime.errors import ConfigError
from vitrine.vectors import Vectors, unit

FORMAT_VERSION: Final = 1
KIND: Final = "kind"
"""The part of a vector that says what a thing is. All other parts say what it looks like."""

_FIELD: Final = "affinity"


class Affinity(Protocol):
    """`name`: "style", "vector" or "learned"."""

    @property
    def name(self) -> str: ...

    def query(self, vector: Vectors, category: str) -> Vectors:
        """What to search with for what goes with a product. `vector` float32 (dim,). Returns the same, unit length."""
        ...

    def scores(self, query: Vectors, found: Vectors) -> Vectors:
        """How well `found`, float32 (n, dim), goes with what `query` was made of. Returns float32 (n,), -1 to 1."""
        ...


@dataclass(frozen=True, eq=False)
class Alike:
    """Two products go together as far as some numbers of their vectors point the same way.

    `counted`: float32 (dim,), 1 where a number counts, 0 where it does not.
    """

    name: str
    counted: Vectors

    def query(self, vector: Vectors, category: str) -> Vectors:
        """With nothing but what counts: it ranks as the cosine of that, wherever that part of a vector is as long."""
        scaled: Vectors = unit((vector * self.counted)[np.newaxis])[0]
        return scaled

    def scores(self, query: Vectors, found: Vectors) -> Vectors:
        return _cosines(query, found * self.counted)


def untrained(parts: Iterable[VectorPart], dim: int) -> Alike:
    """By every part but `kind`: "style". By all numbers, where the model tells no parts or only that one: "vector"."""
    counted = np.concatenate(
        [np.zeros(0, np.float32), *(np.full(part.dim, part.name != KIND, np.float32) for part in parts)]
    )
    if len(counted) != dim or counted.all() or not counted.any():
        return Alike("vector", np.ones(dim, np.float32))
    return Alike("style", counted)


@dataclass(frozen=True, eq=False)
class Learned:
    """A linear map to what goes with a product: the query is matrix · vector + the offset of its category.

    matrix   float32 (dim, dim)
    offsets  float32 (dim,) by category; "" is that of a category which is not known here
    facts    what it was learned from and what it is worth, as JSON has it
    """

    model_id: str
    matrix: Vectors
    offsets: Mapping[str, Vectors]
    facts: Mapping[str, Any]

    @property
    def name(self) -> str:
        return "learned"

    @property
    def dim(self) -> int:
        return len(self.matrix)

    def query(self, vector: Vectors, category: str) -> Vectors:
        offset = self.offsets.get(category, self.offsets[""])
        scaled: Vectors = unit((self.matrix @ vector + offset)[np.newaxis])[0]
        return scaled

    def scores(self, query: Vectors, found: Vectors) -> Vectors:
        return _cosines(query, found)

    def save(self, path: Path) -> None:
        """Writes all of it, or nothing. Raises ConfigError (`affinity`)."""
        about = {"format_version": FORMAT_VERSION, "model_id": self.model_id, "facts": self.facts}
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with unfinished.open("wb") as file:
                np.savez(
                    file,
                    about=np.array(json.dumps(about)),
                    matrix=self.matrix,
                    categories=np.array(list(self.offsets)),
                    offsets=np.stack(list(self.offsets.values())),
                )
            unfinished.replace(path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise ConfigError(_FIELD, f"{path} cannot be written ({error.strerror})") from error

    @staticmethod
    def open(path: Path) -> Learned:
        """Raises ConfigError (`affinity`) for a file that is missing, damaged, or of another kind."""
        try:
            # The checksum of each array is compared as it is read.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in ("about", "matrix", "categories", "offsets")}
            about = json.loads(str(arrays["about"]))
            version, model_id, facts = about["format_version"], str(about["model_id"]), dict(about["facts"])
        except OSError as error:
            raise ConfigError(_FIELD, f"{path} cannot be read ({error.strerror or error})") from error
        except Exception as error:
            # Damaged bytes fail in a dozen ways: as a zip file, as an array, as JSON.
            raise ConfigError(_FIELD, f"{path} is damaged, or not of `vitrine train-affinity` ({error})") from error
        if version != FORMAT_VERSION:
            raise ConfigError(_FIELD, f"{path} has format {version}, and {FORMAT_VERSION} is read here")
        matrix, offsets = arrays["matrix"], arrays["offsets"]
        names = [str(name) for name in arrays["categories"].ravel()]
        if not _fit_together(matrix, offsets, names):
            raise ConfigError(_FIELD, f"{path} is damaged: its arrays do not fit together")
        return Learned(model_id, matrix, dict(zip(names, offsets, strict=True)), facts)


def _fit_together(matrix: Vectors, offsets: Vectors, names: list[str]) -> bool:
    dim = len(matrix) if matrix.ndim else 0
    shapes = dim > 0 and matrix.shape == (dim, dim) and offsets.shape == (len(names), dim)
    types = matrix.dtype == offsets.dtype == np.float32
    return shapes and types and "" in names and bool(np.isfinite(matrix).all() and np.isfinite(offsets).all())


def _cosines(query: Vectors, found: Vectors) -> Vectors:
    """float32 (n,). Rounding never makes one larger than 1."""
    cosines: Vectors = np.clip(unit(found) @ query, -1, 1)
    return cosines
