"""Publishing: acknowledgements, refusals, dead letters, and how pictures are kept."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from PIL import Image

from tests.integration import hostile
from tests.integration.shop import TIMEOUT_S, Shop, indexed, published, upsert
from vitrine.client import Refusal
from vitrine.runtime.errors import NotFound
from vitrine.stream.events import ImageRef, Upsert
from vitrine.stream.partitioning import partition_of
from vitrine.v1 import catalogue_pb2

MIB = 1024 * 1024

# What is wrong with an event, and the field that its error must name.
BAD_EVENTS: dict[str, tuple[str, Callable[[catalogue_pb2.CatalogueEvent], None]]] = {
    "no product id": ("product_id: ", lambda event: event.ClearField("product_id")),
    "a long product id": ("product_id: ", lambda event: setattr(event, "product_id", "ü" * 129)),
    "no change": ("change: ", lambda event: event.ClearField("upsert")),
    "another index": ("index: ", lambda event: setattr(event, "index", "other")),
    "a time before our era": ("event_time: ", lambda event: setattr(event.event_time, "seconds", -(10**12))),
    "no images": ("upsert.images: ", lambda event: event.upsert.ClearField("images")),
    "65 images": ("upsert.images: ", lambda event: event.upsert.images.extend([event.upsert.images[0]] * 64)),
    "one image id twice": ("upsert.images: ", lambda event: _add_image(event, image_id="0", data=b"x")),
    "an empty image": ("upsert.images[1].data: ", lambda event: _add_image(event, data=b"")),
    "an image from nowhere": ("upsert.images[1]: ", lambda event: _add_image(event)),
    "an image of 16 MiB and a byte": (
        "upsert.images[1].data: ",
        lambda event: _add_image(event, data=bytes(16 * MIB + 1)),
    ),
    "a hash of 31 bytes": ("upsert.images[1].sha256: ", lambda event: _add_image(event, data=b"x", sha256=bytes(31))),
    "a hash of something else": (
        "upsert.images[1].sha256: ",
        lambda event: _add_image(event, data=b"x", sha256=bytes(32)),
    ),
    "a long image id": ("upsert.images[1].image_id: ", lambda event: _add_image(event, image_id="i" * 129, data=b"x")),
    "a long uri": ("upsert.images[1].uri: ", lambda event: _add_image(event, uri="https://" + "u" * 2048)),
    "a long category": ("upsert.category: ", lambda event: setattr(event.upsert, "category", "c" * 257)),
    "65 attributes": ("upsert.attributes: ", lambda event: _add_attributes(event, *map(str, range(65)))),
    "an attribute without a name": ("upsert.attributes: ", lambda event: _add_attributes(event, "")),
    "a long attribute name": ("upsert.attributes: ", lambda event: _add_attributes(event, "n" * 65)),
    "a long text": ("upsert.attributes['a']: ", lambda event: _set_text(event, "t" * 1025)),
    "a number that is none": ("upsert.attributes['a']: ", lambda event: _set_number(event, float("nan"))),
    "an attribute without a value": ("upsert.attributes['a']: ", lambda event: event.upsert.attributes["a"].Clear()),
    "an expiry in the year 30,000": (
        "upsert.expires_at: ",
        lambda event: setattr(event.upsert.expires_at, "seconds", 10**12),
    ),
}


def test_bad_events_are_answered_one_by_one_and_good_ones_go_in(open_shop: Shop) -> None:
    picture = open_shop.products[0].pictures[0]
    events = []
    for number, (_, spoil) in enumerate(BAD_EVENTS.values()):
        good, bad = (_event(f"{kind}-{number}", picture) for kind in ("good", "bad"))
        spoil(bad)
        events += [good, bad]
    acks = list(open_shop.calls.catalogue.Publish(iter(events), timeout=TIMEOUT_S))

    assert [ack.product_id for ack in acks] == [event.product_id for event in events]
    assert [ack.WhichOneof("result") for ack in acks] == ["position", "error"] * len(BAD_EVENTS)
    for (name, (field, _)), ack in zip(BAD_EVENTS.items(), acks[1::2], strict=True):
        assert ack.error.message.startswith(field), name
        assert ack.error.code == ("NOT_FOUND" if name == "another index" else "INVALID_ARGUMENT")


def test_acknowledgements_come_in_the_order_of_the_events(open_shop: Shop) -> None:
    picture = open_shop.products[0].pictures[0]
    events = [_event(f"order-{number}", picture) for number in range(200)]
    acks = list(open_shop.calls.catalogue.Publish(iter(events), timeout=TIMEOUT_S))
    assert [ack.product_id for ack in acks] == [event.product_id for event in events]
    assert [ack.position.partition for ack in acks] == [partition_of(ack.product_id, 2) for ack in acks]
    for partition in (0, 1):
        offsets = [ack.position.offset for ack in acks if ack.position.partition == partition]
        assert offsets == list(range(offsets[0], offsets[0] + len(offsets)))


def test_an_event_is_acknowledged_while_the_stream_is_still_open(open_shop: Shop) -> None:
    picture = open_shop.products[0].pictures[0]
    seen: list[str] = []

    def events() -> Iterator[catalogue_pb2.CatalogueEvent]:
        for number in range(3):
            yield _event(f"talk-{number}", picture)
            while len(seen) <= number:  # the next event only after this one's acknowledgement
                time.sleep(0.01)

    seen.extend(ack.product_id for ack in open_shop.calls.catalogue.Publish(events(), timeout=TIMEOUT_S))
    assert seen == ["talk-0", "talk-1", "talk-2"]


def test_no_events_make_no_acknowledgements(open_shop: Shop) -> None:
    assert list(open_shop.calls.catalogue.Publish(iter([]), timeout=TIMEOUT_S)) == []


def test_a_message_too_big_for_a_call_ends_that_stream_only(open_shop: Shop) -> None:
    event = _event("huge", *[bytes([number]) * (12 * MIB) for number in range(3)])
    with pytest.raises(grpc.RpcError) as caught:
        list(open_shop.calls.catalogue.Publish(iter([event]), timeout=TIMEOUT_S))
    assert caught.value.code().name == "RESOURCE_EXHAUSTED"
    assert published(open_shop.calls.client, [upsert("after-huge", open_shop.products[0].pictures[0])])


def test_a_product_is_indexed_without_its_bad_pictures_and_the_dead_letters_say_so(open_shop: Shop) -> None:
    client, good = open_shop.calls.client, open_shop.products[1].pictures[0]
    bad = [hostile.pictures()[name] for name in ("text", "truncated", "bomb", "gif")]
    positions = published(client, [upsert("partly", bad[0], good, *bad[1:])])

    product = client.product("partly", at_least=positions)
    assert product.image_sha256s == {"1": hashlib.sha256(good).digest()}
    [letter] = _refusals(open_shop, "partly")
    assert (letter.position, letter.partly_indexed) == (positions[0], True)
    assert [number for number in range(5) if f"image '{number}': " in letter.reason] == [0, 2, 3, 4]


def test_a_product_with_only_bad_pictures_changes_nothing(open_shop: Shop) -> None:
    client, good = open_shop.calls.client, open_shop.products[2].pictures[0]
    before = published(client, [upsert("all-bad", good, category="old")])
    positions = published(client, [upsert("all-bad", *map(hostile.pictures().__getitem__, ("text", "bmp")))])

    product = client.product("all-bad", at_least=positions)
    assert (product.category, product.position) == ("old", before[0])
    assert "all-bad" in [hit.product_id for hit in client.search(image=good, k=100).hits]
    [letter] = _refusals(open_shop, "all-bad")
    assert (letter.position, letter.partly_indexed) == (positions[0], False)


def test_a_new_product_with_only_bad_pictures_does_not_exist(open_shop: Shop) -> None:
    positions = published(open_shop.calls.client, [upsert("never", hostile.pictures()["truncated"])])
    with pytest.raises(NotFound):
        open_shop.calls.client.product("never", at_least=positions)
    assert [letter.partly_indexed for letter in _refusals(open_shop, "never")] == [False]


def test_a_uri_that_is_not_allowed_is_a_dead_letter(open_shop: Shop) -> None:
    event = Upsert("from-afar", (ImageRef("0", uri="http://169.254.169.254/latest/meta-data"),), "", {})
    positions = published(open_shop.calls.client, [event])
    with pytest.raises(NotFound):
        open_shop.calls.client.product("from-afar", at_least=positions)
    [letter] = _refusals(open_shop, "from-afar")
    assert "image '0': uri: " in letter.reason


def test_dead_letters_can_be_asked_for_from_a_place_on(open_shop: Shop) -> None:
    client, bad = open_shop.calls.client, hostile.pictures()["text"]
    positions = published(client, [upsert("since", bad) for _ in range(3)])
    indexed(client, positions)
    partition, middle, _ = positions[1]
    found = [letter.position for letter in client.refusals([positions[1]])]
    assert positions[0] not in found
    assert {positions[1], positions[2]} <= set(found)
    assert [position for position in found if position.partition != partition or position.offset < middle] == []


def test_a_picture_is_stored_once_whoever_shows_it(open_shop: Shop) -> None:
    picture = _unique_picture(1)
    positions = published(open_shop.calls.client, [upsert(name, picture) for name in ("twin-a", "twin-b")])
    answer = open_shop.calls.client.search(image=picture, k=2, at_least=positions)
    assert [hit.product_id for hit in answer.hits] == ["twin-a", "twin-b"], "equal scores are ordered by product id"

    digest = hashlib.sha256(picture).hexdigest()
    stored = [path for path in _index(open_shop).glob("images/**/*") if path.is_file()]
    assert [path.name for path in stored if path.read_bytes() == picture] == [digest]


def test_a_stored_picture_may_be_named_instead_of_sent(open_shop: Shop) -> None:
    client, picture = open_shop.calls.client, _unique_picture(2)
    published(client, [upsert("sent", picture)])
    named = Upsert("named", (ImageRef("front", sha256=hashlib.sha256(picture).digest()),), "", {})
    unknown = Upsert("unknown", (ImageRef("front", sha256=bytes(32)),), "", {})
    positions = published(client, [named, unknown])
    assert client.product("named", at_least=positions).image_sha256s == {"front": named.images[0].sha256}
    [letter] = _refusals(open_shop, "unknown")
    assert "image 'front': sha256: " in letter.reason


def test_thumbnails_are_webp_of_at_most_256_pixels(open_shop: Shop) -> None:
    client = open_shop.calls.client
    wide, tall, small = (_unique_picture(number, size) for number, size in enumerate([(900, 300), (64, 800), (40, 30)]))
    positions = published(client, [upsert("thumbs", wide, tall, small)])
    sizes = []
    for sha256 in client.product("thumbs", at_least=positions).image_sha256s.values():
        with Image.open(io.BytesIO(client.thumbnail(sha256))) as thumbnail:
            assert thumbnail.format == "WEBP"
            sizes.append(thumbnail.size)
    assert sizes == [(256, 85), (20, 256), (40, 30)]


def _event(product_id: str, *pictures: bytes) -> catalogue_pb2.CatalogueEvent:
    event = catalogue_pb2.CatalogueEvent(product_id=product_id)
    for picture in pictures:
        event.upsert.images.add(data=picture)
    return event


def _add_image(
    event: catalogue_pb2.CatalogueEvent,
    image_id: str = "",
    data: bytes | None = None,
    uri: str | None = None,
    sha256: bytes = b"",
) -> None:
    event.upsert.images.add(image_id=image_id, data=data, uri=uri, sha256=sha256)


def _add_attributes(event: catalogue_pb2.CatalogueEvent, *names: str) -> None:
    for name in names:
        event.upsert.attributes[name].number = 1


def _set_text(event: catalogue_pb2.CatalogueEvent, text: str) -> None:
    event.upsert.attributes["a"].string = text


def _set_number(event: catalogue_pb2.CatalogueEvent, number: float) -> None:
    event.upsert.attributes["a"].number = number


def _refusals(shop: Shop, product_id: str) -> list[Refusal]:
    return [letter for letter in shop.calls.client.refusals() if letter.product_id == product_id]


def _index(shop: Shop) -> Path:
    return Path(shop.stack.settings.store_url) / "default"


def _unique_picture(seed: int, size: tuple[int, int] = (120, 160)) -> bytes:
    out = io.BytesIO()
    Image.effect_noise(size, 40 + seed).convert("RGB").save(out, "PNG")
    return out.getvalue()
