"""A model made of nothing but arithmetic: the vector is the mean colour, and what is bright is product."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, cast

import numpy as np

from services.embedder.contract import Pixels
from services.embedder.model import Model, Seen
from vitrine.model_folder import Input, ModelFolder, Outputs
from vitrine.vectors import Vectors, unit

PX: Final = 16
BLACK: Final = (0, 0, 0)


class Painted:
    """Stands in for a Model that has these outputs. `passes`: how many pictures it saw each time."""

    def __init__(self, outputs: Outputs) -> None:
        facts = ModelFolder(1, "painted", "painted-1", Input("images", PX, PX, fill=BLACK), outputs, 3, (), {})
        self.facts = replace(facts, labels=("dark", "bright") if outputs.scores else ())
        self.passes: list[int] = []

    def warm(self, batch_sizes: list[int]) -> dict[int, float]:
        return dict.fromkeys(batch_sizes, 1.0)

    def run(self, pixels: Pixels) -> tuple[Vectors, Vectors]:
        self.passes.append(len(pixels))
        bright = _brightness(pixels).mean(axis=(1, 2))
        scores = np.stack([1 - bright, bright], axis=1)[:, : len(self.facts.labels)]
        return unit(pixels.mean(axis=(1, 2), dtype=np.float32)), scores

    def look(self, pixels: Pixels) -> Seen:
        activation = _brightness(pixels)
        presence = activation.mean(axis=(1, 2))
        outputs = self.facts.outputs
        return Seen(
            *self.run(pixels),
            activation if outputs.activation else None,
            presence if outputs.presence else None,
        )


def painted(outputs: Outputs) -> tuple[Model, list[int]]:
    """A model with these outputs, and its list of passes."""
    model = Painted(outputs)
    return cast(Model, model), model.passes


def _brightness(pixels: Pixels) -> Vectors:
    """float32 (n, height, width) in 0..1."""
    bright: Vectors = pixels.mean(axis=3, dtype=np.float32) / np.float32(255)
    return bright
