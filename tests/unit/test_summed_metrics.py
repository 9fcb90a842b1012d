"""What several processes report becomes one report."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from vitrine.runtime.summed import SummedMetrics

RULES = {"lowest": "min", "mean": "mean", "added": "sum"}


class Process:
    """A process with metrics of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.calls = Counter("calls", "Calls", ["code"], registry=self.registry)
        self.seconds = Histogram("seconds", "Time", buckets=(1, 2), registry=self.registry)
        self.gauges = {name: Gauge(name, name, registry=self.registry) for name in ("lowest", "mean", "added", "other")}

    def text(self) -> str:
        return generate_latest(self.registry).decode()


@pytest.fixture
def summed() -> SummedMetrics:
    return SummedMetrics(RULES)  # type: ignore[arg-type]


def value(summed: SummedMetrics, name: str, **labels: str) -> float:
    for family in text_string_to_metric_families(summed.text().decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    raise AssertionError(f"{name} {labels} is not in\n{summed.text().decode()}")


def test_counters_and_histograms_are_summed(summed: SummedMetrics) -> None:
    for number, process in enumerate((Process(), Process())):
        process.calls.labels("OK").inc(number + 1)
        process.seconds.observe(0.5 + number)
        summed.hear(number, 1, process.text())

    assert value(summed, "calls_total", code="OK") == 3
    assert value(summed, "seconds_sum") == 2
    assert value(summed, "seconds_bucket", le="1.0") == 1
    assert value(summed, "seconds_bucket", le="+Inf") == 2


def test_a_label_that_only_one_process_has_is_kept(summed: SummedMetrics) -> None:
    first, second = Process(), Process()
    second.calls.labels("INTERNAL").inc()
    summed.hear(0, 1, first.text())
    summed.hear(1, 1, second.text())

    assert value(summed, "calls_total", code="INTERNAL") == 1


def test_gauges_become_one_by_their_rules_and_the_highest_without(summed: SummedMetrics) -> None:
    for number, process in enumerate((Process(), Process())):
        for gauge in process.gauges.values():
            gauge.set(number + 1)
        summed.hear(number, 1, process.text())

    assert [value(summed, name) for name in ("lowest", "mean", "added", "other")] == [1, 1.5, 3, 2]


def test_a_counter_does_not_go_back_when_a_process_ends_and_another_begins(summed: SummedMetrics) -> None:
    process = Process()
    process.calls.labels("OK").inc(5)
    summed.hear(0, 1, process.text())
    seen = [value(summed, "calls_total", code="OK")]
    summed.hear(0, 1, None)
    seen.append(value(summed, "calls_total", code="OK"))
    another = Process()
    another.calls.labels("OK").inc(2)
    summed.hear(0, 2, another.text())
    summed.hear(0, 2, another.text())
    seen.append(value(summed, "calls_total", code="OK"))

    assert seen == [5, 5, 7]


def test_the_gauges_of_a_process_that_does_not_answer_do_not_count(summed: SummedMetrics) -> None:
    process = Process()
    process.gauges["added"].set(7)
    summed.hear(0, 1, process.text())
    summed.hear(0, 1, None)

    assert b"added 7" not in summed.text()


def test_a_counter_that_falls_is_of_another_process_though_its_start_is_heard_of_later(summed: SummedMetrics) -> None:
    seen = []
    for birth, calls in ((1, 1_000), (1, 5), (1, 10), (2, 11), (3, 12)):
        process = Process()
        process.calls.labels("OK").inc(calls)
        summed.hear(0, birth, process.text())
        seen.append(value(summed, "calls_total", code="OK"))

    assert seen == [1_000, 1_005, 1_010, 1_011, 1_023]
