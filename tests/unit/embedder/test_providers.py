"""What ONNX Runtime is told of the provider that a model runs on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest

from services.embedder import model
from services.embedder.model import Model
from vitrine.runtime.errors import ConfigError

FOLDER = Path(__file__).resolve().parents[3] / "models" / "fashion-resnet18"


class Runtime:
    """ONNX Runtime of a machine with a GPU: what it is asked for is noted, and done by the CPU."""

    SessionOptions = ort.SessionOptions

    def __init__(self, active: str) -> None:
        self.active = active
        self.asked: list[Any] = []

    def get_available_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def preload_dlls(self) -> None:
        self.asked.append("libraries")

    def InferenceSession(self, path: Path, options: ort.SessionOptions, providers: Any) -> Any:  # noqa: N802
        self.asked.append(providers)
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        session.get_providers = lambda: [self.active]
        return session


def test_cudnn_is_told_to_choose_by_heuristics_after_its_libraries_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Runtime("CUDAExecutionProvider")
    monkeypatch.setattr(model, "ort", runtime)
    loaded = Model.load(FOLDER, ["CUDAExecutionProvider"], "cpu-int8")

    assert loaded.provider == "CUDAExecutionProvider"
    told = [("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC"})]
    assert runtime.asked == ["libraries", told]


def test_a_cpu_loads_no_libraries_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Runtime("CPUExecutionProvider")
    monkeypatch.setattr(model, "ort", runtime)
    Model.load(FOLDER, ["CPUExecutionProvider"], "cpu-int8")

    assert runtime.asked == [[("CPUExecutionProvider", {})]]


def test_a_gpu_that_is_asked_for_and_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "ort", Runtime("CPUExecutionProvider"))
    with pytest.raises(ConfigError, match=r"providers.*CUDAExecutionProvider was asked for"):
        Model.load(FOLDER, ["CUDAExecutionProvider"], "cpu-int8")
