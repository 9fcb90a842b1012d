"""Which metrics the code has, and which an expression, a rule or a dashboard names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
MONITORING: Final = ROOT / "deploy" / "monitoring"
SERVICES: Final = ("embedder", "gateway", "indexer", "searcher", "web")
RULE_FILES: Final = sorted((MONITORING / "alerts").glob("*.yaml"))

_NAME: Final = re.compile(r"(?<![\w:\"'])(?:vitrine|process)(?:_|:)[\w:]+")
_NAME_MATCHER: Final = re.compile(r'__name__=~"([^"]+)"')
# What a metric's samples are called, by its type.
_SUFFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
}
# Prometheus takes each metric once, and tests of services make them too: they are made in a process of their own.
_LISTING: Final = """
import json
from importlib import import_module
from prometheus_client import REGISTRY
from vitrine.runtime.metrics import CallMetrics, StoreRequests

for service in ("embedder", "gateway", "indexer", "searcher"):
    import_module(f"services.{service}.metrics")
for service in ("embedder", "gateway", "indexer", "searcher", "web"):
    CallMetrics(service)
StoreRequests("indexer", {})
StoreRequests("searcher", {})
print(json.dumps([[metric.name, metric.type] for metric in REGISTRY.collect()]))
"""


@lru_cache(maxsize=1)
def names_in_code() -> frozenset[str]:
    """The names of all samples that the services can report, those of their processes included."""
    listed = subprocess.run(
        [sys.executable, "-c", _LISTING], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    found = {name + suffix for name, kind in json.loads(listed) for suffix in _SUFFIXES.get(kind, ("",))}
    return frozenset(found | set(_made_with_tls()))


def _made_with_tls() -> Iterator[str]:
    """What servers add once they have certificates and tokens, read from the code: to make it takes some."""
    text = (ROOT / "vitrine" / "runtime" / "metrics.py").read_text()
    stems = re.findall(r'"vitrine_\{service\}_(certificate_\w+)"', text)
    if '"vitrine_{service}_{what}_reloads"' in text:
        stems += ["certificates_reloads_total", "tokens_reloads_total"]
    for stem in stems:
        yield from (f"vitrine_{service}_{stem}" for service in SERVICES)


def names_in(expr: str) -> set[str]:
    """The metrics that a PromQL expression names; those that a pattern stands for, each."""
    patterns = [re.compile(pattern) for pattern in _NAME_MATCHER.findall(expr)]
    matched = {name for name in names_in_code() if any(pattern.fullmatch(name) for pattern in patterns)}
    assert len(matched) >= len(patterns), f"{expr}: a pattern matches nothing"
    return {*_NAME.findall(_NAME_MATCHER.sub("", expr)), *matched}


def rules() -> list[dict[str, Any]]:
    """All rules, recording ones and alerts."""
    groups = [group for path in RULE_FILES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def recorded() -> set[str]:
    """The metrics that recording rules make."""
    return {rule["record"] for rule in rules() if "record" in rule}


def dashboard_exprs() -> Iterator[tuple[str, str, str]]:
    """File, panel and expression of every query of a dashboard that Grafana imports."""
    for path in sorted((MONITORING / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield path.name, panel["title"], target["expr"]
