"""What would go wrong with manifests, found before they are applied: each problem a line that names the object."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import jsonschema
import kubernetes_validate
import yaml
from jsonschema import Draft202012Validator

from deploy.k8s.checks.objects import Object, Workload, environment, name_of, of_kind, references, workloads
from services.embedder.settings import EmbedderSettings
from services.gateway.settings import GatewaySettings
from services.indexer.settings import IndexerSettings
from services.searcher.settings import SearcherSettings
from services.web.settings import WebSettings
from vitrine.runtime.errors import ConfigError
from vitrine.runtime.settings import ServerSettings, parse

# The oldest release that knows all that is used (preStop sleep is on by default from 1.30).
KUBERNETES: Final = "1.30"

SETTINGS: Final[Mapping[str, type[ServerSettings]]] = {
    "embedder": EmbedderSettings,
    "gateway": GatewaySettings,
    "indexer": IndexerSettings,
    "searcher": SearcherSettings,
    "web": WebSettings,
}
_FACTORS: Final[Mapping[str, float]] = {
    **{f"{letter}i": 1024.0**power for power, letter in enumerate("KMGT", 1)},
    "m": 0.001,
}
# Stands for a value that only the cluster knows; it is JSON, too.
_UNKNOWN: Final = "{}"
_CUSTOM_SCHEMAS: Final = Path(__file__).with_name("custom_schemas.yaml")


def problems(objects: Sequence[Object], provided: Sequence[str]) -> list[str]:
    """`provided`: kind/name of what is in the cluster already. Returns a line for each problem."""
    checks: Sequence[Callable[[Sequence[Object]], Iterator[str]]] = (
        _schema,
        _twice,
        _images,
        lambda found: _references(found, provided),
        _settings,
        _selectors,
        _limits,
    )
    return [problem for check in checks for problem in check(objects)]


def provided_by(overlay: Path) -> list[str]:
    """Kind/name of what an overlay expects to find: the first word of each line of its provided.txt."""
    lines = (overlay / "provided.txt").read_text().splitlines()
    return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]


def _schema(objects: Sequence[Object]) -> Iterator[str]:
    for found in objects:
        if (wrong := _wrong(json.dumps(found, default=str))) is not None:
            yield f"{name_of(found)}: {wrong}"


@lru_cache(maxsize=1024)
def _wrong(text: str) -> str | None:
    """What the schema of an object's kind says against it."""
    found = json.loads(text)
    kind = f"{found['apiVersion']} {found['kind']}"
    custom = _custom_schemas()
    try:
        if kind in custom:
            Draft202012Validator(custom[kind]).validate(found)
        else:
            kubernetes_validate.validate(found, KUBERNETES, strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        return f"apiVersion: {kind} is not known"
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
        return f"{_path_of(error)}: {error.message}"
    return None


@lru_cache
def _custom_schemas() -> Mapping[str, Any]:
    return dict(yaml.safe_load(_CUSTOM_SCHEMAS.read_text()))


def _path_of(error: Any) -> str:
    return ".".join(str(part) for part in error.absolute_path) or "the object"


def _twice(objects: Sequence[Object]) -> Iterator[str]:
    names = [name_of(found) for found in objects]
    yield from (f"{name}: is there twice" for name in sorted(set(names)) if names.count(name) > 1)


def _images(objects: Sequence[Object]) -> Iterator[str]:
    for workload in workloads(objects):
        image = workload.container["image"]
        _, _, tag = image.rsplit("/", 1)[-1].partition(":")
        if "@sha256:" not in image and tag in ("", "latest"):
            yield f"{workload.name}: image: {image} has no tag; name it under `images` of the overlay"


def _references(objects: Sequence[Object], provided: Sequence[str]) -> Iterator[str]:
    made = {name_of(found) for found in objects}
    made |= {f"Secret/{found['spec']['secretName']}" for found in of_kind(objects, "Certificate")}
    for workload in workloads(objects):
        for name in sorted(set(references(workload)) - made - set(provided)):
            yield f"{workload.name}: {name} is neither made here nor named in provided.txt"
    used = {name for workload in workloads(objects) for name in references(workload)}
    yield from (f"provided.txt: {name}: nothing needs it" for name in sorted(set(provided) - used))


def _settings(objects: Sequence[Object]) -> Iterator[str]:
    for workload in workloads(objects):
        variables = environment(objects, workload)
        for name in sorted(variables):
            if name.startswith("VITRINE_") and not name.lower().removeprefix("vitrine_").startswith(tuple(SETTINGS)):
                yield f"{workload.name}: {name} is a setting of no service"
        service = service_of(workload)
        if service is not None:
            yield from _of_service(workload, SETTINGS[service], variables)


def service_of(workload: Workload) -> str | None:
    """Whose program its container runs, by its image's name; None for commands."""
    name = workload.container["image"].rsplit("/", 1)[-1].partition(":")[0]
    return next((service for service in SETTINGS if name.startswith(f"vitrine-{service}")), None)


def _of_service(workload: Workload, kind: type[ServerSettings], variables: Mapping[str, str | None]) -> Iterator[str]:
    known = {name: _UNKNOWN if value is None else value for name, value in variables.items()}
    with patch.dict(os.environ, known, clear=True):
        try:
            parse(kind, workload.name, [])
        except ConfigError as error:
            yield f"{workload.name}: {error}"
    prefix = str(kind.model_config["env_prefix"])
    if "kafka" in kind.model_fields and (f"{prefix}KAFKA" in variables) == (f"{prefix}STREAM" in variables):
        yield f"{workload.name}: one of {prefix}STREAM and {prefix}KAFKA is needed, and not both"


def _selectors(objects: Sequence[Object]) -> Iterator[str]:
    pods = [(workload.labels, _port_names(workload)) for workload in workloads(objects)]
    for service in of_kind(objects, "Service"):
        selector = service["spec"].get("selector", {})
        ports = [names for labels, names in pods if selector and selector.items() <= labels.items()]
        if not ports:
            yield f"{name_of(service)}: selector: no pod has the labels {selector}"
        for port in service["spec"]["ports"]:
            if any(port["targetPort"] not in names for names in ports):
                yield f"{name_of(service)}: targetPort: its pods have no port {port['targetPort']}"
    for found in of_kind(objects, "PodDisruptionBudget", "NetworkPolicy"):
        field = "selector" if found["kind"] == "PodDisruptionBudget" else "podSelector"
        # Of a budget, none at all is about no pod; of a policy it has to be there.
        if field not in found["spec"] or not any(selects(found["spec"][field], labels) for labels, _ in pods):
            yield f"{name_of(found)}: {field}: no pod has these labels"
    names = {name_of(found) for found in objects}
    for found in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject"):
        target = found["spec"]["scaleTargetRef"]
        if f"{target['kind']}/{target['name']}" not in names:
            yield f"{name_of(found)}: scaleTargetRef: there is no {target['kind']}/{target['name']}"


def _limits(objects: Sequence[Object]) -> Iterator[str]:
    for workload in workloads(objects):
        resources = workload.container.get("resources", {})
        for name, limit in resources.get("limits", {}).items():
            request = resources.get("requests", {}).get(name, "0")
            if quantity(request) > quantity(limit):
                yield f"{workload.name}: resources: {name}: {request} is requested, and {limit} the limit"
    for found in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject"):
        kind = "Replicas" if found["kind"] == "HorizontalPodAutoscaler" else "ReplicaCount"
        if (least := found["spec"][f"min{kind}"]) > (most := found["spec"][f"max{kind}"]):
            yield f"{name_of(found)}: min{kind}: {least} is more than max{kind}, {most}"


def quantity(text: str) -> float:
    """What "500m" or "2Gi" is as a number."""
    for suffix, factor in _FACTORS.items():
        if text.endswith(suffix):
            return float(text.removesuffix(suffix)) * factor
    return float(text)


def _port_names(workload: Workload) -> set[str]:
    return {port["name"] for port in workload.container.get("ports", ())}


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector, which may be empty, is about pods with these labels."""
    wanted: Mapping[str, str] = selector.get("matchLabels", {})
    expressions = selector.get("matchExpressions", ())
    return wanted.items() <= labels.items() and all(
        labels.get(expression["key"]) in expression["values"] for expression in expressions
    )
