"""What goes with a product or a picture, through real services."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.builders import clustered
from tests.integration import hostile
from tests.integration.shop import (
    DIM,
    TIMEOUT_S,
    Drawn,
    Shop,
    channel_to,
    eventually,
    indexed,
    published,
    refused,
    running_service,
    upsert,
)
from vitrine.affinity import Learned
from vitrine.cli.bench.served import index_of, served
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import STREAM_FILE
from vitrine.filters import Filter, any_string, number
from vitrine.filters_codec import filter_message
from vitrine.model_folder import ModelFolder
from vitrine.stream.codec import position_message
from vitrine.stream.partitioning import partition_of
from vitrine.v1 import embedder_pb2, gateway_pb2_grpc
from vitrine.v1 import gateway_pb2 as pb
from vitrine.vectors import Vectors, unit

CROP = embedder_pb2.CropBox
KIND_DIM = 256


@pytest.fixture(autouse=True, scope="module")
def _categories_are_known(shop: Shop) -> None:
    """To the gateway, which asks searchers every second what there is."""
    asked = shop.products[0]
    eventually(lambda: len(completed(shop, product_id=asked.product_id).categories) == len(sold(shop)) - 1)


def completed(shop: Shop, **fields: object) -> pb.CompleteTheLookResponse:
    return shop.calls.search.CompleteTheLook(pb.CompleteTheLookRequest(**fields), timeout=TIMEOUT_S)  # type: ignore[arg-type]


def names(response: pb.CompleteTheLookResponse) -> list[str]:
    return [look.category for look in response.categories]


def ids(response: pb.CompleteTheLookResponse) -> list[str]:
    return [hit.product_id for look in response.categories for hit in look.results]


def first_of(shop: Shop, category: str) -> Drawn:
    return next(product for product in shop.products if product.category == category)


def vectors_of(shop: Shop, product_id: str) -> Vectors:
    """Of its images: float32 (images, dim)."""
    product = shop.calls.client.product(product_id, with_vectors=True)
    return np.stack([image.vector for image in product.images if image.vector is not None])


def sold(shop: Shop) -> set[str]:
    return {product.category for product in shop.products}


def test_every_other_category_is_answered_with_products_of_its_own(shop: Shop) -> None:
    asked = first_of(shop, "Shoes")
    response = completed(shop, product_id=asked.product_id)
    assert sorted(names(response)) == sorted(sold(shop) - {"Shoes"})
    assert [len(look.results) for look in response.categories] == [4] * len(response.categories)
    assert all(hit.category == look.category for look in response.categories for hit in look.results)
    assert response.own_category == "Shoes"
    assert response.affinity == "style"
    assert response.coverage.partitions_answered == response.coverage.partitions_total
    assert response.coverage.rows_searched == shop.images
    assert response.index_time.seconds > 0
    assert len(response.query_id) == 32


def test_the_best_comes_first_within_a_category_and_among_them(shop: Shop) -> None:
    for product in shop.products[:12]:
        response = completed(shop, product_id=product.product_id, per_category=10)
        scores = [[hit.score for hit in look.results] for look in response.categories]
        assert scores == [sorted(each, reverse=True) for each in scores]
        assert [each[0] for each in scores] == sorted((each[0] for each in scores), reverse=True)


def test_affinity_is_the_cosine_of_colour_and_look(shop: Shop) -> None:
    asked = first_of(shop, "Bags")
    response = completed(shop, product_id=asked.product_id, categories=["Shoes"], per_category=50)
    mean = unit(vectors_of(shop, asked.product_id).mean(axis=0, keepdims=True))
    style = unit(mean[:, KIND_DIM:])[0]
    truth = {
        product.product_id: float(max(unit(vectors_of(shop, product.product_id)[:, KIND_DIM:]) @ style))
        for product in shop.products
        if product.category == "Shoes"
    }
    assert {hit.product_id: pytest.approx(hit.score, abs=1e-3) for hit in response.categories[0].results} == truth
    assert max(truth.values()) - min(truth.values()) > 0.5


def test_companions_of_a_coloured_thing_are_of_its_colour_more_often_than_by_chance(shop: Shop) -> None:
    colours = Counter(product.colour for product in shop.products)
    alike, by_chance = [], []
    for product in shop.products:
        found = completed(shop, product_id=product.product_id, per_category=2).categories
        same = [hit.attributes["colour"].string == product.colour for look in found for hit in look.results]
        alike.append(np.mean(same))
        by_chance.append(colours[product.colour] / len(shop.products))
    assert np.mean(alike) > 2 * np.mean(by_chance)


def test_companions_of_a_blue_thing_are_bluer_than_chance(shop: Shop) -> None:
    blues = {"Blue", "Navy Blue", "Teal"}
    chance = np.mean([product.colour in blues for product in shop.products])
    shares = []
    for product in shop.products:
        if product.colour == "Blue":
            found = completed(shop, product_id=product.product_id, per_category=2).categories
            shares.append(np.mean([hit.attributes["colour"].string in blues for look in found for hit in look.results]))
    assert len(shares) > 2
    assert np.mean(shares) > 2 * chance


def test_a_picture_is_completed_by_the_category_that_the_model_sees(shop: Shop) -> None:
    asked = first_of(shop, "Bags")
    response = completed(shop, image=asked.pictures[0])
    assert response.own_category == "Bags"
    assert "Bags" not in names(response)
    assert not response.HasField("region")
    assert set(ids(completed(shop, product_id=asked.product_id))) & set(ids(response))


def test_a_picture_can_be_cropped_or_searched_for_its_product(shop: Shop) -> None:
    picture = first_of(shop, "Shoes").pictures[0]
    cropped = completed(shop, image=picture, crop=CROP(left=0.1, top=0.1, right=0.9, bottom=0.9))
    found = completed(shop, image=picture, crop_mode=pb.CROP_MODE_AUTO)
    assert cropped.categories
    assert found.categories
    assert found.region.HasField("no_product_score")


def test_its_own_category_can_be_told(shop: Shop) -> None:
    asked = first_of(shop, "Bags")
    response = completed(shop, product_id=asked.product_id, own_category="Shoes", per_category=50)
    assert response.own_category == "Shoes"
    assert "Shoes" not in names(response)
    assert "Bags" in names(response)
    assert asked.product_id not in ids(response)


def test_only_the_categories_that_are_named_are_answered(shop: Shop) -> None:
    asked = first_of(shop, "Shoes")
    response = completed(shop, product_id=asked.product_id, categories=["Watches", "Shoes", "Bags"], per_category=1)
    assert sorted(names(response)) == ["Bags", "Watches"]
    assert len(ids(response)) == 2


def test_a_filter_holds_in_every_category(shop: Shop) -> None:
    cheap = filter_message(Filter(all_of=(number("attributes.price", lt=60),)))
    response = completed(shop, product_id=first_of(shop, "Shoes").product_id, filter=cheap, per_category=50)
    expected = {p.product_id for p in shop.products if p.price < 60 and p.category != "Shoes"}
    assert set(ids(response)) == expected
    assert set(names(response)) == {p.category for p in shop.products if p.price < 60} - {"Shoes"}


def test_a_filter_that_leaves_nothing_leaves_no_categories(shop: Shop) -> None:
    free = filter_message(Filter(all_of=(number("attributes.price", lt=0),)))
    response = completed(shop, product_id=first_of(shop, "Shoes").product_id, filter=free)
    assert not response.categories
    assert response.coverage.partitions_answered == response.coverage.partitions_total


def test_the_same_question_has_the_same_answer(shop: Shop) -> None:
    asked = first_of(shop, "Shoes").product_id
    one, other = completed(shop, product_id=asked), completed(shop, product_id=asked)
    assert one.categories == other.categories
    assert one.query_id != other.query_id


def test_a_product_of_a_new_category_is_found_as_soon_as_it_is_published(open_shop: Shop) -> None:
    client, pictures = open_shop.calls.client, [product.pictures[0] for product in open_shop.products[:2]]
    indexed(client, published(client, [upsert("look-asked", pictures[0], category="look-old")]))
    positions = published(client, [upsert("look-new", pictures[1], category="look-brand-new")])
    response = completed(
        open_shop,
        product_id="look-asked",
        categories=["look-brand-new"],
        at_least=[position_message(position) for position in positions],
    )
    assert ids(response) == ["look-new"]


QUERY = {"product_id": "p"}
BAD: dict[str, tuple[dict[str, object], str]] = {
    "no query": ({}, "query: one of image or product_id"),
    "an empty picture": ({"image": b""}, "image: "),
    "an empty product": ({"product_id": ""}, "product_id: "),
    "a crop of a product": ({**QUERY, "crop": CROP(right=1, bottom=1)}, "crop: only goes with image"),
    "a crop outside": ({"image": b"x", "crop": CROP(right=2, bottom=1)}, "crop: "),
    "a crop of NaN": ({"image": b"x", "crop": CROP(left=float("nan"), right=1, bottom=1)}, "crop: "),
    "a crop twice": (
        {"image": b"x", "crop": CROP(right=1, bottom=1), "crop_mode": pb.CROP_MODE_AUTO},
        "crop_mode: ",
    ),
    "finding a product in a product": ({**QUERY, "crop_mode": pb.CROP_MODE_AUTO}, "crop_mode: "),
    "no products": ({**QUERY, "per_category": 0}, "per_category: "),
    "many products": ({**QUERY, "per_category": 51}, "per_category: "),
    "many categories": ({**QUERY, "categories": [f"c{n}" for n in range(21)]}, "categories: has 21"),
    "a category without a name": ({**QUERY, "categories": ["Shoes", ""]}, "categories[1]: must have 1 to 256 bytes"),
    "a category with a long name": ({**QUERY, "categories": ["S" * 257]}, "categories[0]: must have 1 to 256 bytes"),
    "a category twice": ({**QUERY, "categories": ["Bags", "Shoes", "Bags"]}, 'categories[2]: "Bags" is named twice'),
    "its own category": (
        {**QUERY, "categories": ["Bags", "Shoes"], "own_category": "Shoes"},
        "categories[1]: is the own_category",
    ),
    "a surface with spaces": ({**QUERY, "surface": "my page"}, "surface: "),
    "a filter with no room": (
        {**QUERY, "filter": filter_message(Filter(all_of=(any_string("category", "Bags"),) * 64))},
        "filter: has 65 conditions",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_refused_by_the_name_of_its_field(shop: Shop, case: str) -> None:
    fields, words = BAD[case]
    with refused("INVALID_ARGUMENT", words):
        completed(shop, **fields)


@pytest.mark.parametrize("name", hostile.NAMES)
def test_what_is_no_picture_is_refused(shop: Shop, name: str) -> None:
    with refused("INVALID_ARGUMENT", "image: "):
        completed(shop, image=hostile.pictures()[name])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"categories": ["Bags", "Spaceships"]}, 'categories[1]: no product is of "Spaceships"'),
        ({"own_category": "Spaceships"}, 'own_category: no product is of "Spaceships"'),
        ({"categories": ["Shoes"]}, 'categories: names only "Shoes"'),
        (
            {"filter": filter_message(Filter(all_of=(any_string("attributes.colr", "Pink"),)))},
            "filter.all_of[0].field: no product",
        ),
    ],
)
def test_what_the_catalogue_does_not_have_is_named(shop: Shop, fields: dict[str, object], words: str) -> None:
    with refused("INVALID_ARGUMENT", words):
        completed(shop, product_id=first_of(shop, "Shoes").product_id, **fields)


def test_an_unknown_product_is_not_found(shop: Shop) -> None:
    with refused("NOT_FOUND", "product_id: ", "never-was"):
        completed(shop, product_id="never-was")


def test_another_index_is_not_found(shop: Shop) -> None:
    with refused("NOT_FOUND", "index: "):
        completed(shop, product_id=first_of(shop, "Shoes").product_id, index="other")


@contextmanager
def gateway_with(shop: Shop, affinity: Path) -> Iterator[gateway_pb2_grpc.VisualSearchStub]:
    """A further gateway to the shop's services, with a learned affinity."""
    options = [*_options(shop), "--affinity", str(affinity)]
    log = affinity.with_suffix(".log")
    with running_service("gateway", options, log) as address, channel_to(address.grpc) as channel:
        yield gateway_pb2_grpc.VisualSearchStub(channel)


