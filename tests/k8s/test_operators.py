"""The pod in which operators type `vitrine …`: it is let in where it has to be, and the runbook says what to type."""

from __future__ import annotations

import re
from typing import Final

import pytest

from deploy.k8s.checks.objects import ROOT, Workload, environment
from tests.k8s.rendered import NAMES, found, mounted, overlay, pods_of, told_to_operators

RUNBOOK: Final = (ROOT / "docs" / "runbook.md").read_text()
# Whom each command asks: the variable that says where that is.
_ASKED: Final = {
    **dict.fromkeys(("index status",), "GATEWAY"),
    **dict.fromkeys(("index compact", "index resume", "index rollback", "index skip-to"), "INDEXER"),
    **dict.fromkeys(("index inspect", "index ls", "index verify"), "STORE"),
    **dict.fromkeys(("dlq ls", "dlq replay", "dlq show"), "LOG"),
}


@pytest.mark.parametrize(
    ("name", "log", "access"),
    [
        ("kind", "--folder /data", ""),
        (
            "production",
            "--kafka vitrine-kafka-bootstrap.kafka:9093",
            "--tls /etc/vitrine/tls --token-file /etc/vitrine/token/token",
        ),
    ],
)
def test_commands_are_told_where_all_is_and_how_they_are_let_in(name: str, log: str, access: str) -> None:
    told = told_to_operators(name)
    store = str(environment(overlay(name), _tools(name))["VITRINE_INDEXER_STORE"])
    assert told["LOG"] == log
    assert told["GATEWAY"].split() == ["--gateway", "gateway:50051", *access.split()]
    assert told["INDEXER"].split() == ["--index", "default", "--tls-name", "indexer", *access.split()]
    assert told["STORE"].split() == ["--store", store, "--index", "default"]


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_only_when_asked_for_and_not_for_ever(name: str) -> None:
    tools = _tools(name)
    assert tools.source["spec"]["suspend"] is True
    assert tools.source["spec"]["jobTemplate"]["spec"]["ttlSecondsAfterFinished"] > 0
    assert tools.container["command"] == ["sleep", str(8 * 3600)]


def test_it_has_the_certificate_and_the_token_that_indexers_ask_for() -> None:
    tools = _tools("production")
    assert mounted(tools, "/etc/vitrine/tls")["secretName"] == "tools-tls"
    assert mounted(tools, "/etc/vitrine/token")["secretName"] == "tools-token"
    assert mounted(tools, "/etc/vitrine/kafka")["secretName"] == "kafka-access"
    assert found(overlay("production"), "Certificate/tools-tls")["spec"]["usages"] == ["client auth"]
    # Whom --tls-name names.
    assert found(overlay("production"), "Certificate/indexer-tls")["spec"]["dnsNames"] == ["indexer"]


def test_each_command_of_the_runbook_says_whom_it_asks() -> None:
    commands = re.findall(r"vitrine ((?:index|dlq) [a-z-]+)((?: [^`\n]*)?)(?=[`\n])", RUNBOOK)
    told = [(command, rest) for command, rest in commands if rest]
    assert len(told) > 10
    assert [(command, rest) for command, rest in told if f"${_ASKED[command]}" not in rest] == []
    owned = [(command, rest) for command, rest in told if _ASKED[command] == "INDEXER"]
    assert [(command, rest) for command, rest in owned if not re.search(r"--indexer [\w.-]+:50051 ", rest)] == []


def _tools(name: str) -> Workload:
    (tools,) = [each for each in pods_of(name) if each.name == "CronJob/tools"]
    return tools
