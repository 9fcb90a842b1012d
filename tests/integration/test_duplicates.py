"""FindDuplicates: re-encoded pictures under other ids are found, whoever serves them; other products are not."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from tests.builders import scattered
from tests.integration.shop import Shop, eventually, indexed, metric, published, upsert
from vitrine import sample
from vitrine.cli.bench.served import index_of, served
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import Stack
from vitrine.client import DuplicateGroup, VisualSearchClient
from vitrine.filters import Filter, any_string
from vitrine.runtime.errors import InvalidArgument, NotFound, Unavailable
from vitrine.sample import SampleProduct
from vitrine.stream.events import Delete, Upsert
from vitrine.stream.partitioning import partition_of
from vitrine.vectors import Vectors, unit

DIM = 32
# Of each kind. In 32 dimensions none is near another one by chance.
LONELY, PAIRS, CHAINS = 1_500, 60, 20
CROWD = 40
# An angle of 14 degrees.
NEAR = 0.97
COMPLEMENTS = {"Red": "Teal", "Maroon": "Teal", "Pink": "Green", "Orange": "Blue"}


def names(groups: list[DuplicateGroup]) -> list[list[str]]:
    return [[member.product_id for member in group] for group in groups]


def sold_as(category: str) -> Filter:
    return Filter(all_of=(any_string("category", category),))


def re_encoded(picture: bytes, cut_px: int = 0) -> bytes:
    """As another shop would have it: smaller, compressed again, and with something cut off each side."""
    with Image.open(io.BytesIO(picture)) as opened:
        width, height = opened.size
        cut = opened.crop((cut_px, cut_px, width - cut_px, height - cut_px)).resize((width * 3 // 4, height * 3 // 4))
    out = io.BytesIO()
    cut.save(out, "JPEG", quality=60)
    return out.getvalue()


def shirts(category: str, count: int = 8) -> list[SampleProduct]:
    """Topwear that nobody else sells."""
    chosen = [product for product in sample.catalogue(2_000)[1_000:] if product.category == "Topwear"][:count]
    return [replace(product, product_id=f"{category}-{number}") for number, product in enumerate(chosen)]


def sold(product: SampleProduct, category: str) -> Upsert:
    return upsert(product.product_id, sample.draw(product, 0), category=category, attributes={"title": product.title})


def test_re_encoded_copies_are_found_and_other_colours_are_not(open_shop: Shop) -> None:
    client, category = open_shop.calls.client, "copied"
    originals = shirts(category)
    recoloured = [
        replace(
            product, product_id=f"{product.product_id}-recoloured", colour="Red" if product.colour != "Red" else "Teal"
        )
        for product in originals
    ]
    copies = [
        upsert(f"{product.product_id}-copy", re_encoded(sample.draw(product, 0)), category=category)
        for product in originals
    ]
    indexed(client, published(client, [*(sold(product, category) for product in originals + recoloured), *copies]))

    found = client.find_duplicates(filter=sold_as(category))
    groups = list(found)

    assert names(groups) == [[product.product_id, f"{product.product_id}-copy"] for product in originals]
    for (original, copy), product in zip(groups, originals, strict=True):
        assert original.score == pytest.approx(copy.score, abs=1e-3)
        assert 0.995 <= original.score < 1
        assert original.attributes["title"] == product.title
        assert (original.category, original.image_id, len(original.sha256)) == (category, "0", 32)
    assert found.summary is not None
    assert found.summary.products_compared == found.summary.products_total == 24
    assert found.summary.coverage.complete


def test_copies_that_are_cropped_too_are_found_at_a_lower_score(open_shop: Shop) -> None:
    client, category = open_shop.calls.client, "cropped"
    originals = shirts(category)
    copies = [
        upsert(f"{product.product_id}-copy", re_encoded(sample.draw(product, 0), 4), category=category)
        for product in originals
    ]
    indexed(client, published(client, [*(sold(product, category) for product in originals), *copies]))

    groups = list(client.find_duplicates(min_score=0.97, filter=sold_as(category)))

    assert names(groups) == [[product.product_id, f"{product.product_id}-copy"] for product in originals]


def test_a_withdrawn_product_is_in_no_group(open_shop: Shop) -> None:
    client, category = open_shop.calls.client, "withdrawn"
    picture = sample.draw(shirts(category, 1)[0], 0)
    born = [upsert(f"withdrawn-{number}", picture, category=category) for number in range(3)]
    indexed(client, published(client, born))
    assert names(list(client.find_duplicates(filter=sold_as(category)))) == [[event.product_id for event in born]]

    gone = published(client, [Delete("withdrawn-1")])
    assert names(list(client.find_duplicates(filter=sold_as(category), at_least=gone))) == [
        ["withdrawn-0", "withdrawn-2"]
    ]

    gone = published(client, [Delete("withdrawn-2")])
    assert list(client.find_duplicates(filter=sold_as(category), at_least=gone)) == []


def test_any_image_of_a_product_joins_it_and_its_own_images_do_not(open_shop: Shop) -> None:
    client, category = open_shop.calls.client, "several"
    first, second = shirts(category, 2)
    front, back, other = sample.draw(first, 0), sample.draw(first, 1), sample.draw(second, 0)
    events = [
        upsert("several-a", other, front, category=category),
        upsert("several-b", back, re_encoded(front), category=category),
        upsert("several-c", re_encoded(back), back, category=category),
        upsert("several-d", sample.draw(second, 1), sample.draw(second, 1), category=category),
    ]
    indexed(client, published(client, events))

    [group] = client.find_duplicates(filter=sold_as(category))

    assert [(member.product_id, member.image_id) for member in group] == [
        ("several-a", "1"),
        ("several-b", "0"),
        ("several-c", "1"),
    ]


def test_what_is_wrong_is_refused_by_name(open_shop: Shop) -> None:
    client = open_shop.calls.client
    with pytest.raises(InvalidArgument, match=r"^min_score: "):
        list(client.find_duplicates(min_score=0.4))
    with pytest.raises(InvalidArgument, match=r'^filter\.all_of\[0\]\.field: no product has "attributes\.prise"'):
        list(client.find_duplicates(filter=Filter(all_of=(any_string("attributes.prise", "x"),))))
    with VisualSearchClient(open_shop.stack.gateway, index="other") as elsewhere, pytest.raises(NotFound):
        list(elsewhere.find_duplicates())


def turned(vectors: Vectors, degrees: float, seed: int) -> Vectors:
    """Each of `vectors` turned so far, in any direction."""
    noise = np.random.default_rng(seed).standard_normal(vectors.shape).astype(np.float32)
    sideways = unit(noise - np.sum(noise * vectors, axis=1, keepdims=True) * vectors)
    return np.asarray(np.cos(np.radians(degrees)) * vectors + np.sin(np.radians(degrees)) * sideways, np.float32)


def planted() -> tuple[list[str], Vectors, list[list[str]]]:
    """Product ids, their vectors, and the groups among them where NEAR is near enough."""
    rng = np.random.default_rng(4)
    lonely = scattered(rng, LONELY, DIM)
    pairs = scattered(rng, PAIRS, DIM)
    # The ends of a chain are 20 degrees apart: each is near to the middle only.
    middles = scattered(rng, CHAINS, DIM)
    ends = turned(middles, 10, seed=5)
    others = unit(2 * np.cos(np.radians(10)) * middles - ends)
    crowd = np.repeat(scattered(rng, 1, DIM), CROWD, axis=0)
    parts = {
        "lonely": lonely,
        "pair": pairs,
        "twin": turned(pairs, 8, seed=6),
        "end": ends,
        "middle": middles,
        "other": others,
        "crowd": crowd,
    }
    ids = [f"{name}-{number:02}" for name, vectors in parts.items() for number in range(len(vectors))]
    groups = [[f"crowd-{number:02}" for number in range(CROWD)]]
    groups += [[f"{name}-{number:02}" for name in ("end", "middle", "other")] for number in range(CHAINS)]
    groups += [[f"{name}-{number:02}" for name in ("pair", "twin")] for number in range(PAIRS)]
    return ids, np.concatenate(list(parts.values())), groups


IDS, VECTORS, GROUPS = planted()


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two partitions, a searcher for each."""
    folder = tmp_path_factory.mktemp("planted")
    index_of(VECTORS, pa.table({"product_id": IDS}), folder, partitions=2, shards=2)
    with served(folder, DEFAULT_MODEL, partitions=2, searchers=2) as stack:
        groups = [
            {"partitions": [partition], "addresses": [stack.addresses[name].grpc]}
            for partition, name in enumerate(("searcher", "searcher1"))
        ]
        (folder / "topology.json").write_text(json.dumps({"groups": groups}))
        yield stack


