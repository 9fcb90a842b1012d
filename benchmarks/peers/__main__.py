"""python -m benchmarks.peers: Vitrine beside Chroma, LanceDB, Milvus Lite, hnswlib, Annoy and a scan, in one run.

Writes peers.json, peers.md and peers.svg; the last line printed is JSON with the ratios of ours to Chroma's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.peers import measure, summary
from benchmarks.peers.environment import PLOT_PACKAGES, prepared
from benchmarks.peers.processes import ClientFailed
from benchmarks.peers.systems import SYSTEMS
from vitrine.cli.bench.machine import machine
from vitrine.cli.bench.vector_set import VectorSet
from vitrine.cli.bench.vectors import FACTS
from vitrine.cli.commands import DEFAULT_MODEL, stop_signals
from vitrine.runtime.errors import VitrineError
from vitrine.vectors import unit

EXIT_FAILED = 1
EXIT_STOPPED = 130


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=Path, default=Path("run/bench/vectors"), help="of `vitrine bench vectors`")
    parser.add_argument("--rows", type=int, default=39_507, help="so many of them, from the first on")
    parser.add_argument("--environment", type=Path, default=Path("run/bench/peers-venv"), help="made where absent")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load in each round")
    chosen = parser.parse_args()
    with stop_signals():
        try:
            return run(chosen)
        except (ClientFailed, VitrineError) as error:
            print(f"bench-peers: {error}", file=sys.stderr)
            return EXIT_FAILED
    return EXIT_STOPPED


def run(chosen: argparse.Namespace) -> int:
    vector_set = VectorSet.open(chosen.vectors, chosen.rows)
    vectors = unit(vector_set.vectors.astype(np.float32))
    plan = measure.planned(vectors, vector_set.queries, DEFAULT_MODEL, chosen.rounds, chosen.seconds)
    environment = prepared(chosen.environment, [*(s.packages for s in SYSTEMS if s.packages), PLOT_PACKAGES])
    with tempfile.TemporaryDirectory(prefix="vitrine-peers-") as folder:
        systems, missing = measure.measured(plan, environment, Path(folder))
    facts = chosen.vectors / FACTS
    result = {
        "bench": "peers",
        "rows": len(vectors),
        "dim": vectors.shape[1],
        "k": measure.K,
        "recall_target": measure.RECALL_TARGET,
        "recall_rule": measure.RECALL_RULE,
        "rounds": chosen.rounds,
        "seconds": chosen.seconds,
        "curve_threads": measure.CURVE_THREADS,
        "systems": systems,
        "missing": missing,
        "ratios": summary.ratios(systems),
        "vectors": json.loads(facts.read_bytes()) if facts.is_file() else None,
        "machine": machine(),
    }
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "peers.json").write_text(json.dumps(result, indent=1) + "\n")
    (chosen.out / "peers.md").write_text(summary.table(result))
    plot = ["-m", "benchmarks.peers.plot", chosen.out / "peers.json", chosen.out / "peers.svg"]
    subprocess.run([environment.python, *plot], check=True, cwd=measure.ROOT)
    print(summary.table(result), file=sys.stderr)
    print(json.dumps(result["ratios"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
