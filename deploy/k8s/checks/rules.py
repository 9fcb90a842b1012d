"""python -m deploy.k8s.checks.rules: our alert rules as the Prometheus operator wants them."""

from __future__ import annotations

from typing import Any, Final

import yaml

from deploy.k8s.checks.objects import FOLDER, ROOT

FILE: Final = FOLDER / "components" / "monitoring" / "rules.yaml"
_NOTE: Final = "# Made of deploy/monitoring/alerts by `python -m deploy.k8s.checks.rules`; comments are there.\n"


def text() -> str:
    """What the file must hold."""
    files = sorted((ROOT / "deploy" / "monitoring" / "alerts").glob("*.yaml"))
    groups: list[Any] = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "vitrine"},
        "spec": {"groups": groups},
    }
    return _NOTE + str(yaml.safe_dump(rule, sort_keys=False, width=120))


if __name__ == "__main__":
    FILE.write_text(text())
