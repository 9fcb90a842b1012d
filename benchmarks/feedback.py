"""python -m benchmarks.feedback: whether a model that learns from feedback answers better, on simulated shoppers.

A shop sells drawn products. A model learns from labels of category and colour only. Shoppers, who want boots where they
asked with boots and not any shoes, ask with a product, look down the list that the model answers, and click. What they
were shown and what they did goes the whole way: feedback log, export, triplets, training. Both models, with and without
the triplets, then rank products that neither has seen, for other shoppers: NDCG@10 of what those would click.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from training.data import Dataset, DataSettings, load
from training.evaluation.intervals import Resamples
from training.exporting.graph import Deployed
from training.learning.recipe import Objectives, Recipe
from training.learning.start import fresh
from training.learning.train import train
from training.learning.triplets import NO_TRIPLETS, Triplets, read_triplets
from training.networks.network import Design, Network
from training.scenes.augment import Augmentation
from vitrine import sample
from vitrine.cli.bench.machine import machine
from vitrine.cli.bench.results import say
from vitrine.cli.clicked_triplets import triplets_of, write_triplets
from vitrine.cli.displays import displays_of
from vitrine.stream.embedded import EmbeddedLog
from vitrine.stream.feedback import Feedback, FeedbackKind, Impression
from vitrine.stream.feedback_codec import encode

LABELS: Final = ("category", "colour")
# What the shop sells.
CATEGORIES: Final = ("Topwear", "Shoes", "Bags")
SHOWN: Final = 20
NDCG_AT: Final = 10
VIEWS: Final = 2
# The chance of a click on what a shopper looks at: the type of article that they asked with, another of its category,
# anything else.
LIKED: Final = (0.6, 0.05, 0.001)
# The chance that a shopper who has looked at one product looks at the next.
GOES_ON: Final = 0.93
_EMBED_BATCH: Final = 128
# All pictures of this shop are on white: backgrounds would only cost time.
_IN_THE_STUDIO: Final = Augmentation(
    composed_share=0.0, empty_share=0.0, cropped_share=0.0, blurred_share=0.0, jpeg_share=0.0
)
_BEGAN_US: Final = 1_750_000_000_000_000

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Plan:
    """How big it is. Of the products, `held_out` are never trained on."""

    products: int = 480
    held_out: float = 0.3
    sessions: int = 3_000
    epochs: int = 12
    px: int = 32
    backbone: str = "small_cnn"
    given_weight: float = 6.0
    given_per_step: int = 32
    seed: int = 1


@dataclass(frozen=True)
class Shop:
    """Products with the vectors of their two pictures, float32 (n, dim): what is offered, and what is asked with."""

    products: Sequence[sample.SampleProduct]
    offered: Vectors
    asked: Vectors
    liking: npt.NDArray[np.float64] = field(init=False)
    """The chance of a click, float64 (n, n): row = what was asked with."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "liking", _liking(self.products))


@dataclass(frozen=True)
class Outcome:
    """NDCG@10 of each held-out shopper who would click on anything, float64 (n,), and what it took."""

    without: npt.NDArray[np.float64]
    learned: npt.NDArray[np.float64]
    triplets: int
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="folder to write the result into too")
    parser.add_argument("--seeds", type=int, default=3)
    for name, default in asdict(Plan()).items():
        if name != "seed":
            parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    chosen = vars(parser.parse_args())
    out, seeds = chosen.pop("out"), chosen.pop("seeds")
    outcomes = [run(Plan(**chosen, seed=seed)) for seed in range(1, seeds + 1)]
    say(_result(Plan(**chosen), outcomes), out)


