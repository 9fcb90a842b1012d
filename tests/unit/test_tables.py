"""Tables of products, and where their pictures are."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitrine.images import MAX_BYTES
from vitrine.runtime.errors import BadImage, ConfigError
from vitrine.tables import picture_bytes, picture_source, read_table


def test_csv_columns_named_as_text_keep_their_zeros(tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_text("code,price\n007,1.50\n,2\n")
    table = read_table(tmp_path / "shop.csv", "data", as_text=("code", "absent"))
    assert table.to_pylist() == [{"code": "007", "price": 1.5}, {"code": "", "price": 2.0}]


def test_a_file_of_another_kind_is_refused_under_the_field_of_the_caller(tmp_path: Path) -> None:
    (tmp_path / "shop.xlsx").touch()
    with pytest.raises(ConfigError, match=r"^data: .*shop\.xlsx is neither"):
        read_table(tmp_path / "shop.xlsx", "data")


def test_a_ragged_csv_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_text("code,price\n1,2,3\n")
    with pytest.raises(ConfigError, match=r"^path: .*shop\.csv cannot be read \("):
        read_table(tmp_path / "shop.csv", "path")


@pytest.mark.parametrize(
    ("cell", "source"),
    [
        (b"bytes", b"bytes"),
        (None, None),
        ("1.jpg", Path("shop/1.jpg")),
        ("/elsewhere/1.jpg", Path("/elsewhere/1.jpg")),
        ("s3://bucket/1.jpg", "s3://bucket/1.jpg"),
        ({"bytes": b"bytes", "path": "1.jpg"}, b"bytes"),
        ({"bytes": None, "path": "1.jpg"}, Path("shop/1.jpg")),
    ],
)
def test_a_cell_is_a_picture_its_file_or_its_address(cell: object, source: object) -> None:
    assert picture_source(Path("shop"), "image", cell) == source


def test_a_column_of_addresses_holds_no_files() -> None:
    assert picture_source(Path("shop"), "uri", "1.jpg") == "1.jpg"


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(BadImage, match=f"has {MAX_BYTES + 1} bytes"):
        picture_bytes(tmp_path / "huge.jpg")
