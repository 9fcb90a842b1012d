"""What products are called, as something to learn from: a bag of words tells brands, patterns and cuts apart.

Learning features from the words that come with pictures: Joulin et al., "Learning visual features from large weakly
supervised data", ECCV 2016.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

_WORD: Final = re.compile(r"[a-z][a-z\-]+")


def vocabulary(titles: Sequence[str], in_titles_min: int, words_max: int) -> tuple[str, ...]:
    """Up to `words_max` words that at least `in_titles_min` titles have, the most frequent first."""
    counts = Counter(word for title in titles for word in _words(title))
    frequent = [word for word in counts if counts[word] >= in_titles_min]
    frequent.sort(key=lambda word: (-counts[word], word))
    return tuple(frequent[:words_max])


def shares(titles: Sequence[str], words: Sequence[str]) -> npt.NDArray[np.float32]:
    """Each title's words, sharing 1 equally. float32, shape (titles, words); a row of zeros where it has none."""
    place = {word: column for column, word in enumerate(words)}
    table = np.zeros((len(titles), len(words)), np.float32)
    for row, title in enumerate(titles):
        known = [place[word] for word in _words(title) if word in place]
        table[row, known] = 1 / max(len(known), 1)
    return table


def _words(title: str) -> set[str]:
    return set(_WORD.findall(title.lower()))