def _options(shop: Shop) -> list[str]:
    settings = shop.stack.settings
    return [
        *("--store", settings.store_url, "--stream", str(settings.folder / STREAM_FILE)),
        *("--partitions", str(settings.partitions), "--embedder", shop.stack.addresses["embedder"].grpc),
        *("--topology", str(settings.folder / "topology.json")),
    ]


def saved(folder: Path, matrix: Vectors, model_id: str = "") -> Path:
    path, offset = folder / "affinity.npz", np.zeros(DIM, np.float32)
    model_id = model_id or ModelFolder.read(DEFAULT_MODEL).model_id
    Learned(model_id, matrix, {"": offset, "Shoes": offset}, {}).save(path)
    return path


def test_a_learned_affinity_is_used_and_said(shop: Shop, tmp_path: Path) -> None:
    """This one has learned that the opposite of a thing goes with it."""
    asked = first_of(shop, "Bags").product_id
    with gateway_with(shop, saved(tmp_path, -np.eye(DIM, dtype=np.float32))) as gateway:
        request = pb.CompleteTheLookRequest(product_id=asked, categories=["Shoes"], per_category=5)
        response = gateway.CompleteTheLook(request, timeout=TIMEOUT_S)
    own = unit(vectors_of(shop, asked).mean(axis=0, keepdims=True))[0]
    shoes = Filter(all_of=(any_string("category", "Shoes"),))
    expected = shop.calls.client.search(vector=-own, k=5, exact=True, filter=shoes).hits
    assert response.affinity == "learned"
    assert ids(response) == [hit.product_id for hit in expected]
    assert [hit.score for hit in response.categories[0].results] == pytest.approx([h.score for h in expected], abs=1e-3)
    assert expected[0].score < 0.5


