"""What one partition has read and not published yet, and how far both of its streams have come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from services.indexer.embed import Outcome
from services.indexer.publish import Commit
from vitrine.index.manifest import Manifest
from vitrine.shards.records import Change, LiveVersion
from vitrine.stream.log import DeadLetter, Stream

MAX_EVENTS: Final = 4096
MAX_LIVE: Final = 65_536
_SAMPLES: Final = 32


@dataclass
class Progress:
    """One stream. Everything before offset `polled` has been read, everything before `reached` is pending or published.

    `upto_us`: everything appended to it before this time is.
    """

    polled: int = 0
    reached: int = 0
    upto_us: int = 0


class _Mark(NamedTuple):
    """Where both streams ended, and when that was asked."""

    ends: Mapping[Stream, int]
    asked_us: int


@dataclass(frozen=True)
class Taken:
    """What one commit takes; put back if the commit fails."""

    outcomes: Sequence[Outcome]
    live: Sequence[Outcome]
    commit: Commit

    @property
    def all(self) -> list[Outcome]:
        return [*self.outcomes, *self.live]

    @property
    def dead_letters(self) -> list[DeadLetter]:
        return [outcome.dead_letter for outcome in self.all if outcome.dead_letter]


class Pending:
    def __init__(self) -> None:
        self.progress = {stream: Progress() for stream in Stream}
        self.synced_us = 0
        self._mark: _Mark | None = None
        self._outcomes: dict[Stream, list[Outcome]] = {stream: [] for stream in Stream}

    def begin(self, manifest: Manifest) -> None:
        """Nothing is pending; both streams are read from where the manifest says."""
        self.synced_us = manifest.synced_us
        self._mark = None
        self._outcomes = {stream: [] for stream in Stream}
        for stream, offset in offsets_of(manifest).items():
            self.progress[stream] = Progress(offset, offset, manifest.index_time_us)

    def has_room(self, stream: Stream) -> bool:
        return len(self._outcomes[stream]) < (MAX_EVENTS if stream is Stream.CATALOGUE else MAX_LIVE)

    def add(self, stream: Stream, outcomes: Sequence[Outcome], reached: int) -> None:
        """In the order of the log, up to offset `reached`."""
        progress = self.progress[stream]
        progress.reached = reached
        if outcomes:
            self._outcomes[stream] += outcomes
            progress.upto_us = max(progress.upto_us, outcomes[-1].record.append_time_us)

    def surveyed(self, ends: Mapping[Stream, int], asked_us: int) -> bool:
        """`ends`: where the streams ended at `asked_us`. Whether all of the log is pending or published.

        Where events never stop coming, there is no moment with all of them read. But once everything is read that was
        there when the ends were asked for, the index had all of the log as it was then.
        """
        for stream, progress in self.progress.items():
            if progress.reached >= ends[stream]:
                progress.upto_us = max(progress.upto_us, asked_us)
        if self._mark is None or self._reached(self._mark.ends):
            self.synced_us = max(self.synced_us, self._mark.asked_us if self._mark else 0)
            self._mark = _Mark(dict(ends), asked_us)
        if complete := self._reached(ends):
            self.synced_us = max(self.synced_us, asked_us)
        return complete

    def _reached(self, ends: Mapping[Stream, int]) -> bool:
        return all(progress.reached >= ends[stream] for stream, progress in self.progress.items())

    def take(self, manifest: Manifest) -> Taken:
        """All of it, as the commit that comes after `manifest`."""
        catalogue, live = self._outcomes[Stream.CATALOGUE], self._outcomes[Stream.LIVE]
        self._outcomes = {stream: [] for stream in Stream}
        changes: list[Change] = []
        versions: list[LiveVersion] = []
        appended = []
        for outcome in (*catalogue, *live):
            if outcome.change is None:
                continue
            appended.append(outcome.record.append_time_us)
            if isinstance(outcome.change, LiveVersion):
                versions.append(outcome.change)
            else:
                changes.append(outcome.change)
        reached = {stream: progress.reached for stream, progress in self.progress.items()}
        upto_us = min(progress.upto_us for progress in self.progress.values())
        commit = Commit(
            changes=changes,
            live=versions,
            next_offset=max(manifest.next_offset, reached[Stream.CATALOGUE]),
            next_live_offset=max(manifest.next_live_offset, reached[Stream.LIVE]),
            index_time_us=max(manifest.index_time_us, upto_us),
            synced_us=max(manifest.synced_us, self.synced_us),
            sampled_append_us=_sampled(appended),
        )
        return Taken(catalogue, live, commit)

    def put_back(self, taken: Taken) -> None:
        """Before what has come since."""
        self._outcomes[Stream.CATALOGUE] = [*taken.outcomes, *self._outcomes[Stream.CATALOGUE]]
        self._outcomes[Stream.LIVE] = [*taken.live, *self._outcomes[Stream.LIVE]]


def offsets_of(manifest: Manifest) -> dict[Stream, int]:
    """First offsets that are not in its shards."""
    return {Stream.CATALOGUE: manifest.next_offset, Stream.LIVE: manifest.next_live_offset}


def _sampled(appended_us: list[int]) -> tuple[int, ...]:
    """Evenly over all of them, so that searchers see the slow ones as often as they happen."""
    appended_us.sort()
    step = -(-len(appended_us) // _SAMPLES) or 1
    return tuple(appended_us[::step])
