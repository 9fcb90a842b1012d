"""Feedback and impressions find each other again."""

from __future__ import annotations

from tests.unit.cli.shoppers import act, entries, shown
from vitrine.cli.displays import displays_of
from vitrine.stream.feedback import FeedbackKind
from vitrine.stream.log import FeedbackEntry


def test_acts_find_the_answer_they_are_about() -> None:
    found = displays_of(entries(shown(1), shown(2), act(2, "b")))
    assert [display.acts for display in found.displays] == [(), (act(2, "b"),)]


def test_feedback_may_come_before_the_impression() -> None:
    found = displays_of(entries(act(1, "b"), shown(1)))
    assert [display.acts for display in found.displays] == [(act(1, "b"),)]


def test_the_same_click_sent_twice_counts_once() -> None:
    found = displays_of(entries(shown(1), act(1, "b", at=1), act(1, "b", at=2), act(1, "b", FeedbackKind.PURCHASE)))
    assert found.acts == 2
    assert found.displays[0].acts == (act(1, "b", at=1), act(1, "b", FeedbackKind.PURCHASE))
    assert found.left_out == {"sent again": 1}


def test_feedback_about_an_answer_that_is_not_there_is_counted() -> None:
    found = displays_of(entries(shown(1), act(7, "b"), act(7, "c")))
    assert found.acts == 0
    assert found.left_out == {"of an answer that is not there": 2}


def test_what_cannot_be_read_is_counted_and_the_rest_is_read() -> None:
    found = displays_of([FeedbackEntry("q", b"\xff"), *entries(shown(1))])
    assert len(found.displays) == 1
    assert found.left_out == {"not readable": 1}


def test_acts_come_in_the_order_in_which_they_happened() -> None:
    found = displays_of(entries(act(1, "b", at=9), act(1, "a", at=3), shown(1)))
    assert [done.product_id for done in found.displays[0].acts] == ["a", "b"]


def test_the_place_is_what_the_shop_says_or_else_what_was_answered() -> None:
    [display] = displays_of(entries(shown(1), act(1, "b"), act(1, "c", rank=9), act(1, "z"))).displays
    assert [display.place(done) for done in display.acts] == [2, 9, None]
