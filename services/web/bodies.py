"""What callers send as JSON. The gateway checks values; here it is only sure that they are of their kind.

The document at /openapi.json is made from these types. Names are those of the contract (`gateway.proto`).
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from vitrine.runtime.errors import InvalidArgument

# The surface that an answer is shown on, where a caller names none.
PAGE_SURFACE = "page"


class Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class CropBox(Body):
    """A part of a picture, as fractions of its upright width and height: 0 ≤ left < right ≤ 1."""

    left: float
    top: float
    right: float
    bottom: float


class NumberRange(Body):
    """Numbers within bounds; at least one."""

    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None


class Condition(Body):
    """What one field must be: one of some strings, a number within bounds, or true or false."""

    field: Annotated[str, Field(description='"category", "attributes.<name>" or "live.<name>"')]
    any_string: list[str] | None = None
    range: NumberRange | None = None
    is_true: Annotated[bool | None, Field(alias="bool")] = None


class Filter(Body):
    """All of `all_of`, at least one of `any_of` (if there are any), none of `none_of`."""

    all_of: list[Condition] = []
    any_of: list[Condition] = []
    none_of: list[Condition] = []


class Example(Body):
    """One thing that a shopper likes, or does not: a product, or a picture of the form."""

    product_id: str | None = None
    image: Annotated[str | None, Field(description="name of the form's part that holds the picture")] = None
    crop: CropBox | None = None
    crop_mode: Literal["given", "auto"] = "given"
    weight: Annotated[float | None, Field(description="above 0, at most 100; absent: 1")] = None


class Examples(Body):
    """More like these, less like those; together at most 32. At least one is positive."""

    positive: list[Example] = []
    negative: list[Example] = []


class HistoryItem(Body):
    """Something that a shopper looked at, or bought."""

    product_id: str
    time: AwareDatetime | None = None
    weight: Annotated[float | None, Field(description="above 0, at most 100; absent: 1")] = None


class OrderBy(Body):
    """By a number instead of by score. Products without it come last."""

    field: Annotated[str, Field(description='"attributes.<name>" or "live.<name>"')]
    descending: bool = False


Diversity = Annotated[float | None, Field(description="0 = the best, however alike; 1 = as different as can be")]
Surface = Annotated[str, Field(description="where it is shown: up to 64 of a-z, 0-9, - and _")]


class SearchQuery(Body):
    """A search by `product_id`, by `examples`, or by the form's part `image`."""

    product_id: str | None = None
    examples: Examples | None = None
    crop: CropBox | None = None
    crop_mode: Literal["given", "auto"] = "given"
    category_mode: Literal["none", "predict"] = "none"
    category_threshold: Annotated[float | None, Field(description="0 to 1; absent: 0.5")] = None
    filter: Filter | None = None
    history: Annotated[list[HistoryItem], Field(description="at most 200")] = []
    history_weight: Annotated[float | None, Field(description="0 to 1; absent: 0.3")] = None
    diversity: Diversity = None
    order_by: OrderBy | None = None
    min_score: float | None = None
    page_size: Annotated[int | None, Field(ge=1, le=1_000, description="absent: 10")] = None
    page_token: str = ""
    facets: Annotated[list[str], Field(description="fields whose values are counted, at most 16")] = []
    require_complete: bool = False
    surface: Surface = PAGE_SURFACE


class RecommendQuery(Body):
    """What a shopper with this history may like."""

    history: Annotated[list[HistoryItem], Field(description="1 to 200")]
    half_life_days: Annotated[float | None, Field(description="absent: 14")] = None
    max_interests: Annotated[int | None, Field(ge=1, le=10, description="absent: 3")] = None
    page_size: Annotated[int | None, Field(ge=1, le=100, description="absent: 10")] = None
    diversity: Diversity = None
    filter: Filter | None = None
    min_score: float | None = None
    require_complete: bool = False
    surface: Surface = PAGE_SURFACE


class LookQuery(Body):
    """What goes with a product, or with the form's part `image`."""

    product_id: str | None = None
    crop: CropBox | None = None
    crop_mode: Literal["given", "auto"] = "given"
    own_category: str = ""
    categories: Annotated[list[str], Field(description="at most 20; empty: the largest others")] = []
    per_category: Annotated[int | None, Field(ge=1, le=50, description="absent: 4")] = None
    filter: Filter | None = None
    require_complete: bool = False
    surface: Surface = PAGE_SURFACE


class FeedbackEvent(Body):
    """What a shopper did with one product of an answer."""

    query_id: str
    product_id: str
    kind: Literal["CLICK", "ADD_TO_CART", "PURCHASE", "DISMISS"]
    surface: Surface = PAGE_SURFACE
    rank: Annotated[int | None, Field(ge=1, le=10_000, description="place among what was shown, from 1")] = None


_Body = TypeVar("_Body", bound=Body)


def parsed(kind: type[_Body], data: bytes) -> _Body:
    """Raises InvalidArgument naming the first field that is not of its kind."""
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InvalidArgument(_dotted(first["loc"]) or "body", first["msg"]) from error


def _dotted(path: tuple[int | str, ...]) -> str:
    """("history", 3, "weight") → "history[3].weight"."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")
