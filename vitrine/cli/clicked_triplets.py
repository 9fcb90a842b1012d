"""What shoppers did → triplets that a model can learn from: an anchor, what belongs to it, and what does not."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from vitrine.cli.displays import Display
from vitrine.runtime.errors import ConfigError
from vitrine.stream.feedback import FeedbackKind

# How much more a purchase says than a look: a convention of ours, to be changed by who knows their shop.
KIND_WEIGHTS: Final[Mapping[FeedbackKind, float]] = {
    FeedbackKind.CLICK: 1.0,
    FeedbackKind.ADD_TO_CART: 2.0,
    FeedbackKind.PURCHASE: 4.0,
}
# What was waved away says more than what was only passed over.
_DISMISS_FACTOR: Final = 2.0
# Of what asked, so many count; of what was passed over above a click, those nearest to it: they were seen for sure.
MAX_ANCHORS: Final = 5
MAX_SKIPPED: Final = 10
# What goes with a dress does not look like it: looks teach affinity (vitrine train-affinity), not likeness.
_OF_LIKENESS: Final = ("Search", "Recommend")


class Triplet(NamedTuple):
    """Product ids; `weight` above 0. Of one answer and one (positive, negative), the weights of all anchors add up."""

    anchor: str
    positive: str
    negative: str
    weight: float
    surface: str
    query_id: str


def triplets_of(display: Display) -> Iterator[Triplet]:
    """What one answer teaches.

    Positive is what was clicked, put into the cart or bought; negative what was dismissed, or what was shown above it
    and passed over: "skip above" of Joachims, "Optimizing search engines using clickthrough data", KDD 2002. A shopper
    who clicked the fifth has seen the four before it; nothing is known of what stands below. Anchors are the products
    that asked; where a picture or a vector asked, the first product that was liked stands for it.
    """
    shown = display.shown
    if shown.method not in _OF_LIKENESS:
        return
    liked, dismissed = _verdicts(display)
    anchors = shown.query_product_ids[:MAX_ANCHORS] or tuple(liked)[:1]
    for positive, weight in liked.items():
        asking = [anchor for anchor in anchors if anchor != positive]
        skipped = _skipped_above(display, positive, {*liked, *dismissed, *anchors})
        for negative in (*dismissed, *skipped):
            factor = _DISMISS_FACTOR if negative in dismissed else 1.0
            for anchor in asking:
                if anchor != negative:
                    share = round(weight * factor / len(asking), 6)
                    yield Triplet(anchor, positive, negative, share, shown.surface, shown.query_id)


def write_triplets(triplets: Iterable[Triplet], path: Path) -> None:
    """As a .csv file with a column for each field. Raises ConfigError (`out`)."""
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(Triplet._fields)
            table.writerows(triplets)
    except OSError as error:
        raise ConfigError("out", f"{path} cannot be written ({error.strerror})") from error


def _verdicts(display: Display) -> tuple[dict[str, float], tuple[str, ...]]:
    """What was liked, with its weight, in the order it was liked first; and what was dismissed. The last word counts.

    Only of products that the answer showed.
    """
    liked: dict[str, float] = {}
    dismissed: dict[str, None] = {}
    for act in display.acts:
        if act.product_id not in display.shown.product_ids:
            continue
        if act.kind is FeedbackKind.DISMISS:
            liked.pop(act.product_id, None)
            dismissed[act.product_id] = None
        else:
            dismissed.pop(act.product_id, None)
            liked[act.product_id] = max(KIND_WEIGHTS[act.kind], liked.get(act.product_id, 0.0))
    return liked, tuple(dismissed)


def _skipped_above(display: Display, positive: str, touched: set[str]) -> tuple[str, ...]:
    """The nearest first."""
    above = display.shown.product_ids[: display.shown.product_ids.index(positive)]
    return tuple(product_id for product_id in reversed(above) if product_id not in touched)[:MAX_SKIPPED]
