"""Values in JSON: read by proto3's rules, refused by the field's name, never half understood."""

from __future__ import annotations

import pytest

from vitrine.runtime.errors import InvalidArgument
from vitrine.stream import codec
from vitrine.stream.events import Upsert


def test_json_is_read_by_either_name_of_a_field() -> None:
    short = b'{"productId": "p", "upsert": {"images": [{"imageId": "front", "uri": "u"}]}}'
    plain = b'{"product_id": "p", "upsert": {"images": [{"image_id": "front", "uri": "u"}]}}'

    assert codec.decode(short, "p", json=True) == codec.decode(plain, "p", json=True)


def test_json_carries_pictures_in_base64() -> None:
    event = codec.decode(b'{"product_id": "p", "upsert": {"images": [{"data": "+_/-"}]}}', "p", json=True)

    assert isinstance(event, Upsert)
    assert event.images[0].data == b"\xfb\xff\xfe"


# What is wrong with a JSON value, and the field and the word that the refusal must have.
JSON_REFUSED: dict[str, tuple[bytes, str, str]] = {
    "an unknown field": (b'{"product_id": "p", "delete": {}, "colour": 1}', "value", "colour"),
    "base64 with other letters": (
        b'{"product_id": "p", "upsert": {"images": [{"uri": "u"}, {"data": "!!!!"}]}}',
        "upsert.images[1].data",
        "base64",
    ),
    "base64 hidden in other letters": (
        b'{"product_id": "p", "upsert": {"images": [{"data": "YW J!j"}]}}',
        "upsert.images[0].data",
        "base64",
    ),
    "a hash that is no base64": (
        b'{"product_id": "p", "upsert": {"images": [{"uri": "u", "sha256": "xxx#"}]}}',
        "upsert.images[0].sha256",
        "base64",
    ),
    "base64 cut short": (b'{"product_id": "p", "upsert": {"images": [{"data": "YWJjZ"}]}}', "value", "data"),
    "another product than the key": (b'{"product_id": "q", "delete": {}}', "product_id", "'q'"),
    "bytes that are not UTF-8": (b'{"product_id": "\xff"}', "value", "utf-8"),
    "half a surrogate pair": (b'{"product_id": "\\ud800", "delete": {}}', "value", "surrogate"),
    "lists in lists in lists": (b"[" * 100_000, "value", "recursion"),
    "objects in objects": (b'{"upsert": ' * 100_000, "value", "recursion"),
    "no JSON": (b"not json", "value", "JSON"),
    "nothing": (b"", "value", "JSON"),
    "a number": (b"5", "value", "JSON"),
    "null": (b"null", "value", "JSON"),
    "a list": (b"[]", "product_id", "empty"),
    "a list for a product": (b'{"product_id": "p", "upsert": []}', "upsert.images", "0 images"),
    "a list for a picture": (b'{"product_id": "p", "upsert": {"images": [[]]}}', "upsert.images[0]", "needs"),
    "a field twice": (b'{"product_id": "p", "product_id": "p", "delete": {}}', "value", "duplicate"),
    "both changes": (b'{"product_id": "p", "delete": {}, "upsert": {}}', "value", "oneof"),
    "a time that is none": (b'{"product_id": "p", "event_time": "soon", "delete": {}}', "value", "event_time"),
}


@pytest.mark.parametrize(("value", "field", "word"), JSON_REFUSED.values(), ids=JSON_REFUSED.keys())
def test_a_bad_json_value_is_refused(value: bytes, field: str, word: str) -> None:
    with pytest.raises(InvalidArgument, match=word) as caught:
        codec.decode(value, "p", json=True)

    assert caught.value.field == field


@pytest.mark.parametrize("written", ["NaN", '"NaN"', "Infinity", '"-Infinity"', "1e999", "9" * 400, "9" * 5_000])
def test_a_number_that_is_none_is_refused_in_json(written: str) -> None:
    with pytest.raises(InvalidArgument):
        codec.decode_live(b'{"product_id": "p", "attributes": {"price": {"number": %s}}}' % written.encode(), "p", True)


def test_a_live_value_in_json_names_its_unknown_field() -> None:
    with pytest.raises(InvalidArgument, match="upsert"):
        codec.decode_live(b'{"product_id": "p", "upsert": {}}', "p", json=True)
