"""Where catalogues come from: a folder of images, or a CSV or Parquet table."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from vitrine.attributes import AttributeValue
from vitrine.runtime.errors import BadImage, ConfigError
from vitrine.stream.events import ImageRef, Upsert
from vitrine.tables import picture_bytes, picture_source, read_table

IMAGE_COLUMNS: Final = ("image", "path", "uri")
ID_COLUMNS: Final = ("product_id", "id")
# All images of a product travel in one message: what a message may hold, less room for the rest of the product.
MAX_PRODUCT_BYTES: Final = 30 * 1024 * 1024
_NOT_ATTRIBUTES: Final = {*IMAGE_COLUMNS, *ID_COLUMNS, "image_id"}


@dataclass(frozen=True)
class Unreadable:
    """A product whose picture could not even be read here."""

    product_id: str
    reason: str


Item = Upsert | Unreadable


@dataclass(frozen=True)
class Catalogue:
    """Products in a fixed order, so that an interrupted ingest knows where to go on.

    `fingerprint` changes with any file of it: what was published of another state is not what is here now.
    """

    products: int
    images: int
    fingerprint: str
    _items: Any

    def first(self, products: int) -> Catalogue:
        """The same catalogue, cut after its first `products`; `images` is then an estimate."""
        products = min(products, self.products)
        return replace(self, products=products, images=round(self.images * products / self.products))

    def items(self, skip: int = 0) -> Iterator[Item]:
        """Products from number `skip` on."""
        items: Iterator[Item] = islice(self._items(skip), max(0, self.products - skip))
        return items


def open_catalogue(path: Path, category: str = "category") -> Catalogue:
    """Reads what `path` is. `category`: the column that is a product's category. Raises ConfigError (field `path`)."""
    if path.is_dir():
        return _folder(path)
    return _table(path, read_table(path, "path"), category)


def _folder(folder: Path) -> Catalogue:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    if not paths:
        raise ConfigError("path", f"{folder} holds no files")

    def items(skip: int) -> Iterator[Item]:
        for path in paths[skip:]:
            product_id = path.relative_to(folder).as_posix()
            category = path.parent.name if path.parent != folder else ""
            yield _item(product_id, category, {}, [("0", path)])

    return Catalogue(len(paths), len(paths), _fingerprint(paths), items)


def _table(path: Path, table: pa.Table, category: str) -> Catalogue:
    image_column = next((name for name in IMAGE_COLUMNS if name in table.column_names), None)
    if image_column is None:
        raise ConfigError("path", f"{path} has no column named {', '.join(IMAGE_COLUMNS)}, only {table.column_names}")
    if table.num_rows == 0:
        raise ConfigError("path", f"{path} has no rows")
    id_column = next((name for name in ID_COLUMNS if name in table.column_names), None)
    ids = table[id_column].to_pylist() if id_column else [f"row-{row}" for row in range(table.num_rows)]
    rows_of: dict[str | int, list[int]] = {}
    for row, product_id in enumerate(ids):
        # A row without an id is a product of its own, to be refused by its number.
        rows_of.setdefault(row if product_id is None else str(product_id), []).append(row)
    attributes = [name for name in table.column_names if name not in _NOT_ATTRIBUTES and name != category]
    products = list(rows_of.items())

    def cell(name: str, row: int) -> Any:
        return table[name][row].as_py() if name in table.column_names else None

    def items(skip: int) -> Iterator[Item]:
        for product_id, rows in products[skip:]:
            if isinstance(product_id, int):
                yield Unreadable(f"row {product_id}", f"{id_column}: is empty")
                continue
            labels = {name: value for name in attributes if (value := _attribute(cell(name, rows[0]))) is not None}
            named = [(str(cell("image_id", row) or place), row) for place, row in enumerate(rows)]
            pictures = [
                (image_id, picture_source(path.parent, image_column, cell(image_column, row)))
                for image_id, row in named
            ]
            yield _item(product_id, str(cell(category, rows[0]) or ""), labels, pictures)

    named = [picture_source(path.parent, image_column, value) for value in table[image_column].to_pylist()]
    files = [path, *(source for source in named if isinstance(source, Path))]
    return Catalogue(len(products), table.num_rows, _fingerprint(files), items)


def _fingerprint(paths: Iterable[Path]) -> str:
    """Names, sizes and times of files; one that is missing counts as such."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            stat = path.stat()
            facts = f"{stat.st_size} {stat.st_mtime_ns}"
        except OSError:
            facts = "missing"
        digest.update(f"{path.resolve()!r} {facts}\n".encode())
    return digest.hexdigest()


def _attribute(cell: Any) -> AttributeValue | None:
    if cell is None or isinstance(cell, str | bool):
        return cell
    if isinstance(cell, int | float):
        return float(cell) if math.isfinite(cell) else None
    if isinstance(cell, list):
        return tuple(str(value) for value in cell)
    return str(cell)


def _item(
    product_id: str,
    category: str,
    attributes: dict[str, AttributeValue],
    pictures: list[tuple[str, bytes | str | Path | None]] | list[tuple[str, Path]],
) -> Item:
    if not _is_text(product_id):
        return Unreadable(ascii(product_id), "product_id: is not valid UTF-8")
    refs: list[ImageRef] = []
    for image_id, source in pictures:
        try:
            refs.append(_image_ref(image_id, source))
        except OSError as error:
            return Unreadable(product_id, f"image {image_id!r}: cannot be read here ({error.strerror})")
        except BadImage as error:
            return Unreadable(product_id, f"image {image_id!r}: {error.reason}")
    total = sum(len(ref.data) for ref in refs if ref.data is not None)
    if total > MAX_PRODUCT_BYTES:
        return Unreadable(
            product_id, f"its images have {total} bytes together, at most {MAX_PRODUCT_BYTES} fit in a call"
        )
    return Upsert(product_id, tuple(refs), category, attributes)


def _image_ref(image_id: str, source: bytes | str | Path | None) -> ImageRef:
    if isinstance(source, str):
        return ImageRef(image_id, uri=source)
    return ImageRef(image_id, data=picture_bytes(source))


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
