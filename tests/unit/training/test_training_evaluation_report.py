"""A whole evaluation, page and pictures, of a model that tells drawn products by their colour alone."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytest.importorskip("jinja2")

from training.data import Dataset, Pictures, Skipped
from training.evaluation import page, pictures, report
from training.evaluation.conditions import cropped_queries
from training.evaluation.findings import Report
from training.exporting.session import Embedded
from vitrine.model_folder import Input, ModelFolder, Outputs, Variant
from vitrine.runtime.errors import ConfigError

PX = 48
COLOURS = {"Bags": (200, 30, 40), "Belts": (30, 160, 60), "Shoes": (40, 60, 200)}
SIZES = {"train": 90, "val": 30, "test": 30}
NAMES = {"subcategory": tuple(COLOURS), "size": ("Large", "Small")}


def drawn(n: int, random: np.random.Generator) -> Pictures:
    """Squares in the colour of their kind, large and small, on white."""
    pixels = np.full((n, PX, PX, 3), 255, np.uint8)
    kinds, sizes = np.arange(n) % 3, np.arange(n) % 2
    for picture, kind, size in zip(pixels, kinds, sizes, strict=True):
        side = 20 if size else 32
        top, left = random.integers(0, PX - side, 2)
        picture[top : top + side, left : left + side] = list(COLOURS.values())[kind]
    labels = {"subcategory": kinds, "size": sizes}
    return Pictures(pixels, labels, np.arange(n), np.zeros((n, 0), np.float32))


@dataclass(frozen=True)
class ColoursOnly:
    """Sees which of the three colours are in a picture, and where, and nothing else."""

    facts: ModelFolder
    variant: str = "fp32"

    def embed(self, pixels: npt.NDArray[np.uint8]) -> Embedded:
        shares = (_near(pixels).mean(axis=(1, 2)) > 0.05) + 0.01
        vectors = (shares / np.linalg.norm(shares, axis=1, keepdims=True)).astype(np.float32)
        scores = {"subcategory": (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)}
        cells = _near(pixels).any(axis=3).reshape(len(pixels), 12, 4, 12, 4).mean(axis=(2, 4)).astype(np.float32)
        outputs = self.facts.outputs
        return Embedded(
            vectors=vectors,
            scores=scores if self.facts.labels else {},
            activation=cells if outputs.activation else None,
            presence=cells.max(axis=(1, 2)) if outputs.presence else None,
        )


def _near(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    apart = pixels[..., None, :].astype(int) - np.array(list(COLOURS.values()))
    near: npt.NDArray[np.bool_] = (np.abs(apart) < 12).all(axis=-1)
    return near


def model(outputs: Outputs, labels: tuple[str, ...] = tuple(COLOURS), side_px: int = PX) -> ColoursOnly:
    inputs, variant = Input("images", side_px, side_px), Variant("model.onnx", "0" * 64, 1)
    return ColoursOnly(
        ModelFolder(1, "colours", "f" * 64, inputs, outputs, 3, labels, {"fp32": variant}, label_column="subcategory")
    )


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    random = np.random.default_rng(5)
    splits = {split: drawn(n, random) for split, n in SIZES.items()}
    return Dataset(splits, NAMES, (), Skipped(), PX)


@pytest.fixture(scope="module")
def full(dataset: Dataset) -> Report:
    return report.evaluate(model(Outputs("vector", "scores", "activation", "presence")), dataset, seed=7)


@pytest.fixture(scope="module")
def bare(dataset: Dataset) -> Report:
    """Of a model with nothing but vectors."""
    return report.evaluate(model(Outputs("vector"), labels=()), dataset, seed=7)


def test_every_condition_is_measured_on_the_test_split(full: Report) -> None:
    asked = {name: (figures.queries, figures.catalogue_rows) for name, figures in full.conditions.items()}
    assert asked == {
        "clean": (30, 90),
        "composed": (30, 90),
        "cropped": (30, 90),
        "untrained_catalogue": (30, 30),
        "trained_catalogue_of_that_size": (30, 30),
    }
    assert full.skipped == {}


def test_what_a_model_sees_is_found_and_what_it_does_not_see_is_left_to_chance(full: Report) -> None:
    columns = full.conditions["clean"].columns
    assert columns["subcategory"].precision_at[10].value == 1
    assert columns["subcategory"].mean_average_precision.value > 0.99
    assert columns["subcategory"].top_by_head[1].value == 1
    assert columns["size"].top_by_head == {}


def test_only_the_reference_subcategories_among_the_labels_are_asked(full: Report) -> None:
    reference = full.conditions["clean"].reference
    assert reference
    assert (reference.vote.value, reference.vote.queries) == (1, 20)


def test_a_product_that_stands_out_is_boxed_and_its_absence_is_noticed(full: Report) -> None:
    assert full.auto_crop
    assert full.no_product
    assert full.auto_crop.mean_iou.value > full.auto_crop.whole_picture_mean_iou.value
    assert full.no_product.area_under_roc.value > 0.9


def test_a_model_without_outputs_says_what_was_not_measured(bare: Report) -> None:
    assert bare.skipped == {
        "auto_crop": "the model has no output `activation`",
        "no_product": "the model has no output `presence`",
    }
    assert bare.told_by == "vote"
    assert bare.summary()["auto_crop"] == {"skipped": "the model has no output `activation`"}


def test_products_that_cannot_be_cut_out_are_not_put_elsewhere(dataset: Dataset) -> None:
    test = dataset.splits["test"]
    dark = replace(test, pixels=np.minimum(test.pixels, 90))
    covered = replace(dataset, splits={**dataset.splits, "test": dark})
    found = report.evaluate(model(Outputs("vector", "", "activation", "presence"), labels=()), covered, seed=7)
    assert set(found.skipped) == {"composed", "cropped", "auto_crop", "no_product"}
    assert "can be cut out" in page.rendered(found)


def test_pictures_of_another_size_are_refused(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"^px: is 48, but the model takes 80x80"):
        report.evaluate(model(Outputs("vector"), labels=(), side_px=80), dataset, seed=7)


def test_every_figure_has_its_interval_and_its_number_of_queries(full: Report) -> None:
    def figures(part: object) -> list[Mapping[str, float]]:
        if isinstance(part, Mapping):
            return [part] if "value" in part else [found for inner in part.values() for found in figures(inner)]
        return []

    found = figures(full.as_json()) + figures(full.summary())
    assert len(found) > 50
    assert all(set(figure) == {"value", "low", "high", "queries"} for figure in found)
    assert all(figure["low"] <= figure["value"] <= figure["high"] for figure in found)


def test_the_same_seed_gives_the_same_report(full: Report, dataset: Dataset) -> None:
    again = report.evaluate(model(Outputs("vector", "scores", "activation", "presence")), dataset, seed=7)
    assert again.summary() == full.summary()


def test_report_json_holds_the_summary_and_no_pictures(full: Report, tmp_path: Path) -> None:
    written = json.loads(report.write(full, tmp_path / "report").read_text())
    assert written["data"]["rows"] == SIZES
    assert written["data"]["labels"] == {"subcategory": 3, "size": 2}
    assert written["conditions"]["clean"]["columns"]["size"]["precision_at_10"]["queries"] == 30
    assert len(written["embedding_map"]["points"]) == 30
    assert "answers" not in written


def test_a_crop_keeps_three_fifths_of_the_product_or_more(dataset: Dataset) -> None:
    queries = dataset.splits["test"]
    is_product: npt.NDArray[np.bool_] = np.any(queries.pixels < 250, axis=3)
    boxes = np.array([_box(mask) for mask in is_product], np.float32)
    cropped = cropped_queries(queries, boxes, seed=1)
    white = (cropped.pixels == 255).all(axis=3).mean(axis=(1, 2))
    # A crop of a square shows nothing but the square, in bars of white as wide as its sides differ.
    assert (white <= 0.45).all()
    assert cropped.labels is queries.labels


def _box(mask: npt.NDArray[np.bool_]) -> tuple[float, ...]:
    rows, columns = np.nonzero(mask)
    return tuple(edge / PX for edge in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))


def test_the_page_needs_nothing_but_itself(full: Report, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("epoch,loss,val_subcategory,phase\n1,2.5,0.4,warm\n2,1.5,0.6,warm\n")
    text = page.write(full, tmp_path / "report", log).read_text()
    assert not re.search(r"https?://|<script|<link|@import|url\(", text)
    assert "No street photo was tested" in text
    assert "Val subcategory" in text
    assert "Phase" not in text


@pytest.mark.parametrize("kind", ["full", "bare"])
def test_the_page_is_well_formed(kind: str, request: pytest.FixtureRequest) -> None:
    text = page.rendered(request.getfixturevalue(kind))
    for tag in ("table", "figure", "svg", "ul", "div", "p", "g", "text", "tr"):
        assert len(re.findall(rf"<{tag}[\s>]", text)) == text.count(f"</{tag}>"), tag
    assert "{{" not in text


def test_labels_are_escaped_on_the_page(full: Report) -> None:
    spiteful = replace(full, classes=tuple(replace(figures, label="<b>&") for figures in full.classes))
    assert "&lt;b&gt;&amp;" in page.rendered(spiteful)


def test_a_log_that_is_missing_is_named(full: Report, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^log: .*none\.csv cannot be read"):
        page.rendered(full, tmp_path / "none.csv")


def test_pictures_are_shown_only_when_asked_for(full: Report) -> None:
    grids = pictures.grids(full, "size", NAMES["size"], seed=1)
    worst = grids[0].worst[0]
    assert [grid.condition for grid in grids] == list(full.conditions)
    assert len(worst.found) == 10
    assert not all(shown.right for shown in worst.found)
    assert "data:image/webp" in page.rendered(full, grids=grids)
    assert "data:image" not in page.rendered(full)
