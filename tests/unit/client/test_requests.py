"""What is given to the client, and what it sends: each field arrives, and what cannot be sent is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from vitrine.client import Example, Examples, HistoryItem, OrderBy, Search
from vitrine.client.requests import feedback_kind, history_message, search_message
from vitrine.filters import Filter, any_string
from vitrine.images import CropBox
from vitrine.runtime.errors import InvalidArgument
from vitrine.stream.log import Position, Stream
from vitrine.v1 import embedder_pb2, feedback_pb2, filter_pb2
from vitrine.v1 import gateway_pb2 as pb
from vitrine.v1.catalogue_pb2 import STREAM_LIVE, LogPosition

VECTOR = np.array([1, 0.5], np.float32)
WIRE = VECTOR.astype("<f4").tobytes()
NEXT = "of-the-page-before"
BOX = CropBox(0.25, 0, 0.75, 1)
BOX_MESSAGE = embedder_pb2.CropBox(left=0.25, top=0, right=0.75, bottom=1)


def test_every_field_of_a_search_arrives() -> None:
    search = Search(
        image=b"jpeg",
        k=7,
        crop="auto",
        filter=Filter(all_of=(any_string("category", "Shoes"),)),
        min_score=0.25,
        category="predict",
        category_threshold=0.75,
        history=["a", HistoryItem("b", 1_500_000, 2.0)],
        history_weight=0.5,
        diversity=0.125,
        order_by=OrderBy("live.price", descending=True),
        exact=True,
        recall_target=0.9,
        page_token=NEXT,
        explain=True,
        facets=("category",),
        surface="search",
        require_complete=True,
        at_least=[Position(1, 2, Stream.LIVE)],
    )

    message = search_message(search, "shop")

    category = filter_pb2.Condition(field="category", any_string=filter_pb2.AnyString(values=["Shoes"]))
    expected = pb.SearchRequest(
        index="shop",
        image=b"jpeg",
        page_size=7,
        crop_mode=pb.CROP_MODE_AUTO,
        filter=filter_pb2.Filter(all_of=[category]),
        min_score=0.25,
        category_mode=pb.CATEGORY_MODE_PREDICT,
        category_threshold=0.75,
        history=[pb.HistoryItem(product_id="a"), history_message(HistoryItem("b", 1_500_000, 2.0))],
        history_weight=0.5,
        diversity=0.125,
        order_by=pb.OrderBy(field="live.price", descending=True),
        exact=True,
        recall_target=0.9,
        page_token=NEXT,
        explain=True,
        facets=["category"],
        surface="search",
        require_complete=True,
        at_least=[LogPosition(partition=1, offset=2, stream=STREAM_LIVE)],
    )
    assert message == expected
    unset = {field.name for field in pb.SearchRequest.DESCRIPTOR.fields} - {
        field.name for field, _ in message.ListFields()
    }
    assert unset == {"product_id", "vector", "examples", "crop"}, "of the contract, nothing else is left out"


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        (Search(product_id="p"), pb.SearchRequest(product_id="p")),
        (Search(vector=VECTOR), pb.SearchRequest(vector=WIRE)),
        (Search(vector=VECTOR.astype(np.float64)), pb.SearchRequest(vector=WIRE)),
        (Search(image=b"jpeg", crop=BOX), pb.SearchRequest(image=b"jpeg", crop=BOX_MESSAGE)),
    ],
)
def test_what_is_not_given_is_not_set(search: Search, expected: pb.SearchRequest) -> None:
    expected.page_size = 10

    assert search_message(search, "") == expected


def test_an_example_is_a_product_a_picture_or_a_vector_with_a_weight_or_without() -> None:
    examples = Examples(
        positive=["p", b"jpeg", VECTOR, Example("q", 2.0)],
        negative=[Example(b"jpeg", crop="auto"), Example(b"jpeg", 0.5, BOX)],
    )

    message = search_message(Search(examples=examples), "").examples

    assert list(message.positive) == [
        pb.Example(product_id="p"),
        pb.Example(image=b"jpeg"),
        pb.Example(vector=WIRE),
        pb.Example(product_id="q", weight=2.0),
    ]
    assert list(message.negative) == [
        pb.Example(image=b"jpeg", crop_mode=pb.CROP_MODE_AUTO),
        pb.Example(image=b"jpeg", weight=0.5, crop=BOX_MESSAGE),
    ]


def test_a_weight_of_nothing_is_sent_so_that_it_is_refused() -> None:
    examples = Examples([Example("p", weight=0.0)])

    assert search_message(Search(examples=examples), "").examples.positive[0].HasField("weight")


def test_a_time_before_1970_is_a_time() -> None:
    assert history_message(HistoryItem("p", -1)).time.ToMicroseconds() == -1


@pytest.mark.parametrize(
    "given", [{}, {"image": b"jpeg", "product_id": "p"}, {"vector": VECTOR, "examples": Examples("p")}]
)
def test_exactly_one_query_is_needed(given: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument, match=r"^query: exactly one of image, product_id, vector, examples is needed"):
        search_message(Search(**given), "")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("search", "field"),
    [
        (Search(product_id="p", k=-1), "page_size"),
        (Search(product_id="p", k=2**32), "page_size"),
        (Search(image=b"jpeg", crop="middle"), "crop"),  # type: ignore[arg-type]
        (Search(image=b"jpeg", crop=(0, 0, 1, 1)), "crop"),  # type: ignore[arg-type]
        (Search(image=b"jpeg", category="Shoes"), "category_mode"),  # type: ignore[arg-type]
    ],
)
def test_what_no_message_can_say_is_refused_by_name(search: Search, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        search_message(search, "")
    assert caught.value.field == field


def test_what_a_shopper_did_has_four_names() -> None:
    kinds = [feedback_kind(deed) for deed in ("click", "add_to_cart", "purchase", "dismiss")]
    assert kinds == [number for number in feedback_pb2.FeedbackKind.values() if number]
    with pytest.raises(InvalidArgument, match=r"^feedback\.kind: is 'unspecified', not one of click"):
        feedback_kind("unspecified")  # type: ignore[arg-type]


def test_a_plain_search_travels_with_others_and_no_other_does() -> None:
    assert Search(vector=VECTOR).is_plain
    special = [
        Search(product_id="p"),
        Search(image=b"jpeg"),
        Search(vector=VECTOR, k=101),
        Search(vector=VECTOR, history=["p"]),
        Search(vector=VECTOR, diversity=0.5),
        Search(vector=VECTOR, order_by=OrderBy("live.price")),
        Search(vector=VECTOR, surface="search"),
        Search(vector=VECTOR, exact=True),
        Search(vector=VECTOR, page_token=NEXT),
    ]
    assert [search for search in special if search.is_plain] == []
