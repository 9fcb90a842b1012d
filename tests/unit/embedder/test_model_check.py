"""What is said about a model folder that does not keep the contract."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx")

import numpy as np
import onnx
import onnx.parser

from services.embedder.check import problems
from services.embedder.model import Model
from vitrine.model_folder import ModelFolder, fingerprint
from vitrine.runtime.errors import ConfigError

GRAPH = """
<ir_version: 10, opset_import: ["" : 20]>
tiny (uint8[n,16,16,3] images)
=> (float[n,3] vector, float[n,3] scores, float[n,16,16] activation, float[n] presence)
<int64[2] inner = {1, 2}, int64[1] one = {1}, int64[1] three = {3}, float white = {255}, float[3] signs = {1, 1, 1}>
{
  pixels = Cast <to = 1> (images)
  mean = ReduceMean <keepdims = 0> (pixels, inner)
  colour = Mul (mean, signs)
  length = ReduceL2 <keepdims = 1> (colour, one)
  vector = Div (colour, length)
  scores = Softmax <axis = 1> (colour)
  grey = ReduceMean <keepdims = 0> (pixels, three)
  activation = Div (grey, white)
  presence = ReduceMean <keepdims = 0> (activation, inner)
}
"""
"""The mean colour as the vector: the smallest model that keeps the whole contract."""

DESCRIPTION = {
    "format_version": 1,
    "name": "tiny",
    "model_id": "tiny-1",
    "input": {"name": "images", "height": 16, "width": 16},
    "outputs": {"vector": "vector", "scores": "scores", "activation": "activation", "presence": "presence"},
    "dim": 3,
    "labels": ["Bags", "Shoes", "Socks"],
}
HEADLESS = {"outputs": {"vector": "vector"}, "labels": []}


Change = tuple[str, str]
"""A piece of the graph's text, and what stands in its place."""


def written(folder: Path, *changes: Change, **described: Any) -> Path:
    """A model folder: the graph with some changes, described as `described` differs from the usual."""
    add_variant(folder, "fp32", *changes)
    fields = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(fields | described))
    return folder


def add_variant(folder: Path, name: str, *changes: Change) -> None:
    graph = GRAPH
    for change in changes:
        assert change[0] in graph
        graph = graph.replace(*change)
    path = folder / f"{name}.onnx"
    onnx.save(onnx.parser.parse_model(graph), path)
    digest, size = fingerprint(path)
    document = folder / "model.json"
    fields: dict[str, Any] = json.loads(document.read_text()) if document.exists() else {**DESCRIPTION, "variants": {}}
    fields["variants"][name] = {"file": path.name, "sha256": digest, "bytes": size}
    document.write_text(json.dumps(fields))


def test_a_model_that_keeps_the_contract_has_no_problems(tmp_path: Path) -> None:
    assert problems(written(tmp_path)) == []


def test_heads_are_not_needed(tmp_path: Path) -> None:
    assert problems(written(tmp_path, **HEADLESS)) == []
    model = Model.load(tmp_path, ["CPUExecutionProvider"])
    assert model.facts.labels == ()
    seen = model.look(np.zeros((2, 16, 16, 3), np.uint8) + 1)
    assert (seen.scores.shape, seen.activation, seen.presence) == ((2, 0), None, None)


