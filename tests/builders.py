"""Small products, vectors and shards for tests of the core library."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from vitrine.attributes import Attributes
from vitrine.shards.build import TreeSettings, write_fresh, write_rolled
from vitrine.shards.masks import Masks
from vitrine.shards.query import Query
from vitrine.shards.records import Hit, ImageRow, LiveVersion, ProductVersion, Tombstone
from vitrine.shards.search import answers
from vitrine.shards.shard import Shard
from vitrine.shards.snapshot import Snapshot
from vitrine.shards.table import table_of
from vitrine.vectors import Vectors, unit

MODEL = "m" * 64
SECOND = 1_000_000
NOW = 1_700_000_000 * SECOND


def quarters(rng: np.random.Generator, count: int, dim: int = 8) -> Vectors:
    """Unit vectors of four ±½, float32, shape (count, dim): every cosine is a multiple of ¼, exact in float16 too."""
    vectors = np.zeros((count, dim), np.float32)
    for vector in vectors:
        vector[rng.choice(dim, 4, replace=False)] = rng.choice([-0.5, 0.5], 4)
    return vectors


def scattered(rng: np.random.Generator, count: int, dim: int = 8) -> Vectors:
    """Unit vectors in all directions alike, float32, shape (count, dim)."""
    return unit(rng.standard_normal((count, dim)).astype(np.float32))


def clustered(rng: np.random.Generator, count: int, dim: int = 128, rank: int = 24) -> Vectors:
    """Unit vectors that lie as embeddings do: clusters in a low-rank space, and a little noise everywhere."""
    centres = rng.standard_normal((60, rank))
    inside = centres[rng.integers(len(centres), size=count)] + 0.4 * rng.standard_normal((count, rank))
    basis = np.linalg.qr(rng.standard_normal((dim, rank)))[0]
    return unit((inside @ basis.T + 0.03 * rng.standard_normal((count, dim))).astype(np.float32))


def product(
    product_id: str,
    vectors: Vectors,
    offset: int = 0,
    attributes: Attributes | None = None,
    expires_at_us: int | None = None,
    category: str = "shoes",
) -> ProductVersion:
    """A product with one image a row of `vectors`."""
    images = tuple(
        ImageRow(
            image_id=str(place),
            uri=f"https://shop.example/{product_id}/{place}.jpg",
            sha256=hashlib.sha256(f"{product_id} {offset} {place}".encode()).digest(),
            vector=vector,
        )
        for place, vector in enumerate(vectors)
    )
    return ProductVersion(product_id, offset, category, attributes or {}, images, NOW, expires_at_us)


def singles(vectors: Vectors, prefix: str = "p") -> list[ProductVersion]:
    """One product a row of `vectors`, with that one image."""
    return [product(f"{prefix}{number}", vector[None, :], number) for number, vector in enumerate(vectors)]


def fresh(
    parent: Path,
    versions: Sequence[ProductVersion],
    tombstones: Iterable[Tombstone] = (),
    dim: int = 8,
    live: Iterable[LiveVersion] = (),
) -> Shard:
    return Shard.open(write_fresh(table_of(versions, tombstones, dim, live), MODEL, parent))


def rolled(
    parent: Path,
    versions: Sequence[ProductVersion],
    tombstones: Iterable[Tombstone] = (),
    dim: int = 8,
    settings: TreeSettings | None = None,
    live: Iterable[LiveVersion] = (),
) -> Shard:
    table = table_of(versions, tombstones, dim, live)
    return Shard.open(write_rolled(table, MODEL, parent, settings or TreeSettings(trees=4, projected_dim=4)))


def snapshot(*shards: Shard, now_us: int = NOW) -> Snapshot:
    """`shards`, oldest first."""
    return Snapshot.of(shards, shards[0].facts.dim, now_us)


def searched(view: Snapshot, queries: Vectors, k: int, exact: bool = False) -> list[list[Hit]]:
    """The best `k` products for each of `queries`, shape (q, dim)."""
    asked = [Query(query, k, exact) for query in queries]
    return [[entry.hit() for entry in answer.found] for answer in answers([view], asked, Masks())]


def found(view: Snapshot, query: Vectors, k: int, exact: bool = True) -> list[str]:
    """Product ids, best first."""
    return [hit.product_id for hit in searched(view, query[None, :], k, exact)[0]]
