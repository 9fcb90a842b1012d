"""Records as kafka-python gives them ↔ Record."""

from __future__ import annotations

import time
from typing import Any, Final

from vitrine.stream.log import Headers, Position, Record

_LOG_APPEND_TIME: Final = 1
# The key itself, of a record whose key is no UTF-8: a dead letter carries it as it was.
_RAW_KEY: Final = "vitrine.raw-key"


def record_of(found: Any, position: Position, append_time_us: int, headers: Headers) -> Record:
    """`found`: a ConsumerRecord. In a key that is no UTF-8, U+FFFD stands for what is not: the codec refuses it."""
    raw: bytes = found.key or b""
    try:
        key = raw.decode()
    except UnicodeDecodeError:
        key, headers = raw.decode(errors="replace"), (*headers, (_RAW_KEY, raw))
    return Record(position, key, found.value, append_time_us, headers)


def append_time_us(found: Any) -> int:
    """When the record was appended. Of a topic that keeps its producers' times: theirs, but never in the future."""
    now_us = time.time_ns() // 1_000
    if found.timestamp_type == _LOG_APPEND_TIME:
        return int(found.timestamp) * 1_000
    return min(found.timestamp * 1_000, now_us) if found.timestamp > 0 else now_us


def headers_of(found: Any) -> Headers:
    return tuple((name, bytes(value or b"")) for name, value in found.headers)


def raw_key(record: Record) -> bytes:
    """The key as it is in the topic."""
    raw = record.header(_RAW_KEY)
    return record.key.encode() if raw is None else raw


def own_headers(record: Record) -> Headers:
    """The headers as they are in the topic."""
    return tuple(header for header in record.headers if header[0] != _RAW_KEY)
