"""Publishing refused events again: each under the offset it had first, so that it never hides what is newer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from vitrine.cli.letters import origin, shown
from vitrine.stream.log import REPLAYED_OFFSET, DeadLetter, Entry, EventLog, Later, Position
from vitrine.stream.partitioning import partition_of


@dataclass(frozen=True)
class Replay:
    """What became of one letter: where it stands in the log now, or why it was not published again."""

    position: str
    product_id: str
    replayed_as: str = ""
    refused: str = ""


@dataclass(frozen=True)
class _Event:
    """A refused event: its newest letter, and when it was first appended."""

    letter: DeadLetter
    appended_us: int


def replay(log: EventLog, found: Sequence[DeadLetter], wanted: Sequence[DeadLetter], force: bool) -> list[Replay]:
    """Appends the events of `wanted` again, each at most once. `found`: all letters. Raises Unavailable.

    Of an event that was refused again after a replay, the newest letter counts, whichever is named.
    """
    events = _events(found)
    chosen = [events[place] for place in dict.fromkeys(map(origin, wanted))]
    later = log.later_records([event.letter.record for event in chosen])
    refused = [_refusal(log, event, later.get(event.letter.record.position, Later()), force) for event in chosen]
    entries = [_entry(event.letter) for event, reason in zip(chosen, refused, strict=True) if not reason]
    positions = iter(log.append(entries))
    return [
        Replay(
            shown(event.letter.record.position),
            event.letter.record.key,
            replayed_as="" if reason else shown(next(positions)),
            refused=reason,
        )
        for event, reason in zip(chosen, refused, strict=True)
    ]


def _events(found: Sequence[DeadLetter]) -> dict[Position, _Event]:
    """By where each stood first."""
    events: dict[Position, _Event] = {}
    for letter in sorted(found, key=lambda letter: letter.record.position.offset):
        first = events.get(origin(letter))
        # The first of an event's letters is the event itself: a replay was appended later.
        appended_us = first.appended_us if first else letter.record.append_time_us
        events[origin(letter)] = _Event(letter, appended_us)
    return events


def _entry(letter: DeadLetter) -> Entry:
    record = letter.record
    headers = tuple(header for header in record.headers if header[0] != REPLAYED_OFFSET)
    mark = (REPLAYED_OFFSET, str(record.first_offset).encode())
    return Entry(record.key, record.value, record.position.stream, (*headers, mark))


def _refusal(log: EventLog, event: _Event, later: Later, force: bool) -> str:
    """Why the event must not be published again; empty if it may be."""
    key, partition = event.letter.record.key, event.letter.record.position.partition
    if not key or "\ufffd" in key:
        return "its key is no product id: publish the product anew"
    if (home := partition_of(key, log.partitions)) != partition:
        return f"its key belongs into partition {home}, where its offset says nothing: publish the product anew"
    if later.newer is not None:
        return f"superseded: {shown(later.newer)} is a later event of this product"
    if later.again is not None:
        return f"published again already, as {shown(later.again)}"
    age_s = time.time() - event.appended_us / 1e6
    if log.keeps_deletes_s is not None and age_s > log.keeps_deletes_s and not force:
        days, kept = age_s / 86_400, log.keeps_deletes_s / 86_400
        said = f"appended {days:.1f} days ago, and the log keeps deletes for {kept:.1f}"
        return f"{said}: a later delete of this product may be gone; --force publishes it all the same"
    return ""
