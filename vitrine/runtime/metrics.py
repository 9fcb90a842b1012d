"""The metrics every server has. A service's own are named `vitrine_<service>_<what>_<unit>` and live in its package."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import REGISTRY, Collector

from vitrine.runtime.rereading import Reread
from vitrine.runtime.tls import Certificates, pair_of

# 0.25 ms to 10 s: fine where shoppers wait, coarse where only indexers do.
SECONDS_BUCKETS: Final = (
    *(0.00025, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)


class CallMetrics:
    """Calls of one service: how many, how long, how they ended."""

    def __init__(self, service: str) -> None:
        self._seconds = Histogram(
            f"vitrine_{service}_call_seconds",
            "Time from the first byte of a call to its answer",
            ["method", "code"],
            buckets=SECONDS_BUCKETS,
        )
        self._seconds_of: dict[tuple[str, str], Histogram] = {}
        self.in_flight = Gauge(f"vitrine_{service}_calls_in_flight", "Calls being answered now")

    def observe(self, method: str, code: str, seconds: float) -> None:
        """One call that has ended."""
        child = self._seconds_of.get((method, code))
        if child is None:
            child = self._seconds_of[method, code] = self._seconds.labels(method, code)
        child.observe(seconds)


def begin_at_zero(counter: Counter, *labels: object) -> None:
    """Makes a counter's series before it counts: Prometheus sees no increase in one that begins with 1."""
    counter.labels(*labels)


STORE_OPERATIONS: Final = ("get", "put", "head", "list", "delete")


class StoreRequests(Collector):
    """What one service has asked of the object store. `requests`: the store's own count by operation."""

    def __init__(self, service: str, requests: Mapping[str, int], operations: Sequence[str] = STORE_OPERATIONS) -> None:
        self._name = f"vitrine_{service}_store_requests"
        self._requests = requests
        self._operations = operations
        REGISTRY.register(self)

    def collect(self) -> Iterable[Metric]:
        """Read when somebody asks for metrics."""
        family = CounterMetricFamily(self._name, "Requests to the object store", labels=["operation"])
        for operation in self._operations:
            family.add_metric([operation], self._requests.get(operation, 0))
        yield family


class ReloadMetrics(Collector):
    """How often one service has read again what is replaced while it runs. `what`: "certificates", "tokens"."""

    def __init__(self, service: str, what: str, reread: Reread[Any]) -> None:
        self._name = f"vitrine_{service}_{what}_reloads"
        self._help = f"Times that {what} were read again after a change; failed: what was there stays"
        self._reread = reread
        REGISTRY.register(self)

    def collect(self) -> Iterable[Metric]:
        """Looks for a change itself: a server that nobody calls notices one too."""
        self._reread.current()
        family = CounterMetricFamily(self._name, self._help, labels=["outcome"])
        family.add_metric(["ok"], self._reread.reloads)
        family.add_metric(["failed"], self._reread.failed_reloads)
        yield family


def expose_certificates(service: str, certificates: Reread[Certificates]) -> None:
    """When what a server shows will not be valid any more, and how often it was replaced."""
    ReloadMetrics(service, "certificates", certificates)
    Gauge(
        f"vitrine_{service}_certificate_expires_seconds", "Unix time when the certificate that is shown expires"
    ).set_function(lambda: pair_of(certificates).expires_s)
