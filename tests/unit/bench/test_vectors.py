"""Vectors of pictures and of further views of them are the same whenever they are made, in whatever steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from vitrine.cli.bench import vectors
from vitrine.cli.bench.vectors import Pictures, Pixels, Recipe, write_queries, write_row_labels, write_vectors
from vitrine.cli.bench.views import Variation, view
from vitrine.model_folder import Input
from vitrine.runtime.errors import ConfigError
from vitrine.vectors import Vectors, unit

SHAPE = Input("images", 16, 16)
PICTURES = 20
DIM = 48
SEED = 5


def coloured_pictures() -> list[Image.Image]:
    random = np.random.default_rng(1)
    return [Image.fromarray(random.integers(0, 255, (16, 12, 3), dtype=np.uint8)) for _ in range(PICTURES)]


def embed(pixels: Pixels) -> Vectors:
    """Every eighth pixel row and column: alike for pictures that look alike."""
    return unit(1 + pixels[:, ::4, ::4].reshape(len(pixels), -1).astype(np.float32))


def pictures(seed: int = SEED) -> Pictures:
    return Pictures(coloured_pictures(), SHAPE, seed, Variation())


def recipe(rows: int) -> Recipe:
    return Recipe("of the data", "of the model", rows, SEED, Variation())


def written(folder: Path, rows: int) -> Vectors:
    folder.mkdir(exist_ok=True)
    write_vectors(pictures(), embed, recipe(rows), DIM, folder, lambda done, total: None, piece_rows=8)
    found: Vectors = np.load(folder / vectors.VECTORS).astype(np.float32)
    return found


def catalogue() -> pa.Table:
    splits = ["test" if row % 5 == 0 else "train" for row in range(PICTURES)]
    names = [f"product-{row}" for row in range(PICTURES)]
    subcategories = [f"kind {row % 3}" for row in range(PICTURES)]
    return pa.table({"product_id": names, "split": splits, "subcategory": subcategories})


def test_the_first_rows_are_the_pictures_themselves(tmp_path: Path) -> None:
    plain = np.stack([pictures().row(row) for row in range(PICTURES)])
    assert (plain[:, :, 2:14] == np.stack([np.asarray(picture) for picture in coloured_pictures()])).all()
    np.testing.assert_allclose(written(tmp_path, 50)[:PICTURES], embed(plain), atol=1e-3)


def test_later_rows_are_other_views_of_them() -> None:
    rows = [pictures().row(row) for row in (0, PICTURES, 2 * PICTURES)]
    assert not (rows[0] == rows[1]).all()
    assert not (rows[1] == rows[2]).all()


def test_the_same_seed_draws_the_same_view_and_another_seed_another() -> None:
    row = PICTURES + 3
    assert (pictures().row(row) == pictures().row(row)).all()
    assert not (pictures().row(row) == pictures(seed=6).row(row)).all()


def test_fewer_rows_are_the_first_of_more(tmp_path: Path) -> None:
    fewer, more = written(tmp_path / "fewer", 33), written(tmp_path / "more", 60)
    assert fewer.shape == (33, DIM)
    np.testing.assert_array_equal(fewer, more[:33])


def test_a_run_that_was_interrupted_goes_on_to_the_same_vectors(tmp_path: Path) -> None:
    reached: list[int] = []

    def stop_midway(done: int, total: int) -> None:
        reached.append(done)
        if done == 24:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_vectors(pictures(), embed, recipe(60), DIM, tmp_path, stop_midway, piece_rows=8)
    write_vectors(pictures(), embed, recipe(60), DIM, tmp_path, lambda done, total: reached.append(done), piece_rows=8)

    assert reached == [8, 16, 24, 32, 40, 48, 56, 60]
    np.testing.assert_array_equal(np.load(tmp_path / vectors.VECTORS), written(tmp_path.parent / "at once", 60))


def test_vectors_of_another_recipe_are_not_gone_on_with(tmp_path: Path) -> None:
    written(tmp_path, 30)
    other = replace(recipe(30), model_id="of another model")
    with pytest.raises(ConfigError) as refused:
        write_vectors(pictures(), embed, other, DIM, tmp_path, lambda done, total: None)
    assert refused.value.field == "out"


def test_queries_are_views_of_the_test_split_that_are_no_rows(tmp_path: Path) -> None:
    write_queries(pictures(), catalogue(), embed, tmp_path)

    queries = np.load(tmp_path / vectors.QUERIES)
    asked = pyarrow.parquet.read_table(tmp_path / vectors.QUERY_ROWS)["picture"].to_pylist()
    assert queries.shape == (vectors.QUERY_COUNT, DIM)
    assert set(asked) == {0, 5, 10, 15}
    assert len(np.unique(queries, axis=0)) == vectors.QUERY_COUNT
    assert not any((pictures().row(number * PICTURES) == pictures().query(0, number)).all() for number in range(5))


def test_a_catalogue_without_test_pictures_is_refused(tmp_path: Path) -> None:
    only_train = catalogue().filter(pa.compute.equal(catalogue()["split"], "train"))
    with pytest.raises(ConfigError) as refused:
        write_queries(pictures(), only_train, embed, tmp_path)
    assert refused.value.field == "data"


def test_each_row_has_an_id_of_its_own_and_the_labels_of_its_picture(tmp_path: Path) -> None:
    write_row_labels(catalogue(), 50, tmp_path)

    rows = pyarrow.parquet.read_table(tmp_path / vectors.ROWS)
    assert len(set(rows["product_id"].to_pylist())) == 50
    assert rows.slice(45, 1).to_pylist() == [
        {"product_id": "product-5-2", "picture": 5, "view": 2, "category": "kind 2"}
    ]


@pytest.mark.parametrize("number", range(20))
def test_a_view_of_a_product_on_white_keeps_a_light_ground(number: int) -> None:
    white = Image.new("RGB", (60, 80), "white")
    seen = np.asarray(view(white, np.random.default_rng(number), Variation()))
    assert seen.shape == (80, 60, 3)
    # No black corners where the turned picture ends.
    assert seen.min() > 160


def test_the_spectrum_says_in_how_few_directions_the_vectors_lie() -> None:
    random = np.random.default_rng(2)
    flat = (random.standard_normal((400, 8)) @ random.standard_normal((8, 32))).astype(np.float32)
    full = random.standard_normal((4_000, 32)).astype(np.float32)
    assert vectors.spectrum(flat) == {"8": 1.0, "16": 1.0, "32": 1.0}
    assert 0.2 < vectors.spectrum(full)["8"] < 0.35
