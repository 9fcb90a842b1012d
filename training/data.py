"""Labelled pictures from a Parquet file, decoded once into memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from vitrine import images
from vitrine.runtime.errors import BadImage, ConfigError

PICTURE_PX: Final = 80
LABEL_COLUMNS: Final = ("subcategory", "article_type", "colour")
SPLITS: Final = ("train", "val", "test")
UNSEEN: Final = -1


@dataclass(frozen=True)
class Pictures:
    """One split: `pixels` uint8 (n, 80, 80, 3) and `labels` int64 (n,) by column, UNSEEN where train lacks it."""

    pixels: npt.NDArray[np.uint8]
    labels: Mapping[str, npt.NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.pixels)

    def taken(self, rows: npt.NDArray[np.int64]) -> Pictures:
        """The pictures in `rows`, int64 (m,)."""
        return Pictures(self.pixels[rows], {column: codes[rows] for column, codes in self.labels.items()})


@dataclass(frozen=True)
class Dataset:
    """All splits of a file. `names` gives the label names of a column in code order."""

    splits: Mapping[str, Pictures]
    names: Mapping[str, tuple[str, ...]]

    @property
    def rows(self) -> int:
        return sum(len(pictures) for pictures in self.splits.values())


def load(path: Path) -> Dataset:
    """The pictures of a Parquet file with the columns image, split and LABEL_COLUMNS.

    Raises ConfigError naming the file, the column or the split that is missing or empty.
    """
    table = _read(path)
    split_of_row = np.asarray(table["split"].to_pylist(), dtype=object)
    names = {column: _names(table, column, split_of_row == "train") for column in LABEL_COLUMNS}
    codes = {column: _codes(table[column].to_pylist(), names[column]) for column in LABEL_COLUMNS}
    pixels = _decoded(table["image"].to_pylist())
    everything = Pictures(pixels, codes)
    splits = {split: everything.taken(np.flatnonzero(split_of_row == split)) for split in SPLITS}
    return Dataset(splits, names)


def _read(path: Path) -> pa.Table:
    columns = ["image", "split", *LABEL_COLUMNS]
    try:
        present = pq.read_schema(path).names
        missing = [column for column in columns if column not in present]
        if missing:
            raise ConfigError(missing[0], f"no such column in {path}, which has {', '.join(present)}")
        table = pq.read_table(path, columns=columns)
    except (OSError, pa.ArrowInvalid) as error:
        raise ConfigError("data", f"{path} cannot be read as Parquet ({error})") from error
    for column in columns:
        if table[column].null_count:
            raise ConfigError(column, f"{table[column].null_count} of {len(table)} rows of {path} are empty")
    found = set(table["split"].to_pylist())
    for split in SPLITS:
        if split not in found:
            raise ConfigError("split", f"{path} has no row of the split {split!r}")
    return table


def _names(table: pa.Table, column: str, in_train: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(sorted(set(table[column].filter(pa.array(in_train)).to_pylist())))


def _codes(values: Sequence[str], names: Sequence[str]) -> npt.NDArray[np.int64]:
    code_of_name = {name: code for code, name in enumerate(names)}
    return np.array([code_of_name.get(value, UNSEEN) for value in values], dtype=np.int64)


def _decoded(pictures: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    """Letterboxed on white. uint8, shape (n, 80, 80, 3). Raises ConfigError naming the row of a bad picture."""
    pixels = np.empty((len(pictures), PICTURE_PX, PICTURE_PX, 3), dtype=np.uint8)
    for row, data in enumerate(pictures):
        try:
            pixels[row] = images.pixels(data, PICTURE_PX, PICTURE_PX)
        except BadImage as error:
            raise ConfigError("image", f"row {row}: {error.reason}") from error
    return pixels
