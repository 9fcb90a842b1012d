"""Records of the feedback topic, put together again: each answer that was shown, and what was done with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from vitrine.runtime.errors import InvalidArgument
from vitrine.stream.feedback import Feedback, FeedbackKind, Impression
from vitrine.stream.feedback_codec import decode
from vitrine.stream.log import FeedbackEntry


@dataclass(frozen=True)
class Display:
    """An answer that was shown. `acts`: what was done with it, oldest first, each product and kind once."""

    shown: Impression
    acts: tuple[Feedback, ...] = ()

    def place(self, act: Feedback) -> int | None:
        """Where the product stood, from 1: as the shop says, or else as it was answered."""
        if act.rank is not None:
            return act.rank
        return self.shown.product_ids.index(act.product_id) + 1 if act.product_id in self.shown.product_ids else None


@dataclass(frozen=True)
class Displays:
    """All of them, by the time they were shown, and how much feedback was left out, by reason."""

    displays: tuple[Display, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def acts(self) -> int:
        return sum(len(display.acts) for display in self.displays)


def displays_of(entries: Iterable[FeedbackEntry]) -> Displays:
    """Joins feedback and impressions by query id, whichever came first.

    The same act (query, product, kind) counts once, however often it was sent: a retry is no second click. The first
    one stays. Feedback about an answer that is not among `entries` says nothing of what else was shown: it is left out.
    """
    shown: dict[str, Impression] = {}
    acts: dict[str, dict[tuple[str, FeedbackKind], Feedback]] = {}
    left_out = Counter[str]()
    for entry in entries:
        try:
            record = decode(entry.value)
        except InvalidArgument:
            left_out["not readable"] += 1
            continue
        if isinstance(record, Impression):
            shown.setdefault(record.query_id, record)
            continue
        known = acts.setdefault(record.query_id, {})
        left_out["sent again"] += (record.product_id, record.kind) in known
        known.setdefault((record.product_id, record.kind), record)
    left_out["of an answer that is not there"] = sum(len(done) for query, done in acts.items() if query not in shown)
    found = [Display(answer, _by_time(acts.get(query, {}).values())) for query, answer in shown.items()]
    found.sort(key=lambda display: (display.shown.time_us, display.shown.query_id))
    return Displays(tuple(found), {reason: count for reason, count in left_out.items() if count})


def _by_time(acts: Iterable[Feedback]) -> tuple[Feedback, ...]:
    return tuple(sorted(acts, key=lambda act: act.time_us))
