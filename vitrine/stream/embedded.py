"""A log in one SQLite file, for one machine: several processes may append and read at once."""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from vitrine.runtime.errors import ConfigError, StreamGap, Unavailable
from vitrine.stream.log import DeadLetter, Position, Record
from vitrine.stream.partitioning import partition_of

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS log (log_id TEXT NOT NULL, partitions INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    partition INTEGER NOT NULL, offset INTEGER NOT NULL,
    key TEXT NOT NULL, value BLOB, append_time_us INTEGER NOT NULL,
    PRIMARY KEY (partition, offset)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dead_letters (
    partition INTEGER NOT NULL, offset INTEGER NOT NULL,
    key TEXT NOT NULL, value BLOB, append_time_us INTEGER NOT NULL,
    reason TEXT NOT NULL, partly_indexed INTEGER NOT NULL, time_us INTEGER NOT NULL,
    PRIMARY KEY (partition, offset)
);
"""
_POLL_INTERVAL_S: Final = 0.02
_BUSY_TIMEOUT_S: Final = 10.0


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
        with ExitStack() as on_failure:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                connection = sqlite3.connect(
                    path, timeout=_BUSY_TIMEOUT_S, check_same_thread=False, isolation_level=None
                )
                on_failure.callback(connection.close)
                log_id, found = _prepared(connection, partitions)
            except (sqlite3.Error, OSError) as error:
                raise ConfigError("stream", f"{path} cannot be opened ({error})") from error
            if found != partitions:
                raise ConfigError("partitions", f"the log {path.name} has {found}, not {partitions}")
            on_failure.pop_all()
        return EmbeddedLog(connection, log_id, partitions)

    @property
    def log_id(self) -> str:
        return self._log_id

    @property
    def partitions(self) -> int:
        return self._partitions

    def append(self, entries: Sequence[tuple[str, bytes]]) -> list[Position]:
        positions = []
        with self._transaction() as connection:
            now_us = time.time_ns() // 1_000
            ends: dict[int, int] = {}
            for key, value in entries:
                partition = partition_of(key, self._partitions)
                offset = ends.get(partition)
                if offset is None:
                    offset = _end_offset(connection, partition)
                ends[partition] = offset + 1
                connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", (partition, offset, key, value, now_us))
                positions.append(Position(partition, offset))
        return positions

    def end_offset(self, partition: int) -> int:
        with self._reading() as connection:
            return _end_offset(connection, partition)

    def read(self, position: Position, max_records: int) -> list[Record]:
        """Up to `max_records` of one partition, from `position` on. Raises StreamGap if records are missing there."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT offset, key, value, append_time_us FROM events"
                " WHERE partition = ? AND offset >= ? ORDER BY offset LIMIT ?",
                (*position, max_records),
            ).fetchall()
        for expected, (offset, *_) in enumerate(rows, position.offset):
            if offset != expected:
                raise StreamGap(f"partition {position.partition}: offset {expected} is gone, {offset} is next")
        return [
            Record(Position(position.partition, offset), key, value, time_us) for offset, key, value, time_us in rows
        ]

    def consumer(self, partitions: Iterable[int]) -> EmbeddedConsumer:
        return EmbeddedConsumer(self, partitions)

    def put_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO dead_letters VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        *letter.record.position,
                        letter.record.key,
                        letter.record.value,
                        letter.record.append_time_us,
                        letter.reason,
                        letter.partly_indexed,
                        letter.time_us,
                    )
                    for letter in letters
                ],
            )

    def dead_letters(self) -> list[DeadLetter]:
        with self._reading() as connection:
            rows = connection.execute("SELECT * FROM dead_letters ORDER BY time_us, partition, offset").fetchall()
        return [
            DeadLetter(Record(Position(partition, offset), key, value, append_us), reason, bool(partly), time_us)
            for partition, offset, key, value, append_us, reason, partly, time_us in rows
        ]

    def close(self) -> None:
        with self._lock:
            self._connection.close()

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
    """Reads partitions of an EmbeddedLog in turn, so that a busy one does not starve the others."""

    def __init__(self, log: EmbeddedLog, partitions: Iterable[int]) -> None:
        self._log = log
        self._next = dict.fromkeys(partitions, 0)

    def seek(self, position: Position) -> None:
        end = self._log.end_offset(position.partition)
        if position.offset > end:
            raise StreamGap(
                f"partition {position.partition}: the index has offsets up to {position.offset}, the log ends at {end}"
            )
        self._next[position.partition] = position.offset

    def poll(self, max_records: int, timeout_s: float, paused: Collection[int] = ()) -> list[Record]:
        deadline = time.monotonic() + timeout_s
        while True:
            records = self._ready(max_records, paused)
            if records or time.monotonic() >= deadline:
                return records
            time.sleep(_POLL_INTERVAL_S)

    def _ready(self, max_records: int, paused: Collection[int]) -> list[Record]:
        active = [partition for partition in self._next if partition not in paused]
        if not active:
            return []
        share = -(-max_records // len(active))
        records: list[Record] = []
        for partition in active:
            found = self._log.read(Position(partition, self._next[partition]), min(share, max_records - len(records)))
            if found:
                # To the end of the queue: where there is not room for all, the others come first next time.
                del self._next[partition]
                self._next[partition] = found[-1].position.offset + 1
                records += found
        return records


def _prepared(connection: sqlite3.Connection, partitions: int) -> tuple[str, int]:
    """The log's id and number of partitions, its tables made if absent."""
    _switch_to_wal(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.executescript(_SCHEMA)
    connection.execute("BEGIN IMMEDIATE")
    row: tuple[str, int] | None = connection.execute("SELECT log_id, partitions FROM log").fetchone()
    if row is None:
        row = (uuid.uuid4().hex, partitions)
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


def _end_offset(connection: sqlite3.Connection, partition: int) -> int:
    row = connection.execute("SELECT MAX(offset) FROM events WHERE partition = ?", (partition,)).fetchone()
    return 0 if row[0] is None else int(row[0]) + 1
