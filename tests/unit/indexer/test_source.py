"""What a record of the log asks for, or why it is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from google.protobuf import json_format

from services.indexer.source import MAX_AHEAD_US, Incoming, judged
from vitrine.index.settings import IndexSettings
from vitrine.stream import codec
from vitrine.stream.events import Delete, ImageRef, LiveUpdate, Upsert
from vitrine.stream.log import CONTENT_TYPE, REPLAYED_OFFSET, Headers, Position, Record, Stream
from vitrine.stream.partitioning import partition_of

INDEX = IndexSettings("default", 8, "model", partitions=2)
HOME = partition_of("p", 2)
APPENDED_US = 1_800_000_000_000_000
UPSERT = Upsert("p", (ImageRef("0", uri="https://shop.example/p.jpg"),), "shoes", {"size": 4.0})


def record(value: bytes | None, *headers: tuple[str, bytes], offset: int = 7, key: str = "p") -> Record:
    return Record(Position(partition_of(key, 2), offset), key, value, APPENDED_US, headers)


def taken(found: Record, index: IndexSettings = INDEX, now_us: int = APPENDED_US) -> Incoming:
    return judged(found, index, now_us)


def test_an_upsert_without_a_time_happened_when_it_was_appended() -> None:
    assert taken(record(codec.encode(UPSERT))).event == replace(UPSERT, event_time_us=APPENDED_US)


def test_no_value_is_a_delete() -> None:
    assert taken(record(None)).event == Delete("p")


def test_no_value_in_the_live_log_takes_the_live_attributes_away() -> None:
    live = Record(Position(HOME, 7, Stream.LIVE), "p", None, APPENDED_US)

    assert taken(live).event == LiveUpdate("p", {})


@pytest.mark.parametrize("kind", [b"application/json", b"Application/JSON; charset=utf-8", b" application/json "])
def test_json_is_told_by_its_header(kind: bytes) -> None:
    value = json_format.MessageToJson(codec.to_message(UPSERT)).encode()

    assert taken(record(value, (CONTENT_TYPE, kind))).event == replace(UPSERT, event_time_us=APPENDED_US)
    assert taken(record(value)).refused.startswith("value: is not a CatalogueEvent")


def test_a_record_in_another_partition_than_its_keys_is_refused() -> None:
    astray = record(None)._replace(position=Position(1 - HOME, 7))

    assert taken(astray).refused == f"key: belongs into partition {HOME} (murmur2), this is {1 - HOME}"


@pytest.mark.parametrize(("ahead_us", "refused"), [(MAX_AHEAD_US, False), (MAX_AHEAD_US + 1, True)])
def test_an_event_may_be_dated_an_hour_ahead_of_the_log(ahead_us: int, refused: bool) -> None:
    dated = replace(UPSERT, event_time_us=APPENDED_US + ahead_us)

    assert taken(record(codec.encode(dated))).refused.startswith("event_time: ") is refused


class TestExpiry:
    @pytest.mark.parametrize(
        ("retention_s", "expires_us", "ends_us"),
        [
            (0.0, None, None),
            (0.0, APPENDED_US + 5, APPENDED_US + 5),
            (60.0, None, APPENDED_US + 60_000_000),
            (60.0, APPENDED_US + 5, APPENDED_US + 5),
            (60.0, APPENDED_US + 90_000_000, APPENDED_US + 60_000_000),
        ],
    )
    def test_the_earlier_of_its_own_end_and_the_end_of_retention_counts(
        self, retention_s: float, expires_us: int | None, ends_us: int | None
    ) -> None:
        event = taken(
            record(codec.encode(replace(UPSERT, expires_at_us=expires_us))), replace(INDEX, retention_s=retention_s)
        ).event

        assert isinstance(event, Upsert)
        assert event.expires_at_us == ends_us

    def test_an_upsert_that_expired_an_hour_ago_only_hides_what_came_before_it(self) -> None:
        value = codec.encode(replace(UPSERT, expires_at_us=APPENDED_US + 5))

        assert isinstance(taken(record(value), now_us=APPENDED_US + MAX_AHEAD_US + 4).event, Upsert)
        assert taken(record(value), now_us=APPENDED_US + MAX_AHEAD_US + 5).event == Delete("p", APPENDED_US)


class TestPublishedAgain:
    def test_an_event_counts_from_where_it_stood_first(self) -> None:
        assert taken(record(None, (REPLAYED_OFFSET, b"3"))).log_offset == 3
        assert taken(record(None)).log_offset == 7

    @pytest.mark.parametrize("offset", [b"8", b"-1", b"", b"three", "³".encode(), b"1e3", b"\xff"])
    def test_a_place_that_is_none_before_its_own_is_refused(self, offset: bytes) -> None:
        headers: Headers = ((REPLAYED_OFFSET, offset),)

        assert taken(record(None, *headers)).refused.startswith(f"{REPLAYED_OFFSET}: ")
