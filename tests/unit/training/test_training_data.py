"""What training says about a file that it cannot use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from vitrine.runtime.errors import ConfigError

pytest.importorskip("torch")

from training.data import UNSEEN, load


def written(table: pa.Table, folder: Path) -> Path:
    pq.write_table(table, folder / "squares.parquet")
    return folder / "squares.parquet"


def replaced(table: pa.Table, column: str, values: list[object]) -> pa.Table:
    return table.set_column(table.schema.get_field_index(column), column, pa.array(values))


def test_pictures_are_letterboxed_on_white_and_split(squares_file: Path) -> None:
    dataset = load(squares_file)
    assert {split: len(pictures) for split, pictures in dataset.splits.items()} == {"train": 96, "val": 24, "test": 24}
    assert dataset.splits["test"].pixels.shape == (24, 80, 80, 3)
    assert (dataset.splits["test"].pixels[:, :, :10] == 255).all()


def test_codes_follow_the_sorted_names_of_the_training_split(squares_file: Path) -> None:
    dataset = load(squares_file)
    assert dataset.names["subcategory"] == ("Shoes", "Topwear")
    np.testing.assert_array_equal(dataset.splits["train"].labels["subcategory"][:4], [1, 0, 1, 0])


def test_a_label_that_training_never_saw_is_marked(squares: pa.Table, tmp_path: Path) -> None:
    colours = [*squares["colour"].to_pylist()[:-1], "Infrared"]
    dataset = load(written(replaced(squares, "colour", colours), tmp_path))
    assert dataset.splits["test"].labels["colour"][-1] == UNSEEN


@pytest.mark.parametrize("column", ["image", "split", "subcategory", "article_type", "colour"])
def test_a_missing_column_is_named(squares: pa.Table, tmp_path: Path, column: str) -> None:
    with pytest.raises(ConfigError, match=f"^{column}: no such column"):
        load(written(squares.drop_columns([column]), tmp_path))


def test_an_empty_value_names_its_column(squares: pa.Table, tmp_path: Path) -> None:
    kinds = [None, *squares["article_type"].to_pylist()[1:]]
    with pytest.raises(ConfigError, match=r"^article_type: 1 of 144 rows"):
        load(written(replaced(squares, "article_type", kinds), tmp_path))


def test_an_absent_split_is_named(squares: pa.Table, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no row of the split 'val'"):
        load(written(squares.filter(pc.field("split") != "val"), tmp_path))


def test_a_damaged_picture_names_its_row(squares: pa.Table, tmp_path: Path) -> None:
    pictures = [*squares["image"].to_pylist()[:5], b"not a picture", *squares["image"].to_pylist()[6:]]
    with pytest.raises(ConfigError, match=r"^image: row 5: "):
        load(written(replaced(squares, "image", pictures), tmp_path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.parquet cannot be read"):
        load(tmp_path / "nowhere.parquet")
