"""What several processes of one server report, summed up as one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Final, Literal

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

GaugeRule = Literal["sum", "min", "max", "mean"]

# Of processes as such: what they hold adds up, and the oldest tells since when there is anybody.
_PROCESS_GAUGES: Final[Mapping[str, GaugeRule]] = {
    "process_open_fds": "sum",
    "process_resident_memory_bytes": "sum",
    "process_start_time_seconds": "min",
    "process_virtual_memory_bytes": "sum",
}
_CUMULATIVE: Final = ("counter", "histogram", "summary")
_COMBINED: Final[Mapping[GaugeRule, Callable[[list[float]], float]]] = {
    "sum": sum,
    "min": min,
    "max": max,
    "mean": fmean,
}

_Labels = tuple[tuple[str, str], ...]
_Place = tuple[str, str, _Labels]
"""Metric, sample, labels."""


@dataclass
class _Heard:
    """What one process has said. `cumulative` outlives it: a counter never goes back because a process has ended."""

    birth: int = 0
    cumulative: dict[_Place, float] = field(default_factory=dict)
    gauges: dict[_Place, float] = field(default_factory=dict)


class SummedMetrics:
    """Counters and histograms summed; gauges by `rules`, the highest where there is none.

    What a process counted after it was last heard, and before it ended, is lost.
    """

    def __init__(self, rules: Mapping[str, GaugeRule]) -> None:
        self._rules = {**_PROCESS_GAUGES, **rules}
        self._heard: defaultdict[int, _Heard] = defaultdict(_Heard)
        self._ended: defaultdict[_Place, float] = defaultdict(float)
        self._described: dict[str, tuple[str, str]] = {}

    def hear(self, process: int, birth: int, text: str | None) -> None:
        """What process number `process` says now; None if it does not answer. `birth`: how often it was started.

        A counter that has fallen is of a process that was started after `birth` was read.
        """
        heard = self._heard[process]
        if text is None:
            heard.gauges = {}
            return
        before = heard.cumulative
        heard.cumulative, heard.gauges = {}, {}
        for metric in text_string_to_metric_families(text):
            self._described[metric.name] = (metric.documentation, metric.type)
            said = heard.cumulative if metric.type in _CUMULATIVE else heard.gauges
            for sample in metric.samples:
                said[metric.name, sample.name, tuple(sample.labels.items())] = sample.value
        has_fallen = any(heard.cumulative.get(place, value) < value for place, value in before.items())
        if birth > heard.birth or has_fallen:
            for place, value in before.items():
                self._ended[place] += value
            heard.birth = max(birth, heard.birth + 1)

    def text(self) -> bytes:
        """All of it together, as /metrics has it."""
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterable[Metric]:
        families = {name: Metric(name, said, kind) for name, (said, kind) in self._described.items()}
        for (name, sample, labels), value in self._together().items():
            families[name].samples.append(Sample(sample, dict(labels), value))
        return [family for family in families.values() if family.samples]

    def _together(self) -> dict[_Place, float]:
        values: defaultdict[_Place, list[float]] = defaultdict(list)
        for said in (self._ended, *(heard.cumulative for heard in self._heard.values())):
            for place, value in said.items():
                values[place].append(value)
        together = {place: sum(said) for place, said in values.items()}
        gauges: defaultdict[_Place, list[float]] = defaultdict(list)
        for heard in self._heard.values():
            for place, value in heard.gauges.items():
                gauges[place].append(value)
        return together | {place: _COMBINED[self._rule(place[0])](said) for place, said in gauges.items()}

    def _rule(self, metric: str) -> GaugeRule:
        # When a counter began to count.
        return "min" if metric.endswith("_created") else self._rules.get(metric, "max")
