"""From a network to a model folder: the graph, its variants, model.json and the card."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import onnx
import torch
from onnx import numpy_helper

from services.embedder.check import problems
from training.exporting import bundle, card, graph, variants, weights
from training.exporting.graph import Deployed, ParityError, Reduction
from training.exporting.session import OnnxFile, Session
from training.exporting.stock import export_stock, generated
from training.exporting.variants import Agreement, Samples
from training.learning.saving import NotSaved
from training.networks.network import Design, Network, Part
from vitrine.model_folder import CPU_INT8, FP32, GPU_FP16, ModelFolder
from vitrine.runtime.errors import ConfigError

PX = 48
PARTS = (Part("kind", 24, 0.6, ("kind",)), Part("colour", 8, 0.3, ("colour",)))
NAMES = {"kind": ("Bags", "Shoes"), "colour": ("Blue", "Green", "Red")}
TEST_FIGURES = {"clean": {"queries": 24, "precision_at_10": {"kind": 0.8125}}, "composed": {"queries": 20}}


@dataclass(frozen=True)
class Exported:
    folder: Path
    deployed: Deployed
    samples: Samples


def network(seed: int = 3) -> Network:
    """A small network with two parts, two heads to export and one for words, with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = Network(Design("small_cnn", parts=PARTS), {"kind": 2, "colour": 3, "title": 5})
    made.eval()
    return made


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    deployed, samples = Deployed(network(), ("kind", "colour"), salience=True), generated(PX)
    with bundle.staged(folder) as work:
        export = bundle.Export("tiny", deployed, NAMES, PX)
        bundle.write(work, export, (CPU_INT8, GPU_FP16, FP32), samples)
        bundle.record(work, {"dataset": "Drawn squares", "rows": 144, "epochs": 4, "test": TEST_FIGURES})
        card.write(work)
    return Exported(folder, deployed, samples)


def test_an_exported_folder_keeps_the_contract(exported: Exported) -> None:
    assert problems(exported.folder) == []


def test_model_json_says_what_the_graph_gives(exported: Exported) -> None:
    facts = ModelFolder.read(exported.folder)
    assert (facts.dim, facts.height, facts.labels, facts.label_column) == (32, PX, ("Bags", "Shoes"), "kind")
    assert facts.score_outputs == {"kind": "scores", "colour": "scores_colour"}
    assert facts.labels_of("colour") == NAMES["colour"]
    assert list(facts.variants) == [CPU_INT8, GPU_FP16, FP32]


def test_the_weights_of_parts_are_shares_of_the_cosine(exported: Exported) -> None:
    kind, colour = ModelFolder.read(exported.folder).parts
    assert (kind.name, kind.dim, kind.columns) == ("kind", 24, ("kind",))
    assert (kind.weight, colour.weight) == pytest.approx((2 / 3, 1 / 3))
    vectors = Session(exported.folder, FP32).embed(exported.samples.queries).vectors
    np.testing.assert_allclose((vectors[:, 24:] ** 2).sum(axis=1), colour.weight, atol=1e-4)


def test_words_are_learned_from_but_not_exported(exported: Exported) -> None:
    outputs = onnx.load(exported.folder / "model.fp32.onnx").graph.output
    assert [output.name for output in outputs] == ["vector", "scores", "scores_colour", "activation", "presence"]


@pytest.mark.parametrize("variant", [FP32, CPU_INT8, GPU_FP16])
def test_every_variant_says_what_the_network_says(exported: Exported, variant: str) -> None:
    pixels = exported.samples.queries[:20]
    with torch.inference_mode():
        vectors, kinds, colours, activation, presence = exported.deployed(torch.from_numpy(pixels))
    found = Session(exported.folder, variant).embed(pixels)
    assert found.activation is not None
    assert found.presence is not None
    assert (found.vectors * vectors.numpy()).sum(axis=1).mean() > 0.995
    np.testing.assert_allclose(found.scores["kind"], kinds, atol=0.05)
    np.testing.assert_allclose(found.scores["colour"], colours, atol=0.05)
    np.testing.assert_allclose(found.activation, activation, atol=0.05)
    np.testing.assert_allclose(found.presence, presence, atol=0.05)


def test_int8_and_fp32_have_the_same_kernels(exported: Exported) -> None:
    full = {tensor.name: tensor for tensor in onnx.load(exported.folder / "model.fp32.onnx").graph.initializer}
    small = {tensor.name: tensor for tensor in onnx.load(exported.folder / "model.int8.onnx").graph.initializer}
    quantised = [name for name in full if f"{name}_quantized" in small and numpy_helper.to_array(full[name]).ndim == 4]
    assert len(quantised) == 3
    for name in quantised:
        step = numpy_helper.to_array(small[f"{name}_scale"])[:, None, None, None]
        kernels = numpy_helper.to_array(small[f"{name}_quantized"]) * step
        np.testing.assert_allclose(kernels, numpy_helper.to_array(full[name]), atol=1e-6)


def test_variants_of_one_model_have_one_id(exported: Exported) -> None:
    facts = ModelFolder.read(exported.folder)
    assert facts.model_id == weights.model_id(exported.folder / "model.fp32.onnx", facts.input)
    assert facts.model_id != weights.model_id(exported.folder / "model.fp32.onnx", replace(facts.input, width=PX + 1))


