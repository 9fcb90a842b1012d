"""From request to model folder: what is checked first, what is remembered, and the page of figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch")

from training import pipeline, quality
from training.data import DataSettings, load
from training.exporting import bundle
from training.networks.network import Design
from vitrine.model_folder import Input, ModelFolder, Outputs, Variant
from vitrine.runtime.errors import ConfigError

MODEL = ModelFolder(
    format_version=1,
    name="drawn",
    model_id="f" * 64,
    input=Input("images", 32, 32),
    outputs=Outputs("vector", "scores"),
    dim=8,
    labels=("a", "b"),
    label_column="kind",
    variants={"fp32": Variant("model.fp32.onnx", "0" * 64, 1)},
    training={"data": {"labels": ["kind"], "image": "photo", "split": "part", "group": "product", "seed": 5}},
)


def silent(line: str) -> None:
    """Hears nothing."""


def test_a_model_is_measured_on_the_split_that_it_was_trained_without() -> None:
    assert pipeline.settings_for(MODEL, {}, silent) == DataSettings(
        labels=("kind",), image="photo", split="part", group="product", px=32, seed=5
    )


def test_it_is_said_when_the_splits_are_drawn_otherwise() -> None:
    said: list[str] = []
    assert pipeline.settings_for(MODEL, {"seed": 6, "image": "photo"}, said.append).seed == 6
    assert [line.split(" differ")[0] for line in said] == ["seed"]


def test_a_model_from_elsewhere_is_measured_on_the_labels_it_scores() -> None:
    assert pipeline.settings_for(replace(MODEL, training={}), {}, silent).labels == ("kind",)


@pytest.mark.parametrize("given", [Input("images", 32, 24), Input("images", 32, 32, fill=(0, 0, 0))])
def test_a_model_that_takes_other_pictures_is_not_measured(given: Input) -> None:
    with pytest.raises(ConfigError, match="only square ones on white"):
        pipeline.settings_for(replace(MODEL, input=given), {}, silent)


def test_a_folder_that_is_no_model_is_never_replaced(tmp_path: Path) -> None:
    kept = tmp_path / "holiday.txt"
    kept.write_text("not a model")
    with pytest.raises(ConfigError, match="is no model folder"), bundle.staged(tmp_path) as work:
        (work / "model.json").touch()
    assert kept.read_text() == "not a model"
    assert list(tmp_path.iterdir()) == [kept]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"variants": ("int4",)}, "variants"),
        ({"out": Path(__file__).parent}, "out"),
        ({"work": Path("models/new/work")}, "work"),
    ],
)
def test_what_would_fail_after_training_fails_before_it(changed: dict[str, Any], field: str) -> None:
    asked = pipeline.TrainRequest(data=Path("nowhere.csv"), out=Path("models/new"), work=Path("run/new"))
    with pytest.raises(ConfigError) as raised:
        pipeline.train_model(replace(asked, **changed), silent)
    assert raised.value.field == field


class Told(Exception):
    """Enough was heard: training need not begin."""


def test_products_with_several_pictures_are_found_among_those_of_train(squares: pa.Table, tmp_path: Path) -> None:
    # Every product has a picture in train and, behind it in the table, one in val or test.
    ids = [f"p{number % 48}" for number in range(squares.num_rows)]
    pq.write_table(squares.append_column("product_id", [ids]), tmp_path / "data.parquet")
    (tmp_path / "clicks.csv").write_text("anchor,positive,negative\np0,p1,p2\np3,p4,sold-out\n")
    asked = pipeline.TrainRequest(
        data=tmp_path / "data.parquet",
        out=tmp_path / "model",
        work=tmp_path / "work",
        settings=DataSettings(labels=("subcategory",), px=32),
        design=Design("small_cnn"),
        triplets=tmp_path / "clicks.csv",
    )
    said: list[str] = []

    def told(line: str) -> None:
        said.append(line)
        if "sold-out" in line:
            raise Told

    with pytest.raises(Told):
        pipeline.train_model(asked, told)
    assert said[-2] == "1 triplets, 1 left out"
    assert said[-1].startswith("1 products of the triplets are not in ")


def test_a_data_set_can_be_limited_to_some_labels(squares_file: Path) -> None:
    whole = load(squares_file, DataSettings(labels=("subcategory", "colour"), px=32))
    part = quality.limited(whole, "subcategory", ["Shoes", "Bags"])
    assert part.names == {"subcategory": ("Bags", "Shoes")}
    for split, pictures in part.splits.items():
        before = whole.splits[split]
        names = np.array(whole.names["subcategory"])[before.labels["subcategory"]]
        kept = np.isin(names, ["Shoes", "Bags"])
        assert np.array_equal(np.array(["Bags", "Shoes"])[pictures.labels["subcategory"]], names[kept])
        assert np.array_equal(pictures.rows, before.rows[kept])


def test_the_page_says_what_was_reached_and_what_was_not() -> None:
    page = quality.rendered(_figures(vote=0.99, article_type=0.5))
    reached = next(line for line in page.splitlines() if "vote of the ten nearest" in line)
    missed = next(line for line in page.splitlines() if line.startswith("| precision@10, article type | ≥"))
    assert reached.endswith("| 99.0% (98.0–100.0) | reached |")
    assert missed.endswith("| 50.0% (49.0–51.0) | **not reached** |")


def test_a_figure_that_could_not_be_measured_is_not_made_up() -> None:
    figures = _figures(vote=0.99, article_type=0.9)
    figures["summary"]["no_product"] = {"skipped": "the model has no output `presence`"}
    line = next(line for line in quality.rendered(figures).splitlines() if line.startswith("| no product"))
    assert line.endswith("| not measured | – |")


def _figures(vote: float, article_type: float) -> dict[str, Any]:
    """Figures as `quality.measured` gives them."""
    columns = {"subcategory": 0.95, "article_type": article_type, "colour": 0.6}
    reference = {name: _figure(vote) for name in ("vote", "vote_whole_catalogue", "head", "head_all_labels")}
    condition = {
        "queries": 100,
        "reference_subcategories": reference,
        **{
            name: {column: _figure(value) for column, value in columns.items()}
            for name in ("precision_at_10", "mean_average_precision", "top_1_by_head", "top_1_by_vote")
        },
    }
    kinds = ("clean", "composed", "cropped", "untrained_catalogue", "trained_catalogue_of_that_size")
    summary: dict[str, Any] = dict.fromkeys(kinds, condition)
    summary |= {"auto_crop": {"found": _figure(0.9)}, "no_product": {"area_under_roc": _figure(0.97)}}
    tops = {column: {"top_by_head": {k: _figure(0.9) for k in ("1", "3", "5")}} for column in columns}
    change = {name: _figure(-0.01) for name in ("reference.vote", "precision_at_10.article_type")}
    return {
        "date": "2026-11-20",
        "model": {"name": "drawn", "model_id": "f" * 64},
        "rows": {"train": 1000, "val": 100, "test": 100},
        "labels": {"subcategory": 9, "article_type": 20, "colour": 10},
        "summary": summary,
        "conditions": {"clean": {"columns": tops}, "cropped": {"change_from_clean": change}},
        "baselines": {
            baseline.name: {"epochs": 2, "subcategories": 9, "summary": summary} for baseline in quality.BASELINES
        },
    }


def _figure(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.01, "high": value + 0.01, "queries": 100}
