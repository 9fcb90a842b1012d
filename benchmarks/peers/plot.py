"""python -m benchmarks.peers.plot RESULT.json PICTURE.svg: recall against queries a second. Needs matplotlib."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "peers"  # the same figures, the same file

from matplotlib import pyplot as plt  # noqa: E402  (after the choice of how to draw)


def main() -> None:
    result = json.loads(Path(sys.argv[1]).read_bytes())
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for name, system in result["systems"].items():
        points = sorted((point["recall_at_10"], point["qps"]) for point in system["curve"])
        recalls, rates = zip(*points, strict=True)
        axes.plot(recalls, rates, marker="o", markersize=4, label=name)
    axes.axvline(result["recall_target"], color="grey", linewidth=0.8, linestyle=":")
    axes.set(
        xlabel="recall@10",
        ylabel=f"queries/s, {result['curve_threads']} client threads",
        yscale="log",
        title=f"{result['rows']:,} × {result['dim']} vectors, 2 cores, load generator included"
        if result["machine"]["cores"] == 2
        else f"{result['rows']:,} × {result['dim']} vectors",
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(sys.argv[2], metadata={"Date": None})


if __name__ == "__main__":
    main()
