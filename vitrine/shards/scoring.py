"""Exact scores: the best products of a block of vectors, several queries at once."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vitrine.vectors import Vectors

# Rows scored at a time: small enough to stay in the last-level cache after conversion to float32.
_CHUNK_ROWS: Final = 4096

# After the shift, bits 28 to 30 are copies of the sign; float16's exponent is biased by 15, float32's by 127.
_SIGN_EXPONENT_FRACTION: Final = np.array(0x8FFFE000, dtype=np.uint32).view(np.int32)
_EXPONENT_SHIFT: Final = np.float32(2.0**112)

# Float32 sums of 512 products of unit vectors are off by a few 1e-7.
_SAME_MIN: Final = np.float32(1 - 1e-6)

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Best(NamedTuple):
    """Rows and their scores, best first, one row a product. int64 and float32.

    The best k, and whatever ties with the last of them: which of those to answer is decided by product_id.
    """

    rows: Rows
    scores: npt.NDArray[np.float32]


NOTHING: Final = Best(np.empty(0, np.int64), np.empty(0, np.float32))


def best_of_block(vectors: Any, product_starts: Rows, live: Mask | None, queries: Vectors, k: int) -> list[Best]:
    """The best `k` products for each of `queries`, shape (q, dim), by scoring every row of `vectors`.

    `product_starts`, shape (products + 1,): rows of product p are starts[p]:starts[p + 1].
    `live`, shape (rows,): rows that may be answered; None = all.
    """
    found = [NOTHING] * len(queries)
    for first, last in _chunks(product_starts):
        begin, end = int(product_starts[first]), int(product_starts[last])
        block = as_float32(vectors[begin:end])
        scores = _cosines(queries @ block.T)
        if live is not None:
            scores[:, ~live[begin:end]] = -np.inf
        starts = product_starts[first:last] - begin
        for number, row_scores in enumerate(scores):
            best = _best_rows(row_scores, starts, end - begin, k)
            found[number] = top(found[number], Best(best.rows + begin, best.scores), k)
    return found


def best_of_rows(
    vectors: Any, product_of_row: npt.NDArray[np.int32] | None, rows: Rows, query: Vectors, k: int
) -> Best:
    """The best `k` products among `rows`, by exact score. `product_of_row` None: each row is a product of its own."""
    if len(rows) == 0:
        return NOTHING
    scores = _cosines(as_float32(vectors[rows]) @ query)
    order = np.argsort(-scores, kind="stable")
    if product_of_row is None:
        return _cut(Best(rows[order], scores[order]), k)
    rows, scores = rows[order], scores[order]
    _, first = np.unique(product_of_row[rows], return_index=True)
    first.sort()
    return _cut(Best(rows[first], scores[first]), k)


def as_float32(block: Any) -> Vectors:
    """float16 or float32 vectors as float32.

    Finite float16 by moving its bits to where float32 has them and scaling the exponent, which is exact and takes an
    eighth of the time of numpy's conversion.
    """
    if block.dtype != np.float16:
        return np.asarray(block, dtype=np.float32)
    bits = block.view(np.int16).astype(np.int32)
    bits <<= 13
    bits &= _SIGN_EXPONENT_FRACTION
    widened: Vectors = bits.view(np.float32)
    widened *= _EXPONENT_SHIFT
    return widened


def top(left: Best, right: Best, k: int) -> Best:
    """The best of two lists that share no product."""
    if len(left.rows) == 0:
        return right
    scores = np.concatenate([left.scores, right.scores])
    order = np.argsort(-scores, kind="stable")
    return _cut(Best(np.concatenate([left.rows, right.rows])[order], scores[order]), k)


def product_starts_of(keys: npt.NDArray[np.uint64], product_ids: Any) -> Rows:
    """Where each product's rows begin, and the end. Ids are compared only where neighbouring keys are equal."""
    if len(keys) == 0:
        return np.zeros(1, np.int64)
    same = keys[1:] == keys[:-1]
    for row in np.flatnonzero(same).tolist():
        same[row] = product_ids[row].as_py() == product_ids[row + 1].as_py()
    return np.concatenate([[0], np.flatnonzero(~same) + 1, [len(keys)]]).astype(np.int64)


def _chunks(product_starts: Rows) -> list[tuple[int, int]]:
    """Product ranges whose rows number about _CHUNK_ROWS; a product is never split."""
    products = len(product_starts) - 1
    cuts = np.searchsorted(product_starts, np.arange(0, int(product_starts[-1]) + _CHUNK_ROWS, _CHUNK_ROWS))
    bounds = sorted({0, products, *(int(cut) for cut in cuts if cut < products)})
    return list(pairwise(bounds))


def _cosines(products: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Products of unit vectors, in place. Equal vectors score 1: how a sum is rounded depends on where a row stands."""
    np.putmask(products, products > _SAME_MIN, np.float32(1))
    return products


def _cut(best: Best, k: int) -> Best:
    if len(best.rows) <= k:
        return best
    kept = int(np.searchsorted(-best.scores, -best.scores[k - 1], "right"))
    return Best(best.rows[:kept], best.scores[:kept])


def _best_rows(scores: npt.NDArray[np.float32], starts: Rows, rows: int, k: int) -> Best:
    products = len(starts)
    grouped = products != rows
    by_product = np.maximum.reduceat(scores, starts) if grouped else scores
    kth_best = np.partition(by_product, products - k)[products - k] if products > k else -np.inf
    chosen = np.flatnonzero((by_product >= kth_best) & np.isfinite(by_product))
    chosen = chosen[np.argsort(-by_product[chosen], kind="stable")]
    if not grouped:
        return Best(chosen.astype(np.int64), scores[chosen])
    ends = np.append(starts[1:], rows)
    winners = [starts[p] + int(np.argmax(scores[starts[p] : ends[p]])) for p in chosen.tolist()]
    return Best(np.array(winners, dtype=np.int64), by_product[chosen])
