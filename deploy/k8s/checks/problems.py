"""What would go wrong with manifests, found before they are applied: each problem a line that names the object."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, get_args
from unittest.mock import patch

import jsonschema
import kubernetes_validate
import yaml
from jsonschema import Draft202012Validator

from deploy.k8s.checks.objects import Object, Workload, name_of, of_kind, references, variables, workloads
from services.embedder.settings import EmbedderSettings
from services.gateway.settings import GatewaySettings
from services.indexer.settings import IndexerSettings
from services.searcher.settings import SearcherSettings
from services.web.settings import WebSettings
from vitrine.cli.streams import KafkaOptions
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
    **{f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", 1)},
    **{letter: 1000.0**power for power, letter in enumerate("kMGTPE", 1)},
    "m": 0.001,
}
# What the `vitrine` command itself reads of its environment.
_OF_COMMANDS: Final = frozenset({get_args(KafkaOptions)[1].envvar})
# Stands for a value that only the cluster knows; it is JSON, too.
_UNKNOWN: Final = "{}"
_CUSTOM_SCHEMAS: Final = Path(__file__).with_name("custom_schemas.yaml")


def problems(objects: Sequence[Object], provided: Sequence[str], unchecked: Sequence[str] = ()) -> list[str]:
    """A line for each problem.

    `provided`: kind/name of what is in the cluster already. `unchecked`: "apiVersion kind" of what is taken as it is.
    """
    checks: Sequence[Callable[[Sequence[Object]], Iterator[str]]] = (
        lambda found: _schema(found, unchecked),
        _twice,
        _images,
        lambda found: _references(found, provided),
        _settings,
        _services,
        _selectors,
        _scaled,
        _limits,
        _namespaces,
    )
    return [problem for check in checks for problem in check(objects)]


def provided_by(overlay: Path) -> list[str]:
    """Kind/name of what an overlay expects to find: the first word of each line of its provided.txt, if it has one."""
    return [line.split()[0] for line in _lines(overlay / "provided.txt")]


def unchecked_by(overlay: Path) -> list[str]:
    """What an overlay brings of kinds that are not known here: "apiVersion kind", a line each of its unchecked.txt."""
    return [" ".join(line.split()) for line in _lines(overlay / "unchecked.txt")]


def _lines(file: Path) -> list[str]:
    if not file.is_file():
        return []
    return [line for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")]


def _schema(objects: Sequence[Object], unchecked: Sequence[str]) -> Iterator[str]:
    for found in objects:
        if _kind(found) in unchecked:
            continue
        if (wrong := _wrong(json.dumps(found, default=str))) is not None:
            yield f"{name_of(found)}: {wrong}"
    there = {_kind(found) for found in objects}
    yield from (f"unchecked.txt: {kind}: there is none" for kind in unchecked if kind not in there)


def _kind(found: Object) -> str:
    return f"{found['apiVersion']} {found['kind']}"


@lru_cache(maxsize=1024)
def _wrong(text: str) -> str | None:
    """What the schema of an object's kind says against it."""
    found = json.loads(text)
    kind = _kind(found)
    custom = _custom_schemas()
    try:
        if kind in custom:
            Draft202012Validator(custom[kind]).validate(found)
        else:
            kubernetes_validate.validate(found, KUBERNETES, strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        return f"apiVersion: {kind} is not known; what is right all the same is named in unchecked.txt"
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
        for image in [str(container["image"]) for container in workload.containers]:
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
        for container in workload.containers:
            named = variables(objects, container)
            for name in sorted(set(named) - _OF_COMMANDS):
                if name.startswith("VITRINE_") and not name.lower().removeprefix("vitrine_").startswith(
                    tuple(SETTINGS)
                ):
                    yield f"{workload.name}: {name} is a setting of no service"
            service = _service_in(container)
            if service is not None:
                yield from _of_service(workload, SETTINGS[service], named)


def service_of(workload: Workload) -> str | None:
    """Whose program its pods run, by the image's name; None for commands."""
    return _service_in(workload.container)


def _service_in(container: Object) -> str | None:
    name = container["image"].rsplit("/", 1)[-1].partition(":")[0]
    return next((service for service in SETTINGS if name.startswith(f"vitrine-{service}")), None)


def _of_service(workload: Workload, kind: type[ServerSettings], named: Mapping[str, str | None]) -> Iterator[str]:
    known = {name: _UNKNOWN if value is None else value for name, value in named.items()}
    with patch.dict(os.environ, known, clear=True):
        try:
            parse(kind, workload.name, [])
        except ConfigError as error:
            yield f"{workload.name}: {error}"
    prefix = str(kind.model_config["env_prefix"])
    if "kafka" in kind.model_fields and (f"{prefix}KAFKA" in named) == (f"{prefix}STREAM" in named):
        yield f"{workload.name}: one of {prefix}STREAM and {prefix}KAFKA is needed, and not both"


def _services(objects: Sequence[Object]) -> Iterator[str]:
    pods = [(workload.labels, _port_names(workload)) for workload in workloads(objects)]
    for service in of_kind(objects, "Service"):
        selector = service["spec"].get("selector", {})
        if not selector:
            continue  # a name for what is not among our pods
        ports = [names for labels, names in pods if selector.items() <= labels.items()]
        if not ports:
            yield f"{name_of(service)}: selector: no pod has the labels {selector}"
        for port in service["spec"].get("ports", ()):
            target = port.get("targetPort", port["port"])
            # A pod may listen at a number that it does not say.
            if isinstance(target, str) and any(target not in names for names in ports):
                yield f"{name_of(service)}: targetPort: its pods have no port {target}"


def _port_names(workload: Workload) -> set[str]:
    return {port["name"] for container in workload.containers for port in container.get("ports", ()) if "name" in port}


def _selectors(objects: Sequence[Object]) -> Iterator[str]:
    pods = [workload.labels for workload in workloads(objects)]
    for found in of_kind(objects, "PodDisruptionBudget", "NetworkPolicy"):
        field = "selector" if found["kind"] == "PodDisruptionBudget" else "podSelector"
        # Of a budget, none at all is about no pod; of a policy it has to be there.
        if field not in found["spec"] or not any(selects(found["spec"][field], labels) for labels in pods):
            yield f"{name_of(found)}: {field}: no pod has these labels"


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector, which may be empty, is about pods with these labels."""
    wanted: Mapping[str, str] = selector.get("matchLabels", {})
    expressions = selector.get("matchExpressions", ())
    return wanted.items() <= labels.items() and all(_meets(expression, labels) for expression in expressions)


def _meets(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case _:  # the schema knows one more: DoesNotExist
            return value is None


def _scaled(objects: Sequence[Object]) -> Iterator[str]:
    names = {name_of(found) for found in objects}
    for found in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject"):
        target = found["spec"]["scaleTargetRef"]
        if f"{target['kind']}/{target['name']}" not in names:
            yield f"{name_of(found)}: scaleTargetRef: there is no {target['kind']}/{target['name']}"
        kind = "Replicas" if found["kind"] == "HorizontalPodAutoscaler" else "ReplicaCount"
        if (least := found["spec"].get(f"min{kind}", 1)) > (most := found["spec"][f"max{kind}"]):
            yield f"{name_of(found)}: min{kind}: {least} is more than max{kind}, {most}"


def _limits(objects: Sequence[Object]) -> Iterator[str]:
    for workload in workloads(objects):
        for container in workload.containers:
            resources = container.get("resources", {})
            yield from (
                f"{workload.name}: resources: {wrong}"
                for wrong in _too_much(resources.get("requests", {}), resources.get("limits", {}))
            )


def _too_much(requests: Mapping[str, Any], limits: Mapping[str, Any]) -> Iterator[str]:
    for name, limit in limits.items():
        request = requests.get(name, "0")
        try:
            if quantity(str(request)) > quantity(str(limit)):
                yield f"{name}: {request} is requested, and {limit} the limit"
        except ValueError:
            yield f"{name}: {request} or {limit} is no quantity"


def quantity(text: str) -> float:
    """What "500m" or "2Gi" is as a number. Raises ValueError."""
    for suffix, factor in _FACTORS.items():
        if text.endswith(suffix):
            return float(text.removesuffix(suffix)) * factor
    return float(text)


def _namespaces(objects: Sequence[Object]) -> Iterator[str]:
    """Texts that hold the namespace, which kustomize does not change by itself."""
    services = {service["metadata"]["name"] for service in of_kind(objects, "Service")}
    for found in of_kind(objects, "Certificate"):
        ours = found["metadata"].get("namespace")
        for name in found["spec"].get("dnsNames", ()):
            host, _, rest = name.partition(".")
            of, _, domain = rest.partition(".")
            if host in services and rest and (domain or "svc").startswith("svc") and of != ours:
                yield f"{name_of(found)}: dnsNames: {name} is of namespace {of}, and all else of {ours}"
    for found in of_kind(objects, "ScaledObject"):
        ours = found["metadata"].get("namespace")
        queries = [trigger["metadata"].get("query", "") for trigger in found["spec"]["triggers"]]
        for asked in re.findall(r'namespace="([^"]*)"', " ".join(queries)):
            if asked != ours:
                yield f"{name_of(found)}: triggers: a query asks for namespace {asked}, and all else is in {ours}"
