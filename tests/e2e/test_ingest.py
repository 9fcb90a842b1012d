"""vitrine ingest, search and index status against a running `vitrine up`."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from tests.e2e.command import last_json, succeeded, vitrine
from tests.integration.shop import Drawn, drawn

MIB = 1024 * 1024


def test_a_folder_with_broken_files_goes_in_and_they_are_listed(folder: Path, tmp_path: Path) -> None:
    products = _saved(tmp_path / "shop", drawn()[:6])
    shop = tmp_path / "shop"
    (shop / "empty.jpg").touch()
    (shop / "text.jpg").write_text("this is no picture")
    (shop / "truncated.jpg").write_bytes(drawn()[6].pictures[0][:4000])
    (shop / "png-inside.jpg").write_bytes(_png(drawn()[7].pictures[0]))

    done = vitrine("ingest", shop, "--folder", folder, "--json")
    assert done.returncode == 0, done.stderr
    report = last_json(done.stdout)
    assert report["refused"].keys() == {"empty.jpg", "text.jpg", "truncated.jpg"}
    for name in report["refused"]:
        assert name in done.stderr
    assert vitrine("ingest", shop, "--folder", folder, "--strict").returncode == 1
    for name in (*products, "png-inside.jpg"):
        assert name in _found_by_product(folder, name)


def test_an_ingest_that_is_complete_publishes_nothing_again(folder: Path, tmp_path: Path) -> None:
    names = _saved(tmp_path / "again", drawn()[10:14], prefix="again-")
    first, second, forced = (
        last_json(succeeded("ingest", tmp_path / "again", "--folder", folder, "--json", *options))
        for options in ((), (), ("--again",))
    )
    assert (first["published"], first["skipped"]) == (len(names), 0)
    assert (second["published"], second["skipped"]) == (0, len(names))
    assert (forced["published"], forced["skipped"]) == (len(names), 0)


def test_a_new_picture_in_a_folder_below_is_ingested_the_next_time(folder: Path, tmp_path: Path) -> None:
    shop = tmp_path / "growing"
    _saved(shop / "z", drawn()[14:16], prefix="z-")
    succeeded("ingest", shop, "--folder", folder)
    _saved(shop / "z", [drawn()[16]], prefix="a-")  # sorted before what has been ingested
    succeeded("ingest", shop, "--folder", folder)
    assert _found_by_product(folder, f"z/a-{drawn()[16].product_id}.jpg")


def test_a_picture_that_was_mended_is_ingested_the_next_time(folder: Path, tmp_path: Path) -> None:
    shop = tmp_path / "mended"
    _saved(shop, drawn()[17:19], prefix="mended-")
    picture = shop / f"mended-{drawn()[17].product_id}.jpg"
    whole = picture.read_bytes()
    picture.write_bytes(whole[:4000])
    succeeded("ingest", shop, "--folder", folder)
    time.sleep(0.01)
    picture.write_bytes(whole)
    assert last_json(succeeded("ingest", shop, "--folder", folder, "--json"))["refused"] == {}
    assert _found_by_product(folder, picture.name)


def test_a_file_too_big_to_send_does_not_stop_the_others(folder: Path, tmp_path: Path) -> None:
    shop = tmp_path / "films"
    names = _saved(shop, drawn()[19:21], prefix="film-")
    with (shop / "film-a.mp4").open("wb") as film:
        film.truncate(40 * MIB)
    report = last_json(succeeded("ingest", shop, "--folder", folder, "--json"))
    assert report["refused"].keys() == {"film-a.mp4"}
    assert report["published"] == len(names)


def test_a_file_name_that_is_no_utf8_does_not_stop_the_others(folder: Path, tmp_path: Path) -> None:
    shop = tmp_path / "latin"
    names = _saved(shop, drawn()[21:23], prefix="latin-")
    odd = shop / b"latin-caf\xe9.jpg".decode("utf-8", "surrogateescape")
    try:
        odd.write_bytes(drawn()[23].pictures[0])
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    report = last_json(succeeded("ingest", shop, "--folder", folder, "--json"))
    assert report["published"] >= len(names)
    assert len(report["refused"]) + report["published"] == len(names) + 1


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
@pytest.mark.parametrize("column", ["path", "image"])
def test_a_table_of_paths_goes_in_with_its_columns_as_attributes(
    folder: Path, tmp_path: Path, ending: str, column: str
) -> None:
    products = drawn()[24:28]
    prefix = f"{ending[1:]}-{column}-"
    _saved(tmp_path / "pictures", products)
    table = tmp_path / f"table{ending}"
    rows = [
        {
            "product_id": prefix + product.product_id,
            column: f"pictures/{product.product_id}.jpg",
            "category": product.category,
            "colour": product.colour,
            "price": product.price,
        }
        for product in products
    ]
    WRITERS[ending](table, rows)
    report = last_json(succeeded("ingest", table, "--folder", folder, "--json"))
    assert (report["published"], report["refused"]) == (4, {})
    hit = _found(folder, tmp_path / "pictures" / f"{products[0].product_id}.jpg", k=30)[prefix + products[0].product_id]
    assert hit["category"] == products[0].category
    assert hit["attributes"] == {"colour": products[0].colour, "price": pytest.approx(products[0].price)}


def test_a_parquet_table_may_hold_the_pictures_themselves(folder: Path, tmp_path: Path) -> None:
    products = drawn()[28:30]
    rows = [{"id": f"bytes-{product.product_id}", "image": product.pictures[0]} for product in products]
    _write_parquet(tmp_path / "bytes.parquet", rows)
    assert last_json(succeeded("ingest", tmp_path / "bytes.parquet", "--folder", folder, "--json"))["published"] == 2
    assert _found_by_product(folder, rows[0]["id"])


def test_rows_of_one_product_are_its_pictures(folder: Path, tmp_path: Path) -> None:
    product = next(product for product in drawn() if len(product.pictures) == 2)
    rows: list[dict[str, object]] = []
    for number, picture in enumerate(product.pictures):
        (tmp_path / f"{number}.jpg").write_bytes(picture)
        rows.append({"product_id": "two-pictures", "image": f"{number}.jpg", "image_id": f"view-{number}"})
    rows.append({"product_id": "two-pictures", "image": "missing.jpg", "image_id": "view-2"})
    _write_csv(tmp_path / "two.csv", rows[:2])
    report = last_json(succeeded("ingest", tmp_path / "two.csv", "--folder", folder, "--json"))
    assert (report["published"], report["images"]) == (1, 2)
    for number in (0, 1):
        assert _found(folder, tmp_path / f"{number}.jpg", k=50)["two-pictures"]["image_id"] == f"view-{number}"

    _write_csv(tmp_path / "three.csv", rows)
    report = last_json(succeeded("ingest", tmp_path / "three.csv", "--folder", folder, "--json"))
    assert [*report["refused"], *report["partly"]] == ["two-pictures"]
    assert "view-2" in {**report["refused"], **report["partly"]}["two-pictures"]


@pytest.mark.parametrize(
    ("name", "content"), [("no-rows.csv", "image,category\n"), ("no-image.csv", "title\nShoe\n"), ("shop.xlsx", "x")]
)
def test_a_table_that_cannot_be_used_is_said_in_one_line(folder: Path, tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    done = vitrine("ingest", tmp_path / name, "--folder", folder)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("vitrine: path: ")


def test_a_picture_finds_its_product_and_the_answer_is_json(folder: Path, tmp_path: Path) -> None:
    [name] = _saved(tmp_path / "one", [drawn()[30]], prefix="json-")
    succeeded("ingest", tmp_path / "one", "--folder", folder)
    answer = json.loads(succeeded("search", tmp_path / "one" / name, "--folder", folder, "--k", "200", "--json"))
    assert {hit["product_id"]: hit["score"] for hit in answer["hits"]}[name] == pytest.approx(1, abs=1e-3)
    assert answer["coverage"]["partitions_answered"] == answer["coverage"]["partitions_total"] == 2
    assert {"index_time_us", "model_id", "query_id"} <= answer.keys()


def test_a_grid_of_what_looks_alike_can_be_saved(folder: Path, tmp_path: Path) -> None:
    names = _saved(tmp_path / "grid", drawn()[31:37], prefix="grid-")
    succeeded("ingest", tmp_path / "grid", "--folder", folder)
    grid = tmp_path / "new folder" / "grid.png"
    stdout = succeeded("search", names[0], "--folder", folder, "--save", grid)
    assert "score" in stdout
    with Image.open(grid) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert picture.width > 1000  # the query and five products in the first line
        assert picture.height > 300


@pytest.mark.parametrize("grid", ["grid.xyz", "grid", "a-file/grid.png"])
def test_a_grid_that_cannot_be_saved_is_said_in_one_line(folder: Path, tmp_path: Path, grid: str) -> None:
    (tmp_path / "a-file").touch()
    [name] = _saved(tmp_path / "unsaved", [drawn()[37]], prefix="unsaved-")
    succeeded("ingest", tmp_path / "unsaved", "--folder", folder)
    done = vitrine("search", name, "--folder", folder, "--save", tmp_path / grid)
    assert done.returncode in (1, 2)
    [line] = done.stderr.splitlines()
    assert line.startswith("vitrine: ")


@pytest.mark.parametrize("query", ["no-such-product", "x" * 256, "x" * 1000])
def test_an_unknown_product_is_said_in_one_line(folder: Path, query: str) -> None:
    done = vitrine("search", query, "--folder", folder)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("vitrine: product_id: ")


def test_a_query_that_is_no_picture_is_said_in_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("this is no picture")
    done = vitrine("search", tmp_path / "text.jpg", "--folder", folder)
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["vitrine: image: is not a JPEG, PNG or WebP picture"]


def test_the_status_is_json(folder: Path) -> None:
    status = json.loads(succeeded("index", "status", "--folder", folder, "--json"))
    assert (status["index"], status["partitions_total"], len(status["partitions"])) == ("default", 2, 2)
    assert len(status["model_id"]) == 64
    assert "index default" in succeeded("index", "status", "--folder", folder)


def test_without_a_running_up_a_command_says_so_in_one_line(tmp_path: Path) -> None:
    done = vitrine("index", "status", "--folder", tmp_path)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("vitrine: gateway: ")


def _saved(folder: Path, products: Sequence[Drawn], prefix: str = "") -> list[str]:
    """Saves each product's first picture. Returns the file names, which are the product ids of an ingest."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{prefix}{product.product_id}.jpg" for product in products]
    for name, product in zip(names, products, strict=True):
        (folder / name).write_bytes(product.pictures[0])
    return names


def _found_by_product(folder: Path, product_id: str) -> list[str]:
    """The product itself and what looks like it; fails if the product is unknown."""
    answer = json.loads(succeeded("search", product_id, "--folder", folder, "--json"))
    return [product_id, *(hit["product_id"] for hit in answer["hits"])]


def _found(folder: Path, picture: Path, k: int) -> dict[str, dict[str, object]]:
    answer = json.loads(succeeded("search", picture, "--folder", folder, "--k", str(k), "--json"))
    return {hit["product_id"]: hit for hit in answer["hits"]}


def _png(picture: bytes) -> bytes:
    out = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as opened:
        opened.save(out, "PNG")
    return out.getvalue()


def _write_csv(path: Path, rows: Sequence[dict[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def _write_parquet(path: Path, rows: Sequence[dict[str, object]]) -> None:
    pyarrow.parquet.write_table(pa.Table.from_pylist(list(rows)), path)


WRITERS: dict[str, Callable[[Path, Sequence[dict[str, object]]], None]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