def test_an_affinity_of_another_model_is_refused_by_name(shop: Shop, tmp_path: Path) -> None:
    request = pb.CompleteTheLookRequest(product_id=first_of(shop, "Bags").product_id)
    with (
        gateway_with(shop, saved(tmp_path, np.eye(DIM, dtype=np.float32), "b" * 64)) as gateway,
        refused("FAILED_PRECONDITION", "affinity: ", "b" * 12),
    ):
        gateway.CompleteTheLook(request, timeout=TIMEOUT_S)


def test_a_gateway_does_not_start_with_a_damaged_affinity(shop: Shop, tmp_path: Path) -> None:
    path = saved(tmp_path, np.eye(DIM, dtype=np.float32))
    path.write_bytes(path.read_bytes()[:-1000])
    command = [sys.executable, "-m", "services.gateway", "--port", "7", "--http-port", "8", *_options(shop)]
    done = subprocess.run([*command, "--affinity", str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert f"affinity: {path} is damaged" in done.stderr


PRODUCTS = [f"p{number}" for number in range(400)]
HERE, AWAY = (
    [product_id for product_id in PRODUCTS if partition_of(product_id, 2) == partition] for partition in (0, 1)
)


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gateway_pb2_grpc.VisualSearchStub]:
    """A gateway to two partitions, the second of which no searcher serves any more; and without an embedder."""
    folder = tmp_path_factory.mktemp("half")
    vectors = clustered(np.random.default_rng(2), len(PRODUCTS), 32, rank=8)
    categories = [("Bags", "Shoes", "Tops")[number % 3] for number in range(len(PRODUCTS))]
    index_of(vectors, pa.table({"product_id": PRODUCTS, "category": categories}), folder, partitions=2)
    only = ["--store", str(folder / "store"), "--cache", str(folder / "cache"), "--partitions", "0"]
    with (
        served(folder, DEFAULT_MODEL, partitions=2) as stack,
        running_service("searcher", only, folder / "only.log") as searcher,
        channel_to(stack.gateway) as channel,
    ):
        (folder / "topology.json").write_text(json.dumps({"groups": [{"addresses": [searcher.grpc]}]}))
        stub = gateway_pb2_grpc.VisualSearchStub(channel)
        request = pb.CompleteTheLookRequest(product_id=HERE[0])
        eventually(lambda: stub.CompleteTheLook(request, timeout=TIMEOUT_S).coverage.partitions_answered == 1)
        yield stub


def test_a_partition_that_is_away_is_said_and_the_rest_is_answered(half: gateway_pb2_grpc.VisualSearchStub) -> None:
    response = half.CompleteTheLook(pb.CompleteTheLookRequest(product_id=HERE[0]), timeout=TIMEOUT_S)
    assert len(ids(response)) == 8
    assert set(ids(response)) <= set(HERE)
    assert (response.coverage.partitions_answered, response.coverage.partitions_total) == (1, 2)
    assert [failure.partition for failure in response.coverage.failures] == [1]


def test_without_an_embedder_whole_vectors_are_compared_and_that_is_said(
    half: gateway_pb2_grpc.VisualSearchStub,
) -> None:
    assert half.CompleteTheLook(pb.CompleteTheLookRequest(product_id=HERE[0]), timeout=TIMEOUT_S).affinity == "vector"


def test_nobody_can_say_what_a_partition_that_is_away_holds(half: gateway_pb2_grpc.VisualSearchStub) -> None:
    request = pb.CompleteTheLookRequest(product_id=HERE[0], categories=["Spaceships"])
    assert not half.CompleteTheLook(request, timeout=TIMEOUT_S).categories


def test_a_partial_answer_is_refused_where_it_is_not_wanted(half: gateway_pb2_grpc.VisualSearchStub) -> None:
    request = pb.CompleteTheLookRequest(product_id=HERE[0], require_complete=True)
    with refused("UNAVAILABLE", "require_complete", "partition 1"):
        half.CompleteTheLook(request, timeout=TIMEOUT_S)


def test_a_product_that_is_away_is_not_said_to_be_unknown(half: gateway_pb2_grpc.VisualSearchStub) -> None:
    with refused("UNAVAILABLE", "partition 1"):
        half.CompleteTheLook(pb.CompleteTheLookRequest(product_id=AWAY[0]), timeout=TIMEOUT_S)
