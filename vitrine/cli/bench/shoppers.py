"""Shoppers who ask in every way, through both clients and without a pause for long, while something happens."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from vitrine.client import AsyncVisualSearchClient, Search, VisualSearchClient
from vitrine.filters import Filter, any_string
from vitrine.runtime.channels import Credentials
from vitrine.runtime.errors import VitrineError
from vitrine.vectors import Vectors, unit

CALLER: Final = "rollout"
_TIMEOUT_S: Final = 10.0
_K: Final = 10
_BATCH: Final = 4
_HISTORY: Final = 5


@dataclass(frozen=True)
class Stock:
    """What shoppers ask about: products of the index with a category and a picture each, and the index's dimension."""

    product_ids: Sequence[str]
    categories: Sequence[str]
    pictures: Sequence[bytes]
    dim: int


class Asked(NamedTuple):
    """One call. `ended_s`: monotonic; `error`: how it failed; `missing`: partitions that its answer lacked, and why."""

    kind: str
    ended_s: float
    ms: float
    error: str = ""
    missing: str = ""


# Makes a call of a client: the blocking one's answer, or what is to be awaited.
Ask = Callable[[Any, random.Random], Any]


def ways_to_ask(stock: Stock) -> Mapping[str, Ask]:
    """Each kind of call that may be made again, by name."""

    def vector(dice: random.Random) -> Vectors:
        drawn = np.random.default_rng(dice.getrandbits(32)).standard_normal((1, stock.dim)).astype(np.float32)
        row: Vectors = unit(drawn)[0]
        return row

    def product(dice: random.Random) -> str:
        return dice.choice(stock.product_ids)

    def batch(dice: random.Random) -> list[Search]:
        by_vector = [Search(vector=vector(dice), k=_K) for _ in range(_BATCH)]
        return [*by_vector, Search(product_id=product(dice)), Search(image=dice.choice(stock.pictures))]

    return {
        "search by vector": lambda client, dice: client.search(vector=vector(dice), k=_K),
        "search by picture": lambda client, dice: client.search(image=dice.choice(stock.pictures), k=_K),
        "search by product": lambda client, dice: client.search(product_id=product(dice), k=_K),
        "filtered": lambda client, dice: client.search(
            vector=vector(dice), filter=Filter(all_of=(any_string("category", dice.choice(stock.categories)),))
        ),
        "batch": lambda client, dice: client.search_batch(batch(dice)),
        "product": lambda client, dice: client.product(product(dice)),
        "recommend": lambda client, dice: client.recommend(dice.sample(list(stock.product_ids), _HISTORY)),
    }


class Shoppers:
    """Half of them ask in threads, half in tasks. `asked`: what became of each call, as it ended."""

    def __init__(self, gateways: str, credentials: Credentials, stock: Stock, shoppers: int, pause_s: float) -> None:
        self.asked: list[Asked] = []
        self._gateways, self._credentials = gateways, credentials
        self._ways = ways_to_ask(stock)
        self._shoppers = max(1, shoppers // 2)
        self._pause_s = pause_s
        self._over = threading.Event()
        self._blocking = VisualSearchClient(gateways, timeout_s=_TIMEOUT_S, caller=CALLER, credentials=credentials)
        self._repeats_of_tasks = 0

    @property
    def repeats(self) -> int:
        """Tries beyond the first that the clients have made so far."""
        return self._blocking.repeats + self._repeats_of_tasks

    @contextmanager
    def shopping(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._in_thread, args=(number,)) for number in range(self._shoppers)]
        threads.append(threading.Thread(target=lambda: asyncio.run(self._in_tasks())))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()
            self._blocking.close()

    def _in_thread(self, number: int) -> None:
        dice = random.Random(number)
        while not self._over.is_set():
            for kind, ask in self._ways.items():
                began_s = time.monotonic()
                try:
                    self._note(kind, began_s, ask(self._blocking, dice))
                except VitrineError as error:
                    self._note(kind, began_s, error)
                self._over.wait(dice.uniform(0.0, 2 * self._pause_s))

    async def _in_tasks(self) -> None:
        async with AsyncVisualSearchClient(
            self._gateways, timeout_s=_TIMEOUT_S, caller=CALLER, credentials=self._credentials
        ) as client:
            await asyncio.gather(*(self._in_task(client, number) for number in range(self._shoppers)))

    async def _in_task(self, client: AsyncVisualSearchClient, number: int) -> None:
        dice = random.Random(-number - 1)
        while not self._over.is_set():
            for kind, ask in self._ways.items():
                began_s = time.monotonic()
                try:
                    answering: Awaitable[Any] = ask(client, dice)
                    self._note(kind, began_s, await answering)
                except VitrineError as error:
                    self._note(kind, began_s, error)
                self._repeats_of_tasks = client.repeats
                await asyncio.sleep(dice.uniform(0.0, 2 * self._pause_s))

    def _note(self, kind: str, began_s: float, outcome: Any) -> None:
        ended_s = time.monotonic()
        parts = outcome if isinstance(outcome, list) else [outcome]
        errors = [f"{type(part).__name__}: {part}" for part in parts if isinstance(part, VitrineError)]
        coverages = [part.coverage for part in parts if hasattr(part, "coverage")]
        missing = [str(coverage.failures) for coverage in coverages if not coverage.complete]
        ms = (ended_s - began_s) * 1000
        self.asked.append(Asked(kind, ended_s, ms, "; ".join(errors), "; ".join(missing)))
