"""The dashboards that Grafana imports: made by the program beside them, and fit to be read."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import combinations
from typing import Any

import pytest

from deploy.monitoring.boards.panels import COLUMNS
from deploy.monitoring.boards.written import DASHBOARDS, FOLDER, text_of

DOCUMENTS = {path.name: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
PANELS = [(name, panel) for name, document in DOCUMENTS.items() for panel in document["panels"]]


def _named(panel: tuple[str, dict[str, Any]]) -> str:
    return f"{panel[0]}: {panel[1]['title']}"


each_panel = pytest.mark.parametrize("panel", [panel for _, panel in PANELS], ids=map(_named, PANELS))


def test_the_files_are_what_the_program_makes() -> None:
    made = {f"{dashboard.name}.json": text_of(dashboard) for dashboard in DASHBOARDS}
    assert {path.name: path.read_text() for path in FOLDER.glob("*.json")} == made, "run `make dashboards`"


def test_there_are_four_each_with_an_address_of_its_own() -> None:
    assert sorted(DOCUMENTS) == ["capacity.json", "embedder.json", "indexing.json", "shopper.json"]
    assert len({document["uid"] for document in DOCUMENTS.values()}) == 4


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_the_data_source_is_chosen_once_for_all_panels(document: dict[str, Any]) -> None:
    [variable, _] = document["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
    asked = [panel["datasource"] for panel in document["panels"]]
    asked += [target["datasource"] for panel in document["panels"] for target in panel["targets"]]
    assert {source["uid"] for source in asked} == {f"${{{variable['name']}}}"}
    assert document["schemaVersion"] >= 36


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_one_namespace_can_be_chosen_and_all_is_also_what_has_none(document: dict[str, Any]) -> None:
    [_, variable] = document["templating"]["list"]
    assert (variable["name"], variable["multi"], variable["includeAll"]) == ("namespace", True, True)
    assert re.fullmatch(variable["allValue"], "")


@each_panel
def test_whatever_is_asked_for_is_of_the_namespaces_that_are_chosen(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        metrics = re.findall(r"\b(?:up|process_\w+|vitrine[_:][\w:]+)\b(?!\")(.{0,24})", target["expr"])
        assert metrics
        assert set(metrics) == {'{namespace=~"$namespace"'}


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_few_panels_none_over_another(document: dict[str, Any]) -> None:
    assert 8 <= len(document["panels"]) <= 14
    assert max(Counter(panel["id"] for panel in document["panels"]).values()) == 1
    places = [panel["gridPos"] for panel in document["panels"]]
    assert max(place["x"] + place["w"] for place in places) <= COLUMNS
    assert not [(one, other) for one, other in combinations(places, 2) if _overlap(one, other)]


@each_panel
def test_a_panel_asks_one_question_and_says_what_is_normal(panel: dict[str, Any]) -> None:
    assert panel["title"].endswith("?")
    assert len(panel["title"]) <= 60
    assert len(panel["description"]) > 30
    assert panel["fieldConfig"]["defaults"]["unit"]


@each_panel
def test_series_have_names_and_colours_have_steps(panel: dict[str, Any]) -> None:
    assert all(target["legendFormat"] for target in panel["targets"])
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert steps[0]["value"] is None
    values = [step["value"] for step in steps[1:]]
    assert values == sorted(values)


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )
