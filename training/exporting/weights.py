"""Weights that every variant can hold exactly, so that variants differ in how they compute and in nothing else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization.shape_inference import quant_pre_process

from vitrine.model_folder import Input

_INT8_MAX: Final = 127
_HALF_MAX: Final = 65_504.0
_SMALL: Final = 1_024
"""Tensors of fewer numbers, such as biases, stay float32 everywhere: their size does not matter."""


def settle(path: Path) -> None:
    """Folds the file's batch norms and rounds its weights, in place.

    Weights of convolutions go to the grid that int8 per channel has, the other large ones to float16's.
    """
    quant_pre_process(path, path, skip_symbolic_shape=True)
    model = onnx.load(path)
    kernels = {node.input[1] for node in model.graph.node if node.op_type == "Conv"}
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.name in kernels:
            tensor.CopyFrom(numpy_helper.from_array(_on_int8_grid(values), tensor.name))
        elif _is_large(values):
            rounded = values.astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
    onnx.save(model, path)


def slim(path: Path) -> None:
    """Stores large float32 weights as float16 and leaves out what is the default, in place.

    ONNX Runtime widens the weights once, when it loads them.
    """
    model = onnx.load(path)
    graph = model.graph
    _drop_zero_points(graph)
    del graph.value_info[:]
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if _is_large(values):
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
            graph.node.insert(0, helper.make_node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT))
    onnx.save(model, path)


def model_id(fp32: Path, given: Input) -> str:
    """sha256 (hex) over the fp32 weights, in name order, and the preprocessing: equal ids give equal vectors."""
    digest = hashlib.sha256()
    for tensor in sorted(onnx.load(fp32).graph.initializer, key=lambda tensor: str(tensor.name)):
        digest.update(f"{tensor.name}{list(tensor.dims)}".encode())
        digest.update(numpy_helper.to_array(tensor).tobytes())
    digest.update(json.dumps(asdict(given), sort_keys=True, separators=(",", ":")).encode())
    return digest.hexdigest()


def _on_int8_grid(kernels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Kernels (out, in, …) rounded to 255 steps, symmetric about 0, of each output channel's own size."""
    largest = np.abs(kernels).max(axis=tuple(range(1, kernels.ndim)), keepdims=True)
    step = np.where(largest > 0, largest / _INT8_MAX, 1)
    rounded: npt.NDArray[np.float32] = (np.round(kernels / step) * step).astype(np.float32)
    return rounded


def _drop_zero_points(graph: onnx.GraphProto) -> None:
    """Zero is what a missing zero point means; as large as the biases themselves, they are worth leaving out."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        name = node.input[2] if node.op_type == "DequantizeLinear" and len(node.input) == 3 else ""
        if name in tensors and tensors[name].data_type == onnx.TensorProto.INT32:
            del node.input[2]
            graph.initializer.remove(tensors.pop(name))


def _is_large(values: npt.NDArray[np.generic]) -> bool:
    return bool(values.dtype == np.float32 and values.size >= _SMALL and np.abs(values).max() <= _HALF_MAX)