@pytest.fixture
def client(halves: Stack) -> Iterator[VisualSearchClient]:
    with VisualSearchClient(halves.gateway) as client:
        yield client


def test_groups_reach_over_partitions_and_chains(client: VisualSearchClient) -> None:
    found = client.find_duplicates(min_score=NEAR)

    assert names(list(found)) == GROUPS
    assert found.summary is not None
    assert found.summary.products_compared == len(IDS)
    assert found.summary.coverage.rows_searched == len(IDS)


def test_progress_is_told(client: VisualSearchClient) -> None:
    told: list[tuple[int, int]] = []
    list(client.find_duplicates(min_score=NEAR, progress=lambda done, total: told.append((done, total))))

    assert told == sorted(told)
    assert told[-1] == (len(IDS), len(IDS))


def test_shoppers_are_answered_while_the_catalogue_is_compared(client: VisualSearchClient) -> None:
    with ThreadPoolExecutor(1) as pool:
        comparison = pool.submit(lambda: names(list(client.find_duplicates(min_score=NEAR))))
        answered = 0
        while not comparison.done():
            answered += len(client.search(vector=VECTORS[answered], k=1).hits)

    assert comparison.result() == GROUPS
    assert answered > 5


def test_a_comparison_that_is_ended_early_leaves_nothing_behind(tmp_path: Path) -> None:
    # More than fits into what lies between a searcher and the gateway.
    vectors = scattered(np.random.default_rng(7), 5_000, 512)
    index_of(vectors, pa.table({"product_id": [f"p{number}" for number in range(len(vectors))]}), tmp_path)
    with served(tmp_path, DEFAULT_MODEL) as stack, VisualSearchClient(stack.gateway) as client:
        searcher = stack.addresses["searcher"].http
        for _ in range(3):
            progress = iter(client.find_duplicates(progress=_stop_the_comparison))
            with pytest.raises(_StoppedError):
                next(progress)
            eventually(lambda: metric(searcher, "vitrine_searcher_scans_running") == 0, patience_s=5)


