"""Wrote tests/unit/shards/frozen_v3. Run only for a new format version, into a new folder: frozen files never change.

PYTHONPATH=. python tests/unit/shards/freeze.py tests/unit/shards/frozen_v4
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.builders import MODEL, NOW, clustered, product, searched, snapshot
from vitrine.attributes import Attributes
from vitrine.shards import files
from vitrine.shards.build import TreeSettings, write_fresh, write_rolled
from vitrine.shards.records import Hit, LiveVersion, ProductVersion, Tombstone
from vitrine.shards.shard import Shard
from vitrine.shards.table import table_of

DIM = 8
ATTRIBUTES: tuple[Attributes, ...] = (
    {},
    {"colour": "red", "price": 19.5, "new": True, "sizes": ("S", "M")},
    {"größe": "M"},
    {"größe": 42.0},
)


def catalogue() -> tuple[list[ProductVersion], list[ProductVersion], list[Tombstone]]:
    """Products of an older, rolled shard; of a newer, fresh one; and what the newer one deletes."""
    vectors = clustered(np.random.default_rng(20), 1_040, DIM, rank=3)
    older = [product(f"p{n}", vectors[n : n + 1], n, ATTRIBUTES[n % 4]) for n in range(1, 1_020)]
    older.append(product("schuh-ß-靴", vectors[1_020:1_025], 1_020, {"colour": "blau"}, NOW + 1, "boots"))
    newer = [product(f"p{n}", vectors[1_028 + 2 * n :][:2], 2_000 + n, ATTRIBUTES[n % 4]) for n in range(1, 6)]
    return older, newer, [Tombstone("p6", 3_000), Tombstone("p7", 3_001)]


def live() -> list[list[LiveVersion]]:
    """Live rows of the rolled shard, of the fresh one, and of the newest, which holds nothing else."""
    return [
        [LiveVersion(f"p{n}", n, ATTRIBUTES[n % 4]) for n in range(1_000, 1_030)],
        [LiveVersion("p1000", 5_000, {"price": 2.5}), LiveVersion("schuh-ß-靴", 5_001, {"vorrat": True, "größen": ()})],
        [LiveVersion("p1001", 6_000, {}), LiveVersion("p3", 6_001, {"stock": 0.0, "in_stock": False})],
    ]


def frozen(written: Path, folder: Path) -> Path:
    """`written` as `folder`, whose name is then the shard's id."""
    facts = files.ShardFacts.from_json((written / files.FACTS_FILE).read_bytes(), written.name)
    written.rename(folder)
    (folder / files.FACTS_FILE).write_bytes(replace(facts, shard_id=folder.name).to_json())
    return folder


def described(hit: Hit) -> dict[str, Any]:
    """A hit as JSON can hold it: bytes in hex, tuples as lists."""
    attributes, live_attributes = (
        {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()}
        for said in (hit.attributes, hit.live)
    )
    return {**asdict(hit), "sha256": hit.sha256.hex(), "attributes": attributes, "live": live_attributes}


def main(target: Path) -> None:
    target.mkdir()
    older, newer, gone = catalogue()
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        trees = TreeSettings(trees=2, projected_dim=3)
        tables = [
            table_of(versions, tombstones, DIM, rows)
            for (versions, tombstones), rows in zip(((older, []), (newer, gone), ([], [])), live(), strict=True)
        ]
        folders = [
            frozen(write_rolled(tables[0], MODEL, Path(scratch), trees), target / "rolled"),
            frozen(write_fresh(tables[1], MODEL, Path(scratch)), target / "fresh"),
            frozen(write_fresh(tables[2], MODEL, Path(scratch)), target / "live"),
        ]
    view = snapshot(*map(Shard.open, folders))
    queries = [version.images[0].vector for version in (*older[-20:], *newer)]
    found = searched(view, np.array(queries, np.float32), 11, exact=True)
    # Answers that are nearly as good as each other might come the other way round on another machine.
    clear = [number for number, hits in enumerate(found) if min(-np.diff([hit.score for hit in hits])) > 1e-5]
    queries, found = [queries[number].tolist() for number in clear], [found[number][:10] for number in clear]
    expected = {
        "queries": queries,
        "answers": [[(hit.product_id, hit.image_id, hit.score) for hit in hits] for hits in found],
        "first_hits": [described(hits[0]) for hits in found],
    }
    (target / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
