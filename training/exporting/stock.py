"""Published weights as a model folder, without training: a vector for each picture, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch

from training.exporting import bundle, card
from training.exporting.graph import Deployed
from training.exporting.variants import Pixels, Samples
from training.networks.backbones import SIDE_MIN_PX
from training.networks.network import Design, Network
from training.networks.weights import NONE, start_from
from training.scenes.augment import as_pixels
from training.scenes.backgrounds import empty_scenes, scenes
from vitrine.model_folder import CPU_INT8, FP32, ModelFolder
from vitrine.runtime.errors import ConfigError

VARIANTS: Final = (FP32, CPU_INT8)
_SEED: Final = 7
_CALIBRATION: Final = 64
_QUERIES: Final = 100
_CATALOGUE: Final = 400
_BLOCK: Final = 50


def export_stock(
    backbone: str, weights: str, layer: str, out: Path, px: int, wanted: Sequence[str] = VARIANTS
) -> ModelFolder:
    """The model folder `out`: a backbone with the weights "imagenet", "none" (random) or those in a file.

    `layer`: whose output is the vector, "" for the backbone's own. `px`: side of the pictures. Variants are prepared
    and compared on generated scenes. Raises ConfigError (`backbone`, `layer`, `weights`, `px`, `variants`).
    """
    if px < SIDE_MIN_PX:
        raise ConfigError("px", f"must be at least {SIDE_MIN_PX}, not {px}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        network = Network(Design(backbone, layer), {}).eval()
    start_from(network, weights)
    facts = {
        "backbone": backbone,
        "layer": network.backbone.layer,
        "weights": "random" if weights == NONE else Path(weights).name,
        "trained_here": "no",
    }
    with bundle.staged(out) as folder:
        export = bundle.Export(out.resolve().name, Deployed(network), {}, px)
        bundle.write(folder, export, wanted, generated(px))
        written = bundle.record(folder, facts)
        card.write(folder)
    return written


def generated(px: int) -> Samples:
    """Generated scenes to prepare and compare variants on, without any product."""
    random = torch.Generator().manual_seed(_SEED)
    return Samples(_scenes(_CALIBRATION, px, random), _scenes(_QUERIES, px, random), _scenes(_CATALOGUE, px, random))


def _scenes(count: int, px: int, random: torch.Generator) -> Pixels:
    sizes = [min(_BLOCK, count - start) for start in range(0, count, _BLOCK)]
    blocks = [as_pixels(scenes(size, px, empty_scenes(size, px, random), random)) for size in sizes]
    return np.concatenate(blocks)
