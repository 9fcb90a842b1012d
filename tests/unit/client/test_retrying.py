"""When a call that failed is made once more, and when not."""

from __future__ import annotations

import pytest

from vitrine.client.retrying import MAX_TOKENS, MAX_TRIES, TOKENS_A_SUCCESS, RetryBudget, Tries
from vitrine.runtime.errors import (
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
    VitrineError,
)

AWAY = Unavailable("no gateway")


class Clock:
    """Draws the longest pause that may be drawn."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.ranges: list[tuple[float, float]] = []

    def draw(self, least: float, most: float) -> float:
        self.ranges.append((least, most))
        return most

    def tries(self, timeout_s: float = 10.0, budget: RetryBudget | None = None, most: int = MAX_TRIES) -> Tries:
        return Tries(budget or RetryBudget(), timeout_s, most, lambda: self.now_s, self.draw)


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument("k", "is 0"),
        NotFound("product_id"),
        FailedPrecondition("model"),
        DeadlineExceeded("late"),
        DataLoss("damaged"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_would_fail_again_is_not_tried_again(error: VitrineError) -> None:
    assert Clock().tries().pause_s(error) is None


def test_pauses_are_drawn_from_nothing_up_to_a_range_that_doubles() -> None:
    clock = Clock()
    tries = clock.tries(most=4)

    for _ in range(3):
        tries.pause_s(AWAY)

    assert clock.ranges == [(0.0, 0.1), (0.0, 0.2), (0.0, 0.4)]


def test_the_third_failure_is_final() -> None:
    tries = Clock().tries()

    assert [tries.pause_s(AWAY) is not None for _ in range(3)] == [True, True, False]


def test_a_client_may_try_once_only() -> None:
    assert Clock().tries(most=1).pause_s(AWAY) is None


def test_a_full_queue_is_left_alone_for_as_long_as_it_says() -> None:
    pause_s = Clock().tries().pause_s(ResourceExhausted("the queue is full", 2.5))

    assert pause_s == pytest.approx(2.5 + 0.1)


def test_no_pause_goes_beyond_the_deadline() -> None:
    clock = Clock()
    tries = clock.tries(timeout_s=1.0)

    clock.now_s = 0.8
    assert tries.pause_s(AWAY) is not None
    clock.now_s = 0.9
    assert tries.pause_s(AWAY) is None, "0.9 s and a pause of 0.2 s are more than there is"
    assert clock.tries(timeout_s=1.0).pause_s(ResourceExhausted("full", 5.0)) is None


def test_a_later_try_has_only_the_time_that_is_left() -> None:
    clock = Clock()
    tries = clock.tries(timeout_s=3.0)

    clock.now_s = 2.0
    assert tries.left_s == pytest.approx(1.0)
    clock.now_s = 4.0
    assert 0 < tries.left_s < 0.01, "a timeout that gRPC takes"


def test_where_everything_fails_a_client_stops_trying_again() -> None:
    budget, clock = RetryBudget(), Clock()

    repeated = sum(clock.tries(budget=budget).pause_s(AWAY) is not None for _ in range(1000))

    assert repeated == MAX_TOKENS / 2 - 1


@pytest.mark.parametrize(("one_in", "share_repeated"), [(2, 0.0), (5, 0.0), (20, 1.0)])
def test_in_the_long_run_calls_are_repeated_where_fewer_than_one_in_ten_fail(
    one_in: int, share_repeated: float
) -> None:
    budget, clock, repeated = RetryBudget(), Clock(), 0
    for _ in range(5_000):
        for _ in range(one_in - 1):
            budget.succeeded()
        repeated += clock.tries(budget=budget).pause_s(AWAY) is not None

    assert repeated / 5_000 == pytest.approx(share_repeated, abs=0.05)


def test_calls_that_succeed_give_the_budget_back() -> None:
    budget = RetryBudget()
    while budget.failed():
        pass

    for _ in range(int(MAX_TOKENS / TOKENS_A_SUCCESS)):
        budget.succeeded()

    assert budget.failed()
