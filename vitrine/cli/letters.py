"""Dead letters: how they are named and shown."""

from __future__ import annotations

import json
import re
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError

from vitrine.cli.shelves import shown_time
from vitrine.runtime.errors import ConfigError
from vitrine.stream.log import (
    CONTENT_TYPE,
    JSON,
    DeadLetter,
    Position,
    Record,
    Stream,
)
from vitrine.v1 import catalogue_pb2 as pb

_POSITION = re.compile(rf"(?:({'|'.join(Stream)}):)?(\d{{1,4}}):(\d{{1,18}})")
_MESSAGES: dict[Stream, type[pb.CatalogueEvent] | type[pb.LiveAttributes]] = {
    Stream.CATALOGUE: pb.CatalogueEvent,
    Stream.LIVE: pb.LiveAttributes,
}


def parsed(text: str) -> Position:
    """STREAM:PARTITION:OFFSET, the catalogue's where no stream is named. Raises ConfigError (`position`)."""
    found = _POSITION.fullmatch(text)
    if found is None:
        raise ConfigError("position", f"{text!r} is not STREAM:PARTITION:OFFSET, such as catalogue:0:17")
    stream, partition, offset = found.groups()
    return Position(int(partition), int(offset), Stream(stream or Stream.CATALOGUE))


def shown(position: Position) -> str:
    return f"{position.stream}:{position.partition}:{position.offset}"


def origin(letter: DeadLetter) -> Position:
    """Where the event stood first: its own place, unless it is a replay."""
    return letter.record.source.at(letter.record.first_offset)


def is_replay(letter: DeadLetter) -> bool:
    return origin(letter) != letter.record.position


def summary(letter: DeadLetter) -> dict[str, Any]:
    """What `ls` says of a letter. Times: UTC."""
    record = letter.record
    return {
        "position": shown(record.position),
        "product_id": record.key,
        "appended": shown_time(record.append_time_us / 1e6),
        "refused": shown_time(letter.time_us / 1e6),
        "partly_indexed": letter.partly_indexed,
        "replay_of": shown(origin(letter)) if is_replay(letter) else "",
        "reason": letter.reason,
    }


def contents(record: Record) -> dict[str, Any]:
    """Headers and event; of a value that is none, its bytes."""
    headers = {name: value.decode(errors="replace") for name, value in record.headers}
    if record.value is None:
        return {
            "headers": headers,
            "event": "delete" if record.position.stream is Stream.CATALOGUE else "no attributes",
        }
    try:
        return {"headers": headers, "value_bytes": len(record.value), "event": _event(record.value, record)}
    except (DecodeError, ValueError) as error:
        reason = " ".join(str(error).split())
        return {
            "headers": headers,
            "value_bytes": len(record.value),
            "not_decoded": reason,
            "value": record.value.hex(),
        }


def _event(value: bytes, record: Record) -> Any:
    kind = (record.header(CONTENT_TYPE) or b"").partition(b";")[0].strip().lower()
    if kind == JSON:
        return json.loads(value)
    message = _MESSAGES[record.position.stream]()
    message.ParseFromString(value)
    return MessageToDict(message, preserving_proto_field_name=True)
