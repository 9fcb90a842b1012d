"""What a data set becomes in memory, and what is said about one that cannot be used."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from vitrine.runtime.errors import ConfigError

pytest.importorskip("scipy")

from training.data import UNSEEN, Dataset, DataSettings, load

SETTINGS: Final = DataSettings(labels=("subcategory", "article_type", "colour"), words="title", px=32)
DRAWN: Final = replace(SETTINGS, split="")


def written(table: pa.Table, folder: Path) -> Path:
    pq.write_table(table, folder / "squares.parquet")
    return folder / "squares.parquet"


def column_set(table: pa.Table, column: str, changed: Callable[[int, Any], Any]) -> pa.Table:
    """The table with changed(row, value) in place of each value of `column`."""
    values = [changed(row, value) for row, value in enumerate(table[column].to_pylist())]
    return table.set_column(table.schema.get_field_index(column), column, pa.array(values))


def files_written(table: pa.Table, folder: Path, name: Callable[[dict[str, Any], int], str]) -> list[str]:
    """Each picture in a file of its own, called what `name` makes of its row. The names."""
    names = []
    for row, values in enumerate(table.to_pylist()):
        names.append(name(values, row))
        (folder / names[-1]).parent.mkdir(parents=True, exist_ok=True)
        (folder / names[-1]).write_bytes(values["image"])
    return names


def splits_of_rows(dataset: Dataset) -> dict[int, str]:
    return {int(row): split for split, pictures in dataset.splits.items() for row in pictures.rows}


# What is read


def test_pictures_are_letterboxed_on_white_and_split(squares_file: Path) -> None:
    dataset = load(squares_file, replace(SETTINGS, px=80))
    assert {split: len(pictures) for split, pictures in dataset.splits.items()} == {"train": 96, "val": 24, "test": 24}
    assert dataset.splits["test"].pixels.shape == (24, 80, 80, 3)
    assert (dataset.splits["test"].pixels[:, :, :10] == 255).all()


def test_codes_follow_the_sorted_names_of_the_training_split(squares_file: Path) -> None:
    dataset = load(squares_file, SETTINGS)
    assert dataset.names["subcategory"] == ("Bags", "Shoes", "Topwear")
    np.testing.assert_array_equal(dataset.splits["train"].labels["subcategory"][:6], [2, 2, 1, 1, 0, 0])


def test_the_first_label_column_is_the_scored_one(squares_file: Path) -> None:
    assert load(squares_file, replace(SETTINGS, labels=("colour", "subcategory"))).scored_column == "colour"


def test_a_table_without_named_labels_has_its_label_column(squares: pa.Table, tmp_path: Path) -> None:
    table = squares.append_column("label", squares["colour"])
    assert load(written(table, tmp_path), DataSettings(px=32)).columns == ("label",)


def test_rows_lead_back_to_the_source(squares: pa.Table, squares_file: Path) -> None:
    test = load(squares_file, SETTINGS).splits["test"].taken(np.array([3, 0]))
    np.testing.assert_array_equal(test.rows, [96 + 24 + 3, 96 + 24])
    assert test.pixels.shape == (2, 32, 32, 3)
    assert [len(codes) for codes in test.labels.values()] == [2, 2, 2]
    assert test.words.shape[0] == 2


def test_words_of_training_titles_share_one(squares: pa.Table, tmp_path: Path) -> None:
    titles = column_set(squares, "title", lambda row, title: title if row < 96 else f"{title} Sequin")
    dataset = load(written(titles, tmp_path), SETTINGS)
    assert "tshirts" in dataset.words
    assert "sequin" not in dataset.words
    np.testing.assert_allclose(dataset.splits["test"].words.sum(axis=1), 1, rtol=1e-6)


def test_a_picture_without_a_title_has_no_words(squares: pa.Table, tmp_path: Path) -> None:
    titles = column_set(squares, "title", lambda row, title: title if row else None)
    assert not load(written(titles, tmp_path), SETTINGS).splits["train"].words[0].any()


def test_without_a_title_column_there_are_no_words(squares_file: Path) -> None:
    dataset = load(squares_file, replace(SETTINGS, words=""))
    assert dataset.words == ()
    assert dataset.splits["train"].words.shape == (96, 0)


def test_clean_data_is_nothing_to_speak_of(squares_file: Path) -> None:
    assert load(squares_file, SETTINGS).skipped.lines() == []


# Folders and CSV


def test_a_folder_per_class_is_read_by_content(squares: pa.Table, tmp_path: Path) -> None:
    files_written(squares, tmp_path, lambda values, row: f"{values['colour']}/deeper/{row}.photo")
    (tmp_path / "Red" / "notes.txt").write_text("no picture")
    (tmp_path / "Red" / ".hidden.jpg").write_text("not looked at")
    dataset = load(tmp_path, DataSettings(px=32))
    assert dataset.names == {"label": ("Blue", "Green", "Red")}
    assert dataset.rows == 144
    assert dataset.skipped.lines() == ["1 file left out: no JPEG, PNG or WebP."]


def test_outer_folders_may_be_the_splits(squares: pa.Table, tmp_path: Path) -> None:
    files_written(squares, tmp_path, lambda values, row: f"{values['split']}/{values['colour']}/{row}.png")
    dataset = load(tmp_path, DataSettings(labels=("colour",), px=32))
    assert dataset.names == {"colour": ("Blue", "Green", "Red")}
    assert {split: len(pictures) for split, pictures in dataset.splits.items()} == {"train": 96, "val": 24, "test": 24}


def test_a_damaged_file_of_a_folder_is_named(squares: pa.Table, tmp_path: Path) -> None:
    files_written(squares, tmp_path, lambda values, row: f"{values['colour']}/{row}.png")
    (tmp_path / "Red" / "0.png").write_bytes(b"<html>")
    skipped = load(tmp_path, DataSettings(px=32)).skipped
    assert skipped.reasons == ("Red/0.png is not a JPEG, PNG or WebP picture",)


def test_a_folder_without_classes_is_refused(squares: pa.Table, tmp_path: Path) -> None:
    files_written(squares.slice(0, 3), tmp_path, lambda _, row: f"{row}.png")
    with pytest.raises(ConfigError, match=r"^data: .* holds no pictures in sub-folders"):
        load(tmp_path, DataSettings())


def test_a_folder_has_no_titles(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^words: .* is a folder"):
        load(tmp_path, DataSettings(words="title"))


def test_a_csv_names_files_beside_it_and_its_labels_stay_text(squares: pa.Table, tmp_path: Path) -> None:
    files = files_written(squares, tmp_path, lambda _, row: f"pictures/{row}.png")
    codes = ["007" if colour == "Red" else "1.50" for colour in squares["colour"].to_pylist()]
    table = pa.table({"image": files, "split": squares["split"], "colour": codes})
    pyarrow.csv.write_csv(table, tmp_path / "squares.csv")
    dataset = load(tmp_path / "squares.csv", DataSettings(labels=("colour",), px=32))
    assert dataset.names["colour"] == ("007", "1.50")
    assert dataset.rows == 144


# Splits that are drawn


def test_drawn_splits_hold_a_tenth_of_every_class(squares_file: Path) -> None:
    dataset = load(squares_file, DRAWN)
    assert [len(dataset.splits[split]) for split in ("val", "test")] == pytest.approx([14, 14], abs=1)
    for split in ("val", "test"):
        per_class = np.bincount(dataset.splits[split].labels["subcategory"], minlength=3)
        assert set(per_class) <= {4, 5}


def test_drawn_splits_follow_the_seed(squares_file: Path) -> None:
    first = splits_of_rows(load(squares_file, DRAWN))
    assert splits_of_rows(load(squares_file, DRAWN)) == first
    assert splits_of_rows(load(squares_file, replace(DRAWN, seed=8))) != first


def test_rows_of_a_group_share_a_drawn_split(squares: pa.Table, tmp_path: Path) -> None:
    products = pa.array([f"product {row // 3}" if row < 120 else None for row in range(len(squares))])
    path = written(squares.append_column("product", products), tmp_path)
    split_of = splits_of_rows(load(path, replace(DRAWN, group="product")))
    assert all(len({split_of[row + place] for place in range(3)}) == 1 for row in range(0, 120, 3))
    assert len({split_of[row] for row in range(120, 144)}) > 1


def test_identical_pictures_share_a_drawn_split(squares: pa.Table, tmp_path: Path) -> None:
    pictures = squares["image"].to_pylist()
    twins = column_set(squares, "image", lambda row, _: pictures[row % 72])
    dataset = load(written(twins, tmp_path), DRAWN)
    split_of = splits_of_rows(dataset)
    assert all(split_of[row] == split_of[row + 72] for row in range(72))
    assert dataset.skipped.repeated == 0


def test_a_class_of_one_is_trained_on_and_named(squares: pa.Table, tmp_path: Path) -> None:
    kinds = column_set(squares, "subcategory", lambda row, kind: "Monocle" if row == 17 else kind)
    dataset = load(written(kinds, tmp_path), DRAWN)
    assert splits_of_rows(dataset)[17] == "train"
    assert dataset.skipped.lines() == [
        "subcategory: 1 class with one picture in all, too few to learn and to measure: Monocle."
    ]


def test_a_split_column_that_was_asked_for_must_be_there(squares_file: Path) -> None:
    with pytest.raises(ConfigError, match=r"^fold: no such column"):
        load(squares_file, replace(SETTINGS, split="fold"))


def test_a_table_without_the_usual_split_column_is_split_here(squares: pa.Table, tmp_path: Path) -> None:
    path = written(squares.drop_columns(["split"]), tmp_path)
    assert splits_of_rows(load(path, SETTINGS)) == splits_of_rows(load(path, DRAWN))


# Bad input


@pytest.mark.parametrize("column", ["image", "subcategory", "colour", "title"])
def test_a_missing_column_is_named_beside_those_there_are(squares: pa.Table, tmp_path: Path, column: str) -> None:
    with pytest.raises(ConfigError, match=f"^{column}: no such column in .*, which has .*article_type"):
        load(written(squares.drop_columns([column]), tmp_path), SETTINGS)


def test_a_table_with_no_label_column_lists_what_it_has(squares_file: Path) -> None:
    with pytest.raises(ConfigError, match=r"^labels: name the label columns of .*subcategory, article_type"):
        load(squares_file, DataSettings())


def test_a_column_of_lists_is_no_label(squares: pa.Table, tmp_path: Path) -> None:
    lists = column_set(squares, "colour", lambda _, colour: [colour])
    with pytest.raises(ConfigError, match=r"^colour: .* holds list<.*>"):
        load(written(lists, tmp_path), SETTINGS)


def test_an_unknown_split_is_named_and_counted(squares: pa.Table, tmp_path: Path) -> None:
    splits = column_set(squares, "split", lambda _, split: "dev" if split == "val" else split)
    with pytest.raises(ConfigError, match=r"^split: must be train, val or test, not 'dev' \(24 rows\)"):
        load(written(splits, tmp_path), SETTINGS)


def test_an_empty_split_is_named_beside_the_counts_of_the_others(squares: pa.Table, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^split: val has no pictures, while train has 96, test has 24"):
        load(written(squares.filter(pc.field("split") != "val"), tmp_path), SETTINGS)


def test_too_few_pictures_to_draw_splits_from(squares: pa.Table, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^split: (val|test) has no pictures, while train has [45]"):
        load(written(squares.slice(0, 5), tmp_path), replace(DRAWN, words=""))


def test_a_column_with_one_class_teaches_nothing(squares: pa.Table, tmp_path: Path) -> None:
    red = column_set(squares, "colour", lambda *_: "Red")
    with pytest.raises(ConfigError, match=r"^colour: train has one class \('Red'\) in 96 pictures"):
        load(written(red, tmp_path), SETTINGS)


def test_titles_without_a_common_word_are_refused(squares: pa.Table, tmp_path: Path) -> None:
    numbers = column_set(squares, "title", lambda row, _: str(row))
    with pytest.raises(ConfigError, match=r"^title: no word is in 3 of train's 96 titles"):
        load(written(numbers, tmp_path), SETTINGS)


def test_a_label_that_training_never_saw_is_marked_and_counted(squares: pa.Table, tmp_path: Path) -> None:
    colours = column_set(squares, "colour", lambda row, colour: colour if row < 142 else "Infrared")
    dataset = load(written(colours, tmp_path), SETTINGS)
    np.testing.assert_array_equal(dataset.splits["test"].labels["colour"][-2:], UNSEEN)
    assert dataset.skipped.lines() == ["colour: 2 pictures of val and test in a class that train lacks."]


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_a_picture_without_one_of_its_labels_is_kept_for_the_others(
    squares: pa.Table, tmp_path: Path, nothing: str | None
) -> None:
    colours = column_set(squares, "colour", lambda row, colour: colour if row else nothing)
    dataset = load(written(colours, tmp_path), SETTINGS)
    assert dataset.rows == 144
    assert dataset.splits["train"].labels["colour"][0] == UNSEEN
    assert dataset.skipped.lines() == ["colour: 1 picture without a value."]


def test_a_row_without_any_label_is_left_out(squares: pa.Table, tmp_path: Path) -> None:
    bare = squares
    for column in SETTINGS.labels:
        bare = column_set(bare, column, lambda row, label: label if row != 5 else None)
    dataset = load(written(bare, tmp_path), SETTINGS)
    assert 5 not in dataset.splits["train"].rows
    assert dataset.skipped.lines() == ["1 row left out: no label."]


def test_a_table_without_any_label_is_refused(squares: pa.Table, tmp_path: Path) -> None:
    bare = column_set(squares, "colour", lambda *_: "")
    with pytest.raises(ConfigError, match=r"^labels: none of 144 rows has a value of colour"):
        load(written(bare, tmp_path), DataSettings(labels=("colour",), split=""))


def test_a_class_with_one_training_picture_is_named(squares: pa.Table, tmp_path: Path) -> None:
    kinds = column_set(squares, "article_type", lambda row, kind: "Clogs" if row in (9, 140) else kind)
    assert load(written(kinds, tmp_path), SETTINGS).skipped.lines() == [
        "article_type: 1 class with one picture in train: Clogs."
    ]


def test_damaged_pictures_are_left_out_and_the_first_are_named(squares: pa.Table, tmp_path: Path) -> None:
    pictures = column_set(squares, "image", lambda row, data: b"damaged" if row % 20 == 5 else data)
    dataset = load(written(pictures, tmp_path), SETTINGS)
    assert dataset.rows == 144 - 7
    assert not set(range(5, 144, 20)) & set(splits_of_rows(dataset))
    (line,) = dataset.skipped.lines()
    assert line.startswith("7 pictures left out: row 5 is not a JPEG, PNG or WebP picture; row 25 is not")
    assert line.endswith("row 85 is not a JPEG, PNG or WebP picture; …")


def test_more_than_a_tenth_damaged_is_refused_with_the_count(squares: pa.Table, tmp_path: Path) -> None:
    pictures = column_set(squares, "image", lambda row, data: None if row < 15 else data)
    with pytest.raises(ConfigError, match=r"^image: 15 of 144 pictures cannot be read, more than 10%: row 0 is empty"):
        load(written(pictures, tmp_path), SETTINGS)


def test_missing_files_and_addresses_are_unreadable_pictures(squares: pa.Table, tmp_path: Path) -> None:
    files = files_written(squares, tmp_path, lambda _, row: f"{row}.png")
    files[0], files[1] = "nowhere.png", "https://shop.example/1.png"
    dataset = load(written(column_set(squares, "image", lambda row, _: files[row]), tmp_path), SETTINGS)
    assert dataset.skipped.reasons == (
        "row 0 cannot be read (No such file or directory)",
        "row 1 is an address (https://shop.example/1.png), not bytes or a file",
    )


def test_pictures_that_were_trained_on_are_counted_where_they_are_measured(squares: pa.Table, tmp_path: Path) -> None:
    pictures = squares["image"].to_pylist()
    leaked = column_set(squares, "image", lambda row, data: pictures[0] if row == 143 else data)
    assert load(written(leaked, tmp_path), SETTINGS).skipped.lines() == [
        "1 picture of val and test also in train, byte for byte: figures measured on them flatter."
    ]


def test_decoding_in_threads_leaves_the_warning_filters_alone(squares_file: Path) -> None:
    before = list(warnings.filters)
    load(squares_file, SETTINGS)
    assert list(warnings.filters) == before


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^data: .*nowhere\.parquet does not exist"):
        load(tmp_path / "nowhere.parquet", SETTINGS)


def test_a_file_that_is_no_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"no table")
    with pytest.raises(ConfigError, match=r"^data: .*broken\.parquet cannot be read"):
        load(tmp_path / "broken.parquet", SETTINGS)


@pytest.mark.parametrize(
    ("setting", "value"), [("px", 8), ("seed", -1), ("image", ""), ("labels", ("colour", "colour")), ("labels", ("",))]
)
def test_settings_that_make_no_sense_are_named(setting: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{setting}: must"):
        replace(SETTINGS, **{setting: value})
