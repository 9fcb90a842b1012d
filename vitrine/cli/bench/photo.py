"""vitrine bench photo: a shopper's photo goes in, products come out; what that takes, with the bundled model."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Final

import grpc
import numpy as np
import typer
from PIL import Image

from vitrine import sample
from vitrine.cli import commands, console
from vitrine.cli.bench.machine import machine
from vitrine.cli.bench.results import Out, say
from vitrine.cli.bench.stack import bench_stack, catalogue_of, filled
from vitrine.runtime.channels import CHANNEL_OPTIONS
from vitrine.v1 import gateway_pb2, gateway_pb2_grpc

SIZE: Final = (800, 1000)
PHOTOS: Final = 200
ROUNDS: Final = 3
_PARTITIONS: Final = 2
_WARM_UP: Final = 10
_TIMEOUT_S: Final = 10.0

Request = Callable[[bytes], gateway_pb2.SearchRequest]


def bench_photo(
    data: Annotated[Path | None, typer.Option(help="catalogue: folder, .csv or .parquet; default: drawn")] = None,
    model: Annotated[Path, typer.Option(help="model folder")] = commands.DEFAULT_MODEL,
    out: Out = None,
) -> None:
    """One client searches with JPEGs of 800 × 1000, none twice; then as AUTO, with PREDICT, and some once more."""
    ways: dict[str, Request] = {
        "whole": lambda photo: gateway_pb2.SearchRequest(image=photo),
        "auto_crop": lambda photo: gateway_pb2.SearchRequest(image=photo, crop_mode=gateway_pb2.CROP_MODE_AUTO),
        "predicted_category": lambda photo: gateway_pb2.SearchRequest(
            image=photo, category_mode=gateway_pb2.CATEGORY_MODE_PREDICT
        ),
    }
    with bench_stack(model, _PARTITIONS) as (stack, folder):
        report = filled(stack, folder, catalogue_of(data, folder))
        console.err.print("Drawing photos …")
        drawn = [photo.picture for photo in sample.queries(sample.catalogue(), PHOTOS)]
        with grpc.insecure_channel(stack.gateway, options=CHANNEL_OPTIONS) as channel:
            stub = gateway_pb2_grpc.VisualSearchStub(channel)
            rounds = [_round(stub, ways, drawn, number) for number in range(ROUNDS)]
    figures = {
        name: {key: round(float(np.median([found[name][key] for found in rounds])), 2) for key in rounds[0][name]}
        for name in rounds[0]
    }
    say(
        {
            "bench": "photo",
            "images": report.images,
            "photo_px": SIZE,
            "photos": PHOTOS,
            "rounds": ROUNDS,
            **figures,
            "machine": machine(),
        },
        out,
    )


def _round(
    stub: gateway_pb2_grpc.VisualSearchStub, ways: dict[str, Request], drawn: Sequence[bytes], number: int
) -> dict[str, dict[str, float]]:
    """Milliseconds of each way. Photos are encoded anew, so that none is known yet."""
    console.err.print(f"Round {number + 1} of {ROUNDS} …")
    found = {}
    for place, (name, request) in enumerate(ways.items()):
        photos = [_photo(picture, quality=70 + 3 * number + place) for picture in drawn]
        for photo in photos[:_WARM_UP]:
            _asked_ms(stub, request(photo))
        fresh = photos[_WARM_UP:]
        found[name] = _percentiles([_asked_ms(stub, request(photo)) for photo in fresh])
        if name == "whole":
            found["whole_again"] = _percentiles([_asked_ms(stub, request(photo)) for photo in fresh])
    return found


def _asked_ms(stub: gateway_pb2_grpc.VisualSearchStub, request: gateway_pb2.SearchRequest) -> float:
    started = time.perf_counter()
    stub.Search(request, timeout=_TIMEOUT_S)
    return (time.perf_counter() - started) * 1_000


def _photo(picture: bytes, quality: int) -> bytes:
    """The picture as a telephone would send it. JPEG."""
    out = io.BytesIO()
    Image.open(io.BytesIO(picture)).resize(SIZE, Image.Resampling.BICUBIC).save(out, "JPEG", quality=quality)
    return out.getvalue()


def _percentiles(times_ms: Sequence[float]) -> dict[str, float]:
    return {"p50_ms": float(np.percentile(times_ms, 50)), "p99_ms": float(np.percentile(times_ms, 99))}
