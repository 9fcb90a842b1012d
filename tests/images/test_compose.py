"""deploy/compose.yaml says nothing that the services, the images and the files beside it do not know."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from services.embedder.settings import EmbedderSettings
from services.gateway.settings import GatewaySettings
from services.indexer.settings import IndexerSettings
from services.searcher.settings import SearcherSettings
from services.web.settings import WebSettings
from tests.images.engine import PROGRAMS, ROOT
from vitrine.runtime.settings import ServerSettings, parse

FOLDER: Final = ROOT / "deploy"
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: Final[dict[str, Any]] = COMPOSE["services"]

SETTINGS: Final[dict[str, type[ServerSettings]]] = {
    "embedder": EmbedderSettings,
    "gateway": GatewaySettings,
    "indexer": IndexerSettings,
    "searcher-g0": SearcherSettings,
    "searcher-g1": SearcherSettings,
    "web": WebSettings,
}
JOBS: Final = ("topics", "index")


def _has_compose() -> bool:
    try:
        return subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, ServerSettings]:
    """Each service's settings, parsed from its environment as the service itself does it."""
    found = {}
    for name, kind in SETTINGS.items():
        with monkeypatch.context() as patched:
            for variable, value in SERVICES[name]["environment"].items():
                patched.setenv(variable, str(value))
            found[name] = parse(kind, name, [])
    return found


@pytest.mark.parametrize("name", SETTINGS)
def test_every_variable_is_a_setting_of_its_service(name: str) -> None:
    prefix = SETTINGS[name].model_config["env_prefix"]
    variables = [variable for variable in SERVICES[name]["environment"] if variable.startswith("VITRINE_")]
    known = {f"{prefix}{field.upper()}" for field in SETTINGS[name].model_fields}
    assert [variable for variable in variables if variable not in known] == []


def test_services_look_for_each_other_where_they_listen(settings: dict[str, ServerSettings]) -> None:
    listening = {f"{name}:{own.port}" for name, own in settings.items()}
    topology = json.loads((FOLDER / "compose/topology.json").read_text())["groups"]
    gateway, indexer, web = (settings[name] for name in ("gateway", "indexer", "web"))
    assert isinstance(gateway, GatewaySettings)
    assert isinstance(indexer, IndexerSettings)
    assert isinstance(web, WebSettings)

    asked = {gateway.embedder, indexer.embedder, web.gateway, *(each for one in topology for each in one["addresses"])}
    assert asked <= listening
    assert {own.host for own in settings.values()} == {"0.0.0.0"}  # noqa: S104  (of a container)
    assert gateway.store == indexer.store
    assert gateway.kafka == indexer.kafka


def test_each_partition_is_served_by_the_searcher_that_the_topology_names(settings: dict[str, ServerSettings]) -> None:
    groups = json.loads((FOLDER / "compose/topology.json").read_text())["groups"]
    for group in groups:
        searcher = settings[group["addresses"][0].split(":")[0]]
        assert isinstance(searcher, SearcherSettings)
        assert list(searcher.partitions) == group["partitions"]

    served = sorted(partition for group in groups for partition in group["partitions"])
    counts = {str(getattr(settings[name], "partitions")) for name in ("gateway", "indexer")}  # noqa: B009
    told = {SERVICES[job]["command"][-1] for job in JOBS}
    assert served == list(range(len(served)))
    assert counts | told == {str(len(served))}


def test_what_prometheus_scrapes_is_there(settings: dict[str, ServerSettings]) -> None:
    scraped = yaml.safe_load((FOLDER / "monitoring/prometheus.yml").read_text())["scrape_configs"]
    targets = {target for job in scraped for static in job["static_configs"] for target in static["targets"]}
    assert targets == {f"{name}:{own.http_port}" for name, own in settings.items()}


@pytest.mark.parametrize("name", [*SETTINGS, *JOBS])
def test_an_image_of_ours_is_a_target_of_the_dockerfile_and_confined(name: str) -> None:
    service = SERVICES[name]
    targets = set(re.findall(r"^FROM \S+ AS (\S+)$", (FOLDER / "docker/Dockerfile").read_text(), re.MULTILINE))
    target = service["build"]["target"]
    assert target in targets & PROGRAMS.keys()
    assert re.fullmatch(rf"vitrine-{target}:\$\{{VITRINE_TAG:-[0-9.]+\}}", service["image"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "privileged" not in service


def test_images_of_ours_have_the_version_of_the_project() -> None:
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    tags = {SERVICES[name]["image"].split(":-")[1].rstrip("}") for name in (*SETTINGS, *JOBS)}
    assert tags == {version[1]}


def test_images_of_others_have_an_exact_tag() -> None:
    others = [service["image"] for name, service in SERVICES.items() if name not in (*SETTINGS, *JOBS)]
    assert len(others) == 4
    assert [image for image in others if not re.fullmatch(r"[a-z/]+:v?[0-9]+(\.[0-9]+)+", image)] == []


def test_only_this_machine_reaches_what_is_published() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []
    assert len({port.split(":")[1] for port in published}) == len(published), "two on one port"


def test_every_mounted_file_and_volume_exists() -> None:
    mounts = [mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])]
    files = [mount for mount in mounts if mount.startswith(".")]
    volumes = {mount for mount in mounts if not mount.startswith(".")}
    assert [name for name in files if not (FOLDER / name).exists()] == []
    assert volumes == COMPOSE["volumes"].keys()


def test_nothing_starts_before_what_it_needs() -> None:
    for name, service in SERVICES.items():
        needed = service.get("depends_on", {})
        for other in needed:
            assert other in SERVICES, name
            condition = needed[other]["condition"] if isinstance(needed, dict) else "service_started"
            assert condition != "service_healthy" or "healthcheck" in SERVICES[other]
            assert (condition == "service_completed_successfully") == (other in JOBS)
    for name in ("indexer", "gateway"):
        assert {"topics", "index", "embedder"} <= SERVICES[name]["depends_on"].keys()


if _has_compose():

    def test_docker_compose_accepts_it() -> None:
        command = ["docker", "compose", "--file", str(Path("deploy/compose.yaml")), "config", "--quiet"]
        checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
