"""Giving memory back: a server that swaps blocks of megabytes every second must not keep what it has dropped."""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
from functools import cache
from typing import Final

# <malloc.h>: allocations of this size and more are mapped, and unmapped when freed. Without it glibc raises the
# threshold to 32 MiB at run time and keeps freed blocks in its heap.
_M_MMAP_THRESHOLD: Final = -3
_THRESHOLD_BYTES: Final = 4 << 20
# Each arena keeps freed memory of its own, and glibc makes eight a core.
_M_ARENA_MAX: Final = -8
_ARENAS: Final = 2


def return_large_blocks() -> None:
    """From now on, freed blocks of 1 MiB and more go back to the system, numpy's and pyarrow's alike."""
    # Not imported here: 26 MB of memory, and 80 of an image, that gateway, embedder and page have no other use for.
    if arrow := sys.modules.get("pyarrow"):
        arrow.set_memory_pool(arrow.system_memory_pool())
    if libc := _glibc():
        libc.mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES)
        libc.mallopt(_M_ARENA_MAX, _ARENAS)


def return_what_is_free() -> None:
    """Gives freed small blocks back too. Takes milliseconds: for when much has been dropped."""
    if libc := _glibc():
        libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(ctypes.util.find_library("c"))
    return library if hasattr(library, "malloc_trim") else None
