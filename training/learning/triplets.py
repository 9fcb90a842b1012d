"""Triplets of a file: an anchor, a picture that belongs to it, and one that does not, such as shoppers' clicks say."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vitrine.runtime.errors import ConfigError
from vitrine.tables import read_table

COLUMNS: Final = ("anchor", "positive", "negative")
WEIGHT: Final = "weight"
_SHOWN_NAMES: Final = 5


@dataclass(frozen=True)
class Triplets:
    """`places` int64 (n, 3): anchor, positive and negative among the training pictures.

    weights   float64 (n,), above 0: one of weight 2 is drawn twice as often as one of weight 1
    left_out  those with a picture that is unknown, unreadable or of another split than train
    unknown   product ids that the data does not have, sorted
    """

    places: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]
    left_out: int = 0
    unknown: Sequence[str] = field(default=())

    def __len__(self) -> int:
        return len(self.places)

    @property
    def sha256(self) -> str:
        """Of places and weights, in hex: equal for the same triplets in the same order."""
        return hashlib.sha256(self.places.tobytes() + self.weights.tobytes()).hexdigest()


NO_TRIPLETS: Final = Triplets(np.empty((0, 3), np.int64), np.empty(0))


def read_triplets(path: Path, train_rows: npt.NDArray[np.int64], row_of: Mapping[str, int] | None = None) -> Triplets:
    """The columns anchor, positive and negative of a CSV or Parquet file, and `weight`: 1 where there is none.

    Values of the first three are row numbers of the source, of which `train_rows` int64 (n,) are those of the training
    pictures; or, with `row_of`, product ids that it turns into row numbers. Raises ConfigError (`triplets`).
    """
    table = _read(path)
    weights = _weights(table, path)
    rows = np.stack([_rows(table[column].to_pylist(), path, row_of) for column in COLUMNS], axis=1)
    order = np.argsort(train_rows)
    found = np.searchsorted(train_rows, rows, sorter=order).clip(max=len(order) - 1)
    places = order[found]
    usable = (train_rows[places] == rows).all(axis=1)
    if not usable.any():
        reason = f"none of {len(rows)} triplets of {path} has its three pictures among the {len(train_rows)} of train"
        raise ConfigError("triplets", reason + _named(_unknown(table, row_of)))
    return Triplets(places[usable], weights[usable], int((~usable).sum()), _unknown(table, row_of))


def _read(path: Path) -> pa.Table:
    table = read_table(path, "triplets", as_text=COLUMNS)
    missing = [column for column in COLUMNS if column not in table.column_names]
    if missing:
        has = ", ".join(table.column_names)
        raise ConfigError("triplets", f"{path} has no column {', '.join(missing)}, but {has}")
    return table


def _weights(table: pa.Table, path: Path) -> npt.NDArray[np.float64]:
    if WEIGHT not in table.column_names:
        return np.ones(table.num_rows)
    try:
        weights = np.array(table[WEIGHT].to_pylist(), np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError("triplets", f"{path} has a {WEIGHT} that is no number ({error})") from error
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise ConfigError("triplets", f"{path} has a {WEIGHT} that is not above 0")
    return weights


def _unknown(table: pa.Table, row_of: Mapping[str, int] | None) -> tuple[str, ...]:
    if row_of is None:
        return ()
    named = {str(value) for column in COLUMNS for value in table[column].to_pylist()}
    return tuple(sorted(named - row_of.keys()))


def _named(unknown: Sequence[str]) -> str:
    return f"; products that the data does not have: {shortened(unknown)}" if unknown else ""


def shortened(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = len(names) - _SHOWN_NAMES
    return ", ".join(names[:_SHOWN_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def _rows(values: list[Any], path: Path, row_of: Mapping[str, int] | None) -> npt.NDArray[np.int64]:
    """Row numbers; -1, which no row has, of an unknown product."""
    if row_of is not None:
        return np.array([row_of.get(str(value), -1) for value in values], np.int64)
    try:
        return np.array(values, np.int64)
    except (TypeError, ValueError) as error:
        reason = f"{path} names pictures by something else than row numbers ({error})"
        raise ConfigError("triplets", reason) from error
