"""What is asked, as messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, get_args

from vitrine.client.questions import Crop, Deed, Example, Examples, HistoryItem, Search, Thing
from vitrine.filters import Filter
from vitrine.filters_codec import filter_message
from vitrine.images import CropBox
from vitrine.runtime.errors import InvalidArgument
from vitrine.stream.codec import live_message, position_message, timestamp, to_message
from vitrine.stream.events import Event, LiveUpdate
from vitrine.stream.log import Position
from vitrine.v1 import catalogue_pb2, embedder_pb2, feedback_pb2, filter_pb2, gateway_pb2
from vitrine.vectors import Vectors, to_wire

_MAX_UINT32: Final = 2**32 - 1
_Cropped = gateway_pb2.SearchRequest | gateway_pb2.Example | gateway_pb2.CompleteTheLookRequest


def search_message(search: Search, index: str) -> gateway_pb2.SearchRequest:
    """Raises InvalidArgument where not exactly one query is given."""
    message = gateway_pb2.SearchRequest(
        index=index,
        page_size=uint32(search.k, "page_size"),
        page_token=search.page_token,
        exact=search.exact,
        explain=search.explain,
        require_complete=search.require_complete,
        surface=search.surface,
        facets=search.facets,
        **query_fields(
            image=search.image, product_id=search.product_id, vector=search.vector, examples=search.examples
        ),
    )
    # Set where there is something to say: a message with every field given takes twice the time.
    if search.crop is not None:
        set_crop(message, search.crop)
    if search.filter:
        message.filter.CopyFrom(filter_message(search.filter))
    if search.min_score is not None:
        message.min_score = search.min_score
    if search.recall_target is not None:
        message.recall_target = search.recall_target
    if search.diversity is not None:
        message.diversity = search.diversity
    if search.order_by is not None:
        message.order_by.field, message.order_by.descending = search.order_by.field, search.order_by.descending
    if search.category is not None or search.category_threshold is not None:
        _set_category_mode(message, search)
    if search.history_weight is not None:
        message.history_weight = search.history_weight
    if search.history:
        message.history.extend(map(history_message, search.history))
    if search.at_least:
        message.at_least.extend(map(position_message, search.at_least))
    return message


def query_fields(**given: bytes | str | Vectors | Examples | None) -> dict[str, Any]:
    """The one query that is given, on the wire. Raises InvalidArgument for none or several."""
    chosen = {name: value for name, value in given.items() if value is not None}
    if len(chosen) != 1:
        raise InvalidArgument("query", f"exactly one of {', '.join(given)} is needed, not {list(chosen)}")
    ((name, value),) = chosen.items()
    return {name: _on_the_wire(value)}


def set_crop(message: _Cropped, crop: Crop) -> None:
    if crop == "auto":
        message.crop_mode = gateway_pb2.CROP_MODE_AUTO
    else:
        message.crop.CopyFrom(crop_message(crop))


def crop_message(crop: Crop) -> embedder_pb2.CropBox:
    """Raises InvalidArgument where it is no box."""
    if not isinstance(crop, CropBox):
        raise InvalidArgument("crop", f'is {crop!r}, neither a CropBox nor "auto"')
    return embedder_pb2.CropBox(**crop._asdict())


def history_message(item: HistoryItem | str) -> gateway_pb2.HistoryItem:
    if isinstance(item, str):
        return gateway_pb2.HistoryItem(product_id=item)
    time = None if item.time_us is None else timestamp(item.time_us)
    return gateway_pb2.HistoryItem(product_id=item.product_id, time=time, weight=item.weight)


def filter_of(wanted: Filter | None) -> filter_pb2.Filter | None:
    return filter_message(wanted) if wanted else None


def feedback_kind(deed: Deed) -> feedback_pb2.FeedbackKind.ValueType:
    """Raises InvalidArgument."""
    if deed not in get_args(Deed):
        raise InvalidArgument("feedback.kind", f"is {deed!r}, not one of {', '.join(get_args(Deed))}")
    return feedback_pb2.FeedbackKind.Value(f"FEEDBACK_KIND_{deed.upper()}")


def positions(places: Iterable[Position]) -> list[catalogue_pb2.LogPosition]:
    return [position_message(place) for place in places]


def event(published: Event, index: str) -> catalogue_pb2.CatalogueEvent:
    message = to_message(published)
    message.index = index
    return message


def live_update(update: LiveUpdate, index: str) -> catalogue_pb2.LiveAttributes:
    message = live_message(update)
    message.index = index
    return message


def uint32(number: int, field: str) -> int:
    """Itself. Raises InvalidArgument where a message cannot hold it; what it may be at most, the gateway knows."""
    if not 0 <= number <= _MAX_UINT32:
        raise InvalidArgument(field, f"is {number:,}, which cannot be")
    return number


def _on_the_wire(query: bytes | str | Vectors | Examples) -> bytes | str | gateway_pb2.Examples:
    if isinstance(query, Examples):
        positive, negative = map(_example_message, query.positive), map(_example_message, query.negative)
        return gateway_pb2.Examples(positive=positive, negative=negative)
    return query if isinstance(query, bytes | str) else to_wire(query)


def _example_message(given: Example | Thing) -> gateway_pb2.Example:
    example = given if isinstance(given, Example) else Example(given)
    message = gateway_pb2.Example(weight=example.weight)
    match example.thing:
        case str():
            message.product_id = example.thing
        case bytes():
            message.image = example.thing
        case _:
            message.vector = to_wire(example.thing)
    if example.crop is not None:
        set_crop(message, example.crop)
    return message


def _set_category_mode(message: gateway_pb2.SearchRequest, search: Search) -> None:
    if search.category == "predict":
        message.category_mode = gateway_pb2.CATEGORY_MODE_PREDICT
    elif search.category is not None:
        raise InvalidArgument(
            "category_mode", f'is {search.category!r}, not "predict"; a category is asked for by filter'
        )
    if search.category_threshold is not None:
        message.category_threshold = search.category_threshold
