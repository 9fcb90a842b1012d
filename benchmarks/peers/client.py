"""python -m benchmarks.peers.client SYSTEM …: the process that asks one system, told what to do line by line.

Fills or opens the system, says {"ready": …}, then answers each JSON line on stdin with one on stdout, until stdin ends.
Runs with the interpreter of the system, so it imports nothing of vitrine's.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import backends
from benchmarks.peers.load import run_load


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("system")
    parser.add_argument("--package", default="", help="whose version is said")
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--address", default="")
    chosen = parser.parse_args()
    # Libraries may print what they like; the answers have a way of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    queries = np.load(chosen.queries)
    began = time.perf_counter()
    backend = backends.opened(chosen.system, np.load(chosen.vectors), chosen.folder, chosen.address)
    ready = {
        "build_s": time.perf_counter() - began,
        "version": importlib.metadata.version(chosen.package) if chosen.package else "",
        "grid": list(backend.grid),
        "batches": backend.batches,
    }
    print(json.dumps({"ready": ready}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(_answered(backend, queries, json.loads(line))), file=answers, flush=True)


def _answered(backend: backends.Backend, queries: backends.Vectors, asked: dict[str, Any]) -> dict[str, Any]:
    match asked["do"]:
        case "use":
            backend.use(asked["settings"])
            return {}
        case "search":
            k, chosen = asked["k"], queries[asked["first"] : asked["end"]]
            rows = [backend.search(chosen[place : place + 1], k)[0] for place in range(len(chosen))]
            return {"rows": [[int(row) for row in found] for found in rows]}
        case "load":
            k, threads, batch = asked["k"], asked["threads"], asked["batch"]
            return asdict(run_load(lambda part: backend.search(part, k), queries, threads, batch, asked["seconds"]))
    raise ValueError(asked["do"])


if __name__ == "__main__":
    main()
