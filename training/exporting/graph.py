"""The graph that is served: uint8 pictures in, unit vectors and shares out. As a torch module, and as an ONNX file."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn

from training.exporting.session import OnnxFile
from training.networks.network import Network, unit
from vitrine.model_folder import Head, Outputs
from vitrine.runtime.errors import ConfigError, VitrineError

OPSET: Final = 20
INPUT: Final = "images"
VECTOR: Final = "vector"
SCORES: Final = "scores"
ACTIVATION: Final = "activation"
PRESENCE: Final = "presence"
DIFFERENCE_MAX: Final = 1e-4
"""Largest difference of any output number between torch and fp32 ONNX: rounding, nothing else."""


class ParityError(VitrineError):
    """An exported file does not say what the trained network says. It is not published."""


class Reduction(nn.Module):
    """Unit vectors to shorter unit vectors: the directions in which a catalogue varies most (PCA)."""

    mean: Tensor
    directions: Tensor

    def __init__(self, mean: Tensor, directions: Tensor) -> None:
        """`mean` float32 (dim,), `directions` float32 (dim, kept)."""
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("directions", directions)

    @staticmethod
    def fitted(vectors: npt.NDArray[np.float32], dim: int) -> Reduction:
        """The reduction to `dim` fitted on a catalogue's vectors (n, full dim). Raises ConfigError (`dim`)."""
        n, full = vectors.shape
        if not 1 <= dim <= min(n, full):
            raise ConfigError("dim", f"{dim} is not in 1 to {min(n, full)}: {n} vectors of {full} dimensions")
        mean = vectors.mean(axis=0, dtype=np.float64)
        centred = vectors - mean
        _, directions = np.linalg.eigh(centred.T @ centred / n)
        # eigh sorts by rising variance; the strongest come first here.
        kept = np.ascontiguousarray(directions[:, ::-1][:, :dim])
        return Reduction(torch.from_numpy(mean).float(), torch.from_numpy(kept).float())

    def forward(self, vectors: Tensor) -> Tensor:
        """float32 (n, kept), unit length."""
        return unit((vectors - self.mean) @ self.directions)


class Deployed(nn.Module):
    """A network as it is served. `names` says in which order `forward` gives what."""

    def __init__(
        self, network: Network, columns: Sequence[str] = (), salience: bool = False, reduction: Reduction | None = None
    ) -> None:
        """`columns`: label columns whose scores are given, the scored one first.

        `salience`: whether activation and presence are given. Raises ConfigError (`labels`) for a column without head.
        """
        super().__init__()
        for column in columns:
            if column not in network.columns:
                raise ConfigError("labels", f"the network has no head for {column!r}")
        self.network = network
        self.columns = tuple(columns)
        self.salience = salience
        self.reduction = reduction

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        maps = (ACTIVATION, PRESENCE) if self.salience else ()
        return (VECTOR, *(self._scores_name(column) for column in self.columns), *maps)

    @property
    def outputs(self) -> Outputs:
        """The outputs as model.json names them, without the heads."""
        maps = (ACTIVATION, PRESENCE) if self.salience else ("", "")
        return Outputs(VECTOR, SCORES if self.columns else "", *maps)

    @property
    def dim(self) -> int:
        return self.network.dim if self.reduction is None else self.reduction.directions.shape[1]

    def heads(self, names: Mapping[str, tuple[str, ...]]) -> dict[str, Head]:
        """The heads beside the scored column, as model.json describes them. `names`: labels by column."""
        return {column: Head(self._scores_name(column), names[column]) for column in self.columns[1:]}

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """uint8 (n, height, width, 3) to the outputs in the order of `names`, all float32."""
        seen = self.network(pixels.permute(0, 3, 1, 2).float() / 255)
        vector = self.network.embedding(seen)
        if self.reduction is not None:
            vector = self.reduction(vector)
        scores = [self.network.logits(seen, column).softmax(dim=1) for column in self.columns]
        maps = [seen.activation.sigmoid(), seen.presence.sigmoid()] if self.salience else []
        return (vector, *scores, *maps)

    def _scores_name(self, column: str) -> str:
        return SCORES if column == self.columns[0] else f"{SCORES}_{column}"


def export_fp32(deployed: Deployed, path: Path, px: int) -> None:
    """`deployed` as an ONNX file: `images` uint8 (n, px, px, 3), n free, to its outputs."""
    example = torch.zeros(2, px, px, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        # The exporter uses a part of torch that torch has deprecated.
        warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)
        program = torch.onnx.export(
            deployed.eval(),
            (example,),
            input_names=[INPUT],
            output_names=list(deployed.names),
            opset_version=OPSET,
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise ParityError("torch exported nothing")
    onnx.save(_without_traces(program.model_proto), path)


def check_parity(deployed: Deployed, fp32: Path, pixels: npt.NDArray[np.uint8]) -> float:
    """The largest difference of any output between torch and the file at `fp32`, on uint8 pictures (n, px, px, 3).

    Raises ParityError where it exceeds DIFFERENCE_MAX.
    """
    with torch.inference_mode():
        trained = deployed.eval()(torch.from_numpy(pixels))
    exported = OnnxFile(fp32).run(pixels, deployed.names)
    difference = max(
        float(np.abs(exported[name] - said.numpy()).max()) for name, said in zip(deployed.names, trained, strict=True)
    )
    # Written this way round so that NaN fails.
    if not difference <= DIFFERENCE_MAX:
        raise ParityError(f"fp32 ONNX differs from torch by {difference:.2e}, at most {DIFFERENCE_MAX:.0e} is accepted")
    return difference


def _without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without the exporter's notes, which hold stack traces with this machine's paths."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model
