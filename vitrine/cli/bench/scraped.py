"""What a program says at /metrics, and what has been added between two looks."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Final
from urllib.request import ProxyHandler, build_opener

from prometheus_client.parser import text_string_to_metric_families

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]
_TIMEOUT_S: Final = 5.0


def samples(address: str) -> Samples:
    """By name and labels. `address`: host:port of its HTTP side."""
    with build_opener(ProxyHandler({})).open(f"http://{address}/metrics", timeout=_TIMEOUT_S) as response:
        text = response.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def added(before: Samples, after: Samples, name: str) -> float:
    """By which a counter has grown, over all labels."""
    return sum(value - before.get(place, 0.0) for place, value in after.items() if place[0] == name)


def percentile(before: Samples, after: Samples, name: str, share: float, **labels: str) -> float:
    """Of what a histogram has observed meanwhile, evenly spread within each bucket; at most the last finite bound."""
    wanted = set(labels.items())
    counts = sorted(
        (float(dict(place[1])["le"]), value - before.get(place, 0.0))
        for place, value in after.items()
        if place[0] == f"{name}_bucket" and wanted <= place[1]
    )
    target, low, below = counts[-1][1] * share, 0.0, 0.0
    for high, count in counts:
        if count >= target and count > below and isfinite(high):
            return low + (high - low) * (target - below) / (count - below)
        low, below = (high, count) if isfinite(high) else (low, below)
    return low
