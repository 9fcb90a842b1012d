"""Pairs of products that go together, as a table tells them, and which of them are held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vitrine.runtime.errors import ConfigError
from vitrine.tables import read_table
from vitrine.vectors import Vectors

ID_COLUMNS: Final = ("product_id", "other_product_id")
WEIGHT: Final = "weight"
SPLIT: Final = "split"
SPLITS: Final = ("train", "val", "test")
TRAIN, VAL, TEST = range(3)
# Of a product of train and one of val: fit to learn from once nothing is to be chosen any more.
BETWEEN: Final = 3

_FIELD: Final = "pairs"
# Of the products, where no split is given. What is held out is new on both sides, so of the pairs it is the square.
_SHARES: Final = (0.5, 0.2, 0.3)
# With fewer, neither the choice nor the figures would mean anything.
_FEWEST: Final[Mapping[int, int]] = {TRAIN: 50, VAL: 10, TEST: 25}

Codes = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Named:
    """n pairs as they are told: `ids` str (n, 2), `weights` float64 (n,) above 0, `splits` where the table has them."""

    ids: npt.NDArray[np.object_]
    weights: Weights
    splits: Codes | None

    def product_ids(self) -> list[str]:
        """Each product once."""
        return list(dict.fromkeys(self.ids.ravel().tolist()))


@dataclass(frozen=True, eq=False)
class Gallery:
    """Products that are known: `categories` int64 (n,) into `names`, `vectors` float32 (n, dim), unit length."""

    ids: list[str]
    categories: Codes
    names: tuple[str, ...]
    vectors: Vectors

    @staticmethod
    def of(ids: list[str], categories: list[str], vectors: Vectors) -> Gallery:
        names, codes = np.unique(np.array(categories, dtype=np.str_), return_inverse=True)
        return Gallery(ids, codes.astype(np.int64), tuple(names.tolist()), vectors)

    @property
    def has_category(self) -> npt.NDArray[np.bool_]:
        """bool (n,). A product without one goes with nothing: looks are completed category by category."""
        return np.array([bool(name) for name in self.names], np.bool_)[self.categories]

    def means(self) -> Vectors:
        """The mean vector of each category, float32 (categories, dim)."""
        means = np.zeros((len(self.names), self.vectors.shape[1]), np.float32)
        np.add.at(means, self.categories, self.vectors)
        counts: Codes = np.bincount(self.categories, minlength=len(self.names))
        return np.asarray(means / counts[:, np.newaxis], np.float32)


@dataclass(frozen=True, eq=False)
class Pairs:
    """n pairs of known products of two categories: `places` int64 (n, 2) in the gallery, `weights`, `splits`.

    `left_out`: pairs that could not be used, by why.
    """

    places: Codes
    weights: Weights
    splits: Codes
    left_out: Mapping[str, int]

    def part(self, *splits: int) -> Pairs:
        chosen = np.isin(self.splits, splits)
        return Pairs(self.places[chosen], self.weights[chosen], self.splits[chosen], {})

    def __len__(self) -> int:
        return len(self.places)

    def both_ways(self) -> tuple[Codes, Codes, Weights]:
        """From, to and weight: each pair in both directions."""
        return (
            np.concatenate([self.places[:, 0], self.places[:, 1]]),
            np.concatenate([self.places[:, 1], self.places[:, 0]]),
            np.tile(self.weights, 2),
        )


def read_pairs(path: Path) -> Named:
    """Columns product_id, other_product_id and, if there are such, weight and split. Raises ConfigError (`pairs`)."""
    table = read_table(path, _FIELD, as_text=(*ID_COLUMNS, SPLIT))
    if missing := [column for column in ID_COLUMNS if column not in table.column_names]:
        raise ConfigError(_FIELD, f"{path} has no column {missing[0]}, but {', '.join(table.column_names)}")
    if table.num_rows == 0:
        raise ConfigError(_FIELD, f"{path} has no rows")
    ids = [_texts(path, table, column) for column in ID_COLUMNS]
    splits = _splits(path, _texts(path, table, SPLIT)) if SPLIT in table.column_names else None
    return Named(np.stack(ids, axis=1), _weights(path, table), splits)


def placed(named: Named, gallery: Gallery, seed: int) -> Pairs:
    """The pairs that can be learned from, each once. Raises ConfigError (`pairs`): too few, or splits that overlap."""
    place_of = {product_id: place for place, product_id in enumerate(gallery.ids)}
    places = np.array([[place_of.get(name, -1) for name in pair] for pair in named.ids.tolist()], np.int64)
    known = np.flatnonzero((places >= 0).all(axis=1))
    of_category = known[gallery.has_category[places[known]].all(axis=1)]
    across = of_category[np.diff(gallery.categories[places[of_category]], axis=1)[:, 0] != 0]
    counts = {
        "of unknown products": len(places) - len(known),
        "without a category": len(known) - len(of_category),
        "within a category": len(of_category) - len(across),
    }
    if named.splits is not None:
        # Before pairs told twice are merged: a pair of test must not be one of train, either.
        _check_apart(places[across], named.splits[across], gallery)
    kept, weights, splits = _merged(
        places[across], named.weights[across], None if named.splits is None else named.splits[across]
    )
    if splits is None:
        splits = _drawn(kept, len(gallery.ids), seed)
    counts["half held out"] = int((splits < 0).sum())
    pairs = Pairs(kept, weights, splits, counts)
    _check_enough(pairs)
    return pairs


def _texts(path: Path, table: pa.Table, column: str) -> npt.NDArray[np.object_]:
    try:
        texts = pc.cast(table[column], pa.large_string())
    except pa.ArrowException as error:
        raise ConfigError(_FIELD, f"{path} holds {table[column].type} in {column}, not one name a row") from error
    if texts.null_count:
        raise ConfigError(_FIELD, f"{path} has {texts.null_count:,} rows without {column}")
    return np.array(texts.to_pylist(), dtype=object)


def _weights(path: Path, table: pa.Table) -> Weights:
    if WEIGHT not in table.column_names:
        return np.ones(table.num_rows)
    try:
        weights = np.asarray(pc.cast(table[WEIGHT], pa.float64()).fill_null(np.nan), np.float64)
    except pa.ArrowException as error:
        raise ConfigError(_FIELD, f"{path} holds {table[WEIGHT].type} in {WEIGHT}, not numbers") from error
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights > 0)))
    if len(wrong):
        raise ConfigError(_FIELD, f"{path}, row {wrong[0]}: the weight is {weights[wrong[0]]}, not above 0")
    return weights


def _splits(path: Path, names: npt.NDArray[np.object_]) -> Codes:
    for row, name in enumerate(names.tolist()):
        if name not in SPLITS:
            raise ConfigError(_FIELD, f"{path}, row {row}: the split is {name!r}, not one of {', '.join(SPLITS)}")
    return np.array([SPLITS.index(name) for name in names], np.int64)


def _merged(places: Codes, weights: Weights, splits: Codes | None) -> tuple[Codes, Weights, Codes | None]:
    """Each pair once, whichever product comes first, with its weights together."""
    once, first, group = np.unique(np.sort(places, axis=1), axis=0, return_index=True, return_inverse=True)
    together: Weights = np.bincount(group.ravel(), weights=weights, minlength=len(once)).astype(np.float64)
    return once, together, None if splits is None else splits[first]


def _drawn(places: Codes, products: int, seed: int) -> Codes:
    """The split of each pair whose products share one, BETWEEN, or -1 where only one of them is held out."""
    drawn = np.random.default_rng(seed).choice(len(SPLITS), size=products, p=_SHARES)
    one, other = drawn[places].T
    return np.where(one == other, one, np.where(np.maximum(one, other) < TEST, BETWEEN, -1))


def _check_apart(places: Codes, splits: Codes, gallery: Gallery) -> None:
    held_out = np.unique(places[splits == TEST])
    seen = np.intersect1d(held_out, places[splits != TEST])
    if len(seen):
        reason = f"{len(seen):,} products are in pairs of test and of another split, such as {gallery.ids[seen[0]]!r}"
        raise ConfigError(_FIELD, reason)


def _check_enough(pairs: Pairs) -> None:
    for split, fewest in _FEWEST.items():
        count = len(pairs.part(split))
        if count < fewest:
            why = ", ".join(f"{number:,} {reason}" for reason, number in pairs.left_out.items() if number)
            left_out = f"; left out: {why}" if why else ""
            raise ConfigError(
                _FIELD, f"{count} pairs for {SPLITS[split]} are too few, at least {fewest} are needed{left_out}"
            )