def run(plan: Plan) -> Outcome:
    """One shop, one crowd, two models."""
    began_s = time.monotonic()
    products = _products(plan)
    with tempfile.TemporaryDirectory(prefix="vitrine-feedback-") as name:
        folder = Path(name)
        dataset = _dataset(products, plan, folder)
        rows = {split: [row // VIEWS for row in pictures.rows[::VIEWS]] for split, pictures in dataset.splits.items()}
        sold, new = ([products[row] for row in rows[split]] for split in ("train", "test"))
        without = _trained(dataset, plan, NO_TRIPLETS, folder / "without")
        triplets = _learnt_from(_shop(without, dataset, "train", sold), dataset, plan, folder)
        learned = _trained(dataset, plan, triplets, folder / "with")
        before, after = (_judged(_shop(network, dataset, "test", new), plan) for network in (without, learned))
    return Outcome(before, after, len(triplets), time.monotonic() - began_s)


def _products(plan: Plan) -> list[sample.SampleProduct]:
    more = len(sample.CATEGORIES) * -(-plan.products // len(CATEGORIES))
    return [product for product in sample.catalogue(more, plan.seed) if product.category in CATEGORIES]


def _dataset(products: Sequence[sample.SampleProduct], plan: Plan, folder: Path) -> Dataset:
    """Both pictures of a product one after the other, in one split."""
    split = np.random.default_rng(plan.seed).choice(
        ["train", "val", "test"], size=len(products), p=[0.9 - plan.held_out, 0.1, plan.held_out]
    )
    rows = [
        {"image": sample.draw(product, view), "split": part, "category": product.category, "colour": product.colour}
        for product, part in zip(products, split, strict=True)
        for view in range(VIEWS)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "shop.parquet")
    return load(folder / "shop.parquet", DataSettings(labels=LABELS, px=plan.px))


def _trained(dataset: Dataset, plan: Plan, triplets: Triplets, work: Path) -> Network:
    """The same start and the same batches, with or without triplets."""
    recipe = Recipe(
        epochs=plan.epochs,
        batch_pictures=32,
        small_share=0.0,
        augmentation=_IN_THE_STUDIO,
        gentle=_IN_THE_STUDIO,
        objectives=Objectives(given_weight=plan.given_weight, given_per_step=plan.given_per_step),
        seed=plan.seed,
    )
    network, _ = fresh(Design(plan.backbone), dataset, seed=plan.seed)
    train(network, dataset, recipe, work, triplets=triplets)
    return network


def _shop(network: Network, dataset: Dataset, split: str, products: Sequence[sample.SampleProduct]) -> Shop:
    whole = Deployed(network).eval()
    pixels = torch.from_numpy(dataset.splits[split].pixels)
    with torch.inference_mode():
        vectors = np.concatenate([whole(batch)[0].numpy() for batch in torch.split(pixels, _EMBED_BATCH)])
    return Shop(products, vectors[::VIEWS], vectors[1::VIEWS])


def _learnt_from(shop: Shop, dataset: Dataset, plan: Plan, folder: Path) -> Triplets:
    """What shoppers did with the answers of a shop, through log and export."""
    random = np.random.default_rng(plan.seed)
    with closing(EmbeddedLog.open(folder / "log.sqlite", 1)) as log:
        records = [record for number in range(plan.sessions) for record in _session(shop, number, random)]
        log.append_feedback([encode(record) for record in records])
        displays = displays_of(log.feedback()).displays
    write_triplets((one for display in displays for one in triplets_of(display)), folder / "triplets.csv")
    train_rows = dataset.splits["train"].rows
    row_of = {product.product_id: int(row) for product, row in zip(shop.products, train_rows[::VIEWS], strict=True)}
    return read_triplets(folder / "triplets.csv", train_rows, row_of)


def _session(shop: Shop, number: int, random: np.random.Generator) -> Iterator[Feedback | Impression]:
    """A shopper asks with a product, looks down the answer from the top, clicks, and stops somewhere."""
    asked = int(random.integers(len(shop.products)))
    order = np.argsort(-(shop.offered @ shop.asked[asked]))
    shown = order[order != asked][:SHOWN]
    query_id, time_us = f"{number:032x}", _BEGAN_US + number * 1_000_000
    ids = [shop.products[place].product_id for place in shown]
    yield Impression(query_id, "product-page", "Search", (shop.products[asked].product_id,), tuple(ids), "", time_us)
    seen = np.cumprod(random.random(len(shown)) < GOES_ON).astype(bool)
    clicks = seen & (random.random(len(shown)) < shop.liking[asked, shown])
    for rank in np.flatnonzero(clicks) + 1:
        yield Feedback(query_id, ids[rank - 1], FeedbackKind.CLICK, "product-page", int(rank), time_us + int(rank))


def _judged(shop: Shop, plan: Plan) -> npt.NDArray[np.float64]:
    """NDCG@10 of other shoppers, who would click the same whichever model answers: they look at everything."""
    random = np.random.default_rng(plan.seed + 1_000)
    clicked = random.random(shop.liking.shape) < shop.liking
    scores = shop.asked @ shop.offered.T
    np.fill_diagonal(scores, -np.inf)
    some = clicked.any(axis=1)
    return ndcg(scores[some], clicked[some])


def _liking(products: Sequence[sample.SampleProduct]) -> npt.NDArray[np.float64]:
    categories, types = (np.array([getattr(one, name) for one in products]) for name in ("category", "article_type"))
    same_category, same_type = (values[:, None] == values for values in (categories, types))
    liking: npt.NDArray[np.float64] = np.select([same_type, same_category], LIKED[:2], LIKED[2])
    np.fill_diagonal(liking, 0.0)
    return liking


def ndcg(scores: npt.NDArray[np.floating], clicked: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """NDCG@10 by row: (n, products) and bool (n, products), each with a click.

    Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002.
    """
    discounts = 1 / np.log2(np.arange(2, NDCG_AT + 2))
    order = np.argsort(-scores, axis=1)[:, :NDCG_AT]
    gains = np.take_along_axis(clicked, order, axis=1) @ discounts[: order.shape[1]]
    ideal = np.cumsum(discounts)[np.minimum(clicked.sum(axis=1), NDCG_AT) - 1]
    found: npt.NDArray[np.float64] = gains / ideal
    return found


def _result(plan: Plan, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    without, learned = (np.concatenate([getattr(one, name) for one in outcomes]) for name in ("without", "learned"))
    draws = Resamples.of(len(without), seed=1)
    return {
        "bench": "feedback",
        "ndcg_at_10_without": draws.mean(without).as_json(),
        "ndcg_at_10_with": draws.mean(learned).as_json(),
        "gain": draws.mean(learned - without).as_json(),
        "by_seed": [
            {
                "without": round(float(one.without.mean()), 4),
                "with": round(float(one.learned.mean()), 4),
                "triplets": one.triplets,
                "seconds": round(one.seconds, 1),
            }
            for one in outcomes
        ],
        "plan": {name: value for name, value in asdict(plan).items() if name != "seed"},
        "machine": machine(),
    }


if __name__ == "__main__":
    main()
