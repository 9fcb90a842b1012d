"""Fields of requests, checked one by one. Each raises InvalidArgument naming the field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from vitrine.filters import ATTRIBUTES, LIVE, check_field
from vitrine.images import MAX_BYTES, CropBox
from vitrine.index.settings import IndexSettings
from vitrine.runtime.errors import BadImage, InvalidArgument
from vitrine.stream.codec import MAX_ID_BYTES
from vitrine.stream.feedback import SURFACE
from vitrine.v1 import catalogue_pb2, embedder_pb2
from vitrine.v1 import gateway_pb2 as pb
from vitrine.vectors import from_wire

MAX_AT_LEAST: Final = 1_024
MAX_FACETS: Final = 16
MAX_WEIGHT: Final = 100.0

_ORDINARY: Final = (1e-12, 1e12)


def check_vector(data: bytes, dim: int, field: str = "vector") -> None:
    """As `from_wire`, at a third of its time for a vector that does not look odd."""
    if len(data) == dim * 4:
        vector = np.frombuffer(data, "<f4")
        if _ORDINARY[0] < float(np.dot(vector, vector)) < _ORDINARY[1]:
            return
    from_wire(data, dim, field)


def check_image(data: bytes, field: str = "image") -> None:
    """Raises BadImage; what is in it, the embedder sees."""
    if not data:
        raise BadImage("is empty", field)
    if len(data) > MAX_BYTES:
        raise BadImage(f"has {len(data)} bytes, at most {MAX_BYTES} are accepted", field)


def check_crop(box: embedder_pb2.CropBox | None, mode: int, by_image: bool, prefix: str = "") -> None:
    """`box` None: none is given. `prefix`: of the fields' names."""
    if box is not None and not by_image:
        raise InvalidArgument(f"{prefix}crop", "only goes with image")
    if mode == pb.CROP_MODE_AUTO:
        if not by_image:
            raise InvalidArgument(f"{prefix}crop_mode", "only goes with image")
        if box is not None:
            raise InvalidArgument(f"{prefix}crop_mode", "AUTO finds the part itself: do not set crop")
    elif mode != pb.CROP_MODE_GIVEN:
        raise InvalidArgument(f"{prefix}crop_mode", f"{mode} is not known")
    if box is not None:
        CropBox(box.left, box.top, box.right, box.bottom).validated(f"{prefix}crop")


def check_product_id(product_id: str, field: str = "product_id") -> None:
    if not 1 <= len(product_id.encode()) <= MAX_ID_BYTES:
        raise InvalidArgument(field, f"must have 1 to {MAX_ID_BYTES} bytes")


def check_min_score(min_score: float) -> None:
    if not -1 <= min_score <= 1:
        raise InvalidArgument("min_score", f"is {min_score}, not between -1 and 1")


def check_share(share: float, field: str) -> None:
    if not 0 <= share <= 1:
        raise InvalidArgument(field, f"is {share}, not between 0 and 1")


def check_weight(weight: float, field: str) -> None:
    if not 0 < weight <= MAX_WEIGHT:
        raise InvalidArgument(field, f"is {weight}, not above 0 and at most {MAX_WEIGHT:g}")


def check_count(count: int, most: int, field: str) -> None:
    if not 1 <= count <= most:
        raise InvalidArgument(field, f"is {count:,}, 1 to {most:,} are accepted")


def check_recall_target(request: pb.SearchRequest) -> None:
    if not 0.5 <= request.recall_target < 1:
        raise InvalidArgument("recall_target", f"is {request.recall_target}, not at least 0.5 and below 1")
    if request.exact:
        raise InvalidArgument("recall_target", "does not go with exact, whose recall is 1")


def check_facets(facets: Sequence[str]) -> None:
    if len(facets) > MAX_FACETS:
        raise InvalidArgument("facets", f"has {len(facets)} fields, at most {MAX_FACETS} are accepted")
    for number, name in enumerate(facets):
        check_field(name, f"facets[{number}]")


def check_order_by(order: pb.OrderBy) -> None:
    check_field(order.field, "order_by.field")
    if not order.field.startswith((ATTRIBUTES, LIVE)):
        raise InvalidArgument(
            "order_by.field", f'is "{order.field}", only attributes.<name> and live.<name> are ordered'
        )


def check_surface(surface: str) -> None:
    if not SURFACE.fullmatch(surface):
        raise InvalidArgument("surface", "has up to 64 of a-z, 0-9, - and _")


def check_at_least(positions: Sequence[catalogue_pb2.LogPosition], index: IndexSettings) -> None:
    if len(positions) > MAX_AT_LEAST:
        raise InvalidArgument("at_least", f"has {len(positions):,} positions, at most {MAX_AT_LEAST:,} are accepted")
    for number, position in enumerate(positions):
        if position.partition >= index.partitions:
            field = f"at_least[{number}].partition"
            raise InvalidArgument(field, f"is {position.partition}, not below {index.partitions}")
