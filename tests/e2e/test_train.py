"""vitrine train, eval and model check on drawn products: from pictures to a model that is measured and served."""

from __future__ import annotations

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


def test_the_variants_agree_and_the_embedder_would_serve_them(made: Made) -> None:
    assert _model_json(made)["variants"]["cpu-int8"]["cosine_to_fp32_mean"] >= 0.995
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
    assert "street photo" in page


def test_eval_gives_the_figures_that_the_model_carries(made: Made, tmp_path: Path) -> None:
    # The splits are drawn anew from the same seed and products.
    options = ("--group", "product_id", "--seed", "5", "--out", tmp_path / "report", "--pictures")
    done = vitrine("eval", made.model, made.data, *options)
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


def _model_json(made: Made) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((made.model / "model.json").read_text())
    return fields
