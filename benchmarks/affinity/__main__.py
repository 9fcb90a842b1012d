"""python -m benchmarks.affinity: what a learned affinity is worth, on simulated outfits.

Writes the pairs (fit for `vitrine train-affinity`) and affinity.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.affinity.outfits import Labels, beginnings, simulated, suits
from training.affinity import Gallery, learned, read_pairs
from vitrine.affinity import Affinity, untrained
from vitrine.cli.bench.machine import machine
from vitrine.cli.bench.vector_set import VectorSet
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.model_folder import ModelFolder
from vitrine.runtime.errors import ConfigError, VitrineError
from vitrine.vectors import unit

COLUMNS = ["product_id", "title", "subcategory", "colour", "usage", "split"]
# Held-out products that ask, for so many of each of the largest categories.
ASKED, TOP, LARGE = 400, 10, 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="fashion-small.parquet")
    parser.add_argument("--vectors", type=Path, default=Path("run/bench/vectors"), help="of `vitrine bench vectors`")
    parser.add_argument("--pairs", type=Path, default=Path("run/bench/affinity/pairs.parquet"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--outfits", type=int, default=15_000)
    parser.add_argument("--seed", type=int, default=5)
    try:
        return run(parser.parse_args())
    except VitrineError as error:
        print(f"affinity: {error}", file=sys.stderr)
        return 1


def run(chosen: argparse.Namespace) -> int:
    table = pq.read_table(chosen.data, columns=COLUMNS)
    gallery, labels = _gallery(chosen.vectors, table), Labels.of(table)
    chosen.pairs.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(simulated(labels, chosen.outfits, chosen.seed), chosen.pairs)
    model = ModelFolder.read(DEFAULT_MODEL)
    style, began_s = untrained(model.parts, model.dim), time.monotonic()
    outcome = learned(read_pairs(chosen.pairs), gallery, style, model.model_id, chosen.seed, print)
    outcome.affinity.save(chosen.pairs.with_name("affinity.npz"))
    seconds = round(time.monotonic() - began_s, 1)
    fields = {
        "bench": "affinity",
        "pairs": "simulated (benchmarks/affinity/outfits.py)",
        "outfits": chosen.outfits,
        "seed": chosen.seed,
        "model_id": model.model_id,
        **{name: value for name, value in outcome.affinity.facts.items() if name != "pairs"},
        "pairs_by_split": outcome.affinity.facts["pairs"],
        f"suits_the_rule_at_{TOP}": suiting(labels, gallery, [outcome.affinity, style, untrained((), model.dim)]),
        "seconds": seconds,
        "machine": machine(),
    }
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "affinity.json").write_text(json.dumps(fields) + "\n")
    print(json.dumps(fields))
    return 0


def suiting(labels: Labels, gallery: Gallery, affinities: Sequence[Affinity]) -> dict[str, Any]:
    """How many of the best of each large category suit a held-out product by the rule; and how many of all do."""
    test = beginnings(labels)
    asked = np.random.default_rng(1).choice(test[labels.splits[test] == "test"], ASKED, replace=False)
    own = gallery.categories[asked]
    queries = {
        affinity.name: [
            affinity.query(gallery.vectors[one], gallery.names[code]) for one, code in zip(asked, own, strict=True)
        ]
        for affinity in affinities
    }
    shares: dict[str, list[float]] = {name: [] for name in ("chance", *queries)}
    for category in np.argsort(-np.bincount(gallery.categories))[:LARGE]:
        offered = np.flatnonzero(gallery.categories == category)
        fits = [suits(labels, start, offered) for start in asked[own != category]]
        shares["chance"] += [float(one.mean()) for one in fits]
        for name, of_affinity in queries.items():
            scores = np.stack(of_affinity)[own != category] @ gallery.vectors[offered].T
            best = np.argpartition(-scores, TOP, axis=1)[:, :TOP]
            shares[name] += [float(one[top].mean()) for one, top in zip(fits, best, strict=True)]
    return {name: round(float(np.mean(values)), 4) for name, values in shares.items()}


def _gallery(vectors: Path, table: pa.Table) -> Gallery:
    """Every picture of the data set, as a shop would have them: a product each, its category the subcategory."""
    rows = VectorSet.open(vectors, table.num_rows)
    ids = table["product_id"].to_pylist()
    if rows.labels["product_id"].to_pylist() != ids:
        raise ConfigError("vectors", f"{vectors} was not made of this table")
    return Gallery.of(ids, table["subcategory"].to_pylist(), unit(np.asarray(rows.vectors, np.float32)))


if __name__ == "__main__":
    sys.exit(main())
