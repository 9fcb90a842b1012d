"""A model folder: what model.json says, and whether the files beside it are the ones it vouches for.

The classes have the fields of model.json. Readers ignore fields they do not know.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError

from vitrine.runtime.errors import ConfigError

FILE: Final = "model.json"
FORMAT_VERSION: Final = 1
CPU_INT8: Final = "cpu-int8"
GPU_FP16: Final = "gpu-fp16"
FP32: Final = "fp32"
VARIANTS: Final = (CPU_INT8, GPU_FP16, FP32)
COSINE_MEAN_MIN: Final = 0.995
"""Variants whose vectors agree less than this, on average, are not interchangeable within one index."""

_SHARES_ERROR_MAX: Final = 1e-3

Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
Byte = Annotated[int, Field(ge=0, le=255)]
Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
VariantName = Annotated[str, Field(pattern=f"^({'|'.join(VARIANTS)})$")]
# A model folder is complete by itself: no file outside of it.
FileName = Annotated[str, Field(pattern=r"^[^/\\]+$")]


@dataclass(frozen=True)
class Input:
    """What the graph takes: uint8 (n, height, width, 3), n free, each picture letterboxed on `fill`."""

    name: Text
    height: Count
    width: Count
    layout: Literal["NHWC"] = "NHWC"
    dtype: Literal["uint8"] = "uint8"
    resize: Literal["letterbox"] = "letterbox"
    fill: tuple[Byte, Byte, Byte] = (255, 255, 255)


@dataclass(frozen=True)
class Outputs:
    """Names of what the graph gives, float32; "" is absent.

    `vector` (n, dim), unit length; `scores` (n, labels), rows sum to 1; `activation` (n, rows, columns) in 0..1, the
    share of a cell that is product; `presence` (n,) in 0..1, how likely there is a product.
    """

    vector: Text
    scores: str = ""
    activation: str = ""
    presence: str = ""


@dataclass(frozen=True)
class VectorPart:
    """A stretch of the vector, in order; its share of the cosine, and the label columns that taught it."""

    name: Text
    dim: Count
    weight: Weight
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Head:
    """Scores of a label column other than the scored one: the output's name, and its labels in order."""

    output: Text
    labels: Annotated[tuple[str, ...], Field(min_length=1)]


@dataclass(frozen=True)
class Variant:
    """One ONNX file. Cosines and overlap (share of the 10 nearest) against fp32; `warning` where one is low."""

    file: FileName
    sha256: Digest
    bytes: Count
    cosine_to_fp32_mean: float | None = None
    cosine_to_fp32_min: float | None = None
    overlap_at_10: float | None = None
    warning: str = ""


@dataclass(frozen=True)
class ModelFolder:
    """What model.json says. `labels`: what `scores` scores, in order; empty without heads."""

    format_version: Literal[1]
    name: Text
    model_id: Text
    input: Input
    outputs: Outputs
    dim: Count
    labels: tuple[str, ...]
    variants: Annotated[Mapping[VariantName, Variant], Field(min_length=1)]
    label_column: str = "label"
    heads: Mapping[str, Head] = field(default_factory=dict)
    parts: tuple[VectorPart, ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def read(folder: Path) -> ModelFolder:
        """Raises ConfigError (field `model`) that lists everything that is wrong."""
        data = document(folder)
        if wrong := problems(data):
            raise ConfigError("model", f"{folder}/{FILE} cannot be read ({'; '.join(wrong)})")
        return _ADAPTER.validate_json(data)

    @property
    def height(self) -> int:
        return self.input.height

    @property
    def width(self) -> int:
        return self.input.width

    @property
    def fill(self) -> tuple[int, int, int]:
        return self.input.fill

    @property
    def score_outputs(self) -> dict[str, str]:
        """The output's name by label column, the scored column first."""
        scored = {self.label_column: self.outputs.scores} if self.labels else {}
        return scored | {column: head.output for column, head in self.heads.items()}

    def labels_of(self, column: str) -> tuple[str, ...]:
        """The labels of a scored column or a head, in the order of their scores."""
        return self.labels if column == self.label_column else self.heads[column].labels

    def as_json(self) -> str:
        """What model.json holds: only what is there."""
        unsaid = {"training": {}} if self.labels else {"training": {}, "label_column": ""}
        fields = _without_absent(asdict(self) | unsaid)
        training = {"training": self.training} if self.training else {}
        # `labels` stays where it is empty: readers of format 1 want it.
        return json.dumps(fields | {"labels": self.labels} | training, indent=2, ensure_ascii=False) + "\n"


def document(folder: Path) -> bytes:
    """The bytes of a folder's model.json. Raises ConfigError (field `model`)."""
    try:
        return (folder / FILE).read_bytes()
    except OSError as error:
        raise ConfigError("model", f"{folder} holds no readable {FILE} ({error.strerror})") from error


def problems(data: bytes) -> list[str]:
    """Everything that is wrong with the bytes of a model.json, each with the name of its field; [] if nothing is."""
    try:
        facts = _ADAPTER.validate_json(data)
    except ValidationError as error:
        return [_sentence(tuple(found["loc"]), found["msg"]) for found in error.errors(include_url=False)]
    return _contradictions(facts)


def fingerprint(path: Path) -> tuple[str, int]:
    """sha256 (hex) and size in bytes of a file. Raises ConfigError (field `model`) where it cannot be read."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, path.stat().st_size
    except OSError as error:
        raise ConfigError("model", f"{path} cannot be read ({error.strerror})") from error


def verified(folder: Path, variant: Variant) -> Path:
    """The path of a variant's file. Raises ConfigError (field `model`) where it is not the one that is described."""
    path = folder / variant.file
    if fingerprint(path)[0] != variant.sha256:
        raise ConfigError("model", f"{path.name} does not match the sha256 in {FILE}")
    return path


def _contradictions(facts: ModelFolder) -> list[str]:
    found = []
    if bool(facts.labels) != bool(facts.outputs.scores):
        found.append("labels: go with outputs.scores; one of them is missing")
    if facts.label_column in facts.heads:
        found.append(f"heads.{facts.label_column}: is the label_column, whose scores are outputs.scores")
    names = [
        name for name in (*asdict(facts.outputs).values(), *(head.output for head in facts.heads.values())) if name
    ]
    if len(set(names)) < len(names):
        found.append("outputs: two of them have the same name")
    if facts.parts and sum(part.dim for part in facts.parts) != facts.dim:
        found.append(f"parts: have {sum(part.dim for part in facts.parts)} dimensions together, dim is {facts.dim}")
    together = sum(part.weight for part in facts.parts)
    if facts.parts and abs(together - 1) > _SHARES_ERROR_MAX:
        found.append(f"parts: weigh {together:.3g} together; a weight is a share of the cosine, so it must be 1")
    return found


def _sentence(place: tuple[int | str, ...], message: str) -> str:
    where = ".".join(str(step) for step in place if step != "[key]") or FILE
    said = "is missing" if message == "Field required" else message
    return f"{where}: {said[0].lower()}{said[1:]}"


def _without_absent(value: Any) -> Any:
    """Without the fields that are empty."""
    if isinstance(value, Mapping):
        kept = {name: _without_absent(inner) for name, inner in value.items()}
        return {name: inner for name, inner in kept.items() if inner not in ("", None, [], {}, ())}
    return [_without_absent(inner) for inner in value] if isinstance(value, list | tuple) else value


_ADAPTER: Final = TypeAdapter(ModelFolder)
