"""An exported model run by ONNX Runtime, the way the embedder runs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from vitrine.runtime.errors import ConfigError

BATCH_PICTURES: Final = 32


@dataclass(frozen=True)
class Embedded:
    """`vectors` float32 (n, dim), unit length; `scores` float32 (n, labels), each row summing to 1."""

    vectors: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]


class Session:
    """One ONNX file on the CPU, with a thread per core."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigError where the file is missing."""
        if not path.is_file():
            raise ConfigError("model", f"{path} does not exist")
        self._session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])

    def embed(self, pixels: npt.NDArray[np.uint8]) -> Embedded:
        """The vectors and scores of uint8 pictures (n, height, width, 3), n ≥ 1."""
        answers = [
            self._session.run(["vector", "scores"], {"images": pixels[start : start + BATCH_PICTURES]})
            for start in range(0, len(pixels), BATCH_PICTURES)
        ]
        vectors, scores = zip(*answers, strict=True)
        return Embedded(np.concatenate(vectors), np.concatenate(scores))
