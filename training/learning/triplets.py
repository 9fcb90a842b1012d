"""Triplets of a file: an anchor, a picture that belongs to it, and one that does not, such as shoppers' clicks say."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vitrine.runtime.errors import ConfigError
from vitrine.tables import read_table

COLUMNS: Final = ("anchor", "positive", "negative")


@dataclass(frozen=True)
class Triplets:
    """`places` int64 (n, 3): anchor, positive and negative among the training pictures.

    `left_out` counts those with a picture that is unknown, unreadable or of another split than train.
    """

    places: npt.NDArray[np.int64]
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.places)

    @property
    def sha256(self) -> str:
        """Of `places`, in hex: equal for the same triplets in the same order."""
        return hashlib.sha256(self.places.tobytes()).hexdigest()


NO_TRIPLETS: Final = Triplets(np.empty((0, 3), np.int64))


def read_triplets(path: Path, train_rows: npt.NDArray[np.int64], row_of: Mapping[str, int] | None = None) -> Triplets:
    """The columns anchor, positive and negative of a CSV or Parquet file.

    Their values are row numbers of the source, of which `train_rows` int64 (n,) are those of the training pictures;
    or, with `row_of`, product ids that it turns into row numbers. Raises ConfigError (`triplets`).
    """
    table = _read(path)
    rows = np.stack([_rows(table[column].to_pylist(), path, row_of) for column in COLUMNS], axis=1)
    order = np.argsort(train_rows)
    found = np.searchsorted(train_rows, rows, sorter=order).clip(max=len(order) - 1)
    places = order[found]
    usable = (train_rows[places] == rows).all(axis=1)
    if not usable.any():
        reason = f"none of {len(rows)} triplets of {path} has its three pictures among the {len(train_rows)} of train"
        raise ConfigError("triplets", reason)
    return Triplets(places[usable], int((~usable).sum()))


def _read(path: Path) -> pa.Table:
    table = read_table(path, "triplets", as_text=COLUMNS)
    missing = [column for column in COLUMNS if column not in table.column_names]
    if missing:
        has = ", ".join(table.column_names)
        raise ConfigError("triplets", f"{path} has no column {', '.join(missing)}, but {has}")
    return table


def _rows(values: list[Any], path: Path, row_of: Mapping[str, int] | None) -> npt.NDArray[np.int64]:
    """Row numbers; -1, which no row has, of an unknown product."""
    if row_of is not None:
        return np.array([row_of.get(str(value), -1) for value in values], np.int64)
    try:
        return np.array(values, np.int64)
    except (TypeError, ValueError) as error:
        reason = f"{path} names pictures by something else than row numbers ({error})"
        raise ConfigError("triplets", reason) from error
