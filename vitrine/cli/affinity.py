"""vitrine train-affinity: what goes together, learned from what was bought or worn together."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from vitrine.affinity import untrained
from vitrine.cli import commands, console
from vitrine.client import Product, VisualSearchClient
from vitrine.model_folder import ModelFolder
from vitrine.runtime.errors import ConfigError, NotFound
from vitrine.vectors import Vectors, unit

EXIT_NO_BETTER: Final = 1
_SEED: Final = 11
_CALLS: Final = 16


def train_affinity(
    pairs: Annotated[Path, typer.Argument(help="product_id, other_product_id[, weight, split] as .csv or .parquet")],
    out: Annotated[Path, typer.Option(help="file to write, for `vitrine up --affinity`")] = Path("affinity.npz"),
    folder: commands.Folder = commands.DEFAULT_FOLDER,
    gateway: commands.Gateway = "",
    model: Annotated[Path, typer.Option(help="model folder of the index")] = commands.DEFAULT_MODEL,
    seed: Annotated[int, typer.Option(min=0, help="of who is held out, where the pairs do not say")] = _SEED,
) -> None:
    """Learn what goes together from pairs of products; measured on pairs not seen, and written if it is better."""
    # Numpy alone does it, but it is training: the library does not know of it before it is asked for.
    training = importlib.import_module("training.affinity")
    facts = ModelFolder.read(model)
    named = training.read_pairs(pairs)
    with commands.gateway_client(folder, gateway) as client:
        _check_model(facts, client)
        gallery = _gallery(client, named.product_ids(), facts.dim, training.Gallery)
    outcome = training.learned(named, gallery, untrained(facts.parts, facts.dim), facts.model_id, seed, _say)
    commands.print_json(dict(outcome.affinity.facts))
    gain = f"{outcome.gain.value:+.4f} ({outcome.gain.low:+.4f} to {outcome.gain.high:+.4f})"
    if not outcome.better:
        _say(f"Not written: NDCG@10 is not better than that of {outcome.rival!r} beyond chance: {gain}")
        raise typer.Exit(EXIT_NO_BETTER)
    outcome.affinity.save(out)
    _say(f"{out}: NDCG@10 {gain} against {outcome.rival!r}; use it with `vitrine up --affinity {out}`")


def _check_model(facts: ModelFolder, client: VisualSearchClient) -> None:
    indexed = client.status().model_id
    if indexed != facts.model_id:
        raise ConfigError("model", f"is {facts.model_id[:12]}, but the index was made with {indexed[:12]}")


def _gallery(client: VisualSearchClient, product_ids: Sequence[str], dim: int, kind: Any) -> Any:
    """Those of the products that are in the index, each with the direction of its images together."""

    def looked_up(product_id: str) -> Product | None:
        try:
            return client.product(product_id, with_vectors=True)
        except NotFound:
            return None

    with ThreadPoolExecutor(_CALLS) as callers:
        found = list(callers.map(looked_up, product_ids))
    known = [product for product in found if product is not None]
    vectors = np.stack([_direction(product) for product in known]) if known else np.zeros((0, dim), np.float32)
    return kind.of([product.product_id for product in known], [product.category for product in known], vectors)


def _direction(product: Product) -> Vectors:
    vectors = np.stack([image.vector for image in product.images if image.vector is not None])
    mean: Vectors = unit(vectors.mean(axis=0, keepdims=True, dtype=np.float32))[0]
    return mean


def _say(line: str) -> None:
    console.err.print(line, markup=False, highlight=False, soft_wrap=True)
