"""vitrine dedupe: groups as a table, as JSON, and as a report with pictures."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.command import last_json, succeeded, vitrine
from tests.integration.shop import drawn, indexed, published, upsert
from vitrine.client import VisualSearchClient
from vitrine.stream.events import Upsert

TITLE = "<script>alert('taken over')</script> & <b>bold</b>"
ONLY = "category=dedupe"


@pytest.fixture(scope="module")
def shop(client: VisualSearchClient) -> list[list[str]]:
    """A picture that three products share, and one that two do; and one product alone. Returns the groups."""
    pictures = [product.pictures[0] for product in drawn()[100:103]]
    products = {"dup-a": 0, "dup-b": 1, "dup-c": 0, "dup-d": 1, "dup-<i>e": 0, "dup-f": 2}
    events = [sold(name, pictures[place]) for name, place in products.items()]
    indexed(client, published(client, [*events, upsert("dup-lonely", pictures[0], category="lonely")]))
    return [["dup-<i>e", "dup-a", "dup-c"], ["dup-b", "dup-d"]]


def sold(product_id: str, picture: bytes) -> Upsert:
    return upsert(product_id, picture, category="dedupe", attributes={"colour": TITLE})


def dedupe(folder: Path, *options: str | Path) -> str:
    return succeeded("dedupe", "--folder", folder, "--filter", ONLY, *options)


class Page(HTMLParser):
    """What a browser would see: tags, pictures, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.sources: list[str] = []
        self.said = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.said += data


def test_groups_are_a_table(folder: Path, shop: list[list[str]]) -> None:
    table = dedupe(folder)
    rows = [line.split()[:3] for line in table.splitlines() if "dup-" in line]
    assert [row[:2] for row in rows] == [[str(number), name] for number, group in enumerate(shop, 1) for name in group]
    assert {row[2] for row in rows} == {"1.000"}


def test_groups_are_json_with_how_complete_they_are(folder: Path, shop: list[list[str]]) -> None:
    answer = last_json(dedupe(folder, "--json", "--min-score", "0.99"))
    assert [[member["product_id"] for member in group] for group in answer["groups"]] == shop
    assert answer["groups"][0][0]["attributes"] == {"colour": TITLE}
    assert answer["products_compared"] == 6
    assert answer["coverage"]["partitions_answered"] == answer["coverage"]["partitions_total"] == 1


def test_a_report_shows_the_pictures_and_needs_nothing_else(
    folder: Path, shop: list[list[str]], client: VisualSearchClient, tmp_path: Path
) -> None:
    report = tmp_path / "new folder" / "report.html"
    dedupe(folder, "--save", report)

    page = Page(report.read_text(encoding="utf-8"))
    prefix = "data:image/webp;base64,"
    assert [source[: len(prefix)] for source in page.sources] == [prefix] * 5
    thumbnail = client.thumbnail(next(iter(client.product("dup-b").images)).sha256)
    assert base64.b64decode(page.sources[-1].removeprefix(prefix)) == thumbnail
    assert "2 groups" in page.said
    assert re.findall(r"Group \d+: \d+ products", page.said) == ["Group 1: 3 products", "Group 2: 2 products"]


def test_what_a_catalogue_says_stays_text_in_a_report(folder: Path, shop: list[list[str]], tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    dedupe(folder, "--save", report)

    page = Page(report.read_text(encoding="utf-8"))
    assert TITLE in page.said
    assert "dup-<i>e" in page.said
    assert not page.tags & {"script", "b", "i", "iframe", "link"}


def test_a_report_can_be_a_picture(folder: Path, shop: list[list[str]], tmp_path: Path) -> None:
    report = tmp_path / "report.png"
    dedupe(folder, "--save", report)

    with Image.open(report) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert picture.height > 400  # two groups


@pytest.mark.parametrize("name", ["report.html", "report.png"])
def test_a_report_of_nothing_can_be_opened_too(folder: Path, shop: list[list[str]], tmp_path: Path, name: str) -> None:
    report = tmp_path / name
    succeeded("dedupe", "--folder", folder, "--filter", "category=lonely", "--save", report)

    if name.endswith(".html"):
        assert "0 groups" in Page(report.read_text(encoding="utf-8")).said
    else:
        with Image.open(report) as picture:
            picture.load()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--save", "report.xyz"], "save: "),
        (["--min-score", "0.2"], "min_score: "),
        (["--filter", "attributes.prise<3"], "filter.all_of[0].field: "),
    ],
)
def test_what_is_wrong_is_said_in_one_line(folder: Path, shop: list[list[str]], options: list[str], said: str) -> None:
    done = vitrine("dedupe", "--folder", folder, *options)
    assert done.returncode in (1, 2)
    assert [line.startswith(f"vitrine: {said}") for line in done.stderr.splitlines() if line] == [True]
