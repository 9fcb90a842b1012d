"""Records of the feedback topic: what comes back is what went in, and what is wrong is named."""

from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from vitrine.runtime.errors import InvalidArgument
from vitrine.stream.feedback import Feedback, FeedbackKind, Impression
from vitrine.stream.feedback_codec import decode, encode, feedback_from_message
from vitrine.v1 import feedback_pb2 as pb

QUERY = "0123456789abcdef" * 2
NOW_US = 1_700_000_000_000_000


def message(**fields: object) -> pb.Feedback:
    known = {"query_id": QUERY, "product_id": "p1", "kind": pb.FEEDBACK_KIND_CLICK, "surface": "search", "rank": 3}
    return pb.Feedback(**{**known, **fields})  # type: ignore[arg-type]


def test_feedback_is_read_as_it_was_sent() -> None:
    found = feedback_from_message(message(time=Timestamp(seconds=5, nanos=7_000)), NOW_US)
    assert found == Feedback(QUERY, "p1", FeedbackKind.CLICK, "search", 3, 5_000_007)


def test_feedback_without_a_time_happened_now() -> None:
    assert feedback_from_message(message(), NOW_US).time_us == NOW_US


def test_a_rank_may_be_unknown() -> None:
    assert feedback_from_message(message(rank=None), NOW_US).rank is None


@pytest.mark.parametrize("kind", FeedbackKind)
@pytest.mark.parametrize("rank", [None, 1, 10_000])
def test_feedback_comes_back_whole(kind: FeedbackKind, rank: int | None) -> None:
    feedback = Feedback(QUERY, "靴-1", kind, "", rank, NOW_US)
    entry = encode(feedback)
    assert entry.key == QUERY
    assert decode(entry.value) == feedback


def test_an_impression_comes_back_whole() -> None:
    shown = Impression(QUERY, "page", "Recommend", ("a", "b"), ("c", "d", "e"), "m" * 64, NOW_US)
    entry = encode(shown)
    assert entry.key == QUERY
    assert decode(entry.value) == shown


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"query_id": ""}, "feedback.query_id"),
        ({"query_id": QUERY[:-1]}, "feedback.query_id"),
        ({"query_id": QUERY.upper()}, "feedback.query_id"),
        ({"query_id": QUERY + "\n"}, "feedback.query_id"),
        ({"product_id": ""}, "feedback.product_id"),
        ({"product_id": "p" * 257}, "feedback.product_id"),
        ({"kind": pb.FEEDBACK_KIND_UNSPECIFIED}, "feedback.kind"),
        ({"kind": 99}, "feedback.kind"),
        ({"surface": "Search Page"}, "feedback.surface"),
        ({"surface": "s" * 65}, "feedback.surface"),
        ({"rank": 0}, "feedback.rank"),
        ({"rank": 10_001}, "feedback.rank"),
        ({"time": Timestamp(seconds=1 << 40)}, "feedback.time"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        feedback_from_message(message(**fields), NOW_US)
    assert caught.value.field == field


def shown(**fields: object) -> bytes:
    good: dict[str, object] = {"query_id": QUERY, "surface": "search", "product_ids": ["p"]}
    return pb.FeedbackRecord(impression=pb.Impression(**{**good, **fields})).SerializeToString()  # type: ignore[arg-type]


def test_an_impression_with_nothing_wrong_is_read() -> None:
    assert decode(shown())


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff\xff",
        pb.FeedbackRecord(feedback=pb.Feedback()).SerializeToString(),
        shown(query_id=""),
        shown(surface="Search Page"),
        shown(product_ids=["p", ""]),
        shown(product_ids=["p"] * 101),
        shown(query_product_ids=["p" * 257]),
    ],
)
def test_what_somebody_else_put_there_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidArgument):
        decode(value)
