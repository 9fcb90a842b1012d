"""Records of the feedback topic ↔ FeedbackRecord messages, with every check a bad one must not pass."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from google.protobuf.message import DecodeError

from vitrine.runtime.errors import InvalidArgument
from vitrine.stream.codec import check_id, micros, timestamp
from vitrine.stream.feedback import MAX_ASKING, MAX_RANK, MAX_SHOWN, SURFACE, Feedback, FeedbackKind, Impression
from vitrine.stream.log import FeedbackEntry
from vitrine.v1 import feedback_pb2 as pb

_QUERY_ID: Final = re.compile(r"[0-9a-f]{32}")
_KINDS: Final[Mapping[pb.FeedbackKind.ValueType, FeedbackKind]] = {
    pb.FEEDBACK_KIND_CLICK: FeedbackKind.CLICK,
    pb.FEEDBACK_KIND_ADD_TO_CART: FeedbackKind.ADD_TO_CART,
    pb.FEEDBACK_KIND_PURCHASE: FeedbackKind.PURCHASE,
    pb.FEEDBACK_KIND_DISMISS: FeedbackKind.DISMISS,
}
_KIND_NUMBERS: Final = {kind: number for number, kind in _KINDS.items()}


def feedback_from_message(message: pb.Feedback, now_us: int) -> Feedback:
    """Checked feedback. `now_us`: its time if it has none. Raises InvalidArgument: `feedback.kind`, …"""
    if not _QUERY_ID.fullmatch(message.query_id):
        raise InvalidArgument("feedback.query_id", f"{message.query_id[:64]!r} is not the query_id of an answer")
    check_id("feedback.product_id", message.product_id)
    if message.kind not in _KINDS:
        names = ", ".join(kind.upper() for kind in FeedbackKind)
        raise InvalidArgument("feedback.kind", f"is {message.kind}, none of {names}")
    if not SURFACE.fullmatch(message.surface):
        raise InvalidArgument("feedback.surface", "has up to 64 of a-z, 0-9, - and _")
    if message.HasField("rank") and not 1 <= message.rank <= MAX_RANK:
        raise InvalidArgument("feedback.rank", f"is {message.rank:,}, 1 to {MAX_RANK:,} are accepted")
    return Feedback(
        query_id=message.query_id,
        product_id=message.product_id,
        kind=_KINDS[message.kind],
        surface=message.surface,
        rank=message.rank if message.HasField("rank") else None,
        time_us=micros("feedback.time", message.time) if message.HasField("time") else now_us,
    )


def encode(record: Feedback | Impression) -> FeedbackEntry:
    """The record as the log holds it. All that is of one answer has one key, so that it stays together and in order."""
    message = pb.FeedbackRecord()
    if isinstance(record, Feedback):
        _fill_feedback(message.feedback, record)
    else:
        _fill_impression(message.impression, record)
    return FeedbackEntry(record.query_id, message.SerializeToString())


def decode(value: bytes) -> Feedback | Impression:
    """The inverse of `encode`. Raises InvalidArgument for what somebody else put there."""
    message = pb.FeedbackRecord()
    try:
        message.ParseFromString(value)
    except DecodeError as error:
        raise InvalidArgument("value", f"is no FeedbackRecord ({error})") from error
    match message.WhichOneof("record"):
        case "feedback":
            return feedback_from_message(message.feedback, 0)
        case "impression":
            return _impression(message.impression)
        case _:
            raise InvalidArgument("record", "neither feedback nor impression is set")


def _fill_feedback(message: pb.Feedback, feedback: Feedback) -> None:
    message.query_id = feedback.query_id
    message.product_id = feedback.product_id
    message.kind = _KIND_NUMBERS[feedback.kind]
    message.surface = feedback.surface
    if feedback.rank is not None:
        message.rank = feedback.rank
    message.time.CopyFrom(timestamp(feedback.time_us))


def _fill_impression(message: pb.Impression, shown: Impression) -> None:
    message.query_id = shown.query_id
    message.surface = shown.surface
    message.method = shown.method
    message.query_product_ids.extend(shown.query_product_ids)
    message.product_ids.extend(shown.product_ids)
    message.model_id = shown.model_id
    message.time.CopyFrom(timestamp(shown.time_us))


def _impression(message: pb.Impression) -> Impression:
    if not _QUERY_ID.fullmatch(message.query_id):
        raise InvalidArgument("impression.query_id", f"{message.query_id[:64]!r} is not the query_id of an answer")
    if not SURFACE.fullmatch(message.surface):
        raise InvalidArgument("impression.surface", "has up to 64 of a-z, 0-9, - and _")
    if len(message.product_ids) > MAX_SHOWN or len(message.query_product_ids) > MAX_ASKING:
        raise InvalidArgument("impression", f"names more than {MAX_SHOWN} products, or {MAX_ASKING} that asked")
    for product_id in (*message.product_ids, *message.query_product_ids):
        check_id("impression.product_ids", product_id)
    return Impression(
        query_id=message.query_id,
        surface=message.surface,
        method=message.method,
        query_product_ids=tuple(message.query_product_ids),
        product_ids=tuple(message.product_ids),
        model_id=message.model_id,
        time_us=micros("impression.time", message.time),
    )