def test_nothing_of_this_machine_is_in_an_exported_file(exported: Exported) -> None:
    here = str(Path(graph.__file__).parent).encode()
    assert not [path.name for path in exported.folder.glob("*.onnx") if here in path.read_bytes()]


def test_a_changed_file_is_not_opened(exported: Exported, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_bytes((exported.folder / "model.json").read_bytes())
    (tmp_path / "model.int8.onnx").write_bytes(b"damaged")
    with pytest.raises(ConfigError, match=r"model\.int8\.onnx does not match the sha256"):
        Session(tmp_path)


def test_an_absent_variant_is_named(exported: Exported) -> None:
    with pytest.raises(ConfigError, match=r"^variant: .* has cpu-int8, gpu-fp16, fp32, not 'tpu'"):
        Session(exported.folder, "tpu")
    with pytest.raises(ConfigError, match=r"^variants: tpu is none of"):
        variants.chosen(["tpu"])


def test_a_network_that_says_something_else_fails_parity(exported: Exported) -> None:
    other = Deployed(network(seed=4), ("kind", "colour"), salience=True)
    with pytest.raises(ParityError, match="differs from torch"):
        graph.check_parity(other, exported.folder / "model.fp32.onnx", exported.samples.queries[:4])


def test_a_variant_that_points_elsewhere_fails_agreement(exported: Exported, tmp_path: Path) -> None:
    graph.export_fp32(Deployed(network(seed=4)), tmp_path / "other.onnx", PX)
    full, other = OnnxFile(exported.folder / "model.fp32.onnx"), OnnxFile(tmp_path / "other.onnx")
    with pytest.raises(ParityError, match="mean cosine"):
        variants.agreement(full, other, exported.samples.queries, exported.samples.catalogue)


def test_a_low_overlap_is_said_and_not_hidden(exported: Exported) -> None:
    low = variants.described(exported.folder / "model.int8.onnx", Agreement(0.999, 0.99, 0.91))
    assert low.overlap_at_10 == 0.91
    assert "fewer than 95%" in low.warning
    facts = ModelFolder.read(exported.folder)
    assert f"- `cpu-int8` {low.warning}." in card.rendered(replace(facts, variants={CPU_INT8: low}))


def test_the_card_gives_the_measured_figures(exported: Exported) -> None:
    text = (exported.folder / "MODEL_CARD.md").read_text()
    assert "Drawn squares, 144 rows" in text
    assert "| precision at 10, kind | 0.8125 | – |" in text
    assert "not meant for production" in text


def test_a_reduction_keeps_what_varies_and_the_length() -> None:
    random = np.random.default_rng(1)
    spread = random.normal(size=(500, 6)) * (3, 2, 1, 0.01, 0.01, 0.01)
    vectors = (spread / np.linalg.norm(spread, axis=1, keepdims=True)).astype(np.float32)
    reduced = Reduction.fitted(vectors, 3)(torch.from_numpy(vectors)).numpy()
    assert reduced.shape == (500, 3)
    np.testing.assert_allclose(reduced @ reduced.T, vectors @ vectors.T, atol=0.1)


@pytest.mark.parametrize("dim", [0, 7])
def test_a_reduction_cannot_add_dimensions(dim: int) -> None:
    with pytest.raises(ConfigError, match=rf"^dim: {dim} is not in 1 to 6"):
        Reduction.fitted(np.eye(6, dtype=np.float32), dim)


def test_a_column_without_a_head_cannot_be_exported() -> None:
    with pytest.raises(ConfigError, match=r"^labels: the network has no head for 'price'"):
        Deployed(network(), ("price",))


def test_a_failed_export_leaves_the_good_one_alone(tmp_path: Path) -> None:
    good = tmp_path / "model"
    good.mkdir()
    (good / "model.json").write_text("good")
    with pytest.raises(ParityError), bundle.staged(good) as work:  # noqa: PT012  (what fails comes after a part is there)
        (work / "model.json").write_text("half")
        raise ParityError("no")
    assert (good / "model.json").read_text() == "good"
    assert list(tmp_path.iterdir()) == [good]


def test_a_full_disk_is_said_and_leaves_the_good_one_alone(tmp_path: Path) -> None:
    good = tmp_path / "model"
    good.mkdir()
    with pytest.raises(NotSaved, match=r"No space left on device.*untouched"), bundle.staged(good):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == [good]


def test_a_new_export_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with bundle.staged(tmp_path / "model") as work:
            (work / "model.json").write_text(text)
            (work / f"{text}.txt").write_text(text)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.txt")] == ["model/new.txt"]
    assert len(list(tmp_path.iterdir())) == 1


def test_stock_weights_become_a_folder_with_vectors_only(tmp_path: Path) -> None:
    facts = export_stock("small_cnn", "none", "", tmp_path / "stock", PX)
    assert (facts.dim, facts.labels, facts.outputs.activation) == (64, (), "")
    assert list(facts.variants) == [CPU_INT8, FP32]
    assert problems(tmp_path / "stock") == []
    assert json.loads((tmp_path / "stock" / "model.json").read_text())["training"]["weights"] == "random"


def test_too_small_pictures_for_stock_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^px: must be at least 32, not 16"):
        export_stock("resnet18", "none", "", tmp_path / "stock", 16)
    assert list(tmp_path.iterdir()) == []
