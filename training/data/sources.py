"""Where labelled pictures come from: a table, or a folder with a sub-folder per class. Nothing is decoded here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from training.data.dataset import SPLITS
from training.data.settings import DataSettings
from vitrine.runtime.errors import ConfigError
from vitrine.tables import picture_source, read_table

Texts = npt.NDArray[np.object_]
"""One str a row, shape (n,); "" where there is none."""

DEFAULT_LABELS: Final = ("label", "category")

_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})
_SIGNATURE_BYTES: Final = 12


@dataclass(frozen=True)
class Source:
    """Rows in a fixed order, their pictures still as they are stored."""

    labels: Mapping[str, Texts]
    """By column, the scored one first."""
    split: Texts | None
    words: Texts | None
    group: Texts | None
    picture: Callable[[int], bytes | str | Path | None]
    """The bytes, address or file of a row's picture."""
    place: Callable[[int], str]
    """What to call a row in a message."""
    image_column: str
    other_files: int = 0

    def __len__(self) -> int:
        return len(next(iter(self.labels.values())))


def opened(path: Path, settings: DataSettings) -> Source:
    """Reads what `path` is. Raises ConfigError naming `data`, or the setting or column that does not fit it."""
    return _folder(path, settings) if path.is_dir() else _table(path, settings)


def _table(path: Path, settings: DataSettings) -> Source:
    asked = [settings.image, settings.split, settings.words, settings.group]
    table = read_table(path, "data", as_text=[name for name in (*asked, *settings.labels, *DEFAULT_LABELS) if name])
    if table.num_rows == 0:
        raise ConfigError("data", f"{path} has no rows")
    labels = settings.labels or _default_label(path, table)
    cells = _column(path, table, settings.image)
    return Source(
        labels={column: _texts(path, table, column) for column in labels},
        split=_texts(path, table, settings.split) if _has_split(table, settings.split) else None,
        words=_texts(path, table, settings.words) if settings.words else None,
        group=_texts(path, table, settings.group) if settings.group else None,
        picture=lambda row: picture_source(path.parent, settings.image, cells[row].as_py()),
        place=lambda row: f"row {row}",
        image_column=settings.image,
    )


def _default_label(path: Path, table: pa.Table) -> tuple[str, ...]:
    for column in DEFAULT_LABELS:
        if column in table.column_names:
            return (column,)
    raise ConfigError("labels", f"name the label columns of {path}, which has {', '.join(table.column_names)}")


def _has_split(table: pa.Table, column: str) -> bool:
    # A name other than the default was asked for: where it is missing, drawing splits would hide a slip.
    return bool(column) and (column in table.column_names or column != DataSettings.split)


def _column(path: Path, table: pa.Table, column: str) -> pa.ChunkedArray:
    match table.column_names.count(column):
        case 1:
            return table[column]
        case 0:
            raise ConfigError(column, f"no such column in {path}, which has {', '.join(table.column_names)}")
        case times:
            raise ConfigError(column, f"{path} has {times} columns of this name")


def _texts(path: Path, table: pa.Table, column: str) -> Texts:
    cells = _column(path, table, column)
    try:
        text = pc.utf8_trim_whitespace(pc.cast(cells, pa.large_string()))
    except pa.ArrowException as error:
        raise ConfigError(column, f"{path} holds {cells.type} there, not one name a row") from error
    return np.array(pc.if_else(pc.is_null(cells, nan_is_null=True), "", text).to_pylist(), dtype=object)


def _folder(folder: Path, settings: DataSettings) -> Source:
    for name, column in (("words", settings.words), ("group", settings.group)):
        if column:
            raise ConfigError(name, f"{folder} is a folder: it has no column {column!r}")
    if len(settings.labels) > 1:
        raise ConfigError("labels", f"{folder} is a folder with one label a picture, not {len(settings.labels)}")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _hidden(path.relative_to(folder)))
    pictures = [path for path in files if _may_be_picture(path)]
    folders = [path.relative_to(folder).parts[:-1] for path in pictures]
    if not any(folders):
        raise ConfigError("data", f"{folder} holds no pictures in sub-folders: one per class is needed")
    split = _split_of_folders(folders)
    classes = [parts[1:] if split is not None else parts for parts in folders]
    return Source(
        labels={(settings.labels or DEFAULT_LABELS)[0]: np.array([(*parts, "")[0] for parts in classes], dtype=object)},
        split=split if settings.split else None,
        words=None,
        group=None,
        picture=lambda row: pictures[row],
        place=lambda row: str(pictures[row].relative_to(folder)),
        image_column=settings.image,
        other_files=len(files) - len(pictures),
    )


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _may_be_picture(path: Path) -> bool:
    """Whether its name or its first bytes say so: a damaged picture is counted as such, a note beside it is not."""
    if path.suffix.lower() in _SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            start = file.read(_SIGNATURE_BYTES)
    except OSError:
        return True  # the decoder will say why it cannot be read
    return start.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) or (start[:4], start[8:]) == (b"RIFF", b"WEBP")


def _split_of_folders(folders: list[tuple[str, ...]]) -> Texts | None:
    """The outermost folders where they are splits (`train/shoes/1.jpg`), not classes."""
    outermost = {parts[0] for parts in folders if parts}
    if "train" not in outermost or not outermost.issubset(SPLITS):
        return None
    return np.array([parts[0] if parts else "" for parts in folders], dtype=object)
