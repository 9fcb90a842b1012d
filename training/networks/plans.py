"""The networks that can be a backbone: how each is made, where to listen to it, and what its stages are."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from torch import Tensor, nn
from torchvision import models

from training.networks.small_cnn import SmallCnn
from vitrine.runtime.errors import ConfigError

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)
"""Channel statistics of ImageNet, which torchvision's pretrained weights expect of pictures in 0..1."""

_BIT: Final = "resnetv2_50x1_bit"
_HALF: Final = (0.5, 0.5, 0.5)
"""Mean and deviation that BiT was trained with."""

StateDict = Mapping[str, Tensor]


@dataclass(frozen=True)
class Plan:
    """How a backbone is made, and where to listen to it.

    `pretrained` gives the state dict of its ImageNet weights; None where nobody publishes any. `layer`: the node whose
    output is the embedding, before any projection. `maps`: nodes whose feature maps, fine to coarse, say where the
    product is. `stages`: what `--freeze N` freezes, in the order of a picture's way. `aliases`: names that papers use
    for nodes.
    """

    make: Callable[[], nn.Module]
    pretrained: Callable[[], StateDict] | None
    layer: str
    maps: tuple[str, ...]
    stages: tuple[tuple[str, ...], ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


def _torchvision(name: str) -> Callable[[], StateDict]:
    """The newest ImageNet weights that torchvision has for `name`, fetched once and checked by their hash."""
    return lambda: models.get_model_weights(name).DEFAULT.get_state_dict(progress=False, check_hash=True)


def _resnet(name: str) -> Plan:
    """Deep residual learning for image recognition: He et al., CVPR 2016."""
    return Plan(
        make=lambda: models.get_model(name, weights=None),
        pretrained=_torchvision(name),
        layer="flatten",
        maps=("layer2", "layer3", "layer4"),
        stages=(("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",)),
    )


def _vgg16() -> Plan:
    """Very deep convolutional networks for large-scale image recognition: Simonyan and Zisserman, ICLR 2015."""
    ends = (0, 5, 10, 17, 24, 31)  # of the five blocks, each of which a max pooling closes
    blocks = [range(first, last) for first, last in pairwise(ends)]
    return Plan(
        make=lambda: models.get_model("vgg16", weights=None),
        pretrained=_torchvision("vgg16"),
        layer="classifier.1",
        maps=("features.16", "features.23", "features.30"),
        stages=tuple(tuple(f"features.{place}" for place in block) for block in blocks),
        aliases={"fc1": "classifier.1", "fc2": "classifier.4"},
    )


def _small_cnn() -> Plan:
    return Plan(
        make=SmallCnn,
        pretrained=None,
        layer="embedding",
        maps=("pool3",),
        stages=(("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")),
    )


def _bit() -> Plan:
    """Big transfer (BiT): Kolesnikov et al., ECCV 2020. Group normalisation, standardised weights."""
    return Plan(
        make=lambda: _bit_module(pretrained=False),
        pretrained=lambda: _bit_module(pretrained=True).state_dict(),
        layer="head.flatten",
        maps=("stages.1", "stages.2", "stages.3"),
        stages=(("stem",), *((f"stages.{place}",) for place in range(4))),
        mean=_HALF,
        std=_HALF,
    )


def _bit_module(pretrained: bool) -> nn.Module:
    module: nn.Module = _timm().create_model(_BIT, pretrained=pretrained, num_classes=0)
    return module


def _timm() -> Any:
    # Imported when asked for: most trainings do without it.
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        raise ConfigError("backbone", f"{_BIT} comes from the package timm: pip install 'vitrine[train]'") from error


PLANS: Final[Mapping[str, Plan]] = {
    **{name: _resnet(name) for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")},
    "vgg16": _vgg16(),
    _BIT: _bit(),
    "small_cnn": _small_cnn(),
}
