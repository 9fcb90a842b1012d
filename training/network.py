"""ResNet-18 with a unit-length embedding and one linear head per label column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torchvision.models import ResNet, ResNet18_Weights, resnet18

from vitrine.runtime.errors import ConfigError

DIM: Final = 512
MEAN: Final = (0.485, 0.456, 0.406)
STD: Final = (0.229, 0.224, 0.225)
"""Channel statistics of ImageNet, which torchvision's pretrained weights expect of pictures in 0..1."""

_LOGIT_SCALE: Final = 16.0
"""Start of the learned factor on unit vectors: without it, a softmax over cosines cannot become sure of anything."""
_LENGTH_MIN: Final = 1e-12

Weights = Literal["none", "imagenet"]


class Network(nn.Module):
    """Pictures to unit vectors, and vectors to the logits of each label column."""

    mean: Tensor
    std: Tensor

    def __init__(self, labels_of: Mapping[str, int], weights: Weights = "none") -> None:
        """`labels_of`: how many labels each column has. Raises ConfigError where the weights cannot be had."""
        super().__init__()
        self.backbone = _backbone(weights)
        self.logit_scale = nn.Parameter(torch.tensor(_LOGIT_SCALE))
        self.heads = nn.ModuleDict({column: nn.Linear(DIM, count) for column, count in labels_of.items()})
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))

    def vectors(self, pictures: Tensor) -> Tensor:
        """Unit vectors, float32 (n, 512), of float32 pictures (n, 3, height, width) in 0..1."""
        pooled: Tensor = self.backbone((pictures - self.mean) / self.std).float()
        # Written out, because functional.normalize exports as a dozen shape operators.
        return pooled / pooled.norm(dim=1, keepdim=True).clamp_min(_LENGTH_MIN)

    def logits(self, vectors: Tensor, column: str) -> Tensor:
        """Logits of one label column, float32 (n, labels)."""
        scores: Tensor = self.heads[column](vectors * self.logit_scale)
        return scores

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Logits per label column."""
        vectors = self.vectors(pictures)
        return {column: self.logits(vectors, column) for column in self.heads}


class Deployed(nn.Module):
    """The graph that is exported: uint8 (n, height, width, 3) to `vector` (n, 512) and `scores` (n, labels)."""

    def __init__(self, network: Network, scored_column: str) -> None:
        super().__init__()
        self.network = network
        self.scored_column = scored_column

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Unit vectors, and the softmax of the scored column's head; both float32."""
        # Without contiguous(), the exporter writes pooling as a walk over memory strides.
        pictures = images.permute(0, 3, 1, 2).contiguous().float() / 255
        vectors = self.network.vectors(pictures)
        return vectors, self.network.logits(vectors, self.scored_column).softmax(dim=1)


def _backbone(weights: Weights) -> ResNet:
    """ResNet-18 that ends with the pooled layer."""
    try:
        backbone: ResNet = resnet18(weights=ResNet18_Weights.IMAGENET1K_V1 if weights == "imagenet" else None)
    except OSError as error:
        reason = f"imagenet weights cannot be downloaded here ({error}); use --weights none"
        raise ConfigError("weights", reason) from error
    backbone.fc = nn.Identity()
    return backbone
