"""One model in several forms: float32, int8 for CPUs, float16 for GPUs, each measured against float32."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

from training.exporting.graph import INPUT, VECTOR, ParityError
from training.exporting.session import OnnxFile
from training.exporting.weights import slim
from vitrine.model_folder import COSINE_MEAN_MIN, CPU_INT8, FP32, GPU_FP16, VARIANTS, Variant, fingerprint
from vitrine.runtime.errors import ConfigError

FILES: Final = {FP32: "model.fp32.onnx", CPU_INT8: "model.int8.onnx", GPU_FP16: "model.fp16.onnx"}
OVERLAP_WANTED: Final = 0.95
"""Share of the 10 nearest that a variant and fp32 should have in common. Below: a warning, in words."""

NEIGHBOURS: Final = 10
_CALIBRATION_BATCH: Final = 16
_QUERIES_BLOCK: Final = 512
# A GPU's file runs slowly on a CPU, where it is measured; this many pictures say enough.
_FP16_QUERIES: Final = 1_000
_FP16_CATALOGUE: Final = 5_000
# The length of a long vector does not fit into float16, and shares deserve all their digits.
_FLOAT32_OPS: Final = ("ReduceL2", "Clip", "Div", "Softmax", "Sigmoid")

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Samples:
    """uint8 pictures (n, px, px, 3): `calibration` sets the ranges of int8; variants are compared by asking `queries`.

    `calibration` should vary as queries will: with other backgrounds too. `queries` and `catalogue` must not overlap.
    """

    calibration: Pixels
    queries: Pixels
    catalogue: Pixels


@dataclass(frozen=True)
class Agreement:
    """A variant against fp32: cosine of their vectors, and the share of the 10 nearest that both find."""

    cosine_mean: float
    cosine_min: float
    overlap_at_10: float


def chosen(wanted: Sequence[str]) -> tuple[str, ...]:
    """`wanted` in the order of VARIANTS. Raises ConfigError (`variants`)."""
    unknown = [name for name in wanted if name not in VARIANTS]
    if unknown or not wanted:
        raise ConfigError("variants", f"{', '.join(unknown) or 'nothing'} is none of {', '.join(VARIANTS)}")
    return tuple(name for name in VARIANTS if name in wanted)


def build(fp32: Path, folder: Path, wanted: Sequence[str], samples: Samples) -> dict[str, Variant]:
    """The `wanted` variants of the settled file at `fp32`, written into `folder` and measured.

    Raises ParityError for one whose mean cosine is below COSINE_MEAN_MIN, ConfigError (`variants`).
    """
    built = {}
    for name in chosen(wanted):
        path = folder / FILES[name]
        if name == FP32:
            path.write_bytes(fp32.read_bytes())
            built[name] = Variant(path.name, *fingerprint(path))
            continue
        if name == CPU_INT8:
            quantise(fp32, path, samples.calibration)
            queries, catalogue = samples.queries, samples.catalogue
        else:
            halve(fp32, path)
            queries, catalogue = samples.queries[:_FP16_QUERIES], samples.catalogue[:_FP16_CATALOGUE]
        built[name] = described(path, agreement(OnnxFile(fp32), OnnxFile(path), queries, catalogue))
    return built


def quantise(fp32: Path, int8: Path, calibration: Pixels) -> None:
    """A static int8 copy (QDQ, weights per channel) of a settled file, with ranges from `calibration`."""
    graph = onnx.load(fp32).graph
    with tempfile.TemporaryDirectory(dir=int8.parent) as work:
        quantised = Path(work) / int8.name
        quantize_static(
            fp32,
            quantised,
            _Calibration(calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # The rest, from pooling on, is little work and decides the vector's direction.
            op_types_to_quantize=["Conv", "Relu", "Add", "MaxPool"],
            nodes_to_exclude=_beside_the_vector(graph),
            # The mean of the batches' ranges: the outermost ones of all would make every step coarser.
            extra_options={"CalibMovingAverage": True},
        )
        slim(quantised)
        quantised.replace(int8)


def halve(fp32: Path, fp16: Path) -> None:
    """A float16 copy; pictures stay uint8, outputs float32."""
    blocked = [*DEFAULT_OP_BLOCK_LIST, *_FLOAT32_OPS]
    model = convert_float_to_float16(onnx.load(fp32), keep_io_types=True, op_block_list=blocked)
    # It casts a tensor anew, under the same name, for each node that wants it in float32.
    once = {tuple(node.output): node for node in reversed(model.graph.node)}
    nodes = [node for node in model.graph.node if once[tuple(node.output)] is node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, fp16)


def agreement(fp32: OnnxFile, other: OnnxFile, queries: Pixels, catalogue: Pixels) -> Agreement:
    """How far `other` agrees with `fp32`; neighbours come from `catalogue`, embedded by each.

    Raises ParityError where the mean cosine is below COSINE_MEAN_MIN.
    """
    full, small = (file.run(queries, [VECTOR])[VECTOR] for file in (fp32, other))
    cosine = (full * small).sum(axis=1)
    # Written this way round so that NaN fails.
    if not cosine.mean() >= COSINE_MEAN_MIN:
        raise ParityError(f"has a mean cosine of {cosine.mean():.4f} to fp32, at least {COSINE_MEAN_MIN} is needed")
    near_full = _nearest(full, fp32.run(catalogue, [VECTOR])[VECTOR])
    near_small = _nearest(small, other.run(catalogue, [VECTOR])[VECTOR])
    shared = (near_full[:, :, None] == near_small[:, None, :]).any(axis=2)
    return Agreement(float(cosine.mean()), float(cosine.min()), float(shared.mean()))


def described(path: Path, measured: Agreement) -> Variant:
    """A variant's entry in model.json."""
    low = measured.overlap_at_10 < OVERLAP_WANTED
    return Variant(
        path.name,
        *fingerprint(path),
        cosine_to_fp32_mean=round(measured.cosine_mean, 5),
        cosine_to_fp32_min=round(measured.cosine_min, 5),
        overlap_at_10=round(measured.overlap_at_10, 4),
        warning=f"finds fewer than {OVERLAP_WANTED:.0%} of the ten nearest that fp32 finds" if low else "",
    )


def _nearest(queries: Floats, catalogue: Floats) -> npt.NDArray[np.int64]:
    """Rows of the 10 catalogue vectors with the highest dot product, in no order. int64 (n, 10), or all if fewer."""
    k = min(NEIGHBOURS, len(catalogue))
    blocks = [queries[start : start + _QUERIES_BLOCK] for start in range(0, len(queries), _QUERIES_BLOCK)]
    return np.concatenate([np.argpartition(-(block @ catalogue.T), k - 1, axis=1)[:, :k] for block in blocks])


def _beside_the_vector(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes that the vector does not need: heads and salience, which stay float."""
    needed, names = {VECTOR}, []
    # Nodes are sorted: each comes after those that it needs.
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
        else:
            names.append(str(node.name))
    return names


class _Calibration(CalibrationDataReader):
    """Hands the quantiser its pictures in batches."""

    def __init__(self, pixels: Pixels) -> None:
        self._batches: Iterator[Pixels] = (
            pixels[start : start + _CALIBRATION_BATCH] for start in range(0, len(pixels), _CALIBRATION_BATCH)
        )

    def get_next(self) -> dict[str, Pixels] | None:
        """The next batch by input name, or None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}
