"""vitrine train, eval and model check on drawn products: from pictures to a model that is measured and served."""

from __future__ import annotations

import csv
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from tests.e2e.command import last_json, vitrine
from vitrine import sample

LABELS = ("--labels", "category,colour")
PRODUCTS = 120
MINUTE_S = 60.0


@dataclass(frozen=True)
class Made:
    """What one training left behind."""

    data: Path
    model: Path
    work: Path
    said: str
    duration_s: float


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("train")
    products = sample.catalogue(PRODUCTS)
    sample.write(folder / "drawn", products, sample.queries(products, 9))
    data, model, work = folder / "drawn" / "catalogue.csv", folder / "drawn-resnet18", folder / "work"
    parts = ("--part", "kind:48:0.7:category", "--part", "colour:16:0.3:colour")
    options = ("--px", "32", "--epochs", "8", "--batch-pictures", "32", "--group", "product_id", "--seed", "5")
    began_s = time.monotonic()
    done = vitrine("train", data, "--out", model, "--work", work, "--words", "title", *LABELS, *parts, *options)
    assert done.returncode == 0, done.stderr
    return Made(data, model, work, done.stderr, time.monotonic() - began_s)


def test_a_tiny_model_is_trained_exported_and_measured_within_a_minute(made: Made) -> None:
    assert made.duration_s < MINUTE_S
    assert {"model.json", "model.int8.onnx", "MODEL_CARD.md", "report"} <= {path.name for path in made.model.iterdir()}


def test_it_learns_what_the_products_are(made: Made) -> None:
    clean = _model_json(made)["training"]["test"]["clean"]
    labels = len(_model_json(made)["labels"])
    assert clean["top_1_by_vote"]["category"]["value"] > 3 / labels
    assert clean["precision_at_10"]["colour"]["value"] > 2 / len(_model_json(made)["heads"]["colour"]["labels"])


def test_the_embedder_would_serve_it(made: Made) -> None:
    checked = vitrine("model", "check", made.model)
    assert checked.returncode == 0, checked.stdout


def test_the_log_has_a_row_an_epoch(made: Made) -> None:
    header, *rows = (made.work / "log.csv").read_text().splitlines()
    assert header.startswith("epoch,")
    assert len(rows) == 8


def test_the_page_stands_by_itself(made: Made) -> None:
    page = (made.model / "report" / "index.html").read_text()
    assert page.count("<html") == 1
    assert not [place for place in ('src="http', "src='http", 'href="http', "@import", "url(http") if place in page]
    assert f"{_model_json(made)['training']['test']['clean']['top_1_by_vote']['category']['value']:.1%}"[:-1] in page


def test_eval_gives_the_figures_that_the_model_carries(made: Made, tmp_path: Path) -> None:
    # The splits are drawn anew, as for training: how is in model.json.
    done = vitrine("eval", made.model, made.data, "--out", tmp_path / "report", "--pictures")
    assert done.returncode == 0, done.stderr
    carried = _model_json(made)["training"]["test"]["clean"]["precision_at_10"]["category"]["value"]
    assert last_json(done.stdout)["clean"]["precision_at_10"]["category"]["value"] == pytest.approx(carried, abs=1e-6)
    assert json.loads((tmp_path / "report" / "report.json").read_text())["model"]["variant"] == "cpu-int8"
    assert "data:image/" in (tmp_path / "report" / "index.html").read_text()


def test_a_model_whose_file_was_changed_is_refused_with_the_reason(made: Made, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in made.model.glob("model.*"):
        (broken / path.name).write_bytes(path.read_bytes())
    data = np.frombuffer((broken / "model.int8.onnx").read_bytes(), np.uint8).copy()
    data[len(data) // 2] ^= 1
    (broken / "model.int8.onnx").write_bytes(data.tobytes())
    checked = vitrine("model", "check", broken)
    assert checked.returncode == 1
    assert "sha256" in checked.stdout


def test_a_folder_per_class_another_backbone_and_a_smaller_vector_go_together(made: Made, tmp_path: Path) -> None:
    _sorted_into_folders(made.data, tmp_path / "classes")
    model = tmp_path / "small"
    network = ("--backbone", "small_cnn", "--pca", "16", "--variants", "cpu-int8,fp32", "--px", "32")
    learning = ("--triplet-weight", "1", "--batch-pictures", "32", "--epochs", "2", "--work", tmp_path / "work")
    first = vitrine("train", tmp_path / "classes", "--out", model, *network, *learning)
    assert first.returncode == 0, first.stderr
    facts = json.loads((model / "model.json").read_text())
    assert (facts["dim"], facts["label_column"], set(facts["variants"])) == (16, "label", {"cpu-int8", "fp32"})

    again = vitrine("train", tmp_path / "classes", "--out", model, *network, *learning, "--resume")
    assert again.returncode == 0, again.stderr
    assert json.loads((model / "model.json").read_text())["model_id"] == facts["model_id"]
    assert len((tmp_path / "work" / "log.csv").read_text().splitlines()) == 1 + 2


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--labels", "season"), "season"),
        (("--labels", "category", "--part", "kind:many:1:category"), "part"),
        (("--labels", "category", "--backbone", "alexnet"), "backbone"),
        (("--labels", "category", "--epochs", "0"), "--epochs"),
    ],
)
def test_a_wrong_setting_is_named(made: Made, tmp_path: Path, options: tuple[str, ...], named: str) -> None:
    done = vitrine("train", made.data, "--out", tmp_path / "model", *options)
    assert done.returncode == 2
    assert named in done.stderr
    assert not (tmp_path / "model").exists()


def _sorted_into_folders(table: Path, folder: Path) -> None:
    with table.open(newline="") as file:
        for row in csv.DictReader(file):
            picture = table.parent / row["image"]
            (folder / row["category"]).mkdir(parents=True, exist_ok=True)
            (folder / row["category"] / picture.name).write_bytes(picture.read_bytes())


def _model_json(made: Made) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((made.model / "model.json").read_text())
    return fields
