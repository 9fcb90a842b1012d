"""vitrine bench vectors: many real vectors from few pictures, and queries that are none of them.

The first rows are the pictures themselves; then come further views of them, through the same model, never vectors
between vectors. View v of every picture comes before view v + 1, so the first n rows of any size are the same.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet
import typer
from PIL import Image

from vitrine import images, sample
from vitrine.cli import commands, console
from vitrine.cli.bench.machine import machine
from vitrine.cli.bench.views import Variation, view
from vitrine.model_folder import Input
from vitrine.runtime.cores import usable_cores
from vitrine.runtime.errors import ConfigError
from vitrine.tables import picture_bytes, picture_source, read_table
from vitrine.vectors import Vectors

VECTORS: Final = "vectors.npy"
ROWS: Final = "rows.parquet"
QUERIES: Final = "queries.npy"
QUERY_ROWS: Final = "queries.parquet"
FACTS: Final = "facts.json"
PROGRESS: Final = "progress.json"

GENERATOR: Final = 1
"""Another number wherever the same seed gives other views."""

QUERY_COUNT: Final = 2_000
_PIECE_ROWS: Final = 4_096
_BATCH_IMAGES: Final = 64
_SPECTRUM_ROWS: Final = 50_000
_SPECTRUM_DIRECTIONS: Final = (8, 16, 32, 64, 128, 256)
_SEED: Final = 5
_AS_ROW, _AS_QUERY = 0, 1
"""Views for rows and views for queries are drawn apart: the same number of view is another view."""

_CATEGORIES: Final = ("subcategory", "category")
"""The column that becomes the category: the finer one, where there are both."""

_ATTRIBUTES: Final = ("article_type", "colour", "price", "usage")

Pixels = npt.NDArray[np.uint8]
Embed = Callable[[Pixels], Vectors]
"""uint8 (n, height, width, 3) to float32 (n, dim), unit length. Called from several threads at once."""

Said = Callable[[int, int], None]
"""Rows done, rows in all."""


@dataclass(frozen=True)
class Recipe:
    """What the vectors depend on. Equal recipes that differ in `rows` alone give the same rows as far as both go."""

    data_sha256: str
    model_id: str
    rows: int
    seed: int
    variation: Variation
    generator: int = GENERATOR


@dataclass(frozen=True)
class Pictures:
    """RGB pictures no larger than the model's input, and the seed of their views."""

    images: Sequence[Image.Image]
    shape: Input
    seed: int
    variation: Variation

    def row(self, row: int) -> Pixels:
        """The picture or view that row `row` shows. uint8, shape (height, width, 3)."""
        number, picture = divmod(row, len(self.images))
        return self._letterboxed(self.images[picture] if number == 0 else self._view(picture, number, _AS_ROW))

    def query(self, picture: int, number: int) -> Pixels:
        """A view that is no row. uint8, shape (height, width, 3)."""
        return self._letterboxed(self._view(picture, number, _AS_QUERY))

    def _view(self, picture: int, number: int, purpose: int) -> Image.Image:
        random = np.random.default_rng((self.seed, purpose, picture, number))
        return view(self.images[picture], random, self.variation)

    def _letterboxed(self, picture: Image.Image) -> Pixels:
        return images.letterboxed(picture, self.shape.height, self.shape.width, self.shape.fill)


