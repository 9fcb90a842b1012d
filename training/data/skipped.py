"""What of a data set could not be used, or only in part, in words for whoever brought it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

_NAMED_MAX: Final = 8


@dataclass(frozen=True)
class ThinLabels:
    """Where a label column gives little to learn from. What is counted here is kept."""

    missing: int
    """Pictures without a value."""
    unseen: int
    """Pictures of val and test with a class that train lacks."""
    single_in_train: tuple[str, ...]
    """Classes with one picture in train and others elsewhere."""
    single: tuple[str, ...]
    """Classes with one picture in all splits together."""

    @classmethod
    def counted(cls, train: Counter[str], measured: Counter[str]) -> ThinLabels:
        """From pictures by class ("" for none) in train, and in val and test together."""
        everything = train + measured
        names = sorted(name for name in everything if name)
        return cls(
            missing=everything[""],
            unseen=sum(measured[name] for name in names if name not in train),
            single_in_train=tuple(name for name in names if train[name] == 1 < everything[name]),
            single=tuple(name for name in names if everything[name] == 1),
        )

    def lines(self) -> list[str]:
        """A sentence for each kind of trouble there is."""
        lines = []
        if self.missing:
            lines.append(f"{counted(self.missing, 'picture')} without a value.")
        if self.unseen:
            lines.append(f"{counted(self.unseen, 'picture')} of val and test in a class that train lacks.")
        if self.single_in_train:
            classes = counted(len(self.single_in_train), "class", "classes")
            lines.append(f"{classes} with one picture in train: {listed(self.single_in_train)}.")
        if self.single:
            classes = counted(len(self.single), "class", "classes")
            lines.append(f"{classes} with one picture in all, too few to learn and to measure: {listed(self.single)}.")
        return lines


@dataclass(frozen=True)
class Skipped:
    """Counts of what was left out or is of limited use, and the first reasons."""

    other_files: int = 0
    """Files of a folder that are no pictures."""
    unlabelled: int = 0
    """Rows left out because no label column has a value."""
    unreadable: int = 0
    """Rows left out because their picture cannot be read or decoded."""
    reasons: tuple[str, ...] = ()
    """The first of them, each with its row or file."""
    thin: Mapping[str, ThinLabels] = field(default_factory=dict)
    """By label column."""
    repeated: int = 0
    """Pictures of val and test that train holds too, byte for byte."""

    def lines(self) -> list[str]:
        """A sentence for each kind of trouble there is; none for clean data."""
        return [*self._left_out(), *self._of_limited_use()]

    def _left_out(self) -> list[str]:
        lines = []
        if self.other_files:
            lines.append(f"{counted(self.other_files, 'file')} left out: no JPEG, PNG or WebP.")
        if self.unlabelled:
            lines.append(f"{counted(self.unlabelled, 'row')} left out: no label.")
        if self.unreadable:
            lines.append(
                f"{counted(self.unreadable, 'picture')} left out: {'; '.join(self.reasons)}"
                f"{'; …' if self.unreadable > len(self.reasons) else '.'}"
            )
        return lines

    def _of_limited_use(self) -> list[str]:
        lines = [f"{column}: {trouble}" for column, labels in self.thin.items() for trouble in labels.lines()]
        if self.repeated:
            lines.append(
                f"{counted(self.repeated, 'picture')} of val and test also in train, byte for byte: "
                "figures measured on them flatter."
            )
        return lines


def counted(count: int, one: str, many: str = "") -> str:
    """`1 row`, `1,204 rows`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    first = ", ".join(names[:_NAMED_MAX])
    return first if len(names) <= _NAMED_MAX else f"{first} and {len(names) - _NAMED_MAX} more"
