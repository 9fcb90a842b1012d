"""Rules, as Prometheus itself reads and runs them: each alert fires where it should and nowhere else."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.names import RULE_FILES, alerts, rules

CASES = Path(__file__).with_name("rules")
TESTS = {path.stem: yaml.safe_load(path.read_text())["tests"] for path in sorted(CASES.glob("*.yaml"))}
ALERTS = sorted({alert["alert"] for alert in alerts()})


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("there is no promtool: scripts/prometheus.sh installs Prometheus")
    return found


def test_every_file_of_rules_has_its_cases() -> None:
    assert [path.stem for path in RULE_FILES] == list(TESTS)


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: str(path.stem))
def test_rules_are_well_formed(promtool: str, path: Path) -> None:
    _succeeds(promtool, "check", "rules", "--lint=all", "--lint-fatal", path)


def test_the_configuration_for_a_laptop_is_well_formed(promtool: str) -> None:
    _succeeds(promtool, "check", "config", RULE_FILES[0].parents[1] / "prometheus.yml")


@pytest.mark.parametrize("name", TESTS)
def test_alerts_fire_where_they_should(promtool: str, name: str) -> None:
    _succeeds(promtool, "test", "rules", CASES / f"{name}.yaml")


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_is_seen_to_fire_and_not_to(alert: str) -> None:
    expected = [case["exp_alerts"] for case in _cases() if case["alertname"] == alert]
    assert any(expected), "no case in which it fires"
    assert not all(expected) or _others_stay_silent(alert), "no case in which it does not"


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: f"{alert['alert']}-{alert['labels']['severity']}")
def test_an_alert_says_how_urgent_it_is_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert alert["alert"].startswith("Vitrine")
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert alert["annotations"]["runbook_url"] == f"docs/runbook.md#{alert['alert'].lower()}"
    assert alert["annotations"]["summary"]


@pytest.mark.parametrize("expr", [rule["expr"] for rule in rules()])
def test_nothing_is_added_up_or_compared_over_namespaces(expr: str) -> None:
    groups = re.findall(r"\b(?:sum|min|max|avg|count|group)\b(?: by )?(\(\w*)", expr)
    matched = re.findall(r"\b(?:on|ignoring) (\(\w*)", expr)
    assert {*groups, *matched} <= {"(namespace"}


def _cases() -> list[dict[str, Any]]:
    return [case for tests in TESTS.values() for test in tests for case in test["alert_rule_test"]]


def _others_stay_silent(alert: str) -> bool:
    """Whether in a case in which it fires for one series, there are series of the same metric for which it does not."""
    return any(
        len(test["input_series"]) > len(case["exp_alerts"]) > 0
        for tests in TESTS.values()
        for test in tests
        for case in test["alert_rule_test"]
        if case["alertname"] == alert
    )


def _succeeds(*command: str | Path) -> None:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