def bench_vectors(
    out: Annotated[Path, typer.Option(help="folder to write; what is there is gone on with")],
    data: Annotated[
        Path | None, typer.Option(help="catalogue: a .csv or .parquet with pictures; default: drawn")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="pictures first, then further views of them")] = 1_000_000,
    model: Annotated[Path, typer.Option(help="model folder")] = commands.DEFAULT_MODEL,
    seed: Annotated[int, typer.Option(min=0)] = _SEED,
) -> None:
    """Vectors of pictures and of further views of them, to measure larger catalogues with."""
    # ONNX Runtime belongs to the embedder, and is loaded where a model is run.
    embedder = importlib.import_module("services.embedder.model")
    loaded = embedder.Model.load(model, ["CPUExecutionProvider"])
    with _catalogue(data) as path:
        table = read_table(path, "data", as_text=("product_id", "image_id"))
        recipe = Recipe(hashlib.sha256(path.read_bytes()).hexdigest(), loaded.facts.model_id, rows, seed, Variation())
        decoded = _decoded(table, path.parent, loaded.facts.input)
    pictures = Pictures(decoded, loaded.facts.input, seed, recipe.variation)
    out.mkdir(parents=True, exist_ok=True)
    write_queries(pictures, table, lambda pixels: loaded.run(pixels)[0], out)
    write_row_labels(table, rows, out)
    with console.progress_bar() as progress:
        write_vectors(
            pictures,
            lambda pixels: loaded.run(pixels)[0],
            recipe,
            loaded.facts.dim,
            out,
            lambda done, total: progress("vectors", done, total),
        )
    facts = asdict(recipe) | {
        "data": data.name if data else "drawn sample",
        "pictures": table.num_rows,
        "variant": loaded.variant,
    }
    facts |= _spectra(out, table.num_rows) | {"machine": machine()}
    (out / FACTS).write_text(json.dumps(facts, indent=1) + "\n")
    commands.print_json({"bench": "vectors"} | facts)


def write_vectors(
    pictures: Pictures, embed: Embed, recipe: Recipe, dim: int, out: Path, said: Said, piece_rows: int = _PIECE_ROWS
) -> None:
    """Fills vectors.npy, float16 (rows, dim), from where progress.json says; that is true at any moment.

    `piece_rows`: written at once, and begun anew if stopped. Raises ConfigError (`out`) where the vectors of another
    recipe are.
    """
    done = _rows_done(out, recipe)
    vectors = _opened(out / VECTORS, (recipe.rows, dim), anew=done == 0)
    for first in range(done, recipe.rows, piece_rows):
        piece = range(first, min(first + piece_rows, recipe.rows))
        vectors[piece.start : piece.stop] = _embedded(pictures.row, piece, embed)
        vectors.flush()
        _write_whole(out / PROGRESS, {"rows_done": piece.stop, "recipe": asdict(recipe)})
        said(piece.stop, recipe.rows)


def write_queries(pictures: Pictures, table: pa.Table, embed: Embed, out: Path) -> None:
    """queries.npy, float32 (2,000, dim): views of pictures of the `test` split, each picture as seldom as can be."""
    among = np.arange(table.num_rows)
    if "split" in table.column_names:
        among = np.flatnonzero(np.asarray(table["split"].to_pylist(), dtype=object) == "test")
    if not len(among):
        raise ConfigError("data", "has no row whose split is test, and queries are views of those")
    order = np.random.default_rng((pictures.seed, _AS_QUERY)).permutation(among)
    numbers, places = np.divmod(np.arange(QUERY_COUNT), len(order))
    chosen = order[places]
    vectors = _embedded(
        lambda query: pictures.query(int(chosen[query]), int(numbers[query])), range(QUERY_COUNT), embed
    )
    np.save(out / QUERIES, vectors)
    pa.parquet.write_table(_labelled(table, chosen, numbers), out / QUERY_ROWS)


def write_row_labels(table: pa.Table, rows: int, out: Path) -> None:
    """rows.parquet: of each row, the picture, its view, a product id of its own, and the picture's labels."""
    views, pictures = np.divmod(np.arange(rows), table.num_rows)
    pa.parquet.write_table(_labelled(table, pictures, views), out / ROWS)


def spectrum(vectors: Vectors) -> dict[str, float]:
    """Share of the variance of float32 (n, dim) that lies in the first 8, 16 … 256 principal directions."""
    variances = np.linalg.eigvalsh(np.cov(vectors, rowvar=False))[::-1]
    shares = np.cumsum(variances) / variances.sum()
    return {str(count): round(float(shares[count - 1]), 4) for count in _SPECTRUM_DIRECTIONS if count <= len(shares)}


