"""How much is answered at once: all of it until it is too much, then what the time allows."""

from __future__ import annotations

from collections import deque

import pytest

from services.gateway import admission as admission_module
from services.gateway.admission import DEFAULT_BOUND, LEAST, OVER_AFTER_S, SLOW, STEP_S, Admission, Place
from services.gateway.work import Work, work_of
from vitrine.runtime.errors import InvalidArgument, ResourceExhausted
from vitrine.v1 import gateway_pb2 as pb
from vitrine.v1.catalogue_pb2 import LogPosition

SEARCH = Work("Search")
UNLOADED_S = 0.002


class Machine:
    """Answers one call after another, each in UNLOADED_S of a clock that it moves; the others wait for it."""

    def __init__(self, bound: float = DEFAULT_BOUND) -> None:
        self.now_s = 100.0
        self.admission = Admission(bound, clock=lambda: self.now_s)
        self.waiting: deque[Place] = deque()
        self.times_s: list[float] = []
        self.refused = 0

    def offer(self, work: Work = SEARCH) -> None:
        try:
            self.waiting.append(self.admission.enter(work))
        except ResourceExhausted:
            self.refused += 1

    def answer(self) -> None:
        self.now_s += UNLOADED_S
        if self.waiting:
            place = self.waiting.popleft()
            self.admission.leave(place, answered=True)
            self.times_s.append(self.now_s - place.began_s)

    def run(self, seconds: float, per_answer: int) -> None:
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            for _ in range(per_answer):
                self.offer()
            self.answer()


@pytest.fixture
def machine() -> Machine:
    machine = Machine()
    machine.run(0.1, 1)
    return machine


def test_callers_that_wait_for_their_answers_are_never_refused(machine: Machine) -> None:
    for _ in range(64):
        machine.offer()
    for _ in range(5_000):
        machine.answer()
        machine.offer()
    assert machine.refused == 0


def test_twice_the_load_is_answered_about_as_fast_as_no_load(machine: Machine) -> None:
    machine.run(3.0, per_answer=2)
    machine.times_s.clear()
    machine.refused = 0
    machine.run(5.0, per_answer=2)
    # Nothing is given away: there is always somebody to answer.
    assert len(machine.times_s) >= 0.95 * 5.0 / UNLOADED_S
    assert machine.refused == pytest.approx(len(machine.times_s), rel=0.1)
    slowest_s = sorted(machine.times_s)[int(0.99 * len(machine.times_s))]
    assert slowest_s <= 3 * UNLOADED_S * SLOW


def test_when_the_load_goes_away_all_are_let_in_again(machine: Machine) -> None:
    machine.run(3.0, per_answer=2)
    assert machine.admission.limit < 32
    machine.run(2 * OVER_AFTER_S, per_answer=1)
    assert machine.admission.limit == DEFAULT_BOUND
    machine.refused = 0
    for _ in range(64):
        machine.offer()
    assert machine.refused == 0


def test_a_service_that_refuses_is_too_much_for_it(machine: Machine) -> None:
    for _ in range(20):
        machine.offer()
    with pytest.raises(ResourceExhausted, match="busy"), machine.admission.enter(SEARCH):
        raise ResourceExhausted("the embedder is busy", 0.2)
    for _ in range(15):
        machine.now_s += STEP_S / 4
        machine.answer()
    assert machine.admission.limit < DEFAULT_BOUND


def test_a_call_that_fails_tells_nothing_of_how_long_calls_take(machine: Machine) -> None:
    machine.run(3.0, per_answer=2)
    for _ in range(1_000):
        machine.run(UNLOADED_S, per_answer=2)
        for _ in range(20):
            with pytest.raises(InvalidArgument), machine.admission.enter(Work("Search", 0.0)):
                raise InvalidArgument("k", "wrong")
    assert machine.admission.limit <= 2 * LEAST


def test_what_waits_for_a_searcher_that_hangs_is_no_reason_to_refuse() -> None:
    hanging = [True, False]
    admission = Admission(1.0, relieve=lambda: hanging.pop(0))
    admission.enter(SEARCH)
    admission.enter(SEARCH)
    with pytest.raises(ResourceExhausted):
        admission.enter(SEARCH)


def test_what_is_too_large_for_the_limit_is_answered_alone() -> None:
    machine = Machine(bound=10)
    machine.offer(Work("BatchSearch", 25.6, 256))
    machine.offer()
    assert (len(machine.waiting), machine.refused) == (1, 1)
    machine.answer()
    machine.offer()
    assert len(machine.waiting) == 1


def test_who_is_refused_is_told_when_to_come_back(machine: Machine) -> None:
    machine = Machine(bound=1)
    machine.offer()
    hints = set()
    for _ in range(10):
        with pytest.raises(ResourceExhausted) as refusal:
            machine.admission.enter(SEARCH)
        hints.add(refusal.value.retry_after_s)
    assert min(hints) >= admission_module._RETRY_AFTER_S[0]
    assert len(hints) > 1, "not all at the same time"


@pytest.mark.parametrize(
    ("request_", "cost"),
    [
        (pb.SearchRequest(vector=b"v"), 1),
        (pb.SearchRequest(vector=b"v", page_size=1_000), 10),
        (pb.SearchRequest(vector=b"v", exact=True), 8),
        (pb.SearchRequest(vector=b"v", facets=["category"]), 11),
        (pb.SearchRequest(image=b"x" * 1024 * 1024), 5),
        (pb.SearchRequest(vector=b"v", at_least=[LogPosition()]), 0.1),
    ],
    ids=["plain", "large page", "exact", "facets", "picture", "waits"],
)
def test_a_search_is_counted_by_what_it_costs(request_: pb.SearchRequest, cost: float) -> None:
    work = work_of("Search", request_)
    assert work is not None
    assert work.cost == pytest.approx(cost)


def test_a_batch_is_cheaper_than_its_searches_and_counts_each_of_them() -> None:
    work = work_of("BatchSearch", pb.BatchSearchRequest(searches=[pb.SearchRequest(vector=b"v")] * 64))
    assert work is not None
    assert work.cost == pytest.approx(6.4)
    assert work.searches == 64


def test_thumbnails_and_feedback_are_always_let_in() -> None:
    assert work_of("GetThumbnail", pb.GetThumbnailRequest()) is None
    assert work_of("SendFeedback", pb.SendFeedbackRequest()) is None
