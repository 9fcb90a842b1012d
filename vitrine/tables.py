"""Tables of products: CSV or Parquet, each picture in its row or in a file beside the table."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from vitrine.images import MAX_BYTES
from vitrine.runtime.errors import BadImage, ConfigError


def read_table(path: Path, field: str, as_text: Collection[str] = ()) -> pa.Table:
    """All rows of a .csv or .parquet file. `as_text`: CSV columns whose values are never taken for numbers.

    Raises ConfigError(`field`) where `path` is no such file, or one that cannot be read.
    """
    if not path.is_file():
        raise ConfigError(field, f"{path} does not exist")
    try:
        match path.suffix.lower():
            case ".csv":
                text = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(as_text, pa.string()))
                return pyarrow.csv.read_csv(path, convert_options=text)
            case ".parquet":
                return pyarrow.parquet.read_table(path)
            case _:
                raise ConfigError(field, f"{path} is neither a folder nor a .csv or .parquet file")
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(field, f"{path} cannot be read ({error})") from error


def picture_source(folder: Path, column: str, cell: Any) -> bytes | str | Path | None:
    """Bytes as they are, a URI, or a file: relative paths count from the table's `folder`."""
    if isinstance(cell, dict):  # the picture struct that many data sets use
        cell = cell.get("bytes") or cell.get("path")
    if cell is None or isinstance(cell, bytes):
        return cell
    return str(cell) if column == "uri" or "://" in str(cell) else folder / str(cell)


def picture_bytes(source: bytes | Path | None) -> bytes:
    """What `source` holds; nothing for None. Raises BadImage where that is too much, OSError."""
    size = source.stat().st_size if isinstance(source, Path) else len(source or b"")
    if size > MAX_BYTES:
        raise BadImage(f"has {size} bytes, at most {MAX_BYTES} are accepted")
    return source.read_bytes() if isinstance(source, Path) else source or b""
