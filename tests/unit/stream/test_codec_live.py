"""What changes by the minute is checked as strictly as a product is."""

from __future__ import annotations

import math

import pytest

from vitrine.runtime.errors import InvalidArgument
from vitrine.stream import codec
from vitrine.stream.events import LiveUpdate
from vitrine.v1 import catalogue_pb2 as pb


def live(**attributes: pb.AttributeValue) -> pb.LiveAttributes:
    return pb.LiveAttributes(product_id="p", attributes=attributes)


def number(value: float) -> pb.AttributeValue:
    return pb.AttributeValue(number=value)


LIVE_REFUSED: dict[str, tuple[pb.LiveAttributes, str]] = {
    "65 attributes": (live(**{f"a{place}": number(place) for place in range(65)}), "attributes"),
    "an attribute name of 65 bytes": (live(**{"x" * 65: number(1)}), "attributes"),
    "an attribute without a name": (live(**{"": number(1)}), "attributes"),
    "an attribute without a value": (live(stock=pb.AttributeValue()), "attributes['stock']"),
    "NaN": (live(price=number(math.nan)), "attributes['price']"),
    "a string of 1025 bytes": (live(note=pb.AttributeValue(string="x" * 1025)), "attributes['note']"),
}


@pytest.mark.parametrize(("message", "field"), LIVE_REFUSED.values(), ids=LIVE_REFUSED.keys())
def test_a_bad_live_attribute_is_refused_by_its_name(message: pb.LiveAttributes, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        codec.decode_live(message.SerializeToString(), "p")

    assert caught.value.field == field


def test_64_live_attributes_are_accepted() -> None:
    message = live(**{f"a{place}": number(place) for place in range(64)})

    assert len(codec.decode_live(message.SerializeToString(), "p").attributes) == 64


def test_a_live_update_under_another_key_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="'q'") as caught:
        codec.decode_live(codec.encode(LiveUpdate("p", {})), "q")

    assert caught.value.field == "product_id"


def test_a_live_update_without_attributes_is_one() -> None:
    assert codec.decode_live(codec.encode(LiveUpdate("p", {})), "p") == LiveUpdate("p", {})
