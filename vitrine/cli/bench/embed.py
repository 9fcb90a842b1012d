"""vitrine bench embed: the embedder through gRPC against ONNX Runtime alone, on the same pictures, in one run."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from PIL import Image

from vitrine.cli import commands, console
from vitrine.cli.bench.load import EMBED_METHOD, run_load
from vitrine.cli.bench.machine import machine
from vitrine.cli.bench.stack import catalogue_of
from vitrine.cli.stack import StackSettings, running_stack
from vitrine.runtime.errors import ConfigError
from vitrine.stream.events import Upsert
from vitrine.v1 import embedder_pb2

ROUNDS: Final = 3
_PICTURES: Final = 512
_SECONDS: Final = 4.0
_EXIT_CONFIG: Final = 2


class Provider(StrEnum):
    """Where the model runs."""

    CPU = "cpu"
    CUDA = "cuda"


_ONNX_NAME: Final = {Provider.CPU: "CPUExecutionProvider", Provider.CUDA: "CUDAExecutionProvider"}
IN_FLIGHT_IMAGES: Final = {Provider.CPU: 32, Provider.CUDA: 64}
_BATCH_IMAGES: Final = {Provider.CPU: 32, Provider.CUDA: 64}


@dataclass(frozen=True)
class Round:
    """Images a second of one round: raw, and served in calls of one image and of eight, with decoding and without.

    `raw` is what `services.embedder.raw_rate` prints.
    """

    raw: dict[str, Any]
    single: float
    eights: float
    single_bare: float
    eights_bare: float

    @property
    def raw_bare(self) -> float:
        """The best raw rate without decoding, at any batch size."""
        return max(float(rate) for rate in self.raw["images_per_s_by_batch"].values())

    @property
    def raw_whole(self) -> float:
        return float(self.raw["raw_images_per_s"])


def bench_embed(
    data: Annotated[Path | None, typer.Option(help="catalogue: folder, .csv or .parquet; default: drawn")] = None,
    model: Annotated[Path, typer.Option(help="model folder")] = commands.DEFAULT_MODEL,
    provider: Annotated[Provider, typer.Option(help="cpu, or cuda: an NVIDIA GPU")] = Provider.CPU,
) -> None:
    """Images a second: raw, and through gRPC with 32 in flight (64 on a GPU), in calls of one image and of eight."""
    with _pictures(data) as folder, tempfile.TemporaryDirectory(prefix="vitrine-bench-") as run:
        rounds = []
        # In turn, so that a machine that slows down slows all of them; medians are reported.
        for number in range(ROUNDS):
            console.err.print(f"Round {number + 1} of {ROUNDS} …")
            rounds.append(_round(model, folder, Path(run) / str(number), provider))
    commands.print_json(_summary(rounds, provider))


def _round(model: Path, folder: Path, run: Path, provider: Provider) -> Round:
    raw = _raw(model, folder, provider)
    pictures = [path.read_bytes() for path in sorted(folder.iterdir())]
    nothing = [_picture_without_work()] * _PICTURES
    options = ("--providers", _ONNX_NAME[provider], "--max-batch-images", str(_BATCH_IMAGES[provider]))
    settings = StackSettings(run, model, embedder_only=True, embedder_options=options)
    expected, expected_bare = float(raw["raw_images_per_s"]), max(raw["images_per_s_by_batch"].values())
    in_flight = IN_FLIGHT_IMAGES[provider]
    with running_stack(settings) as stack:
        address = stack.addresses["embedder"].grpc
        return Round(
            raw,
            single=_served(address, pictures, 1, in_flight, expected),
            eights=_served(address, pictures, 8, in_flight, expected),
            single_bare=_served(address, nothing, 1, in_flight, expected_bare),
            eights_bare=_served(address, nothing, 8, in_flight, expected_bare),
        )


def _summary(rounds: Sequence[Round], provider: Provider) -> dict[str, Any]:
    def median(rates: Sequence[float], digits: int = 1) -> float:
        return round(float(np.median(rates)), digits)

    sizes = rounds[0].raw["images_per_s_by_batch"]
    steps = {
        name: median([found.raw[f"{name}_ms"] for found in rounds], 5) for name in ("decode", "transfer", "compute")
    }
    return {
        "bench": "embed",
        "provider": provider.value,
        "variant": rounds[0].raw["variant"],
        "raw_images_per_s": median([found.raw_whole for found in rounds]),
        "grpc_images_per_s": median([found.single for found in rounds]),
        "grpc_images_per_s_calls_of_8": median([found.eights for found in rounds]),
        "grpc_to_raw": median([found.single / found.raw_whole for found in rounds], 3),
        "grpc_to_raw_calls_of_8": median([found.eights / found.raw_whole for found in rounds], 3),
        "without_decode": {
            "raw_images_per_s_by_batch": {
                size: median([found.raw["images_per_s_by_batch"][size] for found in rounds]) for size in sizes
            },
            "grpc_images_per_s": median([found.single_bare for found in rounds]),
            "grpc_images_per_s_calls_of_8": median([found.eights_bare for found in rounds]),
            "grpc_to_raw": median([found.single_bare / found.raw_bare for found in rounds], 3),
            "grpc_to_raw_calls_of_8": median([found.eights_bare / found.raw_bare for found in rounds], 3),
        },
        "time_share": {name: round(took_ms / sum(steps.values()), 3) for name, took_ms in steps.items()},
        "in_flight_images": IN_FLIGHT_IMAGES[provider],
        "machine": machine() | _card(provider),
    }


@contextmanager
def _pictures(data: Path | None) -> Iterator[Path]:
    """A folder of up to 512 pictures of the catalogue."""
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as name:
        folder = Path(name)
        catalogue = catalogue_of(data, folder)
        inline = (
            image.data
            for item in catalogue.items()
            if isinstance(item, Upsert)
            for image in item.images
            if image.data is not None
        )
        target = folder / "pictures"
        target.mkdir()
        for number, picture in enumerate(islice(inline, _PICTURES)):
            (target / f"{number:05d}").write_bytes(picture)
        yield target


def _picture_without_work() -> bytes:
    """The smallest PNG: what is left of decoding it, enlarging one pixel, counts against the service."""
    out = io.BytesIO()
    Image.new("RGB", (1, 1), "white").save(out, "PNG")
    return out.getvalue()


def _raw(model: Path, pictures: Path, provider: Provider) -> dict[str, Any]:
    """What `services.embedder.raw_rate` prints. Raises ConfigError (`provider`) where it cannot run there."""
    command = [sys.executable, "-m", "services.embedder.raw_rate", "--provider", provider.value]
    options = ["--model", str(model), "--pictures", str(pictures), "--seconds", str(_SECONDS)]
    batch = ["--batch-images", str(_BATCH_IMAGES[provider])]
    answer = subprocess.run([*command, *options, *batch], check=False, capture_output=True, text=True)
    if answer.returncode == _EXIT_CONFIG:
        raise ConfigError("provider", f"{provider.value} cannot run {model} ({answer.stderr.strip().splitlines()[-1]})")
    answer.check_returncode()
    rates: dict[str, Any] = json.loads(answer.stdout)
    return rates


def _served(
    address: str, pictures: Sequence[bytes], images_a_call: int, in_flight_images: int, expected_per_s: float
) -> float:
    requests = [
        embedder_pb2.EmbedRequest(
            images=[embedder_pb2.ImageInput(data=data) for data in pictures[at : at + images_a_call]]
        ).SerializeToString()
        for at in range(0, len(pictures) - images_a_call + 1, images_a_call)
    ]
    calls = int(expected_per_s * _SECONDS / images_a_call)
    load = run_load(address, EMBED_METHOD, requests, in_flight_images // images_a_call, calls)
    return load.per_s * images_a_call


def _card(provider: Provider) -> dict[str, str]:
    """The GPU's name, as its driver gives it."""
    if provider is Provider.CPU:
        return {}
    asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(asked, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return {"card": "unknown"}
    return {"card": answer.stdout.strip().splitlines()[0]}
