"""What documents say of a cluster, beside what kustomize makes of our folders."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from deploy.k8s.checks.objects import FOLDER, of_kind, rendered
from tests.k8s.rendered import overlay, pods_of
from tests.monitoring.names import ROOT, alerts
from tests.monitoring.typed import DOCUMENTS, typed

KINDS: Final[Mapping[str, str]] = {
    "svc": "Service",
    "deploy": "Deployment",
    "statefulset": "StatefulSet",
    "cronjob": "CronJob",
    "certificate": "Certificate",
}
TYPED: Final = sorted({(path.stem, command) for path in DOCUMENTS for command in typed(path, "kubectl")})


def test_the_list_is_not_empty() -> None:
    assert len([command for _, command in TYPED if list(named_in(command))]) > 8


@pytest.mark.parametrize(("document", "command"), TYPED)
def test_what_kubectl_is_used_on_exists(document: str, command: str) -> None:
    assert set(named_in(command)) - in_the_cluster() == set()


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("kubectl -n vitrine port-forward svc/indexers 7001:50051", "Service/indexers"),
        ("kubectl -n vitrine create job now --from=cronjob/verify", "CronJob/verify"),
        ("kubectl -n vitrine describe certificate door-tls", "Certificate/door-tls"),
        ("kubectl -n vitrine logs searcher-0 --tail=50", "pod of searcher"),
        ("kubectl -n vitrine port-forward pod/searcher-0 8081", "pod of searcher"),
        ("kubectl -n vitrine logs -l app.kubernetes.io/name=search", "label search"),
    ],
)
def test_what_does_not_exist_is_seen(command: str, name: str) -> None:
    assert set(named_in(command)) - in_the_cluster() == {name}


def test_an_overlay_says_where_the_runbook_is_as_is_written(tmp_path: Path) -> None:
    [said] = re.findall(
        r"^```yaml\n(.*?)^```$", (ROOT / "docs" / "dashboards.md").read_text(), re.MULTILINE | re.DOTALL
    )
    component = os.path.relpath(FOLDER / "components" / "monitoring", tmp_path)
    kustomization = {"kind": "Kustomization", "components": [component], **yaml.safe_load(said)}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    made = rendered(tmp_path)
    assert [each["metadata"]["name"] for each in of_kind(made, "ConfigMap") if "address" in each["data"]] == []
    address = "https://git.example.com/shop/vitrine/docs/runbook.md"
    expected = [f"{address}#{alert['alert'].lower()}" for alert in alerts()]
    assert sorted(_runbook_urls(made)) == sorted(expected)


def named_in(command: str) -> Iterator[str]:
    """What a kubectl command is used on, as `in_the_cluster` calls it."""
    for kind, name in re.findall(rf"\b({'|'.join(KINDS)})[/ ]([a-z][\w-]*)", command):
        yield f"{KINDS[kind]}/{name}"
    for stateful_set in re.findall(r"[ /]([a-z][a-z0-9-]*)-\d+(?!\S)", command):
        yield f"pod of {stateful_set}"
    for label in re.findall(r"-l app\.kubernetes\.io/name=(\S+)", command):
        yield f"label {label}"


def in_the_cluster() -> set[str]:
    """What production has: objects as kind/name, pods with numbers, names of programs."""
    objects = overlay("production")
    found = {f"{each['kind']}/{each['metadata']['name']}" for each in objects}
    pods = {f"pod of {each['metadata']['name']}" for each in of_kind(objects, "StatefulSet")}
    labels = {f"label {workload.labels['app.kubernetes.io/name']}" for workload in pods_of("production")}
    return found | pods | labels


def _runbook_urls(objects: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for rule in of_kind(objects, "PrometheusRule"):
        for group in rule["spec"]["groups"]:
            yield from (each["annotations"]["runbook_url"] for each in group["rules"] if "alert" in each)
