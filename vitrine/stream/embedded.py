"""A log in one SQLite file, for one machine: several processes may append and read at once."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from vitrine.runtime.errors import ConfigError, StreamGap, Unavailable
from vitrine.stream.log import (
    DeadLetter,
    Entry,
    FeedbackEntry,
    Headers,
    Later,
    Position,
    Record,
    Source,
    Stream,
    later_of,
)
from vitrine.stream.partitioning import partition_of

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS log (log_id TEXT NOT NULL, partitions INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    stream TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
    key TEXT NOT NULL, value BLOB, append_time_us INTEGER NOT NULL, headers TEXT,
    PRIMARY KEY (stream, partition, offset)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dead_letters (
    stream TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
    key TEXT NOT NULL, value BLOB, append_time_us INTEGER NOT NULL, headers TEXT,
    reason TEXT NOT NULL, partly_indexed INTEGER NOT NULL, time_us INTEGER NOT NULL,
    PRIMARY KEY (stream, partition, offset)
);
CREATE TABLE IF NOT EXISTS feedback (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB NOT NULL, append_time_us INTEGER NOT NULL
);
"""
# In the file's user_version. Files of version 0 knew one stream and no headers, those of version 2 no feedback.
_SCHEMA_VERSION: Final = 3
_OLD_VERSIONS: Final = (0, 2)
_FROM_VERSION_0: Final = """
ALTER TABLE events RENAME TO old_events;
ALTER TABLE dead_letters RENAME TO old_letters;
{schema}
INSERT INTO events SELECT 'catalogue', partition, offset, key, value, append_time_us, NULL FROM old_events;
INSERT INTO dead_letters SELECT 'catalogue', partition, offset, key, value, append_time_us, NULL, reason,
    partly_indexed, time_us FROM old_letters;
DROP TABLE old_events;
DROP TABLE old_letters;
"""
_POLL_INTERVAL_S: Final = 0.02
_BUSY_TIMEOUT_S: Final = 10.0
# Feedback read at a time: whoever appends meanwhile waits for that, and once for what is older than asked for.
_FEEDBACK_ROWS: Final = 5_000


