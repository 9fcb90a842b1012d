"""A searcher of its own over an index made straight from products: no stream, no embedder, no gateway."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from tests.builders import MODEL, clustered, product
from tests.integration.shop import channel_to, running_service
from vitrine.cli.stack import Address
from vitrine.index.manifest import Manifest, ManifestLog
from vitrine.index.settings import DEFAULT_INDEX, IndexSettings, create_or_check
from vitrine.index.shelf import Shelf
from vitrine.index.store import Store
from vitrine.shards.build import TreeSettings, write_fresh, write_rolled
from vitrine.shards.records import LiveVersion, ProductVersion
from vitrine.shards.table import table_of
from vitrine.stream.partitioning import partition_of
from vitrine.v1 import searcher_pb2 as pb
from vitrine.v1 import searcher_pb2_grpc
from vitrine.vectors import Vectors, to_wire

DIM: Final = 16
CATEGORIES: Final = ("Boots", "Sandals", "Shoes")
COLOURS: Final = ("black", "blue", "red", "white")


def catalogue(count: int, seed: int = 1) -> list[ProductVersion]:
    """Products with one picture each; category, colour, price and `sale` go round by their numbers."""
    vectors = clustered(np.random.default_rng(seed), count, DIM, rank=6)
    return [
        product(
            f"p{number}",
            vectors[number : number + 1],
            number,
            {"colour": COLOURS[number % 4], "price": float(number), "sale": number % 10 == 0},
            category=CATEGORIES[number % 3],
        )
        for number in range(count)
    ]


def index_of(
    folder: Path,
    products: Sequence[ProductVersion],
    partitions: int = 1,
    fresh: Iterable[str] = (),
    live: Iterable[LiveVersion] = (),
) -> None:
    """Writes an index below `folder`: products named in `fresh` into a fresh shard, the others into a rolled one."""
    store, young, live = Store.open(str(folder / "store")), set(fresh), list(live)
    index = create_or_check(store, IndexSettings(DEFAULT_INDEX, DIM, MODEL, partitions))
    for partition in range(partitions):
        shelf = Shelf(store, index.name, partition, folder / "cache")
        here = [version for version in products if partition_of(version.product_id, partitions) == partition]
        old = table_of([version for version in here if version.product_id not in young], [], DIM)
        entries = [shelf.put(write_rolled(old, MODEL, shelf.scratch, TreeSettings(trees=8, projected_dim=8)))]
        new = table_of([version for version in here if version.product_id in young], [], DIM, live)
        if new.rows.num_rows or live:
            entries.append(shelf.put(write_fresh(new, MODEL, shelf.scratch)))
        manifest = Manifest(partition, version=1, next_offset=len(products), shards=tuple(entries))
        assert ManifestLog(store, index.name, partition).create(manifest)


@dataclass(frozen=True)
class Searcher:
    """A running searcher. `stub`: of its first worker."""

    address: Address
    stub: searcher_pb2_grpc.SearcherStub


@contextmanager
def searcher_of(folder: Path, *options: str) -> Iterator[Searcher]:
    chosen = ["--store", str(folder / "store"), "--cache", str(folder / "cache"), *options]
    with running_service("searcher", chosen, folder / "searcher.log") as address, channel_to(address.grpc) as channel:
        yield Searcher(address, searcher_pb2_grpc.SearcherStub(channel))


def asking(vector: Vectors, k: int = 10, **fields: object) -> pb.VectorQuery:
    query = pb.VectorQuery(vector=to_wire(vector), k=k)
    query.MergeFrom(pb.VectorQuery(**fields))  # type: ignore[arg-type]
    return query


def ids(hits: pb.Hits) -> list[str]:
    return [hit.product_id for hit in hits.hits]


def truth(products: Iterable[ProductVersion], vector: Vectors) -> dict[str, float]:
    """The score of every product, best first, by the vectors as rolled shards store them."""
    scores = {
        version.product_id: max(
            float(image.vector.astype(np.float16) @ vector.astype(np.float64)) for image in version.images
        )
        for version in products
    }
    return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0])))
