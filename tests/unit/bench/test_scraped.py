"""Figures read off a server's own metrics."""

from __future__ import annotations

import pytest

from vitrine.cli.bench.scraped import Samples, added, percentile


def histogram(name: str, counts: dict[str, float], **labels: str) -> Samples:
    """`counts`: so many at most `le`."""
    return {(f"{name}_bucket", frozenset({**labels, "le": le}.items())): count for le, count in counts.items()}


def test_only_what_came_between_two_looks_counts() -> None:
    before = histogram("own", {"0.1": 100, "0.2": 100, "+Inf": 100}, method="Search")
    after = histogram("own", {"0.1": 100, "0.2": 110, "+Inf": 110}, method="Search")

    assert percentile(before, after, "own", 0.5, method="Search") == pytest.approx(0.15)


def test_another_methods_times_do_not_count() -> None:
    search = histogram("own", {"0.1": 10, "+Inf": 10}, method="Search")
    others = histogram("own", {"0.1": 0, "5.0": 90, "+Inf": 90}, method="Scan")

    assert percentile({}, {**search, **others}, "own", 0.99, method="Search") == pytest.approx(0.099)


def test_a_counters_growth_is_summed_over_its_labels() -> None:
    before = {("sent_total", frozenset({("to", "a")})): 1.0}
    after = {("sent_total", frozenset({("to", "a")})): 4.0, ("sent_total", frozenset({("to", "b")})): 5.0}

    assert added(before, after, "sent_total") == 8.0
