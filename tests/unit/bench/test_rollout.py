"""What a rollout says of what it has seen."""

from __future__ import annotations

from vitrine.cli.bench.rollout import Fresh, Part, Restart, Rollout
from vitrine.cli.bench.shoppers import Asked

FINE = Asked("product", 1.0, 10.0)
FAILED = Asked("batch", 1.5, 90.0, error="Unavailable: away")
PARTIAL = Asked("filtered", 12.0, 30.0, missing="{1: 'gone'}")
PARTS = (Part("before", 0.0, 10.0, 0, ()), Part("gateway", 10.0, 20.0, 3, (Restart(1.0, 2.5),)))


def test_what_failed_or_was_partial_is_listed_with_its_kind() -> None:
    rollout = Rollout(PARTS, [FINE, FAILED, PARTIAL], [Fresh(2.0, 60.0, "DeadlineExceeded: late")], 0, {"gateway": 1})
    assert rollout.failed == ["batch: Unavailable: away", "fresh: DeadlineExceeded: late"]
    assert rollout.partial == ["filtered: {1: 'gone'}"]


def test_a_call_counts_for_the_part_in_which_it_ended() -> None:
    figures = Rollout(PARTS, [FINE, FAILED, PARTIAL], [Fresh(15.0, 0.5)], 2, {"gateway": 3, "indexer": 2}).figures()
    assert (figures["calls"], figures["failed"], figures["partial"], figures["tries_again"]) == (3, 1, 1, 3)
    assert (figures["events"], figures["published_again"], figures["least_rereads"]) == (1, 2, 2)
    before, gateway = figures["parts"]["before"], figures["parts"]["gateway"]
    assert (before["calls"], before["failed"], before["p99_ms"], before["fresh_p99_s"]) == (2, 1, 10.0, None)
    assert (gateway["calls"], gateway["partial"], gateway["p50_ms"], gateway["fresh_p50_s"]) == (1, 1, 30.0, 0.5)
    assert (gateway["stop_s"], gateway["start_s"], gateway["tries_again"]) == ([1.0], [2.5], 3)
