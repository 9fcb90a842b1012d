"""Networks that turn a picture into features. Any layer of any of them can be the embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Self

import torch
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from training.networks.plans import PLANS, Plan
from vitrine.runtime.errors import ConfigError

SIDE_MIN_PX: Final = 32
"""Smallest pictures that every backbone takes: VGG-16 and ResNets halve them five times."""

_POOLED: Final = "pooled"
_PROBE_PX: Final = 64


class Backbone(nn.Module):
    """Pictures, float32 (n, 3, height, width), to features (n, dim) and the plan's feature maps."""

    def __init__(self, name: str, layer: str = "") -> None:
        """`layer`: another node than the plan's, or everything up to the end of a module such as "layer3".

        Raises ConfigError (`backbone`, `layer`).
        """
        super().__init__()
        if name not in PLANS:
            raise ConfigError("backbone", f"{name!r} is none of {', '.join(PLANS)}")
        self.plan = PLANS[name]
        whole = self.plan.make()
        nodes = get_graph_node_names(whole)[1][1:]
        self.layer = _known_layer(name, self.plan, layer, nodes)
        listened = {node: f"map{place}" for place, node in enumerate(self.plan.maps)}
        self._map_outputs = list(listened.values())
        # The layer can be one of the maps, perhaps by another name, and a node is listened to once.
        end = _end(nodes, self.layer)
        heard = next((node for node in listened if _end(nodes, node) == end), self.layer)
        self._layer_output = listened.setdefault(heard, _POOLED)
        self.nodes = create_feature_extractor(whole, listened)
        self.name = name
        self._frozen_stages = 0
        self.dim, self.map_channels = self._measured()

    def forward(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Features (n, dim), and one map (n, channels, rows, columns) for each of `map_channels`."""
        found = self.nodes(pictures)
        return _flat(found[self._layer_output]), [found[name] for name in self._map_outputs]

    def freeze(self, stages: int) -> None:
        """Keeps the first stages as they are: no gradients, and their batch statistics stay. Raises ConfigError."""
        if not 0 <= stages <= len(self.plan.stages):
            raise ConfigError("freeze", f"{stages}, but {self.name} has {len(self.plan.stages)} stages")
        self._frozen_stages = stages
        for place, stage in enumerate(self._stages()):
            for module in stage:
                module.requires_grad_(place >= stages)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """As of any module, but frozen stages stay in eval mode."""
        super().train(mode)
        for module in [module for stage in self._stages()[: self._frozen_stages] for module in stage]:
            module.eval()
        return self

    def _stages(self) -> list[list[nn.Module]]:
        # A stage behind the chosen layer and the maps was cut off, and has nothing to freeze.
        kept = dict(self.nodes.named_modules())
        return [[kept[name] for name in stage if name in kept] for stage in self.plan.stages]

    def _measured(self) -> tuple[int, list[int]]:
        self.eval()
        try:
            with torch.inference_mode():
                features, maps = self(torch.zeros(2, 3, _PROBE_PX, _PROBE_PX))
        except (AttributeError, RuntimeError) as error:  # a node that holds a number, a shape or a weight
            raise ConfigError("layer", f"{self.layer!r} of {self.name} gives no features of a picture") from error
        self.train()
        if features.ndim != 2 or len(features) != 2:
            raise ConfigError("layer", f"{self.layer!r} of {self.name} gives no features of a picture")
        return features.shape[1], [found.shape[1] for found in maps]


def _flat(features: Tensor) -> Tensor:
    """Features (n, dim): maps are averaged over the picture, so that its size does not change what they mean."""
    return features.mean(dim=(2, 3)) if features.ndim == 4 else features.flatten(1)


def _known_layer(name: str, plan: Plan, layer: str, nodes: Sequence[str]) -> str:
    wanted = plan.aliases.get(layer, layer) or plan.layer
    if not _end(nodes, wanted):
        raise ConfigError("layer", f"{name} has no layer {layer!r}, but {', '.join([*plan.aliases, *nodes])}")
    return wanted


def _end(nodes: Sequence[str], layer: str) -> str:
    """The node that a node's or module's name means: itself, or the last of the module's. "" of an unknown name."""
    return next((node for node in reversed(nodes) if node == layer or node.startswith(f"{layer}.")), "")
