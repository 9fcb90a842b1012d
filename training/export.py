"""From a trained network to ONNX files, and the proof that they still say the same."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from training.evaluate import NEIGHBOURS, SCORED_COLUMN, nearest
from training.network import Deployed, Network
from training.session import Session
from vitrine.runtime.errors import VitrineError

OPSET: Final = 20
DIFFERENCE_MAX: Final = 1e-4
"""Largest difference of any output number between torch and fp32 ONNX: rounding, nothing else."""

COSINE_MEAN_MIN: Final = 0.995
"""Variants below this are not interchangeable within one index."""

_CALIBRATION_BATCH: Final = 16


class ParityError(VitrineError):
    """An exported file does not say what the trained network says. It is not published."""


@dataclass(frozen=True)
class Agreement:
    """int8 against fp32 on the test split: cosine of their vectors, and the share of the 10 nearest they share."""

    cosine_mean: float
    cosine_min: float
    overlap_at_10: float


def export_fp32(network: Network, path: Path, picture_px: int) -> None:
    """`network` as an ONNX file: `images` uint8 (n, px, px, 3) to `vector` and `scores`, n free."""
    deployed = Deployed(network, SCORED_COLUMN).eval()
    example = torch.zeros(2, picture_px, picture_px, 3, dtype=torch.uint8)
    program = torch.onnx.export(
        deployed,
        (example,),
        input_names=["images"],
        output_names=["vector", "scores"],
        opset_version=OPSET,
        dynamic_shapes=({0: torch.export.Dim("n")},),
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise ParityError("torch exported nothing")
    onnx.save(_without_traces(program.model_proto), path)


def check_parity(network: Network, fp32: Path, pixels: npt.NDArray[np.uint8]) -> float:
    """The largest difference between torch and the file at `fp32` on uint8 pictures (n, px, px, 3).

    Raises ParityError where it exceeds DIFFERENCE_MAX.
    """
    with torch.inference_mode():
        vectors, scores = Deployed(network, SCORED_COLUMN).eval()(torch.from_numpy(pixels))
    exported = Session(fp32).embed(pixels)
    difference = max(
        float(np.abs(exported.vectors - vectors.numpy()).max()), float(np.abs(exported.scores - scores.numpy()).max())
    )
    # Written this way round so that NaN fails.
    if not difference <= DIFFERENCE_MAX:
        raise ParityError(f"fp32 ONNX differs from torch by {difference:.2e}, at most {DIFFERENCE_MAX:.0e} is accepted")
    return difference


def quantise(fp32: Path, int8: Path, calibration: npt.NDArray[np.uint8]) -> None:
    """A static int8 copy (QDQ, weights per channel) with ranges from `calibration`, uint8 (n, px, px, 3)."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(fp32, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            int8,
            _Calibration(calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # The rest, from pooling on, is little work and decides the vector's direction.
            op_types_to_quantize=["Conv", "Relu", "Add", "MaxPool"],
        )


def check_agreement(
    fp32: Session, int8: Session, queries: npt.NDArray[np.uint8], catalogue: npt.NDArray[np.uint8]
) -> Agreement:
    """int8 against fp32 on uint8 pictures (n, px, px, 3); neighbours come from `catalogue`, embedded by each.

    Raises ParityError where the mean cosine is below COSINE_MEAN_MIN.
    """
    full, small = fp32.embed(queries).vectors, int8.embed(queries).vectors
    cosine = (full * small).sum(axis=1)
    if not cosine.mean() >= COSINE_MEAN_MIN:
        raise ParityError(
            f"int8 has a mean cosine of {cosine.mean():.4f} to fp32, at least {COSINE_MEAN_MIN} is needed"
        )
    near_full = nearest(full, fp32.embed(catalogue).vectors, NEIGHBOURS)
    near_small = nearest(small, int8.embed(catalogue).vectors, NEIGHBOURS)
    shared = (near_full[:, :, None] == near_small[:, None, :]).any(axis=2)
    return Agreement(float(cosine.mean()), float(cosine.min()), float(shared.mean()))


class _Calibration(CalibrationDataReader):
    """Hands the quantiser its pictures in batches."""

    def __init__(self, pixels: npt.NDArray[np.uint8]) -> None:
        self._batches: Iterator[npt.NDArray[np.uint8]] = (
            pixels[start : start + _CALIBRATION_BATCH] for start in range(0, len(pixels), _CALIBRATION_BATCH)
        )

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        """The next batch by input name, or None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {"images": batch}


def _without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without the exporter's notes, which hold stack traces with this machine's paths."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model
