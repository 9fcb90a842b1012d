"""Searches of several threads at the same time: who travels with whom, and what happens to the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from vitrine.client.together import CALLS, SEARCHES, Result, Together, _Waiting
from vitrine.runtime.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument, Unavailable, VitrineError
from vitrine.v1 import gateway_pb2 as pb

TIMEOUT_S = 10.0


class Gateway:
    """Answers a search with its own product id; calls of `held` searches wait until they are let go."""

    def __init__(self, failing: VitrineError | None = None) -> None:
        self.calls: list[list[str]] = []
        self.timeouts_s: list[float] = []
        self.open = threading.Event()
        self._failing = failing
        self._came = threading.Condition()

    def send(self, requests: Sequence[pb.SearchRequest], timeout_s: float) -> Sequence[Result]:
        names = [request.product_id for request in requests]
        with self._came:
            self.calls.append(names)
            self.timeouts_s.append(timeout_s)
            self._came.notify_all()
        assert self.open.wait(TIMEOUT_S)
        if self._failing and len(names) > 1:
            raise self._failing
        return [InvalidArgument("k", name) if name.startswith("bad") else _answer(name) for name in names]

    def wait_for_calls(self, number: int) -> None:
        with self._came:
            assert self._came.wait_for(lambda: len(self.calls) >= number, TIMEOUT_S)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(128) as pool:
        yield pool


def test_a_search_goes_at_once_and_alone_while_few_calls_are_under_way(threads: ThreadPoolExecutor) -> None:
    gateway = Gateway()
    asked = _ask(threads, Together(gateway.send), [f"p{number}" for number in range(CALLS)])

    gateway.wait_for_calls(CALLS)
    gateway.open.set()

    assert sorted(gateway.calls) == [[f"p{number}"] for number in range(CALLS)]
    assert _names(asked) == [f"p{number}" for number in range(CALLS)]


def test_what_comes_meanwhile_travels_together_and_each_gets_its_own_answer(threads: ThreadPoolExecutor) -> None:
    gateway = Gateway()
    together = Together(gateway.send)
    first = _ask(threads, together, ["first"] * CALLS)
    gateway.wait_for_calls(CALLS)
    others = _ask(threads, together, [f"p{number}" for number in range(SEARCHES - 1)])
    _wait_until_waiting(together, SEARCHES - 1)

    gateway.open.set()

    assert _names(others) == [f"p{number}" for number in range(SEARCHES - 1)]
    assert _names(first) == ["first"] * CALLS
    assert len(gateway.calls) == CALLS + 1, "all of them in one call"


def test_a_call_carries_no_more_than_its_bound(threads: ThreadPoolExecutor) -> None:
    gateway = Gateway()
    together = Together(gateway.send)
    _ask(threads, together, ["first"] * CALLS)
    gateway.wait_for_calls(CALLS)
    others = _ask(threads, together, [f"p{number}" for number in range(3 * SEARCHES - 1)])
    _wait_until_waiting(together, 3 * SEARCHES - 1)

    gateway.open.set()

    assert len(set(_names(others))) == 3 * SEARCHES - 1
    assert max(map(len, gateway.calls)) == SEARCHES


def test_a_bad_search_fails_alone(threads: ThreadPoolExecutor) -> None:
    gateway = Gateway()
    together = Together(gateway.send)
    _ask(threads, together, ["first"] * CALLS)
    gateway.wait_for_calls(CALLS)
    good, bad = _ask(threads, together, ["good", "bad"])
    _wait_until_waiting(together, 2)

    gateway.open.set()

    assert _names([good]) == ["good"]
    with pytest.raises(InvalidArgument):
        bad.result(TIMEOUT_S)


def test_where_the_gateway_is_gone_nobody_asks_again_at_once(threads: ThreadPoolExecutor) -> None:
    gateway = Gateway(Unavailable("gone"))
    together = Together(gateway.send)
    _ask(threads, together, ["first"] * CALLS)
    gateway.wait_for_calls(CALLS)
    others = _ask(threads, together, ["a", "b", "c"])
    _wait_until_waiting(together, 3)

    gateway.open.set()

    assert all(isinstance(asked.exception(TIMEOUT_S), Unavailable) for asked in others)
    assert len(gateway.calls) == CALLS + 1


def test_who_gives_up_as_it_is_handed_the_lead_passes_it_on(threads: ThreadPoolExecutor) -> None:
    gateway = Gateway()
    together = Together(gateway.send)
    _ask(threads, together, ["first"] * CALLS)
    gateway.wait_for_calls(CALLS)
    late, next_one = (_Waiting(pb.SearchRequest(product_id=name), time.monotonic()) for name in ("late", "next"))
    together._waiting.extend([late, next_one])
    together._hand_over()
    assert late.company == [late, next_one]

    together._leave(late)

    assert next_one.company == [next_one]
    assert next_one.woken.acquire(blocking=False), "it was woken to lead"
    gateway.open.set()


def test_the_lead_is_not_passed_to_one_that_has_given_up_before(threads: ThreadPoolExecutor) -> None:
    gateway = Gateway()
    together = Together(gateway.send)
    _ask(threads, together, ["first"] * CALLS)
    gateway.wait_for_calls(CALLS)
    late, gone, next_one = (_Waiting(pb.SearchRequest(), time.monotonic()) for _ in range(3))
    together._waiting.extend([late, gone, next_one])
    together._hand_over()

    together._leave(gone)
    together._leave(late)

    assert next_one.company == [next_one]
    gateway.open.set()


def test_a_thread_that_is_interrupted_while_it_waits_is_not_handed_the_lead(threads: ThreadPoolExecutor) -> None:
    gateway = Gateway()
    together = Together(gateway.send)
    _ask(threads, together, ["first"] * CALLS)
    gateway.wait_for_calls(CALLS)
    gone = _Waiting(pb.SearchRequest(product_id="gone"), time.monotonic() + TIMEOUT_S)
    together._waiting.append(gone)
    gone.woken = _Interrupted()  # type: ignore[assignment]

    with pytest.raises(KeyboardInterrupt):
        together._wait(gone, TIMEOUT_S)
    gateway.open.set()

    assert _names(_ask(threads, together, ["next"])) == ["next"]
    assert ["gone"] not in gateway.calls


def test_where_a_shared_call_fails_those_who_went_along_ask_again_alone(threads: ThreadPoolExecutor) -> None:
    gateway = Gateway(FailedPrecondition("odd"))
    together = Together(gateway.send)
    _ask(threads, together, ["first"] * CALLS)
    gateway.wait_for_calls(CALLS)
    others = _ask(threads, together, ["a", "b", "c"])
    _wait_until_waiting(together, 3)

    gateway.open.set()

    failed = [asked for asked in others if asked.exception(TIMEOUT_S) is not None]
    answered = [asked for asked in others if asked not in failed]
    assert len(failed) == 1, "who made the call is told that it failed"
    assert len(_names(answered)) == 2


def test_one_that_waits_too_long_is_told_so_and_holds_up_nobody(threads: ThreadPoolExecutor) -> None:
    gateway = Gateway()
    together = Together(gateway.send)
    first = _ask(threads, together, ["first"] * CALLS)
    gateway.wait_for_calls(CALLS)

    began_s = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        together.ask(pb.SearchRequest(product_id="late"), 0.05)
    waited_s = time.monotonic() - began_s
    gateway.open.set()

    assert waited_s < TIMEOUT_S / 2
    assert _names(first) == ["first"] * CALLS
    assert _names(_ask(threads, together, ["next"])) == ["next"]
    assert ["late"] not in gateway.calls


def test_one_that_goes_along_late_has_only_the_time_left_to_it(threads: ThreadPoolExecutor) -> None:
    gateway = Gateway()
    together = Together(gateway.send)
    _ask(threads, together, ["first"] * CALLS)
    gateway.wait_for_calls(CALLS)
    late = _ask(threads, together, ["late"])
    _wait_until_waiting(together, 1)
    time.sleep(0.05)

    gateway.open.set()

    assert _names(late) == ["late"]
    assert gateway.timeouts_s[-1] < TIMEOUT_S - 0.04


def test_a_thousand_searches_of_many_threads_all_come_back(threads: ThreadPoolExecutor) -> None:
    gateway = Gateway()
    gateway.open.set()
    names = [f"p{number}" for number in range(1000)]

    assert _names(_ask(threads, Together(gateway.send), names)) == names


class _Interrupted:
    """A lock that Ctrl-C is pressed at."""

    def acquire(self, timeout: float) -> bool:
        raise KeyboardInterrupt

    def release(self) -> None:
        raise AssertionError("nobody waits here any more")


def _ask(threads: ThreadPoolExecutor, together: Together, names: Sequence[str]) -> list[Future[pb.SearchResponse]]:
    return [threads.submit(together.ask, pb.SearchRequest(product_id=name), TIMEOUT_S) for name in names]


def _answer(name: str) -> pb.SearchResponse:
    response = pb.SearchResponse()
    response.results.add(product_id=name)
    return response


def _names(asked: Sequence[Future[pb.SearchResponse]]) -> list[str]:
    return [future.result(TIMEOUT_S).results[0].product_id for future in asked]


def _wait_until_waiting(together: Together, number: int) -> None:
    ends_s = time.monotonic() + TIMEOUT_S
    while len(together._waiting) < number:
        assert time.monotonic() < ends_s
        time.sleep(0.001)
