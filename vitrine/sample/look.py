"""What a drawer knows about the product it draws: its colours, its cloth, and its own small proportions."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from vitrine.sample.canvas import Canvas
from vitrine.sample.fabric import Fabric
from vitrine.sample.palette import COLOURS, RGB, companions

T = TypeVar("T")


@dataclass(frozen=True)
class SampleProduct:
    """One product of the sample catalogue; `seed` decides everything that the words do not say."""

    product_id: str
    title: str
    category: str
    article_type: str
    colour: str
    pattern: str
    price: float
    seed: int


@dataclass(frozen=True)
class Look:
    """A product's appearance. Values are drawn by name, so both views of a product agree on them."""

    product: SampleProduct
    view: int

    def between(self, name: str, low: float, high: float) -> float:
        """A number of this product's own, always the same for the same name."""
        return self._dice(name).uniform(low, high)

    def choice(self, name: str, options: Sequence[T]) -> T:
        """One of the options."""
        return self._dice(name).choice(options)

    def chance(self, name: str, share: float) -> bool:
        """True for this share of the products."""
        return self._dice(name).random() < share

    def dice(self, name: str) -> random.Random:
        """A generator for many draws, such as the folds of one view."""
        return self._dice(name)

    @property
    def colour(self) -> RGB:
        """The main colour, a little off its name's pure value."""
        return self._dyed(self.product.colour)

    @property
    def accent(self) -> RGB:
        """The second colour."""
        return self._dyed(self.choice("accent", companions(self.product.colour)))

    def fabric(self, period_px: float = 20, block_y: float = 120) -> Fabric:
        """The cloth with the product's pattern."""
        period = period_px * self.between("period", 0.75, 1.3)
        return Fabric(self.colour, self.product.pattern, self.accent, period, block_y)

    def _dyed(self, colour: str) -> RGB:
        dice = self._dice(f"dye {colour}")
        shift = dice.uniform(-9, 9)
        red, green, blue = (max(0, min(250, round(v + shift + dice.uniform(-5, 5)))) for v in COLOURS[colour])
        return red, green, blue

    def _dice(self, name: str) -> random.Random:
        return random.Random(f"{self.product.seed} {name}")


Drawer: TypeAlias = Callable[[Canvas, Look], None]
