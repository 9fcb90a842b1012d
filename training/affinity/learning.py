"""Pairs → the map that validation pairs prefer, and what it is worth on pairs of products that it has never seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from training.affinity.figures import MEASURES, Ranked, ranked
from training.affinity.pairs import BETWEEN, SPLITS, TEST, TRAIN, VAL, Gallery, Named, Pairs, placed
from training.affinity.ridge import Ridge
from training.evaluation.intervals import Figure
from vitrine.affinity import Affinity, Alike, Learned
from vitrine.vectors import Vectors

# From hardly held back to hardly moved.
PENALTIES: Final = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
DECIDING: Final = MEASURES[-1]

_WHOLE: Final = "vector"


@dataclass(frozen=True, eq=False)
class Outcome:
    """What was learned, and by how much it is better than `rival`, the better of what needs no training."""

    affinity: Learned
    rival: str
    gain: Figure

    @property
    def better(self) -> bool:
        """Whether it is better beyond what chance explains."""
        return self.gain.low > 0


def learned(
    named: Named, gallery: Gallery, untrained: Alike, model_id: str, seed: int, say: Callable[[str], None]
) -> Outcome:
    """Fits on pairs of train, chooses by those of val, fits on all of these, and measures on those of test.

    Raises ConfigError (`pairs`) where they are too few.
    """
    pairs = placed(named, gallery, seed)
    names = dict(zip((TRAIN, VAL, BETWEEN, TEST), (*SPLITS[:2], "between the two", SPLITS[2]), strict=True))
    counts = {name: len(pairs.part(split)) for split, name in names.items()}
    say(f"pairs: {_listed(counts)}; left out: {_listed(pairs.left_out)}")
    penalty, tried = _chosen(pairs, gallery, untrained)
    say(f"{DECIDING} on val by penalty: {', '.join(f'{one:g}: {value:.4f}' for one, value in tried.items())}")
    matrix, offsets = Ridge.of(pairs.part(TRAIN, VAL, BETWEEN), gallery, untrained).fitted(penalty)
    affinity = Learned(model_id, matrix, _named_offsets(offsets, gallery), {})
    held_out = pairs.part(TEST)
    rankings = {one.name: ranked(held_out, gallery, one) for one in _compared(affinity, untrained)}
    rival = max((name for name in rankings if name != affinity.name), key=lambda name: _deciding(rankings[name]))
    gains = rankings[affinity.name].less(rankings[rival])
    facts: dict[str, Any] = {
        "pairs": counts,
        "pairs_left_out": dict(pairs.left_out),
        "split": "given" if named.splits is not None else "drawn by product",
        "products": len(gallery.ids),
        "penalty": penalty,
        f"{DECIDING}_on_val_by_penalty": {str(one): round(value, 4) for one, value in tried.items()},
        "held_out": {name: _as_json(ranking.figures()) for name, ranking in rankings.items()},
        f"learned_less_{rival}": _as_json(gains),
    }
    return Outcome(Learned(model_id, matrix, affinity.offsets, facts), rival, gains[DECIDING])


def _chosen(pairs: Pairs, gallery: Gallery, untrained: Alike) -> tuple[float, dict[float, float]]:
    """The best penalty on the pairs of val, and what each gives there."""
    ridge, held_out = Ridge.of(pairs.part(TRAIN), gallery, untrained), pairs.part(VAL)
    tried = {}
    for penalty in PENALTIES:
        matrix, offsets = ridge.fitted(penalty)
        tried[penalty] = _deciding(ranked(held_out, gallery, Learned("", matrix, _named_offsets(offsets, gallery), {})))
    # Of penalties that are as good, the one that stays nearest to what is known without training.
    return max(tried, key=lambda penalty: (tried[penalty], penalty)), tried


def _compared(affinity: Learned, untrained: Alike) -> list[Affinity]:
    """What was learned beside what needs no training: the whole vector, and its style where a model tells it."""
    whole = Alike(_WHOLE, np.ones(affinity.dim, np.float32))
    return [affinity, whole] if untrained.name == _WHOLE else [affinity, untrained, whole]


def _named_offsets(offsets: Vectors, gallery: Gallery) -> dict[str, Vectors]:
    """By category; a product of another one, or of none, is taken for an average product."""
    counts = np.bincount(gallery.categories, minlength=len(gallery.names))
    average = np.average(offsets, axis=0, weights=counts).astype(np.float32)
    return {**dict(zip(gallery.names, offsets, strict=True)), "": average}


def _deciding(ranking: Ranked) -> float:
    return float(ranking.values[:, MEASURES.index(DECIDING)].mean())


def _as_json(figures: Mapping[str, Figure]) -> dict[str, Any]:
    return {name: figure.as_json() for name, figure in figures.items()}


def _listed(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{value:,} {name}" for name, value in counts.items())
