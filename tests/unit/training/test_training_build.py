"""The whole way on drawn squares: train, export, quantise, measure, and refuse what is not faithful."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import onnxruntime as ort
import pytest

pytest.importorskip("torch")

from training import build, bundle, commands, export, network
from training.arguments import parsed
from training.data import Dataset, load
from training.network import Network
from training.session import Session
from training.train import Recipe
from vitrine.runtime.errors import ConfigError

# torch's exporter uses a part of torch that torch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")


@dataclass(frozen=True)
class Built:
    dataset: Dataset
    network: Network
    out: Path
    work: Path


@pytest.fixture(scope="module")
def built(squares_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    out, work = tmp_path_factory.mktemp("models") / "squares-resnet18", tmp_path_factory.mktemp("work")
    options = ["--epochs", "4", "--batch-pictures", "32", "--work", str(work), "--dataset-name", "Drawn squares"]
    commands.run(parsed([str(squares_file), "--out", str(out), *options]))
    dataset = load(squares_file)
    return Built(dataset, build.restored(work / build.CHECKPOINT_FILE, dataset).network, out, work)


def model_json(built: Built) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((built.out / "model.json").read_text())
    return document


def test_the_exported_int8_file_gives_unit_vectors_for_any_batch_size(built: Built) -> None:
    session = ort.InferenceSession(built.out / "model.int8.onnx", providers=["CPUExecutionProvider"])
    for n in (1, 5):
        vectors, scores = session.run(["vector", "scores"], {"images": built.dataset.splits["test"].pixels[:n]})
        assert (vectors.shape, scores.shape) == ((n, 512), (n, 2))
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-4)


def test_model_json_describes_the_file_that_lies_beside_it(built: Built) -> None:
    document = model_json(built)
    variant = document["variants"]["cpu-int8"]
    assert variant["bytes"] == (built.out / variant["file"]).stat().st_size <= 12e6
    assert variant["cosine_to_fp32_mean"] >= 0.995
    assert document["labels"] == ["Shoes", "Topwear"]
    assert document["model_id"] == bundle.model_id(built.network)
    assert document["training"]["rows"] == 144
    assert bundle.open_int8(built.out).labels == ("Shoes", "Topwear")


def test_the_card_gives_the_measured_figures(built: Built) -> None:
    accuracy = model_json(built)["training"]["test"]["clean"]["knn_accuracy_nine_way"]
    card = (built.out / "MODEL_CARD.md").read_text()
    assert "Drawn squares" in card
    assert f"{accuracy:.2%}" in card


def test_nothing_of_this_machine_is_in_the_exported_file(built: Built) -> None:
    assert str(Path(export.__file__).parent).encode() not in (built.out / "model.int8.onnx").read_bytes()


def test_the_log_has_a_row_an_epoch(built: Built) -> None:
    assert len((built.work / build.LOG_FILE).read_text().splitlines()) == 1 + 4


def test_an_exported_model_can_be_measured_again(built: Built, squares_file: Path) -> None:
    again = commands.run(parsed(["eval", str(built.out), str(squares_file)]))
    assert again == model_json(built)["training"]["test"]


def test_an_exported_file_agrees_with_torch(built: Built) -> None:
    pixels = built.dataset.splits["test"].pixels
    assert export.check_parity(built.network, built.work / build.FP32_FILE, pixels) < 1e-4


def test_a_network_that_says_something_else_fails_parity(built: Built) -> None:
    other = Network({"subcategory": 2, "article_type": 2, "colour": 3}).eval()
    with pytest.raises(export.ParityError, match="differs from torch"):
        export.check_parity(other, built.work / build.FP32_FILE, built.dataset.splits["test"].pixels)


def test_a_variant_that_points_elsewhere_fails_agreement(built: Built, tmp_path: Path) -> None:
    other = Network({"subcategory": 2, "article_type": 2, "colour": 3}).eval()
    export.export_fp32(other, tmp_path / "other.onnx", 80)
    pixels = built.dataset.splits["test"].pixels
    with pytest.raises(export.ParityError, match="mean cosine"):
        export.check_agreement(Session(built.work / build.FP32_FILE), Session(tmp_path / "other.onnx"), pixels, pixels)


def test_equal_weights_have_equal_ids(built: Built) -> None:
    changed = Network({"subcategory": 2, "article_type": 2, "colour": 3})
    changed.load_state_dict(built.network.state_dict())
    assert bundle.model_id(changed) == bundle.model_id(built.network)
    changed.logit_scale.data += 1
    assert bundle.model_id(changed) != bundle.model_id(built.network)


def test_a_damaged_model_file_is_refused(built: Built, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text((built.out / "model.json").read_text())
    (tmp_path / "model.int8.onnx").write_bytes(b"damaged")
    with pytest.raises(ConfigError, match="sha256 differs"):
        bundle.open_int8(tmp_path)


def test_a_split_smaller_than_a_batch_is_refused(built: Built, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^batch_pictures: 128, but there are 96"):
        build.trained(build.fresh(built.dataset, "none", 7), built.dataset, Recipe(epochs=1), tmp_path, print)


def test_imagenet_weights_without_a_network_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(network, "resnet18", refuse)
    with pytest.raises(ConfigError, match=r"^weights: .*no route to host.* use --weights none"):
        Network({"subcategory": 2}, "imagenet")


def test_a_missing_checkpoint_is_named(built: Built, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^start: .*none\.pt does not exist"):
        build.restored(tmp_path / "none.pt", built.dataset)
