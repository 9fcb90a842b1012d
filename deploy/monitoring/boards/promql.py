"""The few shapes that expressions of dashboards have. All ask for the namespaces that are chosen, and for no others."""

from __future__ import annotations

from typing import Final

# Grafana's: as short as the scrape interval allows, longer where the screen shows more time than it has pixels.
WINDOW: Final = "$__rate_interval"
# The variable of that name: one namespace, several, or ".*", which is also what a Prometheus without namespaces has.
CHOSEN: Final = 'namespace=~"$namespace"'


def of(metric: str, labels: str = "") -> str:
    """The series of a metric. `labels`: what else is asked of them."""
    return f"{metric}{{{', '.join(filter(None, (CHOSEN, labels)))}}}"


def rate(counter: str, labels: str = "", by: str = "", window: str = WINDOW) -> str:
    """What a counter gains a second, over all targets. `by`: labels to tell apart."""
    return f"sum{_by(by)}(rate({of(counter, labels)}[{window}]))"


def quantile(share: float, histogram: str, by: str = "") -> str:
    """Of what a histogram observed meanwhile. `histogram`: its name without _bucket."""
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', by=f'le, {by}' if by else 'le')})"


def mean(histogram: str) -> str:
    """Of what a histogram observed meanwhile."""
    return f"{rate(f'{histogram}_sum')} / {rate(f'{histogram}_count')}"


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""