class _StoppedError(Exception):
    pass


def _stop_the_comparison(done: int, total: int) -> None:
    if 0 < done < total:
        raise _StoppedError


def test_a_searcher_that_is_stopped_is_said_and_is_back_later(halves: Stack, client: VisualSearchClient) -> None:
    halves.kill("searcher1")
    found = client.find_duplicates(min_score=NEAR)
    groups = names(list(found))
    with pytest.raises(Unavailable, match="require_complete: partition 1: "):
        list(client.find_duplicates(min_score=NEAR, require_complete=True))
    halves.watch()
    halves.wait_ready("searcher1")
    eventually(lambda: client.search(vector=VECTORS[0]).coverage.complete)
    again = names(list(client.find_duplicates(min_score=NEAR, require_complete=True)))

    assert groups == joined([[name for name in group if partition_of(name, 2) == 0] for group in GROUPS])
    assert found.summary is not None
    assert found.summary.coverage.partitions_answered == 1
    assert set(found.summary.coverage.failures) == {1}
    assert found.summary.products_compared == sum(partition_of(name, 2) == 0 for name in IDS)
    assert again == GROUPS


def joined(kept: list[list[str]]) -> list[list[str]]:
    """What is left of the groups: of one product none, and none of a chain whose middle is away."""
    some = [group for group in kept if len(group) > 1 and [name[:3] for name in group] != ["end", "oth"]]
    return sorted(some, key=lambda group: (-len(group), group[0]))
