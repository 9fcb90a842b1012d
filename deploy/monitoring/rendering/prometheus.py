"""A Prometheus of this machine that watches one stack, with the rules of the folder beside."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

from vitrine.runtime.errors import Unavailable
from vitrine.runtime.ports import LOCALHOST, free_port

ALERTS: Final = Path(__file__).parents[1] / "alerts"
_START_TIMEOUT_S: Final = 30.0
_QUERY_TIMEOUT_S: Final = 30.0
_STOP_TIMEOUT_S: Final = 10.0

Series = list[tuple[dict[str, str], list[tuple[float, float]]]]
"""Labels, and (Unix time, value)."""


@dataclass(frozen=True)
class Prometheus:
    """One that runs. `scrape_s`: how often it asks each program, and evaluates its rules."""

    address: str
    scrape_s: int

    @property
    def rate_window(self) -> str:
        """What Grafana makes of $__rate_interval."""
        return f"{4 * self.scrape_s}s"

    def range(self, expr: str, began_s: float, ended_s: float, step_s: float) -> Series:
        """Each series of `expr` between two Unix times; gaps are left out, "not a number" is not."""
        fields = {"query": self._asked(expr), "start": began_s, "end": ended_s, "step": step_s}
        return [
            (series["metric"], [(at_s, float(value)) for at_s, value in series["values"]])
            for series in self._get("query_range", fields)["result"]
        ]

    def alerts(self) -> list[dict[str, Any]]:
        """Those that are pending or fire."""
        found: list[dict[str, Any]] = self._get("alerts", {})["alerts"]
        return found

    def targets(self) -> list[dict[str, Any]]:
        """What it asks, and whether that answers."""
        found: list[dict[str, Any]] = self._get("targets", {})["activeTargets"]
        return found

    def _asked(self, expr: str) -> str:
        """With Grafana's variables filled in: all namespaces."""
        return expr.replace("$__rate_interval", self.rate_window).replace("$namespace", ".*")

    def _get(self, what: str, fields: Mapping[str, Any]) -> Any:
        url = f"http://{self.address}/api/v1/{what}?{urlencode(fields)}"
        with build_opener(ProxyHandler({})).open(url, timeout=_QUERY_TIMEOUT_S) as response:
            return json.load(response)["data"]


@contextmanager
def running_prometheus(
    folder: Path, targets: Mapping[str, Sequence[str]], scrape_s: int, command: Sequence[str] = ("prometheus",)
) -> Iterator[Prometheus]:
    """Watches `targets`, host:port by job. `folder`: for its data. `command`: what starts it. Raises Unavailable."""
    folder.mkdir(parents=True)
    config = folder / "prometheus.json"
    config.write_text(json.dumps(_config(targets, scrape_s)))
    address, log = f"{LOCALHOST}:{free_port()}", folder / "log"
    arguments = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"]
    with (
        log.open("wb") as said,
        # The pipe is held open as long as this process lives.
        subprocess.Popen([*command, *arguments], stdin=subprocess.PIPE, stdout=said, stderr=said) as running,
    ):
        try:
            _wait_ready(address, running, log)
            yield Prometheus(address, scrape_s)
        finally:
            running.terminate()
            try:
                running.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                running.kill()


def _config(targets: Mapping[str, Sequence[str]], scrape_s: int) -> dict[str, Any]:
    """JSON is YAML."""
    return {
        "global": {
            "scrape_interval": f"{scrape_s}s",
            "scrape_timeout": f"{scrape_s}s",
            "evaluation_interval": f"{scrape_s}s",
        },
        "rule_files": [str(ALERTS / "*.yaml")],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(addresses)}]} for job, addresses in targets.items()
        ],
    }


def _wait_ready(address: str, running: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            with build_opener(ProxyHandler({})).open(f"http://{address}/-/ready", timeout=1):
                return
        except OSError as error:
            if running.poll() is not None or time.monotonic() > deadline_s:
                raise Unavailable(f"prometheus does not start: {log.read_text()[-500:]}") from error
        time.sleep(0.1)
