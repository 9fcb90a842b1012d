"""What to read of a data set, and how large."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vitrine.runtime.errors import ConfigError

SMALLEST_PX: Final = 16


@dataclass(frozen=True)
class DataSettings:
    """Which columns mean what. Raises ConfigError naming the setting that makes no sense.

    A folder with a sub-folder per class has one label column, called `label` unless `labels` names it.
    """

    labels: tuple[str, ...] = ()
    """Label columns, the scored one first. None: the table's `label`, or else its `category`."""
    image: str = "image"
    """The column with a picture's bytes, or its file relative to the table."""
    split: str = "split"
    """train, val or test by row. Where there is no such column, 80/10/10 are drawn; always so with ""."""
    words: str = ""
    """A column of titles to learn words from, or ""."""
    group: str = ""
    """Rows that share a value of this column share a split, where splits are drawn. Or ""."""
    px: int = 80
    """Side of the square that pictures are letterboxed into."""
    seed: int = 7
    """Of the drawn splits."""

    def __post_init__(self) -> None:
        if self.px < SMALLEST_PX:
            raise ConfigError("px", f"must be at least {SMALLEST_PX}, not {self.px}")
        if self.seed < 0:
            raise ConfigError("seed", f"must not be negative, but is {self.seed}")
        if not self.image:
            raise ConfigError("image", "must name a column")
        if len(set(self.labels)) < len(self.labels) or "" in self.labels:
            raise ConfigError("labels", f"must be different names, not {', '.join(map(repr, self.labels))}")
