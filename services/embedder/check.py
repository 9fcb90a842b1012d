"""Whether a model folder keeps the contract, and everything that is wrong where it does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from services.embedder.contract import Answers, Pixels, contract_problems
from vitrine import images, model_folder, sample
from vitrine.model_folder import COSINE_MEAN_MIN, FP32, Input, ModelFolder, Outputs, Variant
from vitrine.runtime.errors import ConfigError

_PICTURES: Final = 8
_SEED: Final = 5


def problems(folder: Path) -> list[str]:
    """One line for each thing that is wrong with a model folder; [] where it keeps the contract. Needs no GPU."""
    try:
        data = model_folder.document(folder)
    except ConfigError as error:
        return [str(error), f"{model_folder.FILE} must hold what this example holds:\n{example(folder)}"]
    if wrong := model_folder.problems(data):
        return wrong
    facts = ModelFolder.read(folder)
    pictures = _drawn_pictures(facts)
    found: list[str] = []
    vectors: dict[str, npt.NDArray[np.float32]] = {}
    for name, variant in facts.variants.items():
        wrong, answers = _checked(folder, facts, variant, pictures)
        found += [f"variants.{name}: {line}" for line in wrong]
        if not wrong:
            vectors[name] = answers[facts.outputs.vector]
    return found + list(_disagreements(vectors))


def example(folder: Path) -> str:
    """A model.json to begin with: for the first ONNX file in `folder`, or for an imagined one.

    What cannot be seen in the file, such as the number that is the dimension, is to be filled in.
    """
    path = next(iter(sorted(folder.glob("*.onnx"))), None)
    variant = (
        Variant("model.onnx", "0" * 64, 1) if path is None else Variant(path.name, *model_folder.fingerprint(path))
    )
    given, outputs, dim = _seen_in(path)
    return ModelFolder(
        format_version=model_folder.FORMAT_VERSION,
        name=folder.resolve().name,
        # Whoever brings a model names it; a digest of the weights names it best.
        model_id=variant.sha256,
        input=given,
        outputs=outputs,
        dim=dim,
        labels=(),
        variants={FP32: variant},
    ).as_json()


def _seen_in(path: Path | None) -> tuple[Input, Outputs, int]:
    """Input, outputs and dim of an ONNX file as far as it says; else usual ones."""
    imagined = Input("images", 224, 224), Outputs("vector"), 512
    if path is None:
        return imagined
    try:
        session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception:  # noqa: BLE001  (onnxruntime raises many types; what is wrong with the file is said once it is described)
        return imagined
    given, vector = session.get_inputs()[0], session.get_outputs()[0]
    size: list[Any] = [side for side in given.shape[1:] if isinstance(side, int) and side != 3]
    height, width = size if len(size) == 2 else (224, 224)
    dim = vector.shape[-1] if vector.shape and isinstance(vector.shape[-1], int) else 512
    return Input(given.name, height, width), Outputs(vector.name), dim


def _drawn_pictures(facts: ModelFolder) -> Pixels:
    """Drawn products as the model wants them. uint8, shape (8, height, width, 3)."""
    return np.stack([images.pixels(picture, facts.height, facts.width, fill=facts.fill) for picture in _drawn()])


@cache
def _drawn() -> tuple[bytes, ...]:
    products = sample.catalogue()
    chosen = np.random.default_rng(_SEED).choice(len(products), _PICTURES, replace=False)
    return tuple(sample.draw(products[row], 0) for row in chosen)


def _checked(folder: Path, facts: ModelFolder, variant: Variant, pictures: Pixels) -> tuple[list[str], Answers]:
    try:
        path = model_folder.verified(folder, variant)
    except ConfigError as error:
        return [error.reason], {}
    size_bytes = path.stat().st_size
    wrong = [f"bytes: {path.name} has {size_bytes}, not {variant.bytes}"] if size_bytes != variant.bytes else []
    try:
        # Every variant is checked where the command runs, which may have no GPU; the numbers are the same.
        session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  (as above)
        return [*wrong, f"{path.name} is no ONNX file that ONNX Runtime can load ({error})"], {}
    broken, answers = contract_problems(session, facts, pictures)
    return wrong + broken, answers


def _disagreements(vectors: Mapping[str, npt.NDArray[np.float32]]) -> Iterator[str]:
    """Variants whose vectors are not those of fp32, or of the first one where fp32 is not there."""
    if not vectors:
        return
    first = FP32 if FP32 in vectors else next(iter(vectors))
    for name, found in vectors.items():
        cosine = float((found * vectors[first]).sum(axis=1).mean())
        if cosine < COSINE_MEAN_MIN:
            yield f"variants.{name}: has a mean cosine of {cosine:.4f} to {first}, at least {COSINE_MEAN_MIN} is needed"
