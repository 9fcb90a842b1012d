"""What answers showed, and what shoppers did with it: the records of the feedback topic.

No record says who the shopper is. Of a shopper's picture nothing is kept, neither it nor its vector.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_RANK: Final = 10_000
# Of an impression: products shown, and products that asked.
MAX_SHOWN: Final = 100
MAX_ASKING: Final = 100
SURFACE: Final = re.compile(r"[a-z0-9_-]{0,64}")


class FeedbackKind(StrEnum):
    """What a shopper did with a product."""

    CLICK = "click"
    ADD_TO_CART = "add_to_cart"
    PURCHASE = "purchase"
    DISMISS = "dismiss"


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a shopper did with one product of an answer. Time: microseconds since 1970 UTC.

    rank   place among what was shown, from 1; None: not known
    """

    query_id: str
    product_id: str
    kind: FeedbackKind
    surface: str
    rank: int | None
    time_us: int


@dataclass(frozen=True, slots=True)
class Impression:
    """What an answer showed. Time: microseconds since 1970 UTC.

    method             "Search", "Recommend" or "CompleteTheLook"
    query_product_ids  the products that asked, at most MAX_ASKING; empty for a picture or a vector
    product_ids        what was shown, best first, at most MAX_SHOWN
    """

    query_id: str
    surface: str
    method: str
    query_product_ids: tuple[str, ...]
    product_ids: tuple[str, ...]
    model_id: str
    time_us: int
