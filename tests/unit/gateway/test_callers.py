"""How often each caller may ask."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from services.gateway import callers as callers_module
from services.gateway.callers import Callers
from vitrine.runtime.errors import ConfigError, ResourceExhausted


class Clock:
    now_s = 100.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(callers_module, "monotonic", lambda: clock.now_s)
    return clock


def test_a_caller_may_ask_as_often_as_its_limit_says(clock: Clock) -> None:
    callers = Callers({"web": 10})
    assert _let_in(callers, "web", 50) == 10
    clock.now_s += 0.5
    assert _let_in(callers, "web", 50) == 5


def test_a_caller_is_told_when_it_may_ask_again(clock: Clock) -> None:
    callers = Callers({"web": 10})
    _let_in(callers, "web", 50)
    with pytest.raises(ResourceExhausted, match="web may ask for 10 searches a second") as refusal:
        callers.take("web", 1)
    assert refusal.value.retry_after_s == pytest.approx(0.1)


def test_callers_do_not_use_up_each_others_limits(clock: Clock) -> None:
    callers = Callers({"web": 10, "*": 3})
    assert _let_in(callers, "web", 50) == 10
    assert _let_in(callers, "app", 50) == 3
    assert _let_in(callers, "mail", 50) == 3


def test_without_a_limit_everybody_may_ask(clock: Clock) -> None:
    assert _let_in(Callers({"web": 1}), "app", 500) == 500


def test_a_batch_counts_each_search_and_passes_after_a_pause(clock: Clock) -> None:
    callers = Callers({"web": 10})
    callers.take("web", 256)
    clock.now_s += 24
    with pytest.raises(ResourceExhausted):
        callers.take("web", 1)
    clock.now_s += 1
    callers.take("web", 1)


def test_names_without_end_share_one_number(clock: Clock) -> None:
    callers = Callers({"*": 2, "web": 5})
    labels = {callers.take(f"caller{number}", 1) for number in range(64)}
    assert len(labels) == 64
    assert callers.take("one-more", 1) == callers.take("and-one-more", 1) == "other"
    with pytest.raises(ResourceExhausted):
        callers.take("yet-another", 1)
    assert callers.take("web", 1) == "web"


@pytest.mark.parametrize(
    "limits", [{"Web": 1.0}, {"": 1.0}, {"web": 0.0}, {"web": float("nan")}, {"web": float("inf")}]
)
def test_limits_that_are_wrong(limits: Mapping[str, float]) -> None:
    with pytest.raises(ConfigError, match="caller_limits: "):
        Callers(limits)


def _let_in(callers: Callers, name: str, calls: int) -> int:
    let_in = 0
    for _ in range(calls):
        try:
            callers.take(name, 1)
        except ResourceExhausted:
            continue
        let_in += 1
    return let_in
