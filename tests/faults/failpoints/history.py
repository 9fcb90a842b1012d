"""A seeded random history of a small catalogue, and what must be found when all of it is indexed: the oracle.

The rule is the promise itself: of each product, the newest event that was not refused, by its offset; of its live
attributes, the newest update. Everything here is drawn from the seed but the offsets, which the log gives.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from vitrine.attributes import Attributes, AttributeValue
from vitrine.stream import codec
from vitrine.stream.events import Delete, Event, ImageRef, LiveUpdate, Upsert
from vitrine.stream.log import REPLAYED_OFFSET, Entry, Position, Source, Stream

_NEW_SHARE: Final = 0.3
_SECOND_US: Final = 1_000_000
_HOUR_US: Final = 3600 * _SECOND_US
_COLOURS: Final = ("red", "grün", "blue", "")
_RUBBISH: Final = b"\xff not a message"


@dataclass(frozen=True, eq=False)
class Write:
    """One record of the log.

    sent      what the gateway is asked to publish; an Entry is appended to the log past it, as only a Kafka client can
    effect    what the product, or its live map, is from then on; None: the record changes nothing
    letter    None, or the dead letter it ends as: whether the product went in with its other images
    """

    product_id: str
    sent: Event | LiveUpdate | Entry
    effect: Event | LiveUpdate | None
    letter: bool | None = None

    @property
    def stream(self) -> Stream:
        if isinstance(self.sent, Entry):
            return self.sent.stream
        return Stream.LIVE if isinstance(self.sent, LiveUpdate) else Stream.CATALOGUE


@dataclass(frozen=True)
class Expected:
    """A product as it must be found. `images`: image id → sha256. `offset`: of the event that made it so."""

    category: str
    attributes: Attributes
    live: Attributes
    images: dict[str, bytes]
    offset: int


class History:
    """Draws what happens to the products of one prefix, and keeps what must come of it.

    `letters`: the dead letters there must be: product, and whether it went in with its other images. `reached`: the
    last offset of each source that holds any of it.

    `pictures`: those that products have, of which no two are the same.
    """

    def __init__(self, prefix: str, seed: int, pictures: Sequence[bytes]) -> None:
        self.product_ids: list[str] = []
        self.letters: dict[Position, tuple[str, bool]] = {}
        self.reached: dict[Source, int] = {}
        self._prefix = prefix
        self._random = random.Random(f"{prefix} {seed}")
        self._pictures = pictures
        self._latest: dict[str, Write] = {}
        self._live: dict[str, Attributes] = {}
        self._offsets: dict[Write, int] = {}
        self._settled_us = 0
        self._kinds: dict[Callable[[str], Write], int] = {
            self._other_pictures: 10,
            self._same_pictures: 8,
            self._withdrawn: 5,
            self._live_update: 6,
            self._short_lived: 2,
            self._refused: 2,
            self._partly_refused: 1,
            self._replayed: 3,
        }

    def draw(self, count: int) -> list[Write]:
        """The next `count` records, in the order in which each stream must hold its own."""
        writes = []
        for _ in range(count):
            [draw] = self._random.choices(list(self._kinds), list(self._kinds.values()))
            write = draw(self._some_product())
            self._note(write)
            writes.append(write)
        return writes

    def draw_end(self) -> list[Write]:
        """Records that withdraw every product."""
        writes = [self._withdrawn(product_id) for product_id in self.product_ids]
        for write in writes:
            self._note(write)
        return writes

    def acknowledged(self, write: Write, position: Position) -> None:
        """`write` stands at this place of the log."""
        source = Source(position.partition, position.stream)
        self.reached[source] = max(position.offset, self.reached.get(source, 0))
        # A write that was sent twice, its first acknowledgement lost, counts from its second place.
        self._offsets[write] = position.offset
        if write.letter is not None:
            self.letters[position] = (write.product_id, write.letter)

    def holds(self, product_id: str) -> bool:
        return product_id.startswith(f"{self._prefix}-")

    @property
    def settled_us(self) -> int:
        """From then on nothing of it expires any more, for a day."""
        return self._settled_us

    def expected(self) -> dict[str, Expected]:
        """Every product that must be found at `settled_us` and later, by its id."""
        found = {}
        for product_id, write in self._latest.items():
            event = write.effect
            if isinstance(event, Upsert) and not self._ends(event):
                found[product_id] = Expected(
                    event.category,
                    event.attributes,
                    self._live.get(product_id, {}),
                    {image.image_id: image.sha256 for image in event.images},
                    self._offsets[write],
                )
        return found

    # ---- kinds of writes

    def _other_pictures(self, product_id: str) -> Write:
        """A new product, one that comes back, or one that looks otherwise from now on."""
        return self._published(self._upsert(product_id, self._some_pictures()))

    def _same_pictures(self, product_id: str) -> Write:
        """Half of the time without their bytes: the store has them."""
        known = self._alive(product_id)
        if known is None:
            return self._other_pictures(product_id)
        images = known.images
        if self._random.random() < 0.5:
            images = tuple(replace(image, data=None) for image in images)
        return self._published(self._upsert(product_id, images))

    def _withdrawn(self, product_id: str) -> Write:
        event = Delete(product_id)
        return Write(product_id, event if self._random.random() < 0.7 else Entry(product_id, None), event)

    def _live_update(self, product_id: str) -> Write:
        """Of a product that is known, or not, or not any more; now and then nothing is left of its live map."""
        chance = self._random.random()
        if chance < 0.1:
            return Write(product_id, Entry(product_id, None, Stream.LIVE), LiveUpdate(product_id, {}))
        if chance < 0.15:
            return Write(product_id, Entry(product_id, _RUBBISH, Stream.LIVE), None, letter=False)
        live: Attributes = {} if chance < 0.25 else {"price": self._price(), "stock": float(self._random.randrange(9))}
        update = LiveUpdate(product_id, live)
        return Write(product_id, update, update)

    def _short_lived(self, product_id: str) -> Write:
        """Ends within a second or two, or has ended; now and then only tomorrow."""
        now_us = time.time_ns() // 1_000
        ends_us = now_us + int(self._random.choice((-1.0, 0.3, 1.0, 24 * 3600.0)) * _SECOND_US)
        event = replace(self._upsert(product_id, self._some_pictures()), expires_at_us=ends_us)
        if self._ends(event):
            self._settled_us = max(self._settled_us, ends_us)
        return self._published(event)

    def _refused(self, product_id: str) -> Write:
        """Poison of some kind: the product stays as it is."""
        good = self._upsert(product_id, self._some_pictures())
        bad = replace(good, images=self._bad_images())
        ahead = replace(good, event_time_us=time.time_ns() // 1_000 + 2 * _HOUR_US)
        rubbish = Entry(product_id, _RUBBISH)
        return Write(product_id, self._random.choice((bad, ahead, rubbish)), None, letter=False)

    def _partly_refused(self, product_id: str) -> Write:
        """Some of its images are bad: it goes in with the others."""
        good = self._upsert(product_id, self._some_pictures())
        return Write(product_id, replace(good, images=(*good.images, *self._bad_images())), good, letter=True)

    def _replayed(self, product_id: str) -> Write:
        """An event published again by its first offset: it changes nothing, be it the newest or superseded.

        Only of products that are there now: where a delete came later, `vitrine dlq replay` sends nothing, and a
        compaction may have let the delete go.
        """
        before = [
            (write.effect, offset)
            for write, offset in self._offsets.items()
            if write.product_id == product_id and isinstance(write.effect, Upsert)
        ]
        if not before or self._alive(product_id) is None:
            return self._other_pictures(product_id)
        event, offset = self._random.choice(before)
        stored = replace(event, images=tuple(replace(image, data=None) for image in event.images))
        headers = ((REPLAYED_OFFSET, str(offset).encode()),)
        return Write(product_id, Entry(product_id, codec.encode(stored), headers=headers), None)

    # ---- parts of events

    def _note(self, write: Write) -> None:
        if isinstance(write.effect, LiveUpdate):
            self._live[write.product_id] = write.effect.attributes
        elif write.effect is not None:
            self._latest[write.product_id] = write

    def _some_product(self) -> str:
        """Often a new one: of a product that changes all the time, a lost event would be covered by the next."""
        if not self.product_ids or self._random.random() < _NEW_SHARE:
            self.product_ids.append(f"{self._prefix}-{len(self.product_ids):03d}")
            return self.product_ids[-1]
        return self._random.choice(self.product_ids)

    def _published(self, event: Upsert) -> Write:
        return Write(event.product_id, event, event)

    def _upsert(self, product_id: str, images: tuple[ImageRef, ...]) -> Upsert:
        return Upsert(product_id, images, self._random.choice(("shoes", "bags", "")), self._attributes())

    def _some_pictures(self) -> tuple[ImageRef, ...]:
        chosen = self._random.sample(self._pictures, self._random.randint(1, 3))
        ids = ("0", "1", "2") if self._random.random() < 0.5 else ("front", "back", "ü")
        return tuple(
            ImageRef(image_id, data=data, sha256=hashlib.sha256(data).digest())
            for image_id, data in zip(ids, chosen, strict=False)
        )

    def _bad_images(self) -> tuple[ImageRef, ...]:
        """One that is no picture, or one that nobody has."""
        noise = self._random.randbytes(32)
        return (ImageRef("bad", data=noise) if self._random.random() < 0.5 else ImageRef("bad", sha256=noise),)

    def _attributes(self) -> Attributes:
        values: dict[str, AttributeValue] = {
            "colour": self._random.choice(_COLOURS),
            "price": self._price(),
            "cheap": self._random.random() < 0.5,
            "tags": tuple(self._random.sample(_COLOURS, self._random.randint(0, 2))),
        }
        return {name: value for name, value in values.items() if self._random.random() < 0.8}

    def _price(self) -> float:
        return self._random.randrange(10_000) / 100

    def _alive(self, product_id: str) -> Upsert | None:
        """The product's newest event, if it is there to stay."""
        write = self._latest.get(product_id)
        event = write.effect if write else None
        return event if isinstance(event, Upsert) and not self._ends(event) else None

    def _ends(self, event: Upsert) -> bool:
        return event.expires_at_us is not None and event.expires_at_us < time.time_ns() // 1_000 + _HOUR_US