def _spectra(out: Path, pictures: int) -> dict[str, Any]:
    vectors = np.load(out / VECTORS, mmap_mode="r")
    sample = np.random.default_rng(_SEED).choice(len(vectors), min(_SPECTRUM_ROWS, len(vectors)), replace=False)
    return {
        "variance_share_of_directions": spectrum(vectors[np.sort(sample)].astype(np.float32)),
        "variance_share_of_directions_pictures": spectrum(vectors[:pictures].astype(np.float32)),
    }


@contextmanager
def _catalogue(data: Path | None) -> Iterator[Path]:
    """The table: `data`, or that of the drawn sample."""
    if data is not None:
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as folder:
        sample.write(Path(folder), sample.catalogue(), [])
        yield Path(folder) / "catalogue.csv"


def _decoded(table: pa.Table, folder: Path, shape: Input) -> list[Image.Image]:
    """The picture of each row. Raises ConfigError (`data`), BadImage."""
    if missing := {"image", "product_id"}.difference(table.column_names):
        raise ConfigError("data", f"has no column named {', '.join(sorted(missing))}, only {table.column_names}")
    sources = [picture_source(folder, "image", cell) for cell in table["image"].to_pylist()]
    with ThreadPoolExecutor(usable_cores()) as threads:
        return list(threads.map(lambda source: _reduced(source, shape), sources))


def _reduced(source: bytes | str | Path | None, shape: Input) -> Image.Image:
    if isinstance(source, str):
        raise ConfigError("data", f"image {source} is no file here")
    picture = images.decode(picture_bytes(source), (shape.width, shape.height))
    picture.thumbnail((shape.width, shape.height), Image.Resampling.BILINEAR)
    return picture


def _embedded(shown: Callable[[int], Pixels], numbers: range, embed: Embed) -> Vectors:
    """Vectors of what `shown` shows at each of `numbers`. float32, shape (n, dim)."""

    def batch(part: range) -> Vectors:
        return embed(np.stack([shown(number) for number in part]))

    with ThreadPoolExecutor(usable_cores()) as threads:
        return np.concatenate(list(threads.map(batch, _parts(numbers))))


def _parts(numbers: range) -> Iterator[range]:
    for first in range(0, len(numbers), _BATCH_IMAGES):
        yield numbers[first : first + _BATCH_IMAGES]


def _labelled(table: pa.Table, pictures: npt.NDArray[np.int64], views: npt.NDArray[np.int64]) -> pa.Table:
    ids = np.asarray(_picture_ids(table), dtype=object)[pictures]
    product_ids = [
        f"{product_id}-{number}" if number else product_id for product_id, number in zip(ids, views, strict=True)
    ]
    category = next((name for name in _CATEGORIES if name in table.column_names), "")
    columns = {"category": category} | {name: name for name in _ATTRIBUTES}
    labels = {name: table[column].take(pictures) for name, column in columns.items() if column in table.column_names}
    return pa.table(
        {
            "product_id": product_ids,
            "picture": pictures.astype(np.int32),
            "view": views.astype(np.int32),
            **labels,
        }
    )


def _picture_ids(table: pa.Table) -> list[str]:
    """What tells one picture from all others."""
    product_ids: list[str] = table["product_id"].to_pylist()
    if "image_id" not in table.column_names:
        return product_ids
    return [f"{name}-{image}" for name, image in zip(product_ids, table["image_id"].to_pylist(), strict=True)]


def _rows_done(out: Path, recipe: Recipe) -> int:
    path = out / PROGRESS
    if not path.is_file():
        return 0
    progress = json.loads(path.read_bytes())
    # As JSON has it: tuples are lists there.
    if progress["recipe"] != json.loads(json.dumps(asdict(recipe))):
        raise ConfigError("out", f"{out} holds other vectors (see {PROGRESS}); name another folder or remove it")
    return int(progress["rows_done"])


def _opened(path: Path, shape: tuple[int, int], anew: bool) -> np.memmap[Any, np.dtype[np.float16]]:
    mode: Any = "w+" if anew else "r+"
    return np.lib.format.open_memmap(path, mode=mode, dtype=np.float16, shape=shape)


def _write_whole(path: Path, facts: dict[str, Any]) -> None:
    """Readers find what was there before, or all of it."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(facts))
    beside.replace(path)