class EmbeddedLog:
    """The stream protocol over SQLite (WAL, synchronous=FULL: an acknowledged event survives a power cut)."""

    def __init__(self, connection: sqlite3.Connection, log_id: str, partitions: int) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._log_id = log_id
        self._partitions = partitions

    @staticmethod
    def open(path: Path, partitions: int) -> EmbeddedLog:
        """Makes the file if absent. Raises ConfigError (field `stream` or `partitions`)."""
        log = EmbeddedLog._opened(path, partitions)
        if log.partitions != partitions:
            log.close()
            raise ConfigError("partitions", f"the log {path.name} has {log.partitions}, not {partitions}")
        return log

    @staticmethod
    def open_existing(path: Path) -> EmbeddedLog:
        """The log in a file that is there, with the partitions it has. Raises ConfigError (field `stream`)."""
        if not path.is_file():
            raise ConfigError("stream", f"there is no log {path}")
        return EmbeddedLog._opened(path, None)

    @staticmethod
    def _opened(path: Path, if_absent: int | None) -> EmbeddedLog:
        """`if_absent`: partitions of a log that is not there yet; None: that is an error."""
        with ExitStack() as on_failure:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                connection = sqlite3.connect(
                    path, timeout=_BUSY_TIMEOUT_S, check_same_thread=False, isolation_level=None
                )
                on_failure.callback(connection.close)
                log_id, partitions = _prepared(connection, if_absent)
            except (sqlite3.Error, OSError) as error:
                raise ConfigError("stream", f"{path} cannot be opened ({error})") from error
            on_failure.pop_all()
        return EmbeddedLog(connection, log_id, partitions)

    @property
    def log_id(self) -> str:
        return self._log_id

    @property
    def partitions(self) -> int:
        return self._partitions

    @property
    def keeps_deletes_s(self) -> None:
        """For ever: nothing is removed from this log."""
        return None

    def check(self) -> None:
        """The file is this process's for as long as it is open."""

    def append(self, entries: Sequence[Entry]) -> list[Position]:
        positions = []
        with self._transaction() as connection:
            now_us = time.time_ns() // 1_000
            ends: dict[Source, int] = {}
            for key, value, stream, headers in entries:
                source = Source(partition_of(key, self._partitions), stream)
                offset = ends.get(source)
                if offset is None:
                    offset = _end_offset(connection, source)
                ends[source] = offset + 1
                row = (stream, source.partition, offset, key, value, now_us, _headers_text(headers))
                connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", row)
                positions.append(source.at(offset))
        return positions

    def end_offsets(self, sources: Iterable[Source]) -> dict[Source, int]:
        with self._reading() as connection:
            return {source: _end_offset(connection, source) for source in sources}

    def later_records(self, records: Iterable[Record]) -> dict[Position, Later]:
        found = {}
        with self._reading() as connection:
            for record in records:
                partition, offset, stream = record.position
                rows = connection.execute(
                    "SELECT offset, headers FROM events WHERE stream = ? AND partition = ? AND offset > ?"
                    " AND offset <> ? AND key = ? ORDER BY offset",
                    (stream, partition, record.first_offset, offset, record.key),
                )
                if beyond := later_of(record, ((at, _headers(text)) for at, text in rows)):
                    found[record.position] = beyond
        return found

    def read(self, position: Position, max_records: int) -> list[Record]:
        """Up to `max_records` of one source, from `position` on. Raises StreamGap if records are missing there."""
        partition, first, stream = position
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT offset, key, value, append_time_us, headers FROM events"
                " WHERE stream = ? AND partition = ? AND offset >= ? ORDER BY offset LIMIT ?",
                (stream, partition, first, max_records),
            ).fetchall()
        for expected, (offset, *_) in enumerate(rows, first):
            if offset != expected:
                reason = f"{stream} partition {partition}: offset {expected} is gone, {offset} is next"
                raise StreamGap(reason, partition)
        return [
            Record(Position(partition, offset, stream), key, value, time_us, _headers(text))
            for offset, key, value, time_us, text in rows
        ]

    def consumer(self, partitions: Iterable[int] | None = None) -> EmbeddedConsumer:
        """Reads `partitions`, or all."""
        return EmbeddedConsumer(self, range(self._partitions) if partitions is None else partitions)

    def put_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO dead_letters VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        letter.record.position.stream,
                        letter.record.position.partition,
                        letter.record.position.offset,
                        letter.record.key,
                        letter.record.value,
                        letter.record.append_time_us,
                        _headers_text(letter.record.headers),
                        letter.reason,
                        letter.partly_indexed,
                        letter.time_us,
                    )
                    for letter in letters
                ],
            )

    def dead_letters(self) -> list[DeadLetter]:
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT * FROM dead_letters ORDER BY time_us, stream, partition, offset"
            ).fetchall()
        return [
            DeadLetter(
                Record(Position(partition, offset, Stream(stream)), key, value, append_us, _headers(headers)),
                reason,
                bool(partly),
                time_us,
            )
            for stream, partition, offset, key, value, append_us, headers, reason, partly, time_us in rows
        ]

    def append_feedback(self, entries: Sequence[FeedbackEntry]) -> None:
        with self._transaction() as connection:
            now_us = time.time_ns() // 1_000
            connection.executemany(
                "INSERT INTO feedback (key, value, append_time_us) VALUES (?, ?, ?)",
                [(entry.key, entry.value, now_us) for entry in entries],
            )

    def feedback(self, since_us: int = 0) -> Iterator[FeedbackEntry]:
        last = 0
        while rows := self._feedback_after(last, since_us):
            yield from (FeedbackEntry(key, value) for _, key, value in rows)
            last = rows[-1][0]

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _feedback_after(self, number: int, since_us: int) -> list[tuple[int, str, bytes]]:
        with self._reading() as connection:
            return connection.execute(
                "SELECT number, key, value FROM feedback WHERE number > ? AND append_time_us >= ?"
                " ORDER BY number LIMIT ?",
                (number, since_us, _FEEDBACK_ROWS),
            ).fetchall()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise Unavailable(f"stream: {error}") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")


