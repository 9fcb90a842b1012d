"""A late call is sent once more: when, how often, and which answer counts."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from services.gateway.hedge import Hedging, first_answer

SOON_S = 0.01
LONG_S = 10.0


class Calls:
    """Calls that answer after a while, and what became of them."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.cancelled: list[str] = []

    async def call(self, outcome: str | bytes | Exception, after_s: float = 0.0) -> bytes | str:
        name = outcome.decode() if isinstance(outcome, bytes) else str(outcome)
        self.begun.append(name)
        try:
            await asyncio.sleep(after_s)
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.fixture
def calls() -> Calls:
    return Calls()


async def test_a_call_that_is_not_late_is_sent_once(calls: Calls) -> None:
    assert await first_answer(calls.call(b"first"), lambda: calls.call(b"second"), LONG_S) == (b"first", False)
    assert calls.begun == ["first"]


async def test_the_second_answers_for_a_late_one_which_is_cancelled(calls: Calls) -> None:
    assert await first_answer(calls.call(b"first", LONG_S), lambda: calls.call(b"second"), SOON_S) == (b"second", True)
    await asyncio.sleep(0)
    assert calls.cancelled == ["first"]


async def test_a_late_one_that_still_comes_first_counts(calls: Calls) -> None:
    race = first_answer(calls.call(b"first", 5 * SOON_S), lambda: calls.call(b"second", LONG_S), SOON_S)
    assert await race == (b"first", False)
    await asyncio.sleep(0)
    assert calls.cancelled == ["second"]


async def test_a_failure_of_the_second_does_not_count(calls: Calls) -> None:
    race = first_answer(calls.call(b"first", 5 * SOON_S), lambda: calls.call("gone"), SOON_S)
    assert await race == (b"first", False)


async def test_a_failure_of_the_first_waits_for_the_second(calls: Calls) -> None:
    race = first_answer(calls.call("gone", 3 * SOON_S), lambda: calls.call(b"second", 5 * SOON_S), SOON_S)
    assert await race == (b"second", True)


async def test_if_both_fail_the_first_says_why(calls: Calls) -> None:
    race = first_answer(calls.call("late", 3 * SOON_S), lambda: calls.call("gone", 5 * SOON_S), SOON_S)
    assert await race == ("late", False)


async def test_nobody_else_to_ask(calls: Calls) -> None:
    assert await first_answer(calls.call(b"first", 3 * SOON_S), lambda: None, SOON_S) == (b"first", False)


async def test_a_wrong_request_is_raised_at_once_and_nothing_goes_on(calls: Calls) -> None:
    with pytest.raises(ValueError, match="wrong"):
        await first_answer(calls.call(ValueError("wrong"), 3 * SOON_S), lambda: calls.call(b"x", LONG_S), SOON_S)
    await asyncio.sleep(0)
    assert calls.cancelled == ["x"]


async def test_a_caller_that_leaves_takes_both_calls_along(calls: Calls) -> None:
    race = asyncio.create_task(
        first_answer(calls.call(b"first", LONG_S), lambda: calls.call(b"second", LONG_S), SOON_S)
    )
    await asyncio.sleep(5 * SOON_S)
    race.cancel()
    with pytest.raises(asyncio.CancelledError):
        await race
    await asyncio.sleep(0)
    assert sorted(calls.cancelled) == ["first", "second"]


async def test_both_answering_in_the_same_turn_is_one_answer() -> None:
    both = asyncio.Event()

    async def call(answer: bytes) -> bytes:
        await both.wait()
        return answer

    def again() -> Coroutine[Any, Any, bytes]:
        asyncio.get_running_loop().call_later(SOON_S, both.set)
        return call(b"second")

    # Whichever it is: no error, and none that is told later.
    assert (await first_answer(call(b"first"), again, SOON_S))[0] in (b"first", b"second")
    await asyncio.sleep(SOON_S)


def test_a_call_is_late_after_the_95th_percentile_of_the_last() -> None:
    hedging = Hedging(0.05)
    for hundredth in range(512):
        assert (hedging.late_after_s("plain") is None) == (hundredth < 32)
        hedging.answered("plain", (hundredth % 100) / 100)
    assert hedging.late_after_s("plain") == pytest.approx(0.95, abs=0.02)
    assert hedging.late_after_s("products") is None


def test_with_nothing_saved_up_a_call_is_late_later() -> None:
    hedging = Hedging(0.05)
    for _ in range(512):
        hedging.late_after_s("plain")
        hedging.answered("plain", 0.01)
    assert hedging.late_after_s("plain") == pytest.approx(0.01)
    while hedging.take():
        pass
    assert hedging.late_after_s("plain") == pytest.approx(0.02, abs=0.001)


def test_no_more_than_a_twentieth_of_all_calls_are_sent_twice() -> None:
    hedging = Hedging(0.05)
    sent = 0
    for _ in range(1_000):
        hedging.late_after_s("plain")
        sent += hedging.take()
    assert sent == pytest.approx(50, abs=1)


def test_a_refusal_costs_what_was_saved_up() -> None:
    hedging = Hedging(0.5)
    for _ in range(10):
        hedging.late_after_s("plain")
    assert hedging.take()
    hedging.refused()
    assert not hedging.take()


def test_hedging_can_be_turned_off() -> None:
    hedging = Hedging(0.0)
    for _ in range(100):
        hedging.answered("plain", 0.001)
    assert hedging.late_after_s("plain") is None
