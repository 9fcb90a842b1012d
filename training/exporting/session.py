"""Exported models run by ONNX Runtime, the way the embedder runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from vitrine.model_folder import CPU_INT8, ModelFolder, verified
from vitrine.runtime.errors import ConfigError

BATCH_PICTURES: Final = 32
_ERRORS_ONLY: Final = 3

Floats = npt.NDArray[np.float32]


class OnnxFile:
    """One ONNX file on the CPU, with a thread per core, or with `threads`."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        """Raises ConfigError where the file is missing."""
        if not path.is_file():
            raise ConfigError("model", f"{path} does not exist")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        # Variants for a GPU run here too, node by node as the CPU can: a warning about each helps nobody.
        options.log_severity_level = _ERRORS_ONLY
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def run(self, pixels: npt.NDArray[np.uint8], names: Sequence[str]) -> dict[str, Floats]:
        """The outputs `names`, by name, of uint8 pictures (n, height, width, 3), n ≥ 1. float32, n rows each."""
        answers = [
            self._session.run(list(names), {self._input: pixels[start : start + BATCH_PICTURES]})
            for start in range(0, len(pixels), BATCH_PICTURES)
        ]
        return {name: np.concatenate(found) for name, found in zip(names, zip(*answers, strict=True), strict=True)}


@dataclass(frozen=True)
class Embedded:
    """What a model says of n pictures, all float32. None, and {}, where it does not say it.

    `vectors` (n, dim), unit length; `scores` by label column (n, labels), each row summing to 1; `activation`
    (n, rows, columns) in 0..1, the share of a cell that is product; `presence` (n,) in 0..1.
    """

    vectors: Floats
    scores: Mapping[str, Floats]
    activation: Floats | None = None
    presence: Floats | None = None


class Session:
    """A model folder's variant on the CPU. `facts`: its model.json; `variant`: which of them runs."""

    def __init__(self, folder: Path, variant: str = CPU_INT8) -> None:
        """`variant` "": the first there is. Raises ConfigError (`model`, `variant`) where it is not as described."""
        self.facts = ModelFolder.read(folder)
        described = self.facts.variants
        self.variant = variant or next(iter(described))
        if self.variant not in described:
            raise ConfigError("variant", f"{folder} has {', '.join(described)}, not {variant!r}")
        self._file = OnnxFile(verified(folder, described[self.variant]))

    def embed(self, pixels: npt.NDArray[np.uint8]) -> Embedded:
        """What the model says of uint8 pictures (n, height, width, 3), n ≥ 1."""
        outputs, scores = self.facts.outputs, self.facts.score_outputs
        named = [name for name in (outputs.vector, *scores.values(), outputs.activation, outputs.presence) if name]
        found = self._file.run(pixels, named)
        return Embedded(
            vectors=found[outputs.vector],
            scores={column: found[name] for column, name in scores.items()},
            activation=found.get(outputs.activation),
            presence=found.get(outputs.presence),
        )
