"""All the knobs of a training run.

The defaults are the bundled model's, except for what belongs to its data: its design, its words and the weights of its
columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Literal, get_args

from training.learning.devices import Device, Precision
from training.networks.backbones import SIDE_MIN_PX
from training.scenes.augment import GENTLE, Augmentation
from vitrine.runtime.errors import ConfigError

Watched = Literal["accuracy", "precision_at_10"]

_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "watched": get_args(Watched),
    "device": get_args(Device),
    "precision": get_args(Precision),
}


@dataclass(frozen=True)
class Objectives:
    """What is learned, as a weighted sum of losses; weight 0 leaves one out.

    `column_weights`: cross-entropy of each head, also of the one that learns a title's words; 1 where not named.
    `mask_weight`, `presence_weight`: where the product is, and whether there is one. `triplet_weight`: in-batch
    semi-hard triplets of `metric_column` (the scored column if empty); `contrastive_weight`: supervised contrast of
    the same, at `temperature`. `given_weight`: triplets from a file, `given_per_step` of them a step.
    """

    column_weights: Mapping[str, float] = field(default_factory=dict)
    label_smoothing: float = 0.05
    mask_weight: float = 1.0
    presence_weight: float = 0.2
    metric_column: str = ""
    triplet_weight: float = 0.0
    triplet_margin: float = 0.2
    contrastive_weight: float = 0.0
    temperature: float = 0.1
    given_weight: float = 1.0
    given_per_step: int = 16

    def __post_init__(self) -> None:
        weights = {name: value for name, value in asdict(self).items() if name.endswith("_weight")}
        for name, value in {**weights, **{f"column_weights.{c}": w for c, w in self.column_weights.items()}}.items():
            _require(value >= 0, name, f"must not be negative, but is {value}")
        _require(0 <= self.label_smoothing < 1, "label_smoothing", f"must be in 0..1, not {self.label_smoothing}")
        _require(self.triplet_margin > 0, "triplet_margin", f"must be above 0, not {self.triplet_margin}")
        _require(self.temperature > 0, "temperature", f"must be above 0, not {self.temperature}")
        _require(self.given_per_step > 0, "given_per_step", f"must be above 0, not {self.given_per_step}")

    def is_empty(self, columns: Iterable[str]) -> bool:
        """Whether there is nothing to learn with heads for `columns`, triplets from a file aside."""
        own = (self.mask_weight, self.presence_weight, self.triplet_weight, self.contrastive_weight)
        return not any((*own, *map(self.column_weight, columns)))

    def column_weight(self, column: str) -> float:
        """The weight of one head."""
        return self.column_weights.get(column, 1.0)

    def teaches(self, column: str) -> bool:
        """Whether a head learns anything."""
        return self.column_weight(column) > 0


@dataclass(frozen=True)
class Recipe:
    """Settings of one training run.

    The learning rate rises for `warm_up_share` of all steps to `learning_rate_max` and falls again (one cycle:
    Smith and Topin, 2018). For `small_share` of the epochs pictures are `small_scale` as wide and high, which is
    faster; for the last `gentle_share`, `gentle` replaces `augmentation`, so that training ends close to the pictures
    that will be asked. Training stops once `watched`, a figure of the validation split (the mean accuracy of all label
    columns that are taught, or precision@10 of the scored one, which also stands in where none is taught), has not
    risen for `patience_epochs` (0: never). Small pictures are validated small, and an epoch of full-size pictures is
    better than any of theirs. `freeze`: stages of the backbone that stay as they are.
    """

    epochs: int = 46
    batch_pictures: int = 128
    learning_rate_max: float = 2e-3
    weight_decay: float = 0.05
    warm_up_share: float = 0.2
    small_share: float = 0.61
    small_scale: float = 0.8
    gentle_share: float = 0.22
    augmentation: Augmentation = field(default_factory=Augmentation)
    gentle: Augmentation = GENTLE
    objectives: Objectives = field(default_factory=Objectives)
    watched: Watched = "accuracy"
    patience_epochs: int = 0
    freeze: int = 0
    device: Device = "auto"
    precision: Precision = "auto"
    seed: int = 11

    def __post_init__(self) -> None:
        for name in ("epochs", "learning_rate_max"):
            _require(getattr(self, name) > 0, name, f"must be above 0, not {getattr(self, name)}")
        for name in ("weight_decay", "patience_epochs", "freeze", "seed"):
            _require(getattr(self, name) >= 0, name, f"must not be negative, but is {getattr(self, name)}")
        for name in ("small_share", "gentle_share"):
            _require(0 <= getattr(self, name) <= 1, name, f"must be in 0..1, not {getattr(self, name)}")
        for name in ("warm_up_share", "small_scale"):
            _require(0 < getattr(self, name) <= 1, name, f"must be above 0 and at most 1, not {getattr(self, name)}")
        # Batch statistics of one picture are no statistics.
        _require(self.batch_pictures >= 2, "batch_pictures", f"must be at least 2, not {self.batch_pictures}")
        for name, choices in _CHOICES.items():
            _require(getattr(self, name) in choices, name, f"{getattr(self, name)!r} is none of {', '.join(choices)}")

    def px(self, epoch: int, full_px: int) -> int:
        """Side of the pictures of one epoch, counted from 1, where the data's pictures are `full_px` wide."""
        if epoch > round(self.small_share * self.epochs):
            return full_px
        return min(full_px, max(SIDE_MIN_PX, round(self.small_scale * full_px)))

    def augmentation_in(self, epoch: int) -> Augmentation:
        """How much pictures vary in one epoch, counted from 1."""
        return self.gentle if epoch > self.epochs - round(self.gentle_share * self.epochs) else self.augmentation

    def as_plain(self) -> dict[str, Any]:
        """Numbers, words, tuples and dicts only: what a checkpoint and a model card can hold."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Recipe:
        """The inverse of `as_plain`. Raises TypeError or KeyError where `plain` is another version's."""
        nested = {
            "augmentation": Augmentation(**plain["augmentation"]),
            "gentle": Augmentation(**plain["gentle"]),
            "objectives": Objectives(**plain["objectives"]),
        }
        return cls(**{**plain, **nested})

    def differences(self, other: Recipe) -> tuple[str, ...]:
        """Names of the settings in which two recipes differ."""
        names = [setting.name for setting in fields(self)]
        return tuple(name for name in names if getattr(self, name) != getattr(other, name))


def _require(holds: bool, field_name: str, reason: str) -> None:
    # Written so that NaN, for which no comparison holds, is refused.
    if not holds:
        raise ConfigError(field_name, reason)
