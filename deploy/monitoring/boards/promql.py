"""The few shapes that expressions of dashboards have."""

from __future__ import annotations

from typing import Final

# Grafana's: as short as the scrape interval allows, longer where the screen shows more time than it has pixels.
WINDOW: Final = "$__rate_interval"


def rate(counter: str, by: str = "", window: str = WINDOW) -> str:
    """What a counter gains a second, over all targets. `by`: labels to tell apart."""
    return f"sum{_by(by)}(rate({counter}[{window}]))"


def quantile(share: float, histogram: str, labels: str = "", by: str = "") -> str:
    """Of what a histogram observed meanwhile. `histogram`: its name without _bucket."""
    selected = f"{histogram}_bucket{{{labels}}}" if labels else f"{histogram}_bucket"
    return f"histogram_quantile({share}, {rate(selected, f'le, {by}' if by else 'le')})"


def mean(histogram: str) -> str:
    """Of what a histogram observed meanwhile."""
    return f"{rate(f'{histogram}_sum')} / {rate(f'{histogram}_count')}"


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""
