"""Answers that were shown and what was done with them, in a few words."""

from __future__ import annotations

from vitrine.cli.displays import Display, displays_of
from vitrine.stream.feedback import Feedback, FeedbackKind, Impression
from vitrine.stream.feedback_codec import encode
from vitrine.stream.log import FeedbackEntry


def shown(
    number: int, products: str = "abcdef", asked: str = "x", method: str = "Search", surface: str = "page"
) -> Impression:
    """An answer with a product a letter."""
    return Impression(f"{number:032x}", surface, method, tuple(asked), tuple(products), "m", number)


def act(
    number: int, product_id: str, kind: FeedbackKind = FeedbackKind.CLICK, rank: int | None = None, at: int = 5
) -> Feedback:
    """What was done with a product of answer `number`."""
    return Feedback(f"{number:032x}", product_id, kind, "page", rank, at)


def entries(*records: Feedback | Impression) -> list[FeedbackEntry]:
    return [encode(record) for record in records]


def display(answer: Impression, *acts: Feedback) -> Display:
    [found] = displays_of(entries(answer, *acts)).displays
    return found
