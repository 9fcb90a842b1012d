"""A model folder, loaded, checked and warm. The only place in the services that imports onnxruntime."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from vitrine.runtime.errors import ConfigError
from vitrine.vectors import Vectors

FORMAT_VERSION: Final = 1
_VARIANTS_BY_PROVIDER: Final = {
    "CUDAExecutionProvider": ("gpu-fp16", "fp32"),
    "CPUExecutionProvider": ("cpu-int8", "fp32"),
}
_TIMING_RUNS: Final = 3

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ModelFacts:
    """What model.json says. `labels`: what the scores score, in order; empty for a model without heads."""

    model_id: str
    name: str
    dim: int
    labels: tuple[str, ...]
    height: int
    width: int
    fill: tuple[int, int, int]
    input_name: str
    vector_name: str
    scores_name: str
    variants: dict[str, dict[str, Any]]

    @staticmethod
    def read(folder: Path) -> ModelFacts:
        """Raises ConfigError (field `model`)."""
        try:
            fields = json.loads((folder / "model.json").read_bytes())
            if fields["format_version"] != FORMAT_VERSION:
                raise ConfigError("model", f"{folder}: format_version {fields['format_version']} cannot be read here")
            given, outputs = fields["input"], fields["outputs"]
            return ModelFacts(
                model_id=fields["model_id"],
                name=fields["name"],
                dim=fields["dim"],
                labels=tuple(fields["labels"]),
                height=given["height"],
                width=given["width"],
                fill=tuple(given["fill"]),
                input_name=given["name"],
                vector_name=outputs["vector"],
                scores_name=outputs.get("scores", ""),
                variants=fields["variants"],
            )
        except OSError as error:
            raise ConfigError("model", f"{folder} holds no readable model.json ({error.strerror})") from error
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError("model", f"{folder}/model.json cannot be read ({error!r})") from error


class Model:
    """One variant of a model on one execution provider. `run` may be called from several threads at once."""

    def __init__(self, facts: ModelFacts, variant: str, provider: str, session: ort.InferenceSession) -> None:
        self.facts = facts
        self.variant = variant
        self.provider = provider
        self._session = session
        self._outputs = [facts.vector_name, *([facts.scores_name] if facts.labels else [])]

    @staticmethod
    def load(folder: Path, providers: Sequence[str], variant: str = "", threads: int = 1) -> Model:
        """The first variant that the first usable provider runs. Raises ConfigError (`model`, `variant`, `providers`).

        ONNX Runtime falls back to CPU with only a log line; here the provider that is active is checked.
        """
        facts = ModelFacts.read(folder)
        provider = _usable_provider(providers)
        chosen = _chosen_variant(facts, provider, variant)
        path = _verified(folder, facts.variants[chosen])
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        try:
            session = ort.InferenceSession(path, options, providers=[provider])
        except Exception as error:  # onnxruntime raises many types of its own for a file it cannot load
            raise ConfigError("model", f"{path.name} cannot be loaded ({error})") from error
        if session.get_providers()[0] != provider:
            raise ConfigError("providers", f"{provider} was asked for but {session.get_providers()[0]} is active")
        model = Model(facts, chosen, provider, session)
        model._check_contract()
        return model

    def run(self, pixels: Pixels) -> tuple[Vectors, Vectors]:
        """Vectors, float32 (n, dim), unit length, and scores, float32 (n, labels), of uint8 (n, height, width, 3)."""
        outputs = self._session.run(self._outputs, {self.facts.input_name: pixels})
        scores = outputs[1] if self.facts.labels else np.zeros((len(pixels), 0), np.float32)
        return outputs[0], scores

    def warm(self, batch_sizes: Sequence[int]) -> dict[int, float]:
        """Runs every batch size. Returns the fastest of three runs of each, in milliseconds."""
        return {size: self._best_ms(size) for size in batch_sizes}

    def _best_ms(self, size: int) -> float:
        pixels = np.full((size, self.facts.height, self.facts.width, 3), 255, np.uint8)
        self.run(pixels)
        times_ms = []
        for _ in range(_TIMING_RUNS):
            started = time.perf_counter()
            self.run(pixels)
            times_ms.append((time.perf_counter() - started) * 1000)
        return min(times_ms)

    def _check_contract(self) -> None:
        facts = self.facts
        try:
            vectors, scores = self.run(np.full((2, facts.height, facts.width, 3), 128, np.uint8))
        except Exception as error:  # as above
            raise ConfigError(
                "model", f"does not run on uint8 (2, {facts.height}, {facts.width}, 3): {error}"
            ) from error
        if vectors.shape != (2, facts.dim) or scores.shape != (2, len(facts.labels)):
            raise ConfigError(
                "model", f"gives shapes {vectors.shape} and {scores.shape}, which model.json does not say"
            )
        if not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3):
            raise ConfigError("model", "gives vectors that are not of unit length")


def batch_sizes(max_batch_images: int) -> list[int]:
    """The few sizes that batches come in: powers of two up to the largest."""
    sizes = [1 << power for power in range(max_batch_images.bit_length()) if 1 << power <= max_batch_images]
    return sizes if sizes[-1] == max_batch_images else [*sizes, max_batch_images]


def _usable_provider(providers: Sequence[str]) -> str:
    available = ort.get_available_providers()
    for provider in providers:
        if provider in available:
            return provider
    raise ConfigError("providers", f"none of {list(providers)} is available here, only {available}")


def _chosen_variant(facts: ModelFacts, provider: str, variant: str) -> str:
    wanted = (variant,) if variant else _VARIANTS_BY_PROVIDER.get(provider, ("fp32",))
    for name in wanted:
        if name in facts.variants:
            return name
    raise ConfigError("variant", f"the model has {sorted(facts.variants)}, none of {list(wanted)} for {provider}")


def _verified(folder: Path, variant: dict[str, Any]) -> Path:
    path = folder / str(variant["file"])
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError("model", f"{path} cannot be read ({error.strerror})") from error
    if digest != variant["sha256"]:
        raise ConfigError("model", f"{path.name} does not match the sha256 in model.json")
    return path
