"""What an event says survives the wire; what it must not say is refused by the field's name."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress

import pytest
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from vitrine.runtime.errors import InvalidArgument
from vitrine.stream import codec
from vitrine.stream.events import Delete, Event, ImageRef, LiveUpdate, Upsert
from vitrine.v1 import catalogue_pb2 as pb

SHA = bytes(range(32))
FIRST_US = -62_135_596_800 * 1_000_000
LAST_US = 253_402_300_799 * 1_000_000 + 999_999


def short_text(max_bytes: int, min_size: int = 0) -> st.SearchStrategy[str]:
    text = st.text(min_size=min_size, max_size=max_bytes)
    return text.filter(lambda value: len(value.encode()) <= max_bytes)


ids = short_text(codec.MAX_ID_BYTES, min_size=1).filter(lambda value: "\ufffd" not in value)
times = st.none() | st.integers(FIRST_US, LAST_US)
shas = st.just(b"") | st.binary(min_size=32, max_size=32)
image_ids = short_text(20, min_size=1)
images = (
    st.builds(ImageRef, image_ids, data=st.binary(min_size=1), sha256=shas)
    | st.builds(ImageRef, image_ids, uri=short_text(200, min_size=1), sha256=shas)
    | st.builds(ImageRef, image_ids, sha256=st.binary(min_size=32, max_size=32))
)
values = (
    short_text(200)
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.lists(short_text(30), max_size=5).map(tuple)
)
upserts = st.builds(
    Upsert,
    product_id=ids,
    images=st.lists(images, min_size=1, max_size=5, unique_by=lambda image: image.image_id).map(tuple),
    category=short_text(100),
    attributes=st.dictionaries(short_text(codec.MAX_ATTRIBUTE_NAME_BYTES, min_size=1), values, max_size=6),
    event_time_us=times,
    expires_at_us=times,
)
updates = st.builds(
    LiveUpdate,
    product_id=ids,
    attributes=st.dictionaries(short_text(codec.MAX_ATTRIBUTE_NAME_BYTES, min_size=1), values, max_size=6),
)
events = upserts | st.builds(Delete, product_id=ids, event_time_us=times)


@given(events)
def test_an_event_survives_the_wire(event: Event) -> None:
    assert codec.decode(codec.encode(event), event.product_id) == event


@given(updates)
def test_a_live_update_survives_the_wire(update: LiveUpdate) -> None:
    assert codec.decode_live(codec.encode(update), update.product_id) == update


@given(events)
def test_an_event_survives_as_json(event: Event) -> None:
    value = json_format.MessageToJson(codec.to_message(event)).encode()

    assert codec.decode(value, event.product_id, json=True) == event


@given(updates)
def test_a_live_update_survives_as_json(update: LiveUpdate) -> None:
    value = json_format.MessageToJson(codec.live_message(update)).encode()

    assert codec.decode_live(value, update.product_id, json=True) == update


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_read_but_never_crashes(value: bytes) -> None:
    with suppress(InvalidArgument):
        codec.decode(value, "p")


@given(upserts, st.data())
def test_a_damaged_record_is_refused_or_read_but_never_crashes(event: Upsert, data: st.DataObject) -> None:
    value = bytearray(codec.encode(event))
    value[data.draw(st.integers(0, len(value) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with suppress(InvalidArgument):
        codec.decode(bytes(value), event.product_id)


def test_a_boolean_does_not_turn_into_a_number() -> None:
    event = Upsert("p", (ImageRef("0", uri="u"),), "", {"new": True, "count": 1.0})

    decoded = codec.decode(codec.encode(event), "p")

    assert isinstance(decoded, Upsert)
    assert (type(decoded.attributes["new"]), type(decoded.attributes["count"])) == (bool, float)


def test_an_image_without_an_id_is_named_by_its_place() -> None:
    message = message_of(images=[pb.Image(uri="a"), pb.Image(uri="b", image_id="front"), pb.Image(uri="c")])

    event = codec.from_message(message)

    assert isinstance(event, Upsert)
    assert [image.image_id for image in event.images] == ["0", "front", "2"]


def message_of(images: list[pb.Image] | None = None, **fields: object) -> pb.CatalogueEvent:
    upsert = pb.Upsert(images=[pb.Image(uri="u")] if images is None else images, **fields)  # type: ignore[arg-type]
    return pb.CatalogueEvent(product_id="p", upsert=upsert)


def with_attribute(name: str = "a", **value: object) -> pb.CatalogueEvent:
    message = message_of()
    message.upsert.attributes[name].CopyFrom(pb.AttributeValue(**value))  # type: ignore[arg-type]
    return message


def with_values(values: list[str]) -> pb.CatalogueEvent:
    return with_attribute(string_list=pb.StringList(values=values))


def with_attributes(count: int) -> pb.CatalogueEvent:
    message = message_of()
    for number in range(count):
        message.upsert.attributes[str(number)].number = number
    return message


def at(seconds: int, nanos: int = 0) -> pb.CatalogueEvent:
    return pb.CatalogueEvent(product_id="p", delete=pb.Delete(), event_time=Timestamp(seconds=seconds, nanos=nanos))


def expiring(seconds: int) -> pb.CatalogueEvent:
    return message_of(expires_at=Timestamp(seconds=seconds))


def named(product_id: str) -> pb.CatalogueEvent:
    return pb.CatalogueEvent(product_id=product_id, delete=pb.Delete())


ACCEPTED: dict[str, pb.CatalogueEvent] = {
    "an id of 256 bytes": named("ß" * 128),
    "64 images": message_of([pb.Image(uri=str(number)) for number in range(64)]),
    "an image_id of 128 bytes": message_of([pb.Image(image_id="x" * 128, uri="u")]),
    "a uri of 2048 bytes": message_of([pb.Image(uri="x" * 2048)]),
    "a category of 256 bytes": message_of(category="x" * 256),
    "64 attributes": with_attributes(64),
    "an attribute name of 64 bytes": with_attribute("ß" * 32, bool=True),
    "a string of 1024 bytes": with_attribute(string="x" * 1024),
    "a list of 64 values": with_values(["x"] * 64),
    "a list value of 256 bytes": with_values(["x" * 256]),
    "an empty list": with_values([]),
    "the largest number": with_attribute(number=1.7976931348623157e308),
    "the first second": at(-62_135_596_800),
    "the last second": at(253_402_300_799, 999_999_999),
    "an expiry long ago": expiring(0),
}
REFUSED: dict[str, tuple[pb.CatalogueEvent, str]] = {
    "no id": (named(""), "product_id"),
    "an id that was no UTF-8 once": (named("shoe-\ufffd"), "product_id"),
    "an id of 257 bytes": (named("x" * 257), "product_id"),
    "an id of 129 two-byte letters": (named("ß" * 129), "product_id"),
    "no change": (pb.CatalogueEvent(product_id="p"), "change"),
    "no images": (message_of([]), "upsert.images"),
    "65 images": (message_of([pb.Image(uri=str(number)) for number in range(65)]), "upsert.images"),
    "two images of one id": (message_of([pb.Image(image_id="a", uri=uri) for uri in "xy"]), "upsert.images"),
    "an image named as another's place": (
        message_of([pb.Image(image_id="1", uri="x"), pb.Image(uri="y")]),
        "upsert.images",
    ),
    "an image_id of 129 bytes": (message_of([pb.Image(image_id="x" * 129, uri="u")]), "upsert.images[0].image_id"),
    "a sha256 of 31 bytes": (message_of([pb.Image(uri="u", sha256=SHA[:31])]), "upsert.images[0].sha256"),
    "a sha256 in hex": (message_of([pb.Image(uri="u", sha256=SHA.hex().encode())]), "upsert.images[0].sha256"),
    "an image from nowhere": (message_of([pb.Image(uri="u"), pb.Image(image_id="x")]), "upsert.images[1]"),
    "an empty picture": (message_of([pb.Image(data=b"", sha256=SHA)]), "upsert.images[0].data"),
    "an empty uri": (message_of([pb.Image(uri="")]), "upsert.images[0].uri"),
    "a uri of 2049 bytes": (message_of([pb.Image(uri="x" * 2049)]), "upsert.images[0].uri"),
    "a category of 257 bytes": (message_of(category="x" * 257), "upsert.category"),
    "65 attributes": (with_attributes(65), "upsert.attributes"),
    "an attribute without a name": (with_attribute("", bool=True), "upsert.attributes"),
    "an attribute name of 65 bytes": (with_attribute("x" * 65, bool=True), "upsert.attributes"),
    "an attribute without a value": (with_attribute("a"), "upsert.attributes['a']"),
    "NaN": (with_attribute(number=math.nan), "upsert.attributes['a']"),
    "infinity": (with_attribute(number=math.inf), "upsert.attributes['a']"),
    "minus infinity": (with_attribute(number=-math.inf), "upsert.attributes['a']"),
    "a string of 1025 bytes": (with_attribute(string="x" * 1025), "upsert.attributes['a']"),
    "a list of 65 values": (with_values(["x"] * 65), "upsert.attributes['a']"),
    "a list value of 257 bytes": (with_values(["x", "x" * 257]), "upsert.attributes['a']"),
    "a time before the year 1": (at(-62_135_596_801), "event_time"),
    "a time after the year 9999": (at(253_402_300_800), "event_time"),
    "a second of two seconds": (at(0, 1_000_000_000), "event_time"),
    "a negative fraction": (at(0, -1), "event_time"),
    "an expiry after the year 9999": (expiring(253_402_300_800), "upsert.expires_at"),
}


@pytest.mark.parametrize("message", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_the_most_that_is_allowed_is_accepted(message: pb.CatalogueEvent) -> None:
    event = codec.from_message(message)

    assert codec.decode(codec.encode(event), event.product_id) == event


@pytest.mark.parametrize(("message", "field"), REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_field_is_refused_by_its_name(message: pb.CatalogueEvent, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        codec.from_message(message)

    assert caught.value.field == field


@pytest.mark.parametrize(("message", "field"), REFUSED.values(), ids=REFUSED.keys())
def test_a_record_is_checked_as_a_call_is(message: pb.CatalogueEvent, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        codec.decode(message.SerializeToString(), message.product_id)

    # The key is looked at first.
    assert caught.value.field == ("key" if field == "product_id" else field)


def test_a_record_under_another_key_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="'q'") as caught:
        codec.decode(codec.encode(Delete("p")), "q")

    assert caught.value.field == "product_id"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: value[:-1],
        lambda value: b"\xff" + value,
        lambda value: b"{" + value,
        lambda value: b"not protobuf",
    ],
)
def test_bytes_that_are_no_event_are_refused(spoil: Callable[[bytes], bytes]) -> None:
    value = codec.encode(Upsert("p", (ImageRef("0", uri="u"),), "shoes", {}))

    with pytest.raises(InvalidArgument):
        codec.decode(spoil(value), "p")


@pytest.mark.parametrize("decode", [codec.decode, codec.decode_live])
@pytest.mark.parametrize("key", ["", "x" * 257, "ß" * 129, "shoe-\ufffd"])
@pytest.mark.parametrize("value", [None, b"", b"\xff"])
def test_a_bad_key_is_refused_whatever_the_value(
    decode: Callable[[bytes | None, str], object], key: str, value: bytes | None
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode(value, key)

    assert caught.value.field == "key"


def test_a_record_without_a_value_is_a_delete() -> None:
    assert codec.decode(None, "p") == Delete("p")


def test_a_live_record_without_a_value_takes_all_attributes_away() -> None:
    assert codec.decode_live(None, "p") == LiveUpdate("p", {})


def test_a_refusal_does_not_quote_a_whole_record() -> None:
    value = b'{"product_id": "p", "upsert": {"images": {"uri": "%s"}}}' % (b"x" * 500_000)

    with pytest.raises(InvalidArgument) as caught:
        codec.decode(value, "p", json=True)

    assert len(str(caught.value)) < 500


def test_an_id_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        codec.decode(b"\x0a\x02\xff\xfe", "p")

    assert caught.value.field == "value"


def test_a_record_of_900_kb_is_accepted() -> None:
    event = Upsert("p", (ImageRef("0", data=bytes(codec.MAX_RECORD_BYTES - 100)),), "", {})

    assert len(codec.encode(event)) <= codec.MAX_RECORD_BYTES


def test_a_larger_record_is_refused() -> None:
    event = Upsert("p", (ImageRef("0", data=bytes(codec.MAX_RECORD_BYTES)),), "", {})

    with pytest.raises(InvalidArgument, match="at most 921600") as caught:
        codec.encode(event)

    assert caught.value.field == "upsert"


@pytest.mark.parametrize("time_us", [FIRST_US, -1, 0, 1, 1_700_000_000_123_456, LAST_US])
def test_a_time_keeps_its_microseconds(time_us: int) -> None:
    decoded = codec.decode(codec.encode(Delete("p", time_us)), "p")

    assert decoded.event_time_us == time_us
