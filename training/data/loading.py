"""A data set as training and evaluation see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from training import words
from training.data import splitting
from training.data.dataset import SPLITS, UNSEEN, Dataset, Pictures
from training.data.decoding import Decoded, decoded, digests
from training.data.settings import DataSettings
from training.data.skipped import Skipped, ThinLabels, counted
from training.data.sources import Source, Texts, opened
from vitrine.runtime.errors import ConfigError

UNREADABLE_MAX: Final = 0.10

_REASONS_MAX: Final = 5
_WORDS_MAX: Final = 512
# A word must be common enough to be learnt: in one title of 800, but in no more than 40 and no fewer than 3 titles.
_WORD_TITLES_MIN: Final = 3
_WORD_TITLES_MAX: Final = 40
_TITLES_PER_WORD: Final = 800


def load(path: Path, settings: DataSettings) -> Dataset:
    """The pictures of a folder with a sub-folder per class, a CSV or a Parquet file.

    Raises ConfigError naming the column or setting that is wrong, with counts: a missing column, a value that is no
    split, an empty split, a column with one class, more than a tenth of the pictures unreadable.
    """
    source = opened(path, settings)
    labelled = _labelled(source)
    split = _splits(source, labelled, settings)
    parts = {name: decoded(source, labelled[split == name], settings.px) for name in SPLITS}
    _require_readable(source, parts, len(labelled))
    _require_pictures(parts, settings)
    names = {column: _names(source, column, parts["train"].rows) for column in source.labels}
    vocabulary = _vocabulary(source, parts["train"].rows, settings.words)
    return Dataset(
        {name: _pictures(source, part, names, vocabulary) for name, part in parts.items()},
        names,
        vocabulary,
        _skipped(source, parts, len(labelled)),
        settings.px,
    )


def _labelled(source: Source) -> npt.NDArray[np.int64]:
    """The rows with a value in some label column."""
    labelled = np.flatnonzero(np.any([texts != "" for texts in source.labels.values()], axis=0))
    if len(labelled) == 0:
        raise ConfigError("labels", f"none of {counted(len(source), 'row')} has a value of {', '.join(source.labels)}")
    return labelled


def _splits(source: Source, labelled: npt.NDArray[np.int64], settings: DataSettings) -> Texts:
    """The split of each labelled row, shape (labelled,)."""
    if source.split is not None:
        return splitting.checked(source.split[labelled], settings.split)
    shared = [digests(source, labelled)]
    if source.group is not None:
        shared.append(source.group[labelled])
    scored = next(iter(source.labels.values()))
    return splitting.drawn(scored[labelled], shared, settings.seed)


def _require_readable(source: Source, parts: Mapping[str, Decoded], pictures: int) -> None:
    unreadable = sum(len(part.unreadable) for part in parts.values())
    if unreadable > UNREADABLE_MAX * pictures:
        raise ConfigError(
            source.image_column,
            f"{unreadable:,} of {counted(pictures, 'picture')} cannot be read, more than {UNREADABLE_MAX:.0%}: "
            f"{'; '.join(_reasons(source, parts))}",
        )


def _require_pictures(parts: Mapping[str, Decoded], settings: DataSettings) -> None:
    counts = {name: len(part.rows) for name, part in parts.items()}
    for name in SPLITS:
        if counts[name] == 0:
            others = ", ".join(f"{other} has {counts[other]:,}" for other in SPLITS if other != name)
            raise ConfigError(settings.split or "split", f"{name} has no pictures, while {others}")


def _names(source: Source, column: str, train: npt.NDArray[np.int64]) -> tuple[str, ...]:
    names = tuple(sorted(set(source.labels[column][train]) - {""}))
    if len(names) < 2:
        found = f"one class ({names[0]!r})" if names else "no label"
        raise ConfigError(column, f"train has {found} in {counted(len(train), 'picture')}; two classes are needed")
    return names


def _vocabulary(source: Source, train: npt.NDArray[np.int64], column: str) -> tuple[str, ...]:
    if source.words is None:
        return ()
    in_titles_min = min(_WORD_TITLES_MAX, max(_WORD_TITLES_MIN, round(len(train) / _TITLES_PER_WORD)))
    vocabulary = words.vocabulary(source.words[train].tolist(), in_titles_min, _WORDS_MAX)
    if not vocabulary:
        raise ConfigError(column, f"no word is in {in_titles_min} of train's {counted(len(train), 'title')}")
    return vocabulary


def _pictures(source: Source, part: Decoded, names: Mapping[str, Sequence[str]], vocabulary: Sequence[str]) -> Pictures:
    labels = {column: _codes(texts[part.rows], names[column]) for column, texts in source.labels.items()}
    titles = [] if source.words is None else source.words[part.rows].tolist()
    shares = words.shares(titles, vocabulary) if titles else np.zeros((len(part.rows), 0), np.float32)
    return Pictures(part.pixels, labels, part.rows, shares)


def _codes(texts: Texts, names: Sequence[str]) -> npt.NDArray[np.int64]:
    code_of_name = {name: code for code, name in enumerate(names)}
    return np.array([code_of_name.get(text, UNSEEN) for text in texts], dtype=np.int64)


def _reasons(source: Source, parts: Mapping[str, Decoded]) -> tuple[str, ...]:
    """The first of all splits, in the order of the source."""
    reasons = sorted(chain.from_iterable(part.unreadable.items() for part in parts.values()))
    return tuple(f"{source.place(row)} {reason}" for row, reason in reasons[:_REASONS_MAX])


def _skipped(source: Source, parts: Mapping[str, Decoded], labelled: int) -> Skipped:
    train, *measured = (parts[name] for name in SPLITS)
    known = set(train.digests)
    rows = np.concatenate([part.rows for part in measured])
    return Skipped(
        other_files=source.other_files,
        unlabelled=len(source) - labelled,
        unreadable=sum(len(part.unreadable) for part in parts.values()),
        reasons=_reasons(source, parts),
        thin={
            column: ThinLabels.counted(Counter(texts[train.rows]), Counter(texts[rows]))
            for column, texts in source.labels.items()
        },
        repeated=sum(digest in known for part in measured for digest in part.digests),
    )
