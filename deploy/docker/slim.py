"""Takes out of a folder of installed packages what no service runs.

    slim.py FOLDER

Tests, headers and sources for compilers, types for checkers, libraries that nothing here loads, symbols for debuggers.
The images' tests start every service on what is left.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_FOLDERS: Final = ("tests", "pyarrow/include", "pyarrow/src", "numpy/_core/include", "numpy/f2py", "numpy/distutils")
_SUFFIXES: Final = frozenset({".a", ".c", ".cc", ".cpp", ".cu", ".h", ".hpp", ".pxd", ".pxi", ".pyi", ".pyx"})
_LIBRARIES: Final = (
    # Arrow's own clients: objects are fetched by obstore, and no service speaks Flight.
    "pyarrow/libarrow_flight.so.*",
    "pyarrow/libarrow_python_flight.so*",
    "pyarrow/libarrow_s3.so.*",
    "pyarrow/_flight.*.so",
    "pyarrow/_s3fs.*.so",
    # The same file under two more names, for compilers: what is linked here names libarrow_python.so.<major>.
    "pyarrow/libarrow_python.so",
    "pyarrow/libarrow_python.so.*.*.*",
    "pyarrow/libarrow_python_parquet_encryption.so",
    "pyarrow/libarrow_python_parquet_encryption.so.*.*.*",
    # For programs in C: Python's module holds the runtime itself.
    "onnxruntime/capi/libonnxruntime.so.*",
    "onnxruntime/capi/libonnxruntime_providers_tensorrt.so",  # TensorRT itself is not there
    "onnxruntime/transformers",
    "onnxruntime/quantization",
    "onnxruntime/tools",
)


def slim(folder: Path) -> None:
    for unused in list(_unused(folder)):
        if unused.is_dir():
            shutil.rmtree(unused, ignore_errors=True)
        else:
            unused.unlink(missing_ok=True)
    for library in list(_strippable(folder)):
        subprocess.run(["strip", "--strip-unneeded", library], check=True)


def _unused(folder: Path) -> Iterator[Path]:
    for name in _FOLDERS:
        yield from (found for found in folder.rglob(name) if found.is_dir())
    for pattern in _LIBRARIES:
        yield from folder.glob(pattern)
    yield from (found for found in folder.rglob("*") if found.suffix in _SUFFIXES)


def _strippable(folder: Path) -> Iterator[Path]:
    """Not those in `*.libs` and of nvidia: they are stripped, or were rewritten in a way that strip would break."""
    for library in folder.rglob("*.so*"):
        kept = any(part.endswith(".libs") or part == "nvidia" for part in library.parts)
        if not kept and library.is_file() and not library.is_symlink():
            yield library


if __name__ == "__main__":
    slim(Path(sys.argv[1]))
