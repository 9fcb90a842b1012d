"""vitrine train-affinity on drawn products: from pairs to a gateway that completes looks by them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.command import last_json, running_up, succeeded, vitrine
from vitrine import sample
from vitrine.cli.stack import known_addresses
from vitrine.client import VisualSearchClient

PRODUCTS = 240
# Colours that are worn together here: none with itself.
OPPOSITES = {
    "Black": "White",
    "Navy Blue": "Beige",
    "Blue": "Brown",
    "Red": "Grey",
    "Green": "Pink",
    "Purple": "Yellow",
}
WORN_WITH = OPPOSITES | {other: one for one, other in OPPOSITES.items()}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a catalogue and the pairs of it."""
    folder = tmp_path_factory.mktemp("affinity")
    products = sample.catalogue(PRODUCTS)
    sample.write(folder, products, [])
    random = np.random.default_rng(3)
    by_colour: dict[str, list[sample.SampleProduct]] = {}
    for product in products:
        by_colour.setdefault(product.colour, []).append(product)
    rows: list[tuple[str, str]] = []
    for product in products:
        suiting = [p for p in by_colour.get(WORN_WITH.get(product.colour, ""), []) if p.category != product.category]
        chosen = random.permutation(len(suiting))[:8]
        rows += [(product.product_id, suiting[place].product_id) for place in chosen]
    with (folder / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("product_id", "other_product_id"), *rows])
    return folder


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_pairs_become_a_look_that_follows_them(drawn: Path, tmp_path: Path) -> None:
    up, affinity = tmp_path / "up", tmp_path / "affinity.npz"
    with running_up(up):
        succeeded("ingest", drawn / "catalogue.csv", "--folder", up, "--category", "category")
        facts = last_json(succeeded("train-affinity", drawn / "pairs.csv", "--folder", up, "--out", affinity))
        before = _share_worn_together(up)
    with running_up(up, "--affinity", affinity):
        after = _share_worn_together(up)
    assert facts["held_out"]["learned"]["ndcg_at_10"]["value"] > facts["held_out"]["style"]["ndcg_at_10"]["value"]
    assert after > 2 * before


def test_pairs_that_teach_nothing_write_nothing(drawn: Path, tmp_path: Path, folder: Path) -> None:
    """`folder`: of a running shop that sells none of these products."""
    done = vitrine("train-affinity", drawn / "pairs.csv", "--folder", folder, "--out", tmp_path / "affinity.npz")
    assert done.returncode == 2
    assert "vitrine: pairs: 0 pairs for train are too few" in done.stderr
    assert not (tmp_path / "affinity.npz").exists()


def test_an_affinity_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    done = vitrine("up", "--folder", tmp_path / "up", "--port", "0", "--affinity", tmp_path / "none.npz")
    assert done.returncode == 2
    assert f"vitrine: affinity: {tmp_path / 'none.npz'} cannot be read" in done.stderr


def _share_worn_together(up: Path) -> float:
    """Of the companions of products of the paired colours: those that are of the colour worn with it."""
    worn = []
    with VisualSearchClient(known_addresses(up)["gateway"]["grpc"]) as client:
        for product in sample.catalogue(PRODUCTS)[:60]:
            if product.colour in WORN_WITH:
                look = client.complete_the_look(product_id=product.product_id, per_category=3)
                colours = [hit.attributes["colour"] for one in look.categories for hit in one.hits]
                worn.append(np.mean([colour == WORN_WITH[product.colour] for colour in colours]))
    return float(np.mean(worn))
