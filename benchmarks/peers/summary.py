"""What the rounds say: medians, ratios of ours to Chroma's, and a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from benchmarks.peers.systems import CHROMA, VITRINE

Measured = dict[str, Any]

_HEAD: Final = (
    "system", "searched", "settings", "recall@10", "1 thread: q/s", "p50 ms", "16 threads: q/s", "p50 ms", "p99 ms",
    "CPU-s / 1,000", "batches of 64: q/s", "CPU-s / 1,000",
)  # fmt: skip


def load_of(rounds: Sequence[Measured]) -> Measured:
    """Medians over the rounds of one load. `cpu_s_per_1000` may be None where the system does not say."""
    figures: Measured = {"rounds": list(rounds)}
    for name in ("qps", "p50_ms", "p99_ms", "cpu_s_per_1000"):
        known = [found[name] for found in rounds if found[name] is not None]
        figures[name] = round(float(np.median(known)), 3) if known else None
    return figures


def best_batches(loads: dict[str, Measured]) -> Measured | None:
    """The better of the loads with batches, by queries a second; None if there is none."""
    batched = [load for name, load in loads.items() if name.startswith("batch64")]
    return max(batched, key=lambda load: float(load["qps"]), default=None)


def ratios(systems: dict[str, Measured]) -> dict[str, float | None]:
    """Ours over Chroma's; `recall_at_10` is ours. None for a load that one of the two has not."""
    ours, theirs = systems[VITRINE.name], systems[CHROMA.name]
    batches = (best_batches(ours["loads"]), best_batches(theirs["loads"]))
    return {
        "qps_ratio_16": _ratio(ours["loads"].get("16"), theirs["loads"].get("16"), "qps"),
        "qps_ratio_batch64": _ratio(*batches, "qps"),
        "p50_ratio_1": _ratio(ours["loads"].get("1"), theirs["loads"].get("1"), "p50_ms"),
        "p99_ratio_16": _ratio(ours["loads"].get("16"), theirs["loads"].get("16"), "p99_ms"),
        "cpu_ratio": _ratio(ours["loads"].get("16"), theirs["loads"].get("16"), "cpu_s_per_1000"),
        "recall_at_10": ours["recall_at_10"],
    }


def table(result: Measured) -> str:
    """Markdown."""
    lines = [_line(_HEAD), _line("---" for _ in _HEAD)]
    lines += [_line(_cells(name, system)) for name, system in result["systems"].items()]
    lines += [_line([name, f"not measured: {reason}"]) for name, reason in result["missing"].items()]
    said = ", ".join(f"`{name}` {value}" for name, value in result["ratios"].items())
    machine = result["machine"]
    measured = (
        f"{result['rows']:,} × {result['dim']} vectors, k = {result['k']}; medians of {result['rounds']} rounds of "
        f"{result['seconds']:g} s, in turn; {machine['processor']}, {machine['cores']} cores, {machine['date']}."
    )
    return "\n".join(["# Vitrine beside others", "", measured, "", *lines, "", f"Ours over Chroma's: {said}.", ""])


def _ratio(ours: Measured | None, theirs: Measured | None, name: str) -> float | None:
    if not ours or not theirs or ours[name] is None or not theirs[name]:
        return None
    return round(float(ours[name]) / float(theirs[name]), 3)


def _cells(name: str, system: Measured) -> list[str]:
    one, many, batches = system["loads"].get("1"), system["loads"].get("16"), best_batches(system["loads"])
    settings = ", ".join(f"{key} {value}" for key, value in system["settings"].items()) or "default"
    return [
        f"{name} {system['version']}".strip(),
        system["place"],
        settings,
        f"{system['recall_at_10']:.4f}",
        *(_figure(one, figure) for figure in ("qps", "p50_ms")),
        *(_figure(many, figure) for figure in ("qps", "p50_ms", "p99_ms", "cpu_s_per_1000")),
        *(_figure(batches, figure) for figure in ("qps", "cpu_s_per_1000")),
    ]


def _figure(load: Measured | None, name: str) -> str:
    if load is None or load[name] is None:
        return "–"
    return f"{load[name]:,.0f}" if name == "qps" else f"{load[name]:.2f}"


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"
