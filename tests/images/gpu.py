"""Builds the embedder's image for GPUs and checks, without one, that only the driver is missing in it.

    python -m tests.images.gpu

It fetches and unpacks gigabytes: `make images-gpu-check`, by hand. deploy/docker/README.md holds what it last printed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.images.engine import ROOT, image, missing, running_engine

# Run in the image. The library is opened as ONNX Runtime opens it; ldd tells what else would be missing.
_CHECK: Final = """
import ctypes, importlib.metadata, pathlib, subprocess
import onnxruntime as ort
from onnxruntime.capi import build_and_package_info as built

ort.preload_dlls()
folder = pathlib.Path(ort.__file__).parent
provider = folder / "capi/libonnxruntime_providers_cuda.so"
try:
    ctypes.CDLL(str(folder / "capi/libonnxruntime_providers_shared.so"), ctypes.RTLD_GLOBAL)
    ctypes.CDLL(str(provider))
except OSError as error:
    print("opened:", error)

paths = ":".join(sorted({str(library.parent) for library in (folder.parent / "nvidia").rglob("*.so*")}))
lines = subprocess.run(["ldd", provider], env={"LD_LIBRARY_PATH": paths}, capture_output=True, text=True).stdout
print("missing:", *sorted(line.split()[0] for line in lines.splitlines() if "not found" in line))
print("available:", *ort.get_available_providers())
print("built with CUDA", built.cuda_version)
for name in ("onnxruntime-gpu", "nvidia-cuda-runtime", "nvidia-cublas", "nvidia-cudnn-cu13"):
    print(name, importlib.metadata.version(name))
"""


def main() -> int:
    if reason := missing():
        print(reason, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="vitrine-gpu-") as folder, running_engine(Path(folder)) as engine:
        engine.make_base()
        began_s = time.monotonic()
        engine.build("embedder-gpu")
        print(f"built in {time.monotonic() - began_s:.0f} s")
        said = engine.python("embedder-gpu", _CHECK)
        print(said)
        sizes = [sys.executable, str(ROOT / "deploy/docker/sizes.py"), image("embedder-gpu")]
        subprocess.run(sizes, env=engine.environment, check=True)
    return 0 if "missing: libcuda.so.1\n" in said and "opened: libcuda.so.1: " in said else 1


if __name__ == "__main__":
    sys.exit(main())
