"""vitrine ingest: folders and tables, whole and broken, once and again."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from tests.e2e.command import last_json, succeeded, vitrine
from tests.e2e.pictures import saved
from tests.integration.shop import drawn
from vitrine.cli.stack import known_addresses
from vitrine.client import VisualSearchClient
from vitrine.shards.records import Hit

MIB = 1024 * 1024
NO_UTF8 = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")


def test_a_folder_with_broken_files_goes_in_and_they_are_listed(
    folder: Path, tmp_path: Path, client: VisualSearchClient
) -> None:
    names = saved(tmp_path, drawn()[:6], "whole")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("this is no picture")
    (tmp_path / "truncated.jpg").write_bytes(drawn()[6].pictures[0][:4000])
    (tmp_path / "png-inside.jpg").write_bytes(_png(drawn()[7].pictures[0]))

    done = vitrine("ingest", tmp_path, "--folder", folder, "--json")
    assert done.returncode == 0, done.stderr
    refused = last_json(done.stdout)["refused"]
    assert refused.keys() == {"empty.jpg", "text.jpg", "truncated.jpg"}
    assert [name for name in refused if name not in done.stderr] == []
    assert [client.product(name).product_id for name in (*names, "png-inside.jpg")] == [*names, "png-inside.jpg"]

    assert vitrine("ingest", tmp_path, "--folder", folder, "--strict").returncode == 1


def test_an_ingest_that_is_complete_publishes_nothing_again(folder: Path, tmp_path: Path) -> None:
    names = saved(tmp_path, drawn()[10:14], "again")
    first, second, forced = (_ingested(tmp_path, folder, *options) for options in ((), (), ("--again",)))
    assert (first["published"], first["skipped"]) == (len(names), 0)
    assert (second["published"], second["skipped"]) == (0, len(names))
    assert (forced["published"], forced["skipped"]) == (len(names), 0)


def test_a_new_picture_in_a_folder_below_is_ingested_the_next_time(
    folder: Path, tmp_path: Path, client: VisualSearchClient
) -> None:
    saved(tmp_path / "below", drawn()[14:16], "later")
    _ingested(tmp_path, folder)
    [name] = saved(tmp_path / "below", [drawn()[16]], "earlier")  # sorted before what is there already
    _ingested(tmp_path, folder)
    assert client.product(f"below/{name}").category == "below"


def test_a_picture_that_was_mended_is_ingested_the_next_time(
    folder: Path, tmp_path: Path, client: VisualSearchClient
) -> None:
    first, second = (tmp_path / name for name in saved(tmp_path, drawn()[17:19], "mended"))
    whole = first.read_bytes()
    first.write_bytes(whole[:4000])
    assert _ingested(tmp_path, folder)["refused"].keys() == {first.name}
    first.write_bytes(whole)
    assert _ingested(tmp_path, folder)["refused"] == {}
    assert _found(client, first).keys() >= {first.name, second.name}


def test_a_file_too_big_to_send_does_not_stop_the_others(folder: Path, tmp_path: Path) -> None:
    names = saved(tmp_path, drawn()[19:21], "small")
    with (tmp_path / "film.mp4").open("wb") as film:
        film.truncate(40 * MIB)
    report = _ingested(tmp_path, folder)
    assert report["refused"].keys() == {"film.mp4"}
    assert report["published"] == len(names)


def test_a_file_name_that_is_no_utf8_does_not_stop_the_others(
    folder: Path, tmp_path: Path, client: VisualSearchClient
) -> None:
    names = saved(tmp_path, drawn()[21:23], "plain")
    try:
        (tmp_path / NO_UTF8).write_bytes(drawn()[23].pictures[0])
    except OSError:
        return  # this file system takes UTF-8 names only
    _ingested(tmp_path, folder)
    assert [client.product(name).product_id for name in names] == names


@pytest.mark.parametrize(("ending", "column"), [(".csv", "path"), (".parquet", "image")])
def test_a_table_of_paths_goes_in_with_its_columns_as_attributes(
    folder: Path, tmp_path: Path, client: VisualSearchClient, ending: str, column: str
) -> None:
    products = drawn()[24:28]
    names = saved(tmp_path / "pictures", products, ending[1:])
    rows = [
        {"product_id": name, column: f"pictures/{name}", "category": item.category, "colour": item.colour, "price": 7.5}
        for name, item in zip(names, products, strict=True)
    ]
    WRITERS[ending](tmp_path / f"table{ending}", rows)
    report = _ingested(tmp_path / f"table{ending}", folder)
    assert (report["published"], report["refused"]) == (4, {})
    hit = _found(client, tmp_path / "pictures" / names[0])[names[0]]
    assert hit.category == products[0].category
    assert hit.attributes == {"colour": products[0].colour, "price": 7.5}


def test_a_parquet_table_may_hold_the_pictures_themselves(
    folder: Path, tmp_path: Path, client: VisualSearchClient
) -> None:
    rows = [{"id": f"bytes-{item.product_id}", "image": {"bytes": item.pictures[0]}} for item in drawn()[28:30]]
    _write_parquet(tmp_path / "bytes.parquet", rows)
    assert _ingested(tmp_path / "bytes.parquet", folder)["published"] == 2
    assert client.product(str(rows[0]["id"])).image_sha256s.keys() == {"0"}


def test_rows_of_one_product_are_its_pictures(folder: Path, tmp_path: Path, client: VisualSearchClient) -> None:
    views = saved(tmp_path, drawn()[30:32], "view")
    rows = [{"product_id": "views", "image": view, "image_id": f"view-{number}"} for number, view in enumerate(views)]
    _write_csv(tmp_path / "views.csv", rows)
    report = _ingested(tmp_path / "views.csv", folder)
    assert (report["published"], report["images"]) == (1, 2)
    for number, view in enumerate(views):
        assert _found(client, tmp_path / view)["views"].image_id == f"view-{number}"


def test_a_picture_that_is_missing_from_a_table_is_listed(folder: Path, tmp_path: Path) -> None:
    [name] = saved(tmp_path, drawn()[32:33], "there")
    rows = [{"product_id": "there", "image": name}, {"product_id": "not-there", "image": "missing.jpg"}]
    _write_csv(tmp_path / "gaps.csv", rows)
    report = _ingested(tmp_path / "gaps.csv", folder)
    assert report["published"] == 1
    assert report["refused"].keys() == {"not-there"}


@pytest.mark.parametrize(
    ("name", "content"), [("no-rows.csv", "image,category\n"), ("no-image.csv", "title\nShoe\n"), ("shop.xlsx", "x")]
)
def test_a_table_that_cannot_be_used_is_said_in_one_line(folder: Path, tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    done = vitrine("ingest", tmp_path / name, "--folder", folder)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("vitrine: path: ")


def _ingested(path: Path, folder: Path, *options: str) -> dict[str, Any]:
    """An ingest by the gateway's address, which leaves the roll at its end to the indexer."""
    gateway = known_addresses(folder)["gateway"]["grpc"]
    return last_json(succeeded("ingest", path, "--folder", folder, "--gateway", gateway, "--json", *options))


def _found(client: VisualSearchClient, picture: Path) -> dict[str, Hit]:
    """Everything there is, by product id."""
    return {hit.product_id: hit for hit in client.search(image=picture.read_bytes(), k=1000).hits}


def _png(picture: bytes) -> bytes:
    out = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as opened:
        opened.save(out, "PNG")
    return out.getvalue()


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def _write_parquet(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    pyarrow.parquet.write_table(pa.Table.from_pylist(list(rows)), path)


WRITERS: dict[str, Callable[[Path, Sequence[dict[str, Any]]], None]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
