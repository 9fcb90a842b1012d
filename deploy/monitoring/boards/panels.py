"""What a dashboard is made of, and how Grafana wants it written down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from deploy.monitoring.boards.promql import of

COLUMNS: Final = 24
# Grafana 10's form; later versions read it.
_SCHEMA_VERSION: Final = 38
_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}

Kind = Literal["stat", "timeseries"]
Colour = Literal["green", "orange", "red"]


@dataclass(frozen=True)
class Query:
    """One PromQL expression. `legend`: what its series are called, with {{labels}}."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Step:
    """From `value` on, what is shown has this colour."""

    value: float
    colour: Colour


@dataclass(frozen=True)
class Panel:
    """One question, and what answers it.

    description  what it measures, and what is normal
    unit         Grafana's name: percentunit, s, short, reqps, bytes
    steps        colours of a stat, lines in a time series; below the first, `base`
    words        words for the values of a stat
    none         shown where no series exists, because nothing of the kind has happened
    minimum, maximum  of the axis; None: what the data have
    colours      of lines, by what they are called; the others take what comes
    """

    title: str
    description: str
    queries: Sequence[Query]
    unit: str
    kind: Kind = "timeseries"
    width: int = 8
    height: int = 8
    base: Colour = "green"
    steps: Sequence[Step] = ()
    words: dict[float, str] = field(default_factory=dict)
    none: str = ""
    minimum: float | None = None
    maximum: float | None = None
    stacked: bool = False
    colours: dict[str, Colour] = field(default_factory=dict)


@dataclass(frozen=True)
class Dashboard:
    """One screen for one reader. `name`: of its file."""

    name: str
    title: str
    description: str
    panels: Sequence[Panel]

    def placed(self) -> Iterator[tuple[Panel, int, int]]:
        """Panels with the column and row of their upper left corner, left to right; a row is as high as its first."""
        column = row = 0
        for number, panel in enumerate(self.panels):
            if column + panel.width > COLUMNS:
                column, row = 0, row + self.panels[number - 1].height
            yield panel, column, row
            column += panel.width

    def document(self) -> dict[str, Any]:
        """As Grafana imports it. Variables choose what is shown: `datasource`, and `namespace` of what it watches."""
        return {
            "uid": f"vitrine-{self.name}",
            "title": self.title,
            "description": self.description,
            "tags": ["vitrine"],
            "schemaVersion": _SCHEMA_VERSION,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "timezone": "",
            "annotations": {"list": [_alerts_that_fire()]},
            "links": [_other_dashboards()],
            "templating": {"list": [_datasource_variable(), _namespace_variable()]},
            "panels": [
                _panel(panel, number, column, row) for number, (panel, column, row) in enumerate(self.placed(), 1)
            ],
        }


def _panel(panel: Panel, number: int, column: int, row: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "gridPos": {"x": column, "y": row, "w": panel.width, "h": panel.height},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _DATASOURCE,
                "editorMode": "code",
                "expr": query.expr,
                "legendFormat": query.legend,
                "range": True,
                "instant": False,
            }
            for place, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": list(_colours(panel))},
        "options": _stat_options(panel) if panel.kind == "stat" else _series_options(),
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps = [{"color": panel.base, "value": None}, *({"color": s.colour, "value": s.value} for s in panel.steps)]
    words = {f"{value:g}": {"text": text, "index": place} for place, (value, text) in enumerate(panel.words.items())}
    return {
        "unit": panel.unit,
        "thresholds": {"mode": "absolute", "steps": steps},
        "mappings": [{"type": "value", "options": words}] if words else [],
        "color": {"mode": "thresholds" if panel.kind == "stat" else "palette-classic"},
        **({"noValue": panel.none} if panel.none else {}),
        **({"min": panel.minimum} if panel.minimum is not None else {}),
        **({"max": panel.maximum} if panel.maximum is not None else {}),
        **({"custom": _drawing(panel)} if panel.kind == "timeseries" else {}),
    }


def _colours(panel: Panel) -> Iterator[dict[str, Any]]:
    for legend, colour in panel.colours.items():
        yield {
            "matcher": {"id": "byName", "options": legend},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }


def _drawing(panel: Panel) -> dict[str, Any]:
    return {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 40 if panel.stacked else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "line" if panel.steps else "off"},
    }


def _stat_options(panel: Panel) -> dict[str, Any]:
    return {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "background",
        "graphMode": "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "value_and_name" if len(panel.queries) > 1 or "{{" in panel.queries[0].legend else "value",
    }


def _series_options() -> dict[str, Any]:
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _alerts_that_fire() -> dict[str, Any]:
    return {
        "name": "Alerts",
        "datasource": _DATASOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": of("ALERTS", 'alertname=~"Vitrine.+", alertstate="firing", severity="page"'),
        "titleFormat": "{{alertname}}",
        "step": "60s",
    }


def _other_dashboards() -> dict[str, Any]:
    return {"title": "Vitrine", "type": "dashboards", "tags": ["vitrine"], "asDropdown": False, "keepTime": True}


def _datasource_variable() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "hide": 0,
        "multi": False,
        "includeAll": False,
    }


def _namespace_variable() -> dict[str, Any]:
    return {
        "name": "namespace",
        "label": "Namespace",
        "type": "query",
        "datasource": _DATASOURCE,
        "query": 'label_values(up{job=~"vitrine-.+"}, namespace)',
        # Asked again when another time is looked at: a namespace may have been there only then.
        "refresh": 2,
        "sort": 1,
        "hide": 0,
        "multi": True,
        "includeAll": True,
        # Not a list of what is known, which leaves out what has no namespace.
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }
