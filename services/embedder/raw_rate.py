"""python -m services.embedder.raw_rate: what ONNX Runtime does with a model when nothing stands in between.

The yardstick for the service: the same pictures, decoded with the same code in as many threads, in batches of the
same size. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from services.embedder.contract import Pixels
from services.embedder.model import Model, batch_sizes
from vitrine import images
from vitrine.model_folder import ModelFolder
from vitrine.runtime.cores import usable_cores
from vitrine.runtime.errors import ConfigError

PROVIDERS: Final = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
MAX_BATCH_IMAGES: Final = {"cpu": 64, "cuda": 256}
_SWEEP_S: Final = 0.5


@dataclass(frozen=True)
class RawRates:
    """Images a second with decoding, and without by batch size.

    `*_ms`: what one image of a full batch takes in each step when the steps run one after another, each with all
    cores. Transfer is to the GPU and back; there is none on a CPU.
    """

    variant: str
    raw_images_per_s: float
    images_per_s_by_batch: dict[int, float]
    decode_ms: float
    transfer_ms: float
    compute_ms: float


def measured(
    model: Model, pictures: Sequence[bytes], batch_images: int, max_batch_images: int, seconds: float
) -> RawRates:
    """All rates of a model on some encoded pictures, at least `batch_images` of them."""
    with ThreadPoolExecutor(usable_cores()) as threads:
        decoded = partial(_decoded, facts=model.facts)
        batch = np.stack(list(threads.map(decoded, pictures[:batch_images])))
        decode_ms = _ms(lambda: list(threads.map(decoded, pictures[:batch_images])), _SWEEP_S) / batch_images
    by_batch = {}
    for size in batch_sizes(max_batch_images):
        pixels = np.resize(batch, (size, *batch.shape[1:]))
        by_batch[size] = round(size * 1000 / _ms(partial(model.run, pixels), _SWEEP_S), 1)
    whole_ms = _ms(partial(model.run, batch), _SWEEP_S) / batch_images
    # On a CPU the pixels are where they are needed; a difference would be noise.
    on_gpu = model.provider == PROVIDERS["cuda"]
    compute_ms = _ms(model.resident(batch), _SWEEP_S) / batch_images if on_gpu else whole_ms
    return RawRates(
        variant=model.variant,
        raw_images_per_s=round(raw_images_per_s(model, pictures, batch_images, seconds), 1),
        images_per_s_by_batch=by_batch,
        decode_ms=round(decode_ms, 5),
        transfer_ms=round(max(0.0, whole_ms - compute_ms), 5),
        compute_ms=round(compute_ms, 5),
    )


def raw_images_per_s(model: Model, pictures: Sequence[bytes], batch_images: int, seconds: float) -> float:
    """Images a second, decoding included: the next batch is decoded while one runs."""
    decoded = partial(_decoded, facts=model.facts)
    with ThreadPoolExecutor(usable_cores()) as threads:
        chunks = [pictures[at : at + batch_images] for at in range(0, len(pictures) - batch_images + 1, batch_images)]
        waiting = [threads.submit(decoded, picture) for picture in chunks[0]]
        done, started = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - started) < seconds:
            batch = np.stack([future.result() for future in waiting])
            waiting = [threads.submit(decoded, picture) for picture in chunks[done // batch_images % len(chunks)]]
            model.run(batch)
            done += len(batch)
        for future in waiting:
            future.result()
    return done / elapsed


def _decoded(picture: bytes, facts: ModelFolder) -> Pixels:
    return images.pixels(picture, facts.height, facts.width, fill=facts.fill)


def _ms(work: Callable[[], object], seconds: float) -> float:
    """Milliseconds that `work` takes: the median of as many times as fit, and of three at least."""
    work()
    times_ms: list[float] = []
    ends_s = time.perf_counter() + seconds
    while len(times_ms) < 3 or time.perf_counter() < ends_s:
        started = time.perf_counter()
        work()
        times_ms.append((time.perf_counter() - started) * 1000)
    return float(np.median(times_ms))


def main() -> int:
    """Exit code 0, or 2 where the model or the provider cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--provider", choices=sorted(PROVIDERS), default="cpu")
    parser.add_argument("--batch-images", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0)
    chosen = parser.parse_args()
    try:
        model = Model.load(chosen.model, [PROVIDERS[chosen.provider]], threads=usable_cores())
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201  (read by whoever started this)
        return 2
    pictures = [path.read_bytes() for path in sorted(chosen.pictures.iterdir())]
    rates = measured(model, pictures, chosen.batch_images, MAX_BATCH_IMAGES[chosen.provider], chosen.seconds)
    print(json.dumps(asdict(rates)))  # noqa: T201  (the result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
