"""A real Prometheus watches a running `vitrine up` through good and bad times and has all that is asked."""

from __future__ import annotations

import math
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.monitoring.rendering.prometheus import Prometheus, running_prometheus
from deploy.monitoring.rendering.story import TRIED, Story, live_through, scraped, shop_settings
from tests.kafka import leash
from tests.monitoring.names import alerts, dashboard_exprs, recorded
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import running_stack

pytestmark = [pytest.mark.thorough, pytest.mark.slow, pytest.mark.timeout(300)]

SCRAPE_S = 1
SCRAPE_MEDIAN_S = 0.05
# `vitrine up` has no certificates: nothing speaks TLS on a laptop.
WITHOUT_DATA = ["VitrineCertificateEnds"]

_COMPARED = re.compile(r"(==|<|>) -?[\d.]+")
_QUERIES = list(dashboard_exprs())
_ALERTS = [(alert["alert"], alert["expr"]) for alert in alerts() if alert["alert"] not in WITHOUT_DATA]


@dataclass(frozen=True)
class Lived:
    prometheus: Prometheus
    story: Story

    def finite(self, expr: str) -> list[float]:
        """Every number that `expr` had meanwhile."""
        found = self.prometheus.range(expr, self.story.began_s, self.story.ended_s, SCRAPE_S)
        return [value for _, points in found for _, value in points if math.isfinite(value)]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    found = shutil.which("prometheus")
    if found is None:
        pytest.skip("there is no Prometheus: scripts/prometheus.sh installs it")
    folder = tmp_path_factory.mktemp("lived")
    command = [sys.executable, str(Path(leash.__file__)), found]
    with (
        running_stack(shop_settings(folder / "up", DEFAULT_MODEL)) as stack,
        running_prometheus(folder / "prometheus", scraped(stack), SCRAPE_S, command) as prometheus,
    ):
        yield Lived(prometheus, live_through(stack, TRIED))


@pytest.mark.parametrize(("file", "panel", "expr"), _QUERIES)
def test_a_dashboards_query_has_data(lived: Lived, file: str, panel: str, expr: str) -> None:
    assert lived.finite(expr)


@pytest.mark.parametrize(("alert", "expr"), _ALERTS)
def test_an_alerts_expression_has_data_before_it_is_compared(lived: Lived, alert: str, expr: str) -> None:
    # VitrineServiceAbsent asks for namespaces that have others of us, unless they have this one.
    compared = _COMPARED.sub("", expr).replace(" unless ", " and ")
    assert compared != expr
    assert lived.finite(compared)


@pytest.mark.parametrize("name", sorted(recorded()))
def test_a_recording_rule_has_data(lived: Lived, name: str) -> None:
    assert lived.finite(name)


def test_trouble_pages_and_what_is_there_is_not_reported_absent(lived: Lived) -> None:
    # A group of searchers hung for a fifth of the time.
    states = {alert["labels"]["alertname"]: alert["state"] for alert in lived.prometheus.alerts()}
    assert states.get("VitrineAnswersNotComplete") == "firing"
    assert not states.keys() & {"VitrineServiceAbsent", "VitrineTargetDown", "VitrineEmbedderOffGpu"}
    assert "VitrinePartitionHalted" not in states


def test_dead_letters_were_seen(lived: Lived) -> None:
    assert max(lived.finite("sum(vitrine_indexer_dead_letters_total)")) > 0
    assert max(lived.finite("sum(increase(vitrine_indexer_dead_letters_total[1m]))")) > 0


def test_asking_for_metrics_takes_no_time_worth_speaking_of(lived: Lived) -> None:
    medians = lived.finite("quantile_over_time(0.5, scrape_duration_seconds[1m])")
    assert 0 < max(medians) <= SCRAPE_MEDIAN_S
