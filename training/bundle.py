"""The model folder: model.json and the files it vouches for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from training.data import PICTURE_PX
from training.evaluate import Report
from training.export import Agreement
from training.network import DIM, Network
from training.train import Run
from vitrine.runtime.errors import ConfigError

FORMAT_VERSION: Final = 1
INT8_FILE: Final = "model.int8.onnx"
INT8_VARIANT: Final = "cpu-int8"
INPUT: Final[Mapping[str, object]] = {
    "name": "images",
    "height": PICTURE_PX,
    "width": PICTURE_PX,
    "layout": "NHWC",
    "dtype": "uint8",
    "resize": "letterbox",
    "fill": [255, 255, 255],
}


@dataclass(frozen=True)
class TrainingFacts:
    """Where a model comes from. `date` ISO 8601; `source`: who publishes the data and on which terms.

    `runs`: at least one; each later one went on from the weights of the one before.
    """

    dataset: str
    source: str
    rows: int
    runs: tuple[Run, ...]
    date: str


@dataclass(frozen=True)
class Bundle:
    """An opened model folder."""

    path: Path
    labels: tuple[str, ...]


def model_id(network: Network) -> str:
    """sha256 hex over the fp32 weights, in name order, and the preprocessing: equal ids give equal vectors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    digest.update(json.dumps(INPUT, sort_keys=True, separators=(",", ":")).encode())
    return digest.hexdigest()


def write(
    folder: Path, network: Network, labels: tuple[str, ...], agreement: Agreement, facts: TrainingFacts, report: Report
) -> dict[str, Any]:
    """model.json for the int8 file that lies in `folder`, named after the folder. Returns what it holds."""
    int8 = folder / INT8_FILE
    document = {
        "format_version": FORMAT_VERSION,
        "name": folder.resolve().name,
        "model_id": model_id(network),
        "input": INPUT,
        "outputs": {"vector": "vector", "scores": "scores"},
        "dim": DIM,
        "labels": list(labels),
        "variants": {INT8_VARIANT: {"file": INT8_FILE, **_fingerprint(int8), **_rounded(agreement)}},
        "training": {
            "dataset": facts.dataset,
            "rows": facts.rows,
            "epochs": sum(run.epochs for run in facts.runs),
            "seed": facts.runs[-1].seed,
            "date": facts.date,
            "test": {"clean": report.clean.as_json(), "composed": report.composed.as_json()},
        },
    }
    (folder / "model.json").write_text(json.dumps(document, indent=2) + "\n")
    return document


def open_int8(folder: Path) -> Bundle:
    """The int8 file of a model folder. Raises ConfigError where a file is missing or not the one described."""
    try:
        document = json.loads((folder / "model.json").read_text())
        variant, labels = document["variants"][INT8_VARIANT], tuple(document["labels"])
        path = folder / variant["file"]
        fingerprint = _fingerprint(path)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError("model", f"{folder} is not a model folder ({error})") from error
    if fingerprint["sha256"] != variant["sha256"]:
        raise ConfigError("model", f"{path} is not the file that model.json describes: its sha256 differs")
    return Bundle(path, labels)


def _fingerprint(path: Path) -> dict[str, object]:
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def _rounded(agreement: Agreement) -> dict[str, float]:
    return {
        "cosine_to_fp32_mean": round(agreement.cosine_mean, 5),
        "cosine_to_fp32_min": round(agreement.cosine_min, 5),
        "overlap_at_10": round(agreement.overlap_at_10, 4),
    }
