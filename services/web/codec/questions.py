"""What callers send → what the gateway is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from services.web import bodies
from services.web.codec.responses import categories_of
from vitrine.runtime.errors import InvalidArgument
from vitrine.v1 import embedder_pb2, feedback_pb2, filter_pb2, gateway_pb2

# The form's part that is the picture a search or a look asks with.
IMAGE: Final = "image"

_CROP_MODES: Final = {"given": gateway_pb2.CROP_MODE_GIVEN, "auto": gateway_pb2.CROP_MODE_AUTO}
_CATEGORY_MODES: Final = {"none": gateway_pb2.CATEGORY_MODE_NONE, "predict": gateway_pb2.CATEGORY_MODE_PREDICT}


def search_message(query: bodies.SearchQuery, pictures: Mapping[str, bytes]) -> gateway_pb2.SearchRequest:
    """`pictures`: by name; each must be used. Raises InvalidArgument."""
    message = gateway_pb2.SearchRequest(
        crop=_crop_message(query.crop),
        page_size=query.page_size,
        min_score=query.min_score,
        require_complete=query.require_complete,
        filter=_filter_message(query.filter),
        page_token=query.page_token,
        facets=query.facets,
        crop_mode=_CROP_MODES[query.crop_mode],
        category_mode=_CATEGORY_MODES[query.category_mode],
        category_threshold=query.category_threshold,
        history=_history_messages(query.history),
        history_weight=query.history_weight,
        diversity=query.diversity,
        order_by=_order_message(query.order_by),
        surface=query.surface,
    )
    if query.examples is not None:
        _refuse_both(query.product_id is not None, "examples", "product_id")
        _fill_examples(message.examples, query.examples, pictures)
    else:
        _fill_query(message, query.product_id, pictures)
    return message


def recommend_message(query: bodies.RecommendQuery) -> gateway_pb2.RecommendRequest:
    """Raises InvalidArgument."""
    return gateway_pb2.RecommendRequest(
        history=_history_messages(query.history),
        half_life_days=query.half_life_days,
        max_interests=query.max_interests,
        page_size=query.page_size,
        diversity=query.diversity,
        filter=_filter_message(query.filter),
        min_score=query.min_score,
        require_complete=query.require_complete,
        surface=query.surface,
    )


def look_message(query: bodies.LookQuery, pictures: Mapping[str, bytes]) -> gateway_pb2.CompleteTheLookRequest:
    """As `search_message`."""
    message = gateway_pb2.CompleteTheLookRequest(
        crop=_crop_message(query.crop),
        crop_mode=_CROP_MODES[query.crop_mode],
        own_category=query.own_category,
        categories=query.categories,
        per_category=query.per_category,
        filter=_filter_message(query.filter),
        require_complete=query.require_complete,
        surface=query.surface,
    )
    _fill_query(message, query.product_id, pictures)
    return message


def feedback_message(event: bodies.FeedbackEvent) -> gateway_pb2.SendFeedbackRequest:
    kind = feedback_pb2.FeedbackKind.Value(f"FEEDBACK_KIND_{event.kind}")
    feedback = feedback_pb2.Feedback(
        query_id=event.query_id, product_id=event.product_id, kind=kind, surface=event.surface, rank=event.rank
    )
    return gateway_pb2.SendFeedbackRequest(feedback=feedback)


def sample_messages(
    status: gateway_pb2.GetIndexStatusResponse, seed: int, count: int
) -> list[gateway_pb2.SearchRequest]:
    """Searches whose answers are some products of each large category: where a direction drawn from `seed` leads."""
    categories = [one.category for one in categories_of(status.partitions)][:count] or [""]
    directions = np.random.default_rng(seed).standard_normal((len(categories), status.dim)).astype("<f4")
    return [
        gateway_pb2.SearchRequest(
            vector=direction.tobytes(),
            page_size=-(-count // len(categories)),
            filter=_filter_message(_only(category)) if category else None,
        )
        for category, direction in zip(categories, directions, strict=True)
    ]


def _fill_query(
    message: gateway_pb2.SearchRequest | gateway_pb2.CompleteTheLookRequest,
    product_id: str | None,
    pictures: Mapping[str, bytes],
) -> None:
    _refuse_unused(pictures, {IMAGE})
    _refuse_both(IMAGE in pictures and product_id is not None, IMAGE, "product_id")
    if IMAGE in pictures:
        message.image = pictures[IMAGE]
    elif product_id is not None:
        message.product_id = product_id


def _fill_examples(message: gateway_pb2.Examples, examples: bodies.Examples, pictures: Mapping[str, bytes]) -> None:
    message.SetInParent()
    used = set()
    for side, wanted, filled in (
        ("positive", examples.positive, message.positive),
        ("negative", examples.negative, message.negative),
    ):
        for number, example in enumerate(wanted):
            field = f"examples.{side}[{number}]"
            _refuse_both(example.image is not None and example.product_id is not None, f"{field}.image", "product_id")
            made = filled.add(
                crop=_crop_message(example.crop), crop_mode=_CROP_MODES[example.crop_mode], weight=example.weight
            )
            if example.image is not None:
                if example.image not in pictures:
                    raise InvalidArgument(f"{field}.image", f"the form has no picture {example.image[:64]!r}")
                made.image = pictures[example.image]
                used.add(example.image)
            elif example.product_id is not None:
                made.product_id = example.product_id
    _refuse_unused(pictures, used)


def _refuse_both(both: bool, field: str, other: str) -> None:
    if both:
        raise InvalidArgument(field, f"does not go with {other}")


def _refuse_unused(pictures: Mapping[str, bytes], used: set[str]) -> None:
    for name in pictures:
        if name not in used:
            raise InvalidArgument(name[:64], "is a picture that the query does not name")


def _crop_message(box: bodies.CropBox | None) -> embedder_pb2.CropBox | None:
    return None if box is None else embedder_pb2.CropBox(**box.model_dump())


def _history_messages(history: Sequence[bodies.HistoryItem]) -> list[gateway_pb2.HistoryItem]:
    return [_history_message(item, f"history[{number}]") for number, item in enumerate(history)]


def _history_message(item: bodies.HistoryItem, field: str) -> gateway_pb2.HistoryItem:
    message = gateway_pb2.HistoryItem(product_id=item.product_id, weight=item.weight)
    if item.time is not None:
        try:
            message.time.FromDatetime(item.time)
        except OverflowError as error:
            raise InvalidArgument(f"{field}.time", "is before the year 1 or after 9999 in UTC") from error
    return message


def _order_message(order: bodies.OrderBy | None) -> gateway_pb2.OrderBy | None:
    return None if order is None else gateway_pb2.OrderBy(field=order.field, descending=order.descending)


def _only(category: str) -> bodies.Filter:
    return bodies.Filter(all_of=[bodies.Condition(field="category", any_string=[category])])


def _filter_message(wanted: bodies.Filter | None) -> filter_pb2.Filter | None:
    if wanted is None:
        return None
    return filter_pb2.Filter(
        all_of=_conditions(wanted.all_of, "all_of"),
        any_of=_conditions(wanted.any_of, "any_of"),
        none_of=_conditions(wanted.none_of, "none_of"),
    )


def _conditions(conditions: Sequence[bodies.Condition], part: str) -> list[filter_pb2.Condition]:
    return [_condition(condition, f"filter.{part}[{number}]") for number, condition in enumerate(conditions)]


def _condition(condition: bodies.Condition, field: str) -> filter_pb2.Condition:
    message = filter_pb2.Condition(field=condition.field)
    if sum(test is not None for test in (condition.any_string, condition.range, condition.is_true)) > 1:
        raise InvalidArgument(field, "has several of any_string, range and bool: one is what it is about")
    if condition.any_string is not None:
        message.any_string.values.extend(condition.any_string)
        message.any_string.SetInParent()
    elif condition.range is not None:
        message.range.CopyFrom(filter_pb2.NumberRange(**condition.range.model_dump()))
        message.range.SetInParent()
    elif condition.is_true is not None:
        message.bool = condition.is_true
    return message
