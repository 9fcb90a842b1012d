"""Every alert has its entry in the runbook, and every entry its alert."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.documents import sections
from tests.monitoring.names import ROOT, alerts, names_in, names_in_code, recorded

RUNBOOK = ROOT / "docs" / "runbook.md"
ENTRIES = {name: text for name, text in sections(RUNBOOK).items() if name.startswith("Vitrine")}
DASHBOARDS = ROOT / "docs" / "dashboards.md"


def test_entries_and_alerts_are_the_same() -> None:
    assert sorted(ENTRIES) == sorted({alert["alert"] for alert in alerts()})


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_says_what_shoppers_notice_what_to_look_at_and_what_to_do(name: str) -> None:
    for part in ("Shoppers notice", "Look at", "Do", "Escalate"):
        assert f"**{part}" in ENTRIES[name]


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_is_as_urgent_as_its_alert(name: str) -> None:
    said = set(re.findall(r"page|ticket", ENTRIES[name].splitlines()[1]))
    assert said == {alert["labels"]["severity"] for alert in alerts() if alert["alert"] == name}


@pytest.mark.parametrize("document", [RUNBOOK, DASHBOARDS], ids=lambda document: str(document.stem))
def test_metrics_that_are_named_exist(document: Path) -> None:
    families = {name.removesuffix("_bucket") for name in names_in_code()}
    quoted = re.findall(r"`([^`\n]*)`", document.read_text())
    assert {name for text in quoted for name in names_in(text)} - names_in_code() - families - recorded() == set()


def test_what_the_text_leads_to_exists() -> None:
    for document in (RUNBOOK, DASHBOARDS):
        links = re.findall(r"\]\(([^)#]+)(?:#\w+)?\)", document.read_text())
        assert [link for link in links if not (document.parent / link).exists()] == []


def test_headings_that_the_text_leads_to_exist() -> None:
    led_to = set(re.findall(r"\]\(#(\w+)\)", RUNBOOK.read_text()))
    assert led_to - {name.lower() for name in ENTRIES} == set()


def test_pictures_that_are_shown_exist() -> None:
    shown = re.findall(r"!\[[^]]*\]\(([^)]*)\)", DASHBOARDS.read_text())
    assert len(shown) == 4
    assert [path for path in shown if not (DASHBOARDS.parent / path).is_file()] == []
