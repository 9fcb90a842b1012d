"""What a cluster measures and scales by: metrics that the code has, rules and dashboards as they are written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from deploy.k8s.checks import rules
from deploy.k8s.checks.objects import ROOT, of_kind
from tests.k8s.rendered import found, with_component
from tests.monitoring.names import names_in, names_in_code, recorded

DASHBOARDS: Final = sorted((ROOT / "deploy" / "monitoring" / "dashboards").glob("*.json"))


def test_the_operators_rules_are_those_that_are_written() -> None:
    assert rules.FILE.read_text() == rules.text(), "run: .venv/bin/python -m deploy.k8s.checks.rules"


def test_every_dashboard_is_brought_to_grafana() -> None:
    maps = of_kind(with_component("monitoring"), "ConfigMap")
    brought = {
        name: text
        for each in maps
        if each["metadata"].get("labels", {}).get("grafana_dashboard") == "1"
        for name, text in each["data"].items()
    }
    assert brought == {file.name: file.read_text() for file in DASHBOARDS}
    assert len(brought) == 4


def test_every_service_is_scraped_under_the_job_that_rules_know() -> None:
    objects = with_component("monitoring")
    monitor = found(objects, "ServiceMonitor/vitrine")["spec"]
    services = of_kind(objects, "Service")
    wanted = monitor["selector"]["matchLabels"]
    assert [s["metadata"]["name"] for s in services if not wanted.items() <= s["metadata"]["labels"].items()] == []
    (endpoint,) = monitor["endpoints"]
    assert all(endpoint["port"] in {port["name"] for port in service["spec"]["ports"]} for service in services)
    (relabeling,) = endpoint["relabelings"]
    assert (relabeling["targetLabel"], relabeling["replacement"]) == ("job", "vitrine-$1")
    assert relabeling["sourceLabels"] == ["__meta_kubernetes_service_label_app_kubernetes_io_name"]
    assert {service["metadata"]["labels"]["app.kubernetes.io/name"] for service in services} == {
        *("embedder", "gateway", "indexer", "searcher", "web")
    }


@pytest.mark.parametrize("component", ["hpa", "keda", "monitoring"])
def test_every_metric_that_is_asked_for_exists(component: str) -> None:
    asked = {name for expression in _expressions(component) for name in names_in(expression)}
    assert asked
    assert asked - names_in_code() - recorded() == set()


def _expressions(component: str) -> Iterator[str]:
    objects = with_component(component)
    for scaler in of_kind(objects, "HorizontalPodAutoscaler"):
        yield from (metric["pods"]["metric"]["name"] for metric in scaler["spec"]["metrics"] if "pods" in metric)
    for scaler in of_kind(objects, "ScaledObject"):
        yield from (t["metadata"]["query"] for t in scaler["spec"]["triggers"] if "query" in t["metadata"])
    for rule in of_kind(objects, "PrometheusRule"):
        yield from (str(each["expr"]) for group in rule["spec"]["groups"] for each in group["rules"])
