"""A day in a shop's life within minutes: what dashboards are tried with, and drawn from.

Shoppers ask all the time; a catalogue is ingested, prices change, a group of searchers hangs and comes back, somebody
publishes files that are no pictures, and a nightly job asks for more than its share.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from vitrine import sample
from vitrine.cli.ingesting import roll
from vitrine.cli.stack import Stack, StackSettings
from vitrine.client import HistoryItem, Search, VisualSearchClient
from vitrine.runtime.errors import VitrineError
from vitrine.sample import SampleProduct
from vitrine.stream.events import ImageRef, LiveUpdate, Upsert
from vitrine.vectors import Vectors

GREEDY: Final = "nightly-job"
SURFACE: Final = "product-page"
_DIM: Final = 512
_TIMEOUT_S: Final = 5.0
_CLICKS: Final = 0.3


@dataclass(frozen=True)
class Lengths:
    """How long each chapter takes, in seconds, and how much is in it."""

    quiet_s: float
    live_s: float
    hanging_s: float
    bad_s: float
    greedy_s: float
    products: int
    shoppers: int
    pause_s: float


RECORDED: Final = Lengths(40, 45, 60, 40, 40, products=400, shoppers=3, pause_s=0.12)
TRIED: Final = Lengths(6, 4, 8, 5, 4, products=60, shoppers=2, pause_s=0.05)


@dataclass
class Story:
    """What has happened, for those who look at it later. Times: Unix, seconds."""

    began_s: float = 0.0
    ended_s: float = 0.0
    chapters: list[tuple[float, str]] = field(default_factory=list)

    @property
    def date(self) -> str:
        return datetime.fromtimestamp(self.began_s, UTC).date().isoformat()

    def tell(self, what: str) -> None:
        self.chapters.append((time.time(), what))


def shop_settings(folder: Path, model: Path) -> StackSettings:
    """Two groups of searchers, each with half of the partitions, and a limit for one caller."""
    limits, providers = {GREEDY: 2}, ["CPUExecutionProvider"]
    return StackSettings(
        folder,
        model,
        partitions=2,
        groups=2,
        web_port=0,
        embedder_options=("--providers", json.dumps(providers)),
        gateway_options=("--caller-limits", json.dumps(limits)),
    )


def scraped(stack: Stack) -> Mapping[str, Sequence[str]]:
    """Where each program of `stack` tells its metrics, by job."""
    found: dict[str, list[str]] = {}
    for name, address in stack.addresses.items():
        found.setdefault(f"vitrine-{name.rstrip('0123456789')}", []).append(address.http)
    return found


def live_through(stack: Stack, lengths: Lengths) -> Story:
    """All of it, one chapter after the other."""
    story, products = Story(time.time()), sample.catalogue(lengths.products)
    pictures = [sample.draw(product, 0) for product in products]
    half = len(products) // 2
    with VisualSearchClient(stack.gateway, timeout_s=30) as client:
        story.tell("half of the catalogue is ingested")
        _publish(client, products[:half], pictures)
        with _shoppers(stack.gateway, products[:half], pictures, lengths):
            time.sleep(lengths.quiet_s)
            story.tell("the other half is ingested")
            _publish(client, products[half:], pictures[half:])
            roll(stack.addresses["indexer"].grpc)
            time.sleep(lengths.quiet_s)
            story.tell("prices change, pictures do not")
            _publish(client, products[:half], pictures)
            _for(lengths.live_s, lambda: _change_prices(client, products))
            story.tell("searcher group 1 hangs")
            with _hanging(stack, "searcher1"):
                time.sleep(lengths.hanging_s)
            story.tell("searcher group 1 is back")
            time.sleep(lengths.quiet_s)
            story.tell("files that are no pictures are published")
            _for(lengths.bad_s, lambda: _publish(client, products[:8], [b"no picture"] * 8))
            story.tell("a nightly job asks for more than its share")
            _ask_for_too_much(stack.gateway, lengths.greedy_s)
            time.sleep(lengths.quiet_s)
    story.ended_s = time.time()
    return story


def _publish(client: VisualSearchClient, products: Sequence[SampleProduct], pictures: Sequence[bytes]) -> None:
    events = [
        Upsert(product.product_id, (ImageRef("", data=picture),), product.category, {"colour": product.colour})
        for product, picture in zip(products, pictures, strict=False)
    ]
    places = [ack.position for ack in client.publish(events) if ack.position]
    vector = np.ones(_DIM, np.float32)
    with suppress(VitrineError):  # it was published; to have waited for it is all that is missing
        client.search(vector=vector, k=1, at_least=places, timeout_s=30)


def _change_prices(client: VisualSearchClient, products: Sequence[SampleProduct]) -> None:
    chosen = random.sample(list(products), min(50, len(products)))
    for ack in client.publish_live(LiveUpdate(product.product_id, {"price": random.random()}) for product in chosen):
        assert not ack.error, ack.error
    time.sleep(0.5)


@contextmanager
def _shoppers(
    gateway: str, products: Sequence[SampleProduct], pictures: Sequence[bytes], lengths: Lengths
) -> Iterator[None]:
    """They ask while the block runs."""
    over = threading.Event()

    def shop(seed: int) -> None:
        dice = random.Random(seed)
        with VisualSearchClient(gateway, timeout_s=_TIMEOUT_S, caller="storefront") as client:
            while not over.wait(dice.uniform(0.5, 1.5) * lengths.pause_s):
                with suppress(VitrineError):  # what shoppers do not get is what the dashboards show
                    _ask(client, dice, products, pictures)

    threads = [threading.Thread(target=shop, args=(seed,), name="shopper") for seed in range(lengths.shoppers)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _ask(
    client: VisualSearchClient, dice: random.Random, products: Sequence[SampleProduct], pictures: Sequence[bytes]
) -> None:
    chosen = dice.randrange(len(products))
    product_id, way = products[chosen].product_id, dice.random()
    if way < 0.4:
        # One picture in two is one that nobody has asked with before.
        picture = pictures[chosen] if dice.random() < 0.5 else _unseen(products[chosen], dice)
        answer = client.search(image=picture, surface=SURFACE)
    elif way < 0.8:
        answer = client.search(product_id=product_id, surface=SURFACE)
    elif way < 0.9:
        client.recommend([HistoryItem(product_id), HistoryItem(products[chosen - 1].product_id)], surface=SURFACE)
        return
    else:
        client.complete_the_look(product_id=product_id, surface=SURFACE)
        return
    if answer.hits and dice.random() < _CLICKS:
        rank = dice.randrange(min(3, len(answer.hits)))
        product_id = answer.hits[rank].product_id
        client.send_feedback(answer.query_id, product_id, "click", surface=SURFACE, rank=rank + 1)


def _unseen(product: SampleProduct, dice: random.Random) -> bytes:
    """A picture that hardly anybody has asked with before."""
    return sample.draw(product, 1, (dice.randrange(200, 400), dice.randrange(300, 500)))


@contextmanager
def _hanging(stack: Stack, name: str) -> Iterator[None]:
    """A program that is there and says nothing."""
    pid = stack.pid(name)
    # Lets it go on at the end of the block, and if we are killed within it: what hangs cannot see that we are gone.
    with subprocess.Popen(["sh", "-c", f"cat; kill -CONT {pid}"], stdin=subprocess.PIPE):
        os.kill(pid, signal.SIGSTOP)
        yield


def _ask_for_too_much(gateway: str, seconds: float) -> None:
    vectors: Vectors = np.eye(4, _DIM, dtype=np.float32)
    with VisualSearchClient(gateway, timeout_s=_TIMEOUT_S, caller=GREEDY) as client:

        def ask() -> None:
            with suppress(VitrineError):
                client.search_batch([Search(vector=vector) for vector in vectors])
            time.sleep(0.1)

        _for(seconds, ask)


def _for(seconds: float, act: Callable[[], None]) -> None:
    """Again and again, at least once."""
    until_s = time.monotonic() + seconds
    while True:
        act()
        if time.monotonic() >= until_s:
            return
