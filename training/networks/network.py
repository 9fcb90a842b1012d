"""A backbone, an embedding made of named parts, a head per label column, and a map of where the product is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.networks.backbones import Backbone
from vitrine.runtime.errors import ConfigError

_SCALE: Final = 16.0
"""Start of the learned factor on cosines: without it, a softmax over them cannot become sure of anything."""
_LENGTH_MIN: Final = 1e-12
_LATERAL: Final = 32


@dataclass(frozen=True)
class Part:
    """A stretch of the embedding: a learned projection of the features to `dim` numbers of length √`weight`.

    The cosine of two embeddings is the weighted sum of their parts' cosines, so a part's weight says how much what
    it was taught by its `columns` counts when pictures are compared. Raises ConfigError (`part`).
    """

    name: str
    dim: int
    weight: float
    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("part", "needs a name")
        if self.dim < 1:
            raise ConfigError("part", f"{self.name!r} needs at least one dimension, not {self.dim}")
        if not (self.weight > 0 and math.isfinite(self.weight)):
            raise ConfigError("part", f"{self.name!r} needs a weight above 0, not {self.weight}")
        if not self.columns:
            raise ConfigError("part", f"{self.name!r} names no column, so that nothing would teach it")


@dataclass(frozen=True)
class Design:
    """What a network is built from. Without parts, the backbone's features are the embedding.

    Raises ConfigError (`part`) where two parts have the same name.
    """

    backbone: str = "resnet18"
    layer: str = ""
    parts: tuple[Part, ...] = ()

    def __post_init__(self) -> None:
        twice = [name for name, count in Counter(part.name for part in self.parts).items() if count > 1]
        if twice:
            raise ConfigError("part", f"{twice[0]!r} is the name of more than one part")


@dataclass(frozen=True)
class Seen:
    """What a network sees in n pictures, all float32.

    `parts` (n, dim) unit vectors by name; `activation` (n, rows, columns) logits that a cell is product; `presence`
    (n,) logits that there is a product at all.
    """

    parts: Mapping[str, Tensor]
    activation: Tensor
    presence: Tensor


class Network(nn.Module):
    """Pictures to unit vectors, and vectors to the logits of each of `columns`, the columns with a head."""

    mean: Tensor
    std: Tensor

    def __init__(self, design: Design, labels_of: Mapping[str, int]) -> None:
        """`labels_of`: how many labels each column has. Raises ConfigError (`backbone`, `layer`, `part`)."""
        super().__init__()
        _check_columns(design.parts, tuple(labels_of))
        self.design = design
        self.columns = tuple(labels_of)
        self.backbone = Backbone(design.backbone, design.layer)
        self.parts = nn.ModuleDict(
            {module_name(part.name): nn.Linear(self.backbone.dim, part.dim) for part in design.parts}
        )
        self.heads = nn.ModuleDict(
            {module_name(column): CosineHead(self._dim_for(column), count) for column, count in labels_of.items()}
        )
        self.salience = Salience(self.backbone.map_channels, self.backbone.dim)
        self.register_buffer("mean", torch.tensor(self.backbone.plan.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(self.backbone.plan.std).view(1, 3, 1, 1))

    @property
    def dim(self) -> int:
        """Length of the embedding."""
        return sum(part.dim for part in self.design.parts) or self.backbone.dim

    def forward(self, pictures: Tensor) -> Seen:
        """What is seen in pictures, float32 (n, 3, height, width) in 0..1."""
        features, maps = self.backbone((pictures - self.mean) / self.std)
        if self.design.parts:
            parts = {part.name: unit(self._projected(part, features)) for part in self.design.parts}
        else:
            parts = {"": unit(features.float())}
        activation, presence = self.salience(maps, features)
        return Seen(parts, activation.float(), presence.float())

    def embedding(self, seen: Seen) -> Tensor:
        """Unit vectors (n, dim): the parts side by side, each as long as the root of its share of the weight."""
        if not self.design.parts:
            return seen.parts[""]
        total = sum(part.weight for part in self.design.parts)
        return torch.cat([seen.parts[part.name] * (part.weight / total) ** 0.5 for part in self.design.parts], dim=1)

    def logits(self, seen: Seen, column: str) -> Tensor:
        """Logits of one of `columns`, float32 (n, labels)."""
        part = self._part_for(column)
        scores: Tensor = self.head(column)(seen.parts[part.name if part else ""])
        return scores

    def head(self, column: str) -> CosineHead:
        """The head of one of `columns`."""
        return cast(CosineHead, self.heads[module_name(column)])

    def _projected(self, part: Part, features: Tensor) -> Tensor:
        projected: Tensor = self.parts[module_name(part.name)](features)
        return projected.float()

    def _part_for(self, column: str) -> Part | None:
        """The part that a column teaches; a column that none names teaches the first."""
        named = [part for part in self.design.parts if column in part.columns]
        return next(iter([*named, *self.design.parts]), None)

    def _dim_for(self, column: str) -> int:
        part = self._part_for(column)
        return part.dim if part else self.backbone.dim


class CosineHead(nn.Module):
    """Logits that are scaled cosines to one learned direction a label: vectors of a label gather around it.

    "Classification is a strong baseline for deep metric learning" (Zhai and Wu, BMVC 2019).
    """

    def __init__(self, dim: int, labels: int) -> None:
        super().__init__()
        self.directions = nn.Parameter(torch.randn(labels, dim) / dim**0.5)
        self.scale = nn.Parameter(torch.tensor(_SCALE))

    def forward(self, vectors: Tensor) -> Tensor:
        """Logits, float32 (n, labels), of unit vectors (n, dim)."""
        return self.scale * (vectors @ unit(self.directions).T)


class Salience(nn.Module):
    """Where the product is, on the grid of the finest map, and whether there is one at all.

    Each map votes through a 1x1 convolution and the coarse ones are enlarged, as in a feature pyramid
    (Lin et al., CVPR 2017).
    """

    def __init__(self, channels: Sequence[int], dim: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(count, _LATERAL, kernel_size=1) for count in channels)
        self.cell = nn.Conv2d(_LATERAL, 1, kernel_size=3, padding=1)
        self.present = nn.Linear(dim, 1)

    def forward(self, maps: Sequence[Tensor], features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the cells (n, rows, columns), and of the whole picture (n,)."""
        size = maps[0].shape[-2:]
        votes = [
            functional.interpolate(lateral(found), size=size, mode="nearest")
            for lateral, found in zip(self.laterals, maps, strict=True)
        ]
        cells = self.cell(functional.relu(torch.stack(votes).sum(dim=0)))
        return cells.squeeze(1), self.present(features).squeeze(1)


def module_name(name: str) -> str:
    """Under which name torch keeps the head of a column, or a part.

    Torch takes no name with a dot, nor one that a module has as an attribute, such as `type` or `half`.
    """
    return f"of_{name.replace('%', '%25').replace('.', '%2E')}"


def _check_columns(parts: Sequence[Part], columns: Sequence[str]) -> None:
    for part in parts:
        unknown = [column for column in part.columns if column not in columns]
        if unknown:
            reason = f"{part.name!r} names the column {unknown[0]!r}, which is none of {', '.join(columns) or 'none'}"
            raise ConfigError("part", reason)


def unit(vectors: Tensor) -> Tensor:
    """Vectors (n, dim) divided by their length."""
    # Written out, because functional.normalize exports as a dozen shape operators.
    return vectors / vectors.norm(dim=1, keepdim=True).clamp_min(_LENGTH_MIN)
