"""The same picture is embedded once: kept by its hash, and shared while it is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from time import monotonic
from typing import Any

import pytest

from services.gateway import embedding_cache
from services.gateway.embedding_cache import EmbeddingCache, key_of
from vitrine.runtime.errors import BadImage, DeadlineExceeded, ResourceExhausted, VitrineError
from vitrine.v1.embedder_pb2 import CropBox

LONG_S = 10.0
ENTRY_BYTES = embedding_cache._ENTRY_BYTES + 4


class Embedder:
    """Makes of a key the key itself; held back while `free` is not set."""

    def __init__(self) -> None:
        self.calls: list[list[bytes]] = []
        self.cancelled = 0
        self.free = asyncio.Event()
        self.free.set()
        self.failing: dict[bytes, VitrineError] = {}
        self.fails_once: dict[bytes, VitrineError] = {}

    def make(self, keys: Sequence[bytes]) -> Callable[[Sequence[int]], Coroutine[Any, Any, list[bytes | VitrineError]]]:
        async def made(places: Sequence[int]) -> list[bytes | VitrineError]:
            self.calls.append([keys[place] for place in places])
            try:
                await self.free.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            asked = [keys[place] for place in places]
            return [self.fails_once.pop(key, self.failing.get(key, key)) for key in asked]

        return made


@pytest.fixture
async def embedder() -> Embedder:
    return Embedder()


@pytest.fixture
def cache() -> EmbeddingCache[bytes]:
    return EmbeddingCache(10 * ENTRY_BYTES, 60.0, len)


async def get(
    cache: EmbeddingCache[bytes], embedder: Embedder, *keys: bytes, timeout_s: float = LONG_S
) -> list[bytes | VitrineError]:
    return await cache.get_or(keys, embedder.make(keys), monotonic() + timeout_s)


async def test_a_picture_is_embedded_once(cache: EmbeddingCache[bytes], embedder: Embedder) -> None:
    for _ in range(3):
        assert await get(cache, embedder, b"aaaa", b"bbbb") == [b"aaaa", b"bbbb"]
    assert embedder.calls == [[b"aaaa", b"bbbb"]]


async def test_only_what_is_missing_is_asked_for(cache: EmbeddingCache[bytes], embedder: Embedder) -> None:
    await get(cache, embedder, b"bbbb")
    assert await get(cache, embedder, b"aaaa", b"bbbb", b"cccc", b"aaaa") == [b"aaaa", b"bbbb", b"cccc", b"aaaa"]
    assert [sorted(call) for call in embedder.calls] == [[b"bbbb"], [b"aaaa", b"cccc"]]


async def test_the_least_recently_used_makes_room(cache: EmbeddingCache[bytes], embedder: Embedder) -> None:
    names = [b"%04d" % number for number in range(10)]
    await get(cache, embedder, *names)
    await get(cache, embedder, names[0])
    await get(cache, embedder, b"more")
    embedder.calls.clear()
    await get(cache, embedder, *names)
    assert embedder.calls == [[names[1]]]


async def test_nothing_is_kept_for_ever(embedder: Embedder) -> None:
    cache = EmbeddingCache[bytes](1_000_000, 0.05, len)
    await get(cache, embedder, b"aaaa")
    await asyncio.sleep(0.1)
    await get(cache, embedder, b"aaaa")
    assert len(embedder.calls) == 2


async def test_a_bound_of_nothing_keeps_nothing(embedder: Embedder) -> None:
    cache = EmbeddingCache[bytes](0, 60.0, len)
    for _ in range(2):
        assert await get(cache, embedder, b"aaaa") == [b"aaaa"]
    assert len(embedder.calls) == 2


async def test_those_who_ask_at_the_same_time_share_one_call(cache: EmbeddingCache[bytes], embedder: Embedder) -> None:
    embedder.free.clear()
    asked = [asyncio.create_task(get(cache, embedder, b"aaaa")) for _ in range(5)]
    await asyncio.sleep(0)
    asked.append(asyncio.create_task(get(cache, embedder, b"aaaa", b"bbbb")))
    await asyncio.sleep(0)
    embedder.free.set()
    assert await asyncio.gather(*asked) == [[b"aaaa"]] * 5 + [[b"aaaa", b"bbbb"]]
    assert embedder.calls == [[b"aaaa"], [b"bbbb"]]


async def test_the_first_may_leave_and_the_others_get_their_answer(
    cache: EmbeddingCache[bytes], embedder: Embedder
) -> None:
    embedder.free.clear()
    first, second = (asyncio.create_task(get(cache, embedder, b"aaaa")) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.sleep(0)
    embedder.free.set()
    assert await second == [b"aaaa"]
    assert (len(embedder.calls), embedder.cancelled) == (1, 0)


async def test_a_call_that_nobody_waits_for_is_cancelled_and_not_joined(
    cache: EmbeddingCache[bytes], embedder: Embedder
) -> None:
    embedder.free.clear()
    alone = asyncio.create_task(get(cache, embedder, b"aaaa"))
    await asyncio.sleep(0.01)
    alone.cancel()
    await asyncio.gather(alone, return_exceptions=True)
    embedder.free.set()
    assert await get(cache, embedder, b"aaaa") == [b"aaaa"]
    assert (len(embedder.calls), embedder.cancelled) == (2, 1)


async def test_a_bad_picture_is_everybodys_answer_and_is_not_kept(
    cache: EmbeddingCache[bytes], embedder: Embedder
) -> None:
    embedder.failing[b"aaaa"] = BadImage("is no picture")
    good, bad = b"bbbb", b"aaaa"
    for calls in (1, 2):
        answer, error = await get(cache, embedder, good, bad)
        assert answer == good
        assert isinstance(error, BadImage)
        assert len(embedder.calls) == calls
    assert embedder.calls[1] == [bad]


async def test_an_embedder_that_is_busy_is_not_asked_again_for_each_who_waits(
    cache: EmbeddingCache[bytes], embedder: Embedder
) -> None:
    embedder.failing[b"aaaa"] = ResourceExhausted("busy", 0.2)
    answers = await asyncio.gather(*(get(cache, embedder, b"aaaa") for _ in range(5)))
    assert all(isinstance(answer[0], ResourceExhausted) for answer in answers)
    assert len(embedder.calls) == 1


async def test_each_keeps_its_own_deadline(cache: EmbeddingCache[bytes], embedder: Embedder) -> None:
    embedder.free.clear()
    patient = asyncio.create_task(get(cache, embedder, b"aaaa"))
    await asyncio.sleep(0)
    (hurried,) = await get(cache, embedder, b"aaaa", timeout_s=0.05)
    assert isinstance(hurried, DeadlineExceeded)
    embedder.free.set()
    assert await patient == [b"aaaa"]


async def test_the_deadline_of_somebody_else_is_not_mine(cache: EmbeddingCache[bytes], embedder: Embedder) -> None:
    embedder.fails_once[b"aaaa"] = DeadlineExceeded("the first was in a hurry")
    embedder.free.clear()
    first, second = (asyncio.create_task(get(cache, embedder, b"aaaa")) for _ in range(2))
    await asyncio.sleep(0.01)
    embedder.free.set()
    (late,) = await first
    assert isinstance(late, DeadlineExceeded)
    assert await second == [b"aaaa"]


async def test_a_call_that_breaks_is_told_to_all_who_wait(cache: EmbeddingCache[bytes]) -> None:
    async def broken(places: Sequence[int]) -> list[bytes | VitrineError]:
        await asyncio.sleep(0.01)
        raise RuntimeError("broken")

    asked = [cache.get_or([b"aaaa"], broken, monotonic() + LONG_S) for _ in range(2)]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [RuntimeError, RuntimeError]


def test_a_key_tells_pictures_crops_and_models_apart() -> None:
    box, other_box = CropBox(left=0.1, right=0.9, bottom=1), CropBox(left=0.2, right=0.9, bottom=1)
    asked = [
        (b"picture", None, False, "model"),
        (b"another", None, False, "model"),
        (b"picture", None, True, "model"),
        (b"picture", CropBox(), False, "model"),
        (b"picture", box, False, "model"),
        (b"picture", other_box, False, "model"),
        (b"picture", None, False, "other"),
    ]
    assert len({key_of(*what) for what in asked}) == len(asked)
    assert key_of(*asked[4]) == key_of(b"picture", CropBox(left=0.1, right=0.9, bottom=1), False, "model")