def test_a_model_with_heads_says_where_the_product_is(tmp_path: Path) -> None:
    seen = Model.load(written(tmp_path), ["CPUExecutionProvider"]).look(np.full((2, 16, 16, 3), 51, np.uint8))
    assert seen.scores.shape == (2, 3)
    assert seen.activation == pytest.approx(np.full((2, 16, 16), 0.2))
    assert seen.presence == pytest.approx(np.full(2, 0.2))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("uint8[n,", "uint8[2,"), "input batch: is fixed at 2, must be free"),
        (("uint8[n,16,16,3]", "float[n,16,16,3]"), "input dtype: is tensor(float), must be tensor(uint8)"),
        (("uint8[n,16,16,3]", "uint8[n,24,16,3]"), "input size: is [24, 16, 3], model.json says [16, 16, 3]"),
        (("(colour, length)", "(colour, missing)"), "no ONNX file that ONNX Runtime can load"),
        (("vector = Div (colour, length)", "vector = Identity (colour)"), "output vector: is not of unit length"),
        (("vector = Div (colour, length)", "minus = Neg (colour)\n vector = Sqrt (minus)"), "are not finite"),
        (("scores = Softmax <axis = 1>", "scores = Sigmoid"), "output scores: is no share of labels"),
        (("activation = Div (grey, white)", "activation = Identity (grey)"), "must lie in 0 to 1"),
        (("mean = ReduceMean <keepdims = 0>", "mean = ReduceMean <keepdims = 1>"), "output vector: has shape"),
    ],
)
def test_what_is_wrong_with_a_graph_is_said(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    assert said in "\n".join(problems(written(tmp_path, change)))


def test_channels_first_is_refused(tmp_path: Path) -> None:
    turned = (
        "pixels = Cast <to = 1> (images)",
        "raw = Cast <to = 1> (images)\n pixels = Transpose <perm = [0, 2, 3, 1]> (raw)",
    )
    (line,) = problems(written(tmp_path, ("uint8[n,16,16,3]", "uint8[n,3,16,16]"), turned))
    assert line == "variants.fp32: input layout: is ['n', 3, 16, 16], channels first; must be NHWC"


def test_a_float16_vector_is_refused(tmp_path: Path) -> None:
    halved = ("vector = Div (colour, length)", "full = Div (colour, length)\n vector = Cast <to = 10> (full)")
    (line,) = problems(written(tmp_path, ("float[n,3] vector", "float16[n,3] vector"), halved))
    assert line == "variants.fp32: output vector: is tensor(float16), must be tensor(float), which is float32"


def test_a_picture_must_not_depend_on_the_others_in_its_batch(tmp_path: Path) -> None:
    darkest = "zero = Constant <value_ints = [0]> ()\n darkest = ReduceMin <keepdims = 1> (mean, zero)\n"
    change = ("colour = Mul (mean, signs)", f"{darkest} signed = Mul (mean, signs)\n colour = Sub (signed, darkest)")
    assert "between a picture alone and in a batch" in "\n".join(problems(written(tmp_path, change)))


@pytest.mark.parametrize(
    ("described", "said"),
    [
        ({"dim": 4}, "variants.fp32: output vector: has shape (8, 3), model.json says (8, 4): dim"),
        (
            {"labels": ["Bags"]},
            "variants.fp32: output scores: has shape (8, 3), model.json says (8, 1): labels of label",
        ),
        ({"labels": []}, "labels: go with outputs.scores; one of them is missing"),
        (
            {"input": {"name": "pixels", "height": 16, "width": 16}},
            "input: the graph takes images, model.json says pixels",
        ),
        ({"outputs": {"vector": "embedding", "scores": "scores"}}, "output embedding: the graph has none of that name"),
        ({"parts": [{"name": "kind", "dim": 2, "weight": 1}]}, "parts: have 2 dimensions together, dim is 3"),
        ({"parts": [{"name": "kind", "dim": 3, "weight": 0.5}]}, "parts: weigh 0.5 together; a weight is a share of"),
        ({"format_version": 2}, "format_version: input should be 1"),
        ({"dim": "three"}, "dim: input should be a valid integer"),
        ({"variants": {}}, "variants: "),
        ({"variants": {"tpu": {"file": "a", "sha256": "0" * 64, "bytes": 1}}}, "variants.tpu: "),
        ({"variants": {"fp32": {"file": "../a.onnx", "sha256": "0" * 64, "bytes": 1}}}, "variants.fp32.file: "),
        ({"variants": {"fp32": {"file": "a.onnx", "sha256": "0" * 64, "bytes": 1}}}, "a.onnx cannot be read"),
    ],
)
def test_what_is_wrong_with_model_json_is_said_by_field(tmp_path: Path, described: dict[str, Any], said: str) -> None:
    assert said in "\n".join(problems(written(tmp_path, **described)))


def test_every_missing_field_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"format_version": 1, "input": {"name": "images"}}')
    found = problems(tmp_path)
    missing = ["name", "model_id", "input.height", "input.width", "outputs", "dim", "labels", "variants"]
    assert found == [f"{field}: is missing" for field in missing]


def test_a_changed_file_is_found_by_its_checksum(tmp_path: Path) -> None:
    written(tmp_path)
    with (tmp_path / "fp32.onnx").open("ab") as file:
        file.write(b"\0")
    assert problems(tmp_path) == ["variants.fp32: fp32.onnx does not match the sha256 in model.json"]


def test_variants_that_disagree_are_not_one_model(tmp_path: Path) -> None:
    written(tmp_path)
    add_variant(tmp_path, "cpu-int8", ("signs = {1, 1, 1}", "signs = {1, -1, 1}"))
    (line,) = problems(tmp_path)
    assert line.startswith("variants.cpu-int8: has a mean cosine of 0.3")


def test_without_model_json_an_example_for_the_file_is_given(tmp_path: Path) -> None:
    written(tmp_path, **HEADLESS)
    (tmp_path / "model.json").unlink()
    missing, example = problems(tmp_path)
    assert "holds no readable model.json" in missing
    (tmp_path / "model.json").write_text(example.split("\n", 1)[1])
    assert problems(tmp_path) == []
    assert ModelFolder.read(tmp_path).dim == 3


def test_the_embedder_refuses_what_the_check_refuses(tmp_path: Path) -> None:
    written(tmp_path, ("vector = Div (colour, length)", "vector = Identity (colour)"))
    with pytest.raises(ConfigError, match=r"^model: fp32\.onnx: output vector: is not of unit length"):
        Model.load(tmp_path, ["CPUExecutionProvider"])
