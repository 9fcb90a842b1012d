"""Pictures of a source → pixels, on all cores."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from training.data.sources import Source
from vitrine import images
from vitrine.runtime.cores import usable_cores
from vitrine.runtime.errors import BadImage
from vitrine.tables import picture_bytes

_BLOCK_ROWS: Final = 128


@dataclass(frozen=True)
class Decoded:
    """The readable ones of some rows."""

    pixels: npt.NDArray[np.uint8]
    """Shape (n, px, px, 3)."""
    rows: npt.NDArray[np.int64]
    """Of the source, shape (n,)."""
    digests: npt.NDArray[np.object_]
    """SHA-256 of each picture's bytes, shape (n,)."""
    unreadable: Mapping[int, str]
    """Why, by row of the source."""


def decoded(source: Source, rows: npt.NDArray[np.int64], px: int) -> Decoded:
    """The pictures at `rows`, int64 (m,), letterboxed on white."""
    pixels = np.empty((len(rows), px, px, 3), dtype=np.uint8)
    digests = np.full(len(rows), b"", dtype=object)
    unreadable: dict[int, str] = {}

    def decode(place: int) -> None:
        row = int(rows[place])
        try:
            data = _data(source, row)
            pixels[place] = images.pixels(data, px, px)
            digests[place] = hashlib.sha256(data).digest()
        except BadImage as error:
            unreadable[row] = error.reason

    _for_each(len(rows), decode)
    if not unreadable:
        return Decoded(pixels, rows, digests, unreadable)
    readable = ~np.isin(rows, list(unreadable))
    return Decoded(pixels[readable], rows[readable], digests[readable], unreadable)


def digests(source: Source, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
    """SHA-256 of the bytes of the pictures at `rows`, int64 (m,); b"" where they cannot be read. Shape (m,)."""
    found = np.full(len(rows), b"", dtype=object)

    def digest(place: int) -> None:
        try:
            found[place] = hashlib.sha256(_data(source, int(rows[place]))).digest()
        except BadImage:
            return  # decoding will meet it again, and count it

    _for_each(len(rows), digest)
    return found


def _data(source: Source, row: int) -> bytes:
    """Raises BadImage."""
    picture = source.picture(row)
    if isinstance(picture, str):
        raise BadImage(f"is an address ({picture}), not bytes or a file")
    try:
        return picture_bytes(picture)
    except OSError as error:
        raise BadImage(f"cannot be read ({error.strerror})") from error


def _for_each(count: int, work: Callable[[int], None]) -> None:
    """Calls work(0) … work(count - 1) from several threads: Pillow and hashlib let go of the lock while they work."""

    def block(start: int) -> None:
        for place in range(start, min(start + _BLOCK_ROWS, count)):
            work(place)

    # Decoding sets the process's filter of warnings for a moment. Threads that do so at a time may leave it behind and
    # miss it in between, so it is set and restored here too.
    with warnings.catch_warnings(), ThreadPoolExecutor(usable_cores(), thread_name_prefix="decode") as threads:
        warnings.filterwarnings("ignore", module=r"PIL\.")
        for _ in threads.map(block, range(0, count, _BLOCK_ROWS)):
            pass  # asking for the results raises what a thread has raised
