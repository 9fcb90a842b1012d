"""What an ONNX file must take and give to serve here, checked on an opened one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from vitrine.model_folder import ModelFolder

LENGTH_ERROR_MAX: Final = 1e-3
SUM_ERROR_MAX: Final = 1e-3
BATCH_DIFFERENCE_MAX: Final = 1e-3
"""Largest difference between a picture's answer alone and in a batch."""

_CHANNELS: Final = 3

Pixels = npt.NDArray[np.uint8]
Answers = dict[str, npt.NDArray[np.float32]]


def contract_problems(session: ort.InferenceSession, facts: ModelFolder, pictures: Pixels) -> tuple[list[str], Answers]:
    """What is wrong with an opened model, and its answers to `pictures`, uint8 (n, height, width, 3), in one batch.

    Answers are by the output's name; {} where the model cannot be run.
    """
    wrong = [*_input_problems(session, facts), *_output_problems(session, facts)]
    if wrong:
        return wrong, {}
    names = expected_outputs(facts)
    try:
        together = _run(session, facts, names, pictures)
        alone = [_run(session, facts, names, pictures[row : row + 1]) for row in range(len(pictures))]
    except Exception as error:  # noqa: BLE001  (onnxruntime raises many types of its own; here each is a finding)
        return [f"does not run on uint8 {pictures.shape}: {error}"], {}
    for name in names:
        wrong += _value_problems(name, together[name], len(pictures), facts)
        wrong += _batch_problems(name, together[name], [answers[name] for answers in alone])
    return wrong, together


def expected_outputs(facts: ModelFolder) -> list[str]:
    """Names of all outputs that model.json promises, the vector first."""
    outputs = facts.outputs
    maps = [name for name in (outputs.activation, outputs.presence) if name]
    return [outputs.vector, *facts.score_outputs.values(), *maps]


def _input_problems(session: ort.InferenceSession, facts: ModelFolder) -> Iterator[str]:
    names = [given.name for given in session.get_inputs()]
    if names != [facts.input.name]:
        yield f"input: the graph takes {', '.join(names)}, model.json says {facts.input.name}"
        return
    given = session.get_inputs()[0]
    if given.type != "tensor(uint8)":
        yield f"input dtype: is {given.type}, must be tensor(uint8), with normalisation in the graph"
    if len(given.shape) != 4:
        yield f"input shape: is {given.shape}, must be (n, height, width, {_CHANNELS})"
        return
    batch, *size = given.shape
    if isinstance(batch, int):
        yield f"input batch: is fixed at {batch}, must be free"
    if size[0] == _CHANNELS and size[-1] != _CHANNELS:
        yield f"input layout: is {given.shape}, channels first; must be NHWC"
        return
    wanted = [facts.height, facts.width, _CHANNELS]
    if any(isinstance(has, int) and has != want for has, want in zip(size, wanted, strict=True)):
        yield f"input size: is {size}, model.json says {wanted}"


def _output_problems(session: ort.InferenceSession, facts: ModelFolder) -> Iterator[str]:
    kinds = {output.name: output.type for output in session.get_outputs()}
    for name in expected_outputs(facts):
        if name not in kinds:
            yield f"output {name}: the graph has none of that name, but {', '.join(kinds)}"
        elif kinds[name] != "tensor(float)":
            yield f"output {name}: is {kinds[name]}, must be tensor(float), which is float32"


def _value_problems(name: str, values: npt.NDArray[np.float32], n: int, facts: ModelFolder) -> Iterator[str]:
    if wrong_shape := _shape_problem(values.shape, name, n, facts):
        yield f"output {name}: {wrong_shape}"
    elif not np.isfinite(values).all():
        yield f"output {name}: holds numbers that are not finite"
    elif name == facts.outputs.vector:
        error = np.abs(np.linalg.norm(values, axis=1) - 1).max()
        if error > LENGTH_ERROR_MAX:
            yield f"output {name}: is not of unit length; off by up to {error:.3g}"
    elif name in facts.score_outputs.values():
        error = np.abs(values.sum(axis=1) - 1).max()
        if error > SUM_ERROR_MAX or values.min() < 0:
            yield f"output {name}: is no share of labels; sums are off 1 by up to {error:.3g}, least {values.min():.3g}"
    elif values.min() < 0 or values.max() > 1:
        yield f"output {name}: lies in {values.min():.3g} to {values.max():.3g}, must lie in 0 to 1"


def _shape_problem(shape: tuple[int, ...], name: str, n: int, facts: ModelFolder) -> str:
    if name == facts.outputs.activation:
        return "" if len(shape) == 3 and shape[0] == n else f"has shape {shape}, must be ({n}, rows, columns)"
    if name == facts.outputs.presence:
        return "" if shape == (n,) else f"has shape {shape}, must be ({n},)"
    if name == facts.outputs.vector:
        return "" if shape == (n, facts.dim) else f"has shape {shape}, model.json says ({n}, {facts.dim}): dim"
    column = next(column for column, output in facts.score_outputs.items() if output == name)
    labels = len(facts.labels_of(column))
    return "" if shape == (n, labels) else f"has shape {shape}, model.json says ({n}, {labels}): labels of {column}"


def _batch_problems(
    name: str, together: npt.NDArray[np.float32], alone: list[npt.NDArray[np.float32]]
) -> Iterator[str]:
    apart = np.concatenate(alone) if {row.shape[1:] for row in alone} == {together.shape[1:]} else None
    if apart is None or apart.shape != together.shape:
        yield f"output {name}: has another shape for one picture than for a batch"
    elif (difference := np.abs(apart - together).max()) > BATCH_DIFFERENCE_MAX:
        yield f"output {name}: differs by {difference:.3g} between a picture alone and in a batch"


def _run(session: ort.InferenceSession, facts: ModelFolder, names: list[str], pictures: Pixels) -> Answers:
    return dict(zip(names, session.run(names, {facts.input.name: pictures}), strict=True))
