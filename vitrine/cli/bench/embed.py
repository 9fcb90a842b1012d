"""vitrine bench embed: the embedder through gRPC against ONNX Runtime alone, on the same pictures, in one run."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer

from vitrine.cli import commands, console
from vitrine.cli.bench.load import EMBED_METHOD, run_load
from vitrine.cli.bench.machine import machine
from vitrine.cli.bench.stack import catalogue_of
from vitrine.cli.stack import StackSettings, running_stack
from vitrine.stream.events import Upsert
from vitrine.v1 import embedder_pb2

IN_FLIGHT_IMAGES: Final = 32
ROUNDS: Final = 3
_PICTURES: Final = 512
_SECONDS: Final = 4.0


def bench_embed(
    data: Annotated[Path | None, typer.Option(help="catalogue: folder, .csv or .parquet; default: drawn")] = None,
    model: Annotated[Path, typer.Option(help="model folder")] = commands.DEFAULT_MODEL,
) -> None:
    """Images a second: raw, and through gRPC with 32 in flight, in calls of one image and of eight."""
    with _pictures(data) as folder, tempfile.TemporaryDirectory(prefix="vitrine-bench-") as run:
        pictures = [path.read_bytes() for path in sorted(folder.iterdir())]
        raw, single, eights = [], [], []
        # In turn, so that a machine that slows down slows all of them; medians are reported.
        for number in range(ROUNDS):
            console.err.print(f"Round {number + 1} of {ROUNDS} …")
            raw.append(_raw(model, folder))
            with running_stack(StackSettings(Path(run) / str(number), model, embedder_only=True)) as stack:
                address = stack.addresses["embedder"].grpc
                single.append(_served(address, pictures, 1, raw[-1]))
                eights.append(_served(address, pictures, 8, raw[-1]))
    raw_rate, single_rate, eights_rate = (float(np.median(rates)) for rates in (raw, single, eights))
    commands.print_json(
        {
            "bench": "embed",
            "raw_images_per_s": round(raw_rate, 1),
            "grpc_images_per_s": round(single_rate, 1),
            "grpc_images_per_s_calls_of_8": round(eights_rate, 1),
            "grpc_to_raw": round(float(np.median(np.array(single) / raw)), 3),
            "grpc_to_raw_calls_of_8": round(float(np.median(np.array(eights) / raw)), 3),
            "in_flight_images": IN_FLIGHT_IMAGES,
            "machine": machine(),
        }
    )


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


def _raw(model: Path, pictures: Path) -> float:
    command = [sys.executable, "-m", "services.embedder.raw_rate"]
    options = ["--model", str(model), "--pictures", str(pictures), "--seconds", str(_SECONDS)]
    answer = subprocess.run([*command, *options], check=True, capture_output=True, text=True)
    return float(json.loads(answer.stdout)["raw_images_per_s"])


def _served(address: str, pictures: Sequence[bytes], images_a_call: int, expected_per_s: float) -> float:
    requests = [
        embedder_pb2.EmbedRequest(
            images=[embedder_pb2.ImageInput(data=data) for data in pictures[at : at + images_a_call]]
        ).SerializeToString()
        for at in range(0, len(pictures) - images_a_call + 1, images_a_call)
    ]
    calls = int(expected_per_s * _SECONDS / images_a_call)
    load = run_load(address, EMBED_METHOD, requests, IN_FLIGHT_IMAGES // images_a_call, calls)
    return load.per_s * images_a_call
