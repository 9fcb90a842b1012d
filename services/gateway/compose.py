"""Step 2, second half: the one vector that a question comes to, from all that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from services.gateway.query import Question
from services.gateway.resolve import Embedded, Found, Item, Picture, away
from vitrine.index.settings import IndexSettings
from vitrine.runtime.errors import InvalidArgument, NotFound, UnknownProduct, VitrineError
from vitrine.v1 import gateway_pb2 as pb
from vitrine.vectors import Vectors, from_wire, to_wire, unit

# How far the query moves away from what is not liked, against how far towards what is (Rocchio, "Relevance feedback
# in information retrieval", 1971). Half: a dislike shows, and the likes still say what to look for.
_AWAY: Final = 0.5
# Examples whose mean is shorter point every way at once: what is left is noise.
_SHORTEST: Final = 0.05
_DEFAULT_HISTORY_WEIGHT: Final = 0.3


class Aim(NamedTuple):
    """What searchers are asked with. `vector`: little-endian float32, unit length.

    region, category_scores  of a picture
    away  partitions that hold products of the history and did not answer, and why: the vector lacks them
    """

    vector: bytes
    region: pb.FoundRegion | None = None
    category_scores: bytes = b""
    away: Mapping[int, str] = {}


def items_of(question: Question) -> list[Item]:
    """What has to be looked up: the picture or product that asks, or the examples; then the history."""
    at_least = question.request.at_least
    items = [Item(thing, field, at_least) for thing, field in _asking(question)]
    return items + [Item(product_id, "history", at_least) for product_id in question.taste]


def composed(question: Question, found: Sequence[Found], index: IndexSettings) -> Aim:
    """`found`: what has become of `items_of`. Raises what is wrong with what asks; a history may have gaps."""
    dim = index.dim
    things = list(_asking(question))
    asked, liked = found[: len(things)], found[len(things) :]
    known = [one for one in asked if isinstance(one, Embedded)]
    for one, (_, field) in zip(asked, things, strict=True):
        if isinstance(one, VitrineError):
            raise _named(one, field)
    aim = known[0] if question.kind in ("image", "product_id") else Embedded(_of_wire(question, known, dim))
    vector = _bent(question, aim.vector, liked, dim) if liked else aim.vector
    return Aim(vector, aim.region, aim.category_scores, away(dict(zip(question.taste, liked, strict=True)), index))


def _asking(question: Question) -> Iterator[tuple[Picture | str, str]]:
    """The pictures and products that ask, and how the caller calls them."""
    request = question.request
    match question.kind:
        case "image":
            crop = request.crop if request.HasField("crop") else None
            yield Picture(request.image, crop, request.crop_mode == pb.CROP_MODE_AUTO), "image"
        case "product_id":
            yield request.product_id, "product_id"
        case "examples":
            for side in ("positive", "negative"):
                for number, example in enumerate(getattr(request.examples, side)):
                    field = f"examples.{side}[{number}]"
                    if example.HasField("image"):
                        crop = example.crop if example.HasField("crop") else None
                        yield Picture(example.image, crop, example.crop_mode == pb.CROP_MODE_AUTO), f"{field}.image"
                    elif example.HasField("product_id"):
                        yield example.product_id, f"{field}.product_id"


def _of_wire(question: Question, known: Sequence[Embedded], dim: int) -> bytes:
    """The vector of a question that is one, or that gives examples; `known`: of those that had to be looked up."""
    if question.kind == "vector":
        return bytes(question.request.vector)
    looked_up = iter(known)
    examples = question.request.examples
    towards, away = (
        [(from_wire(example.vector or next(looked_up).vector, dim), _weight(example)) for example in side]
        for side in (examples.positive, examples.negative)
    )
    aim = _mean(towards, "examples.positive")
    if away:
        aim = aim - _AWAY * _mean(away, "examples.negative")
    return to_wire(unit(aim[np.newaxis, :])[0])


def _mean(weighed: Sequence[tuple[Vectors, float]], field: str) -> Vectors:
    """Unit length. Raises InvalidArgument where the vectors cancel each other out."""
    vectors, weights = zip(*weighed, strict=True)
    mean = np.average(np.stack(vectors), axis=0, weights=weights).astype(np.float32)
    if float(np.linalg.norm(mean)) < _SHORTEST:
        raise InvalidArgument(field, "cancel each other out: together they point nowhere")
    direction: Vectors = unit(mean[np.newaxis, :])[0]
    return direction


def _named(error: VitrineError, field: str) -> VitrineError:
    """`error` by the name that the caller has for what it is about."""
    if isinstance(error, UnknownProduct) and field != "product_id":
        return NotFound(f"{field}: no product {error.product_id!r} in the index")
    return error


def _weight(example: pb.Example) -> float:
    return example.weight if example.HasField("weight") else 1.0


def _bent(question: Question, vector: bytes, liked: Sequence[Found], dim: int) -> bytes:
    """`vector` bent towards what is known of the history."""
    request = question.request
    share = request.history_weight if request.HasField("history_weight") else _DEFAULT_HISTORY_WEIGHT
    known = [
        (from_wire(one.vector, dim), weight)
        for one, weight in zip(liked, question.taste.values(), strict=True)
        if isinstance(one, Embedded)
    ]
    if not known or not share:
        return vector
    bent = (1 - share) * from_wire(vector, dim) + share * _mean(known, "history")
    if float(np.linalg.norm(bent)) < _SHORTEST:
        raise InvalidArgument("history", "and the query cancel each other out")
    return to_wire(unit(bent[np.newaxis, :])[0])
