"""What an open loop has seen, and what it makes of it."""

from __future__ import annotations

import pytest

from vitrine.cli.bench.open_load import OpenLoad, Outcome
from vitrine.cli.bench.qos import _requiring_all, _share
from vitrine.v1 import gateway_pb2

OUTCOMES = [Outcome(at_s, at_s * 10, code, b"") for at_s, code in enumerate(["OK", "OK", "BUSY", "OK", "GONE", "BUSY"])]
LOAD = OpenLoad(6.0, OUTCOMES, [0.0] * 6)


def test_failures_are_counted_by_status_and_take_no_time() -> None:
    assert LOAD.codes == {"BUSY": 2, "GONE": 1}
    assert LOAD.percentile_ms(100) == 30.0


def test_the_first_seconds_can_be_left_out() -> None:
    later = LOAD.since(3.0)

    assert later.seconds == 3.0
    assert later.codes == {"BUSY": 1, "GONE": 1}
    assert [outcome.at_s for outcome in later.answered] == [3.0]


def test_an_even_share_is_half_of_everything() -> None:
    assert _share([(50.0, 50.0), (50.0, 50.0)]) == 1.0
    assert _share([(75.0, 25.0)]) == pytest.approx(0.5)
    assert _share([(0.0, 0.0)]) == 0.0


def test_a_request_that_requires_everything_asks_for_the_same() -> None:
    request = gateway_pb2.SearchRequest(vector=b"abcd", page_size=3)
    asked = gateway_pb2.SearchRequest.FromString(_requiring_all(request.SerializeToString()))

    assert asked.require_complete
    asked.ClearField("require_complete")
    assert asked == request
