"""What a thread does with a batch: decode the pictures, run the model, and again on the products that it found."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np
from PIL import Image

from services.embedder import metrics
from services.embedder.contract import Pixels
from services.embedder.model import Model, Seen
from vitrine import images, salience
from vitrine.images import CropBox
from vitrine.runtime.errors import InvalidArgument
from vitrine.vectors import Vectors

Answer = TypeVar("Answer")

# How much the newest batch counts in what decoding an image is expected to take.
_SMOOTHING: Final = 0.2

# What is kept of a picture until its product is found: bounds the memory of a batch of large PNGs.
_KEPT_PX: Final = 1024


class Picture(NamedTuple):
    """Encoded bytes, and the part that is meant: `crop`, the product that the model finds (`auto`), or all of it."""

    data: bytes
    crop: CropBox | None = None
    auto: bool = False

    @property
    def passes(self) -> int:
        """How often it goes through the model, at most."""
        return 2 if self.auto else 1


class Embedded(NamedTuple):
    """What the model says of a picture, or of `crop`, the part of it that was embedded.

    vector      float32, shape (dim,), unit length
    scores      float32, shape (labels,)
    no_product  0 to 1: how sure the model is that there is none; None where it was not asked or cannot tell
    """

    vector: Vectors
    scores: Vectors
    crop: CropBox | None = None
    no_product: float | None = None


class _Decoded(NamedTuple):
    """A picture as the model's input, and where its product is still to be found, what to cut that from."""

    pixels: Pixels
    crop: CropBox | None
    whole: Image.Image | None


class Embedding:
    """One model's answers. Several threads may ask at once."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.decode_ms = 0.0

    def embedded(self, pictures: Sequence[Picture]) -> list[Embedded | Exception]:
        """One answer a picture, in order, or what is wrong with it."""
        decoded = self._all_decoded(pictures)
        answers = iter(self._answers([one for one in decoded if isinstance(one, _Decoded)]))
        return [next(answers) if isinstance(one, _Decoded) else one for one in decoded]

    def _all_decoded(self, pictures: Sequence[Picture]) -> list[_Decoded | InvalidArgument]:
        started = time.perf_counter()
        decoded = [self._decoded(picture) for picture in pictures]
        decode_ms = (time.perf_counter() - started) * 1000 / len(pictures)
        self.decode_ms += _SMOOTHING * (decode_ms - self.decode_ms)
        metrics.DECODE_SECONDS.observe(decode_ms / 1000)
        return decoded

    def _decoded(self, picture: Picture) -> _Decoded | InvalidArgument:
        facts = self._model.facts
        try:
            if picture.auto:
                return self._with_whole(picture)
            pixels = images.pixels(picture.data, facts.height, facts.width, picture.crop, facts.fill)
            return _Decoded(pixels, picture.crop, None)
        except InvalidArgument as error:
            return error

    def _with_whole(self, picture: Picture) -> _Decoded:
        if picture.crop is not None:
            raise InvalidArgument("crop", "is given together with auto_crop; one of them says what is meant")
        facts = self._model.facts
        # Decoded once. On drawn photos, cutting from the full scale instead found no more of the right category.
        whole = images.decode(picture.data, (facts.width, facts.height))
        whole.thumbnail((_KEPT_PX, _KEPT_PX), Image.Resampling.BILINEAR)
        return _Decoded(self._letterboxed(whole), None, whole)

    def _letterboxed(self, picture: Image.Image) -> Pixels:
        facts = self._model.facts
        return images.letterboxed(picture, facts.height, facts.width, facts.fill)

    def _answers(self, decoded: Sequence[_Decoded]) -> list[Embedded]:
        if not decoded:
            return []
        if any(one.whole is not None for one in decoded):
            return self._answers_and_products(decoded)
        vectors, scores = _timed(self._model.run, decoded)
        return [Embedded(*row) for row in zip(vectors, scores, (one.crop for one in decoded), strict=True)]

    def _answers_and_products(self, decoded: Sequence[_Decoded]) -> list[Embedded]:
        """All in one pass; then, in another, the products that stand out where that was asked."""
        seen = _timed(self._model.look, decoded)
        answers = [_answer(seen, row, one) for row, one in enumerate(decoded)]
        found = {row: product for row, one in enumerate(decoded) if (product := self._product(seen, row, one.whole))}
        for row, answer in zip(found, self._answers([*found.values()]), strict=True):
            answers[row] = answer._replace(no_product=answers[row].no_product)
        return answers

    def _product(self, seen: Seen, row: int, whole: Image.Image | None) -> _Decoded | None:
        """The part of a picture that stands out. None where nothing does, or where that was not asked."""
        if whole is None:
            return None
        part = self._part(whole, seen.activation[row]) if seen.activation is not None else None
        metrics.LOOKED_FOR.labels("no" if part is None else "yes").inc()
        return None if part is None else _Decoded(self._letterboxed(images.cropped(whole, part)), part, None)

    def _part(self, whole: Image.Image, cells: salience.Cells) -> CropBox | None:
        facts = self._model.facts
        box = salience.proposed_box(cells)
        part = None if box is None else images.behind_letterbox(box, whole.size, facts.height, facts.width)
        return None if part is None else salience.with_margin(part)


def _answer(seen: Seen, row: int, decoded: _Decoded) -> Embedded:
    answer = Embedded(seen.vectors[row], seen.scores[row], decoded.crop)
    if decoded.whole is None or seen.presence is None:
        return answer
    return answer._replace(no_product=1 - float(seen.presence[row]))


def _timed(run: Callable[[Pixels], Answer], decoded: Sequence[_Decoded]) -> Answer:
    """One pass through the model."""
    metrics.BATCH_IMAGES.observe(len(decoded))
    with metrics.BATCH_SECONDS.time():
        return run(np.stack([one.pixels for one in decoded]))
