"""Examples, checked: what a shopper likes, and what not."""

from __future__ import annotations

from typing import Final

from services.gateway import checks
from vitrine.runtime.errors import InvalidArgument
from vitrine.v1 import gateway_pb2 as pb

MAX_EXAMPLES: Final = 32


def check_examples(examples: pb.Examples, dim: int) -> None:
    """Raises InvalidArgument: `examples.negative[1].weight`."""
    if not examples.positive:
        raise InvalidArgument("examples.positive", "is empty: say what to look for, not only what to avoid")
    checks.check_count(len(examples.positive) + len(examples.negative), MAX_EXAMPLES, "examples")
    liked: dict[bytes, int] = {}
    for number, example in enumerate(examples.positive):
        _check(example, dim, f"examples.positive[{number}]")
        liked.setdefault(_what(example), number)
    for number, example in enumerate(examples.negative):
        _check(example, dim, f"examples.negative[{number}]")
        if (place := liked.get(_what(example))) is not None:
            raise InvalidArgument(f"examples.negative[{number}]", f"is examples.positive[{place}], too")


def _check(example: pb.Example, dim: int, field: str) -> None:
    kind = example.WhichOneof("item")
    box = example.crop if example.HasField("crop") else None
    checks.check_crop(box, example.crop_mode, kind == "image", f"{field}.")
    if example.HasField("weight"):
        checks.check_weight(example.weight, f"{field}.weight")
    match kind:
        case "image":
            checks.check_image(example.image, f"{field}.image")
        case "product_id":
            checks.check_product_id(example.product_id, f"{field}.product_id")
        case "vector":
            checks.check_vector(example.vector, dim, f"{field}.vector")
        case _:
            raise InvalidArgument(field, "one of image, product_id or vector must be set")


def _what(example: pb.Example) -> bytes:
    """The same for examples of the same thing, whatever they weigh."""
    same = pb.Example()
    same.CopyFrom(example)
    same.ClearField("weight")
    return same.SerializeToString(deterministic=True)
