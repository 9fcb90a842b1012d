"""vitrine search and index status: what a person sees, and what a script reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.command import last_json, succeeded, vitrine
from tests.e2e.pictures import saved
from tests.integration.shop import drawn


@pytest.fixture(scope="module")
def shop(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pictures that are ingested; a picture's name is its product id."""
    pictures = tmp_path_factory.mktemp("shop")
    names = saved(pictures, drawn()[60:68], "search")
    succeeded("ingest", pictures, "--folder", folder)
    return [pictures / name for name in names]


def test_a_picture_finds_its_product_and_the_answer_is_json(folder: Path, shop: list[Path]) -> None:
    answer = last_json(succeeded("search", shop[0], "--folder", folder, "--k", "5", "--json"))
    assert answer["hits"][0]["product_id"] == shop[0].name
    assert answer["hits"][0]["score"] == pytest.approx(1, abs=1e-3)
    assert len(answer["hits"]) == 5
    assert answer["coverage"]["partitions_answered"] == answer["coverage"]["partitions_total"] == 1
    assert {"index_time_us", "model_id", "query_id"} <= answer.keys()


def test_a_product_finds_others_and_they_can_be_saved_as_a_grid(folder: Path, shop: list[Path], tmp_path: Path) -> None:
    grid = tmp_path / "new folder" / "grid.png"
    table = succeeded("search", shop[0].name, "--folder", folder, "--save", grid)
    assert "score" in table
    assert shop[0].name not in table
    with Image.open(grid) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert picture.width > 1000  # the query and five products in the first line
        assert picture.height > 300


@pytest.mark.parametrize("grid", ["grid.xyz", "a-file/grid.png"])
def test_a_grid_that_cannot_be_saved_is_said_in_one_line(
    folder: Path, shop: list[Path], tmp_path: Path, grid: str
) -> None:
    (tmp_path / "a-file").touch()
    done = vitrine("search", shop[0].name, "--folder", folder, "--save", tmp_path / grid)
    assert done.returncode in (1, 2)
    assert [line.startswith("vitrine: ") for line in done.stderr.splitlines()] == [True]


@pytest.mark.parametrize("query", ["no-such-product", "x" * 256])
def test_an_unknown_product_is_said_in_one_line(folder: Path, query: str) -> None:
    done = vitrine("search", query, "--folder", folder)
    assert done.returncode == 1
    assert [line.startswith("vitrine: product_id: ") for line in done.stderr.splitlines()] == [True]


def test_a_query_that_is_no_picture_is_said_in_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("this is no picture")
    done = vitrine("search", tmp_path / "text.jpg", "--folder", folder)
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["vitrine: image: is not a JPEG, PNG or WebP picture"]


def test_the_status_is_json_or_a_table(folder: Path) -> None:
    status = json.loads(succeeded("index", "status", "--folder", folder, "--json"))
    assert (status["index"], status["partitions_total"], len(status["partitions"])) == ("default", 1, 1)
    assert len(status["model_id"]) == 64
    assert "index default" in succeeded("index", "status", "--folder", folder)


def test_without_a_running_up_a_command_says_so_in_one_line(tmp_path: Path) -> None:
    done = vitrine("index", "status", "--folder", tmp_path)
    assert done.returncode == 2
    assert [line.startswith("vitrine: gateway: ") for line in done.stderr.splitlines()] == [True]