class EmbeddedConsumer:
    """Reads sources of an EmbeddedLog in turn, so that a busy one does not starve the others."""

    def __init__(self, log: EmbeddedLog, partitions: Iterable[int]) -> None:
        self._log = log
        self._assigned = dict.fromkeys(partitions, 1)
        self._next = {Source(partition, stream): 0 for partition in self._assigned for stream in Stream}

    def assigned(self) -> Mapping[int, int]:
        """Who opens the file reads all of it: nobody else shares the work."""
        return self._assigned

    def seek(self, position: Position) -> None:
        source = Source(position.partition, position.stream)
        end = self._log.end_offsets([source])[source]
        if position.offset > end:
            reason = (
                f"{source.stream} partition {source.partition}: the index has offsets up to {position.offset}, "
                f"the log ends at {end}"
            )
            raise StreamGap(reason, source.partition)
        self._next[source] = position.offset

    def poll(self, max_records: int, timeout_s: float, paused: Collection[Source] = ()) -> list[Record]:
        deadline = time.monotonic() + timeout_s
        while True:
            records = self._ready(max_records, paused)
            if records or time.monotonic() >= deadline:
                return records
            time.sleep(_POLL_INTERVAL_S)

    def next_offset(self, source: Source) -> int:
        return self._next[source]

    def published(self, positions: Iterable[Position]) -> None:
        """No tool shows the lag of this log but our own, which reads the manifests."""

    def close(self) -> None:
        """Nothing of its own is open."""

    def _ready(self, max_records: int, paused: Collection[Source]) -> list[Record]:
        unread = [source for source in self._next if source not in paused]
        records: list[Record] = []
        # What one source leaves of its share goes to the others.
        while unread and len(records) < max_records:
            share = -(-(max_records - len(records)) // len(unread))
            for source in list(unread):
                wanted = min(share, max_records - len(records))
                if not wanted:
                    break
                found = self._log.read(source.at(self._next[source]), wanted)
                if len(found) < wanted:
                    unread.remove(source)
                if found:
                    # To the end of the queue: where there is not room for all, the others come first next time.
                    del self._next[source]
                    self._next[source] = found[-1].position.offset + 1
                    records += found
        return records


def _prepared(connection: sqlite3.Connection, if_absent: int | None) -> tuple[str, int]:
    """The log's id and number of partitions, its tables made if absent."""
    _switch_to_wal(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("BEGIN IMMEDIATE")
    _make_tables(connection)
    row: tuple[str, int] | None = connection.execute("SELECT log_id, partitions FROM log").fetchone()
    if row is None:
        if if_absent is None:
            raise sqlite3.DatabaseError("it holds no log")
        row = (uuid.uuid4().hex, if_absent)
        connection.execute("INSERT INTO log VALUES (?, ?)", row)
    connection.execute("COMMIT")
    return row


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """SQLite's busy timeout does not cover this: of several processes that open a new file at once, one may go on."""
    deadline = time.monotonic() + _BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
        time.sleep(_POLL_INTERVAL_S)


def _make_tables(connection: sqlite3.Connection) -> None:
    """Tables as they are now, whatever there was. Inside a transaction: of several processes one does it."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == _SCHEMA_VERSION:
        return
    if version not in _OLD_VERSIONS:
        raise ConfigError("stream", f"is a log of version {version}, this program reads up to {_SCHEMA_VERSION}")
    there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'events'").fetchone()
    script = _FROM_VERSION_0.format(schema=_SCHEMA) if there and version == 0 else _SCHEMA
    for statement in script.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")


def _end_offset(connection: sqlite3.Connection, source: Source) -> int:
    row = connection.execute(
        "SELECT MAX(offset) FROM events WHERE stream = ? AND partition = ?", (source.stream, source.partition)
    ).fetchone()
    return 0 if row[0] is None else int(row[0]) + 1


def _headers_text(headers: Headers) -> str | None:
    return json.dumps([(name, value.hex()) for name, value in headers]) if headers else None


def _headers(text: str | None) -> Headers:
    return tuple((name, bytes.fromhex(value)) for name, value in json.loads(text)) if text else ()
