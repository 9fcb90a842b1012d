"""python -m services.embedder.raw_rate: what ONNX Runtime does with a model when nothing stands in between.

The yardstick for the service: the same pictures, decoded with the same code in as many threads, in batches of the
same size. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from services.embedder.model import Model, Pixels
from vitrine import images
from vitrine.runtime.cores import usable_cores


def raw_images_per_s(model: Model, pictures: Sequence[bytes], batch_images: int, seconds: float) -> float:
    """Images a second, decoding included: the next batch is decoded while one runs."""
    facts = model.facts

    def decoded(picture: bytes) -> Pixels:
        return images.pixels(picture, facts.height, facts.width, fill=facts.fill)

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--batch-images", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0)
    chosen = parser.parse_args()
    model = Model.load(chosen.model, ["CUDAExecutionProvider", "CPUExecutionProvider"], threads=usable_cores())
    model.warm([chosen.batch_images])
    pictures = [path.read_bytes() for path in sorted(chosen.pictures.iterdir())]
    rate = raw_images_per_s(model, pictures, chosen.batch_images, chosen.seconds)
    print(json.dumps({"raw_images_per_s": round(rate, 1)}))  # noqa: T201  (the result)


if __name__ == "__main__":
    main()
