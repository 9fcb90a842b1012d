"""Giving memory back: a server that swaps blocks of megabytes every second must not keep what it has dropped."""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
from typing import Final

import pyarrow as pa

# <malloc.h>: allocations of this size and more are mapped, and unmapped when freed. Without it glibc raises the
# threshold to 32 MiB at run time and keeps freed blocks in its heap.
_M_MMAP_THRESHOLD: Final = -3
_THRESHOLD_BYTES: Final = 1 << 20


def return_large_blocks() -> None:
    """From now on, freed blocks of 1 MiB and more go back to the system, numpy's and pyarrow's alike."""
    pa.set_memory_pool(pa.system_memory_pool())
    if sys.platform == "linux":
        ctypes.CDLL(ctypes.util.find_library("c")).mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES)
