"""How busy the embedder says it is."""

from __future__ import annotations

from math import exp

import pytest

from services.embedder.busy import TIME_CONSTANT_S, Busy


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_who_has_done_nothing_is_not_busy(clock: Clock) -> None:
    busy = Busy(2, clock)
    clock.now_s += 60
    assert busy.ratio() == 0


def test_one_of_two_threads_at_work_is_half(clock: Clock) -> None:
    busy = Busy(2, clock)
    with busy:
        clock.now_s += 20 * TIME_CONSTANT_S
        assert busy.ratio() == pytest.approx(0.5)
        with busy:
            clock.now_s += 20 * TIME_CONSTANT_S
            assert busy.ratio() == pytest.approx(1.0)


def test_a_long_batch_counts_while_it_runs(clock: Clock) -> None:
    busy = Busy(1, clock)
    with busy:
        clock.now_s += TIME_CONSTANT_S
        assert busy.ratio() == pytest.approx(1 - exp(-1))


def test_what_is_over_is_forgotten(clock: Clock) -> None:
    busy = Busy(1, clock)
    with busy:
        clock.now_s += 20 * TIME_CONSTANT_S
    clock.now_s += TIME_CONSTANT_S
    assert busy.ratio() == pytest.approx(exp(-1))


def test_looking_more_often_changes_nothing(clock: Clock) -> None:
    seldom, often = Busy(1, clock), Busy(1, clock)
    with seldom, often:
        for _ in range(50):
            clock.now_s += 0.1
            often.ratio()
        assert often.ratio() == pytest.approx(seldom.ratio())


def test_a_batch_that_fails_is_over_too(clock: Clock) -> None:
    busy = Busy(1, clock)
    with pytest.raises(ValueError, match="bad"), busy:
        raise ValueError("bad")
    clock.now_s += 1
    assert busy.ratio() == 0
